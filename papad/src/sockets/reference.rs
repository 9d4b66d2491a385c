//! The sockets that a process gets: those that its words refer to by `$(socket.NAME.port)` and
//! `$(socket.NAME.fileno)`, and those that it listens on or inherits.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;

use memchr::memmem;

use papa_protocol::exact::{Code, Failure};
use papa_protocol::text::shown;

use super::{FIRST_NUMBER, Socket, Sockets, bind};
use crate::journal::Change;
use crate::limit;

const BEGIN: &[u8] = b"$(socket.";

/// A socket as one process gets it.
pub(crate) enum Given {
    /// The hosted socket, which it shares with others.
    Shared(Arc<Socket>),
    /// One of its own, on a shared port.
    Own(OwnedFd),
}

impl AsFd for Given {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Given::Shared(socket) => socket.fd.as_fd(),
            Given::Own(fd) => fd.as_fd(),
        }
    }
}

/// Which socket a process was given: what became of the name since does not matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GivenSocket {
    /// [`Socket::cookie`] of papad's own, also for a shared port.
    pub(crate) cookie: u64,
    pub(crate) name: Vec<u8>,
}

/// Where a process's specification refers to sockets.
#[derive(Clone, Copy)]
pub(crate) struct References<'a> {
    pub(crate) args: &'a [Vec<u8>],
    pub(crate) env: &'a BTreeMap<Vec<u8>, Vec<u8>>,
    /// Names of those it gets as systemd's `LISTEN_FDS`, and of those it just gets.
    pub(crate) listen: &'a [Vec<u8>],
    pub(crate) inherit: &'a [Vec<u8>],
}

/// A command and an environment with their references replaced, and the sockets to go with them.
pub(crate) struct Referred {
    pub(crate) args: Vec<Vec<u8>>,
    pub(crate) env: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Each with its number in the process.
    pub(crate) sockets: Vec<(RawFd, Given)>,
    /// Which these are, as far as the kernel says.
    pub(crate) given: Vec<GivenSocket>,
}

/// The sockets that one process gets.
#[derive(Default)]
struct Gathered {
    /// By their ids.
    sockets: Vec<(u64, RawFd, Given)>,
    given: Vec<GivenSocket>,
}

impl Sockets {
    /// Finds all sockets that a process is to have and replaces the references to them.
    ///
    /// # Errors
    /// A reference is not whole, or names no socket.
    pub(crate) fn refer(
        &self,
        process: &[u8],
        of: References,
        change: &Change,
    ) -> Result<Referred, Failure> {
        let mut gathered = Gathered::default();
        // systemd's numbers are fixed, so these come first.
        for (number, name) in (FIRST_NUMBER..).zip(of.listen) {
            gathered.give(self.to_give(name, change)?, Some(number))?;
        }
        for name in of.inherit {
            gathered.give(self.to_give(name, change)?, None)?;
        }
        let args = of.args.iter().map(|arg| self.replace_all(process, arg, &mut gathered, change));
        let args = args.collect::<Result<_, _>>()?;
        let env = of.env.iter().map(|(key, value)| {
            Ok((key.clone(), self.replace_all(process, value, &mut gathered, change)?))
        });
        let env = env.collect::<Result<_, Failure>>()?;
        let Gathered { sockets, given } = gathered;
        let sockets = sockets.into_iter().map(|(_, number, given)| (number, given)).collect();
        Ok(Referred { args, env, sockets, given })
    }

    fn named(&self, name: &[u8]) -> Result<Arc<Socket>, Failure> {
        let missing = || Failure::new(Code::NotFound, format!("Socket {} not found", shown(name)));
        self.get(name).ok_or_else(missing)
    }

    /// The socket of this name, fit to be given to a process.
    fn to_give(&self, name: &[u8], change: &Change) -> Result<Arc<Socket>, Failure> {
        let socket = self.named(name)?;
        self.mend_to_give(socket, change).map_err(|failure| {
            let what = format!("Socket {}: {failure}", shown(name));
            Failure::new(failure.code, what)
        })
    }

    fn replace_all(
        &self,
        process: &[u8],
        text: &[u8],
        gathered: &mut Gathered,
        change: &Change,
    ) -> Result<Vec<u8>, Failure> {
        let mut replaced = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = memmem::find(rest, BEGIN) {
            replaced.extend_from_slice(&rest[..at]);
            let reference = &rest[at + BEGIN.len()..];
            let end = memchr::memchr(b')', reference).ok_or_else(|| {
                let what = format!(
                    "Process for {} argument starts with \"$(socket.\" but has no closing \
                     parenthesis",
                    shown(process)
                );
                Failure::new(Code::Usage, what)
            })?;
            replaced.extend(self.replace(&reference[..end], gathered, change)?.bytes());
            rest = &reference[end + 1..];
        }
        replaced.extend_from_slice(rest);
        Ok(replaced)
    }

    /// The text that stands for `NAME.port` or `NAME.fileno`.
    fn replace(
        &self,
        reference: &[u8],
        gathered: &mut Gathered,
        change: &Change,
    ) -> Result<String, Failure> {
        let (name, field) = match memchr::memrchr(b'.', reference) {
            Some(dot) => (&reference[..dot], &reference[dot + 1..]),
            None => (reference, &b""[..]),
        };
        match field {
            b"port" => {
                let socket = self.named(name)?;
                let none = || format!("Socket {} has no port", shown(name));
                let port = socket.port().ok_or_else(|| Failure::new(Code::Usage, none()))?;
                Ok(port.to_string())
            }
            b"fileno" => Ok(gathered.give(self.to_give(name, change)?, None)?.to_string()),
            _ => {
                let what = "You forgot to specify either \".port\" or \".fileno\" after the name";
                Err(Failure::new(Code::Usage, what))
            }
        }
    }
}

impl Gathered {
    /// Adds a socket unless the process has it; returns the number that it has there: the wanted
    /// one, or else its own, or the next that is free.
    fn give(&mut self, socket: Arc<Socket>, wanted: Option<RawFd>) -> Result<RawFd, Failure> {
        if let Some((_, number, _)) = self.sockets.iter().find(|(id, ..)| *id == socket.id) {
            return Ok(*number);
        }
        let is_free = |number: &RawFd| self.sockets.iter().all(|(_, given, _)| given != number);
        let own = [socket.number].into_iter();
        let number = wanted.or_else(|| own.chain(FIRST_NUMBER..RawFd::MAX).find(is_free));
        let number = number.unwrap_or(socket.number);
        let id = socket.id;
        let cookie = socket.cookie();
        let named = cookie.map(|cookie| GivenSocket { cookie, name: socket.name.clone() });
        let given = if socket.is_shared_port() {
            let own = bind::bind_clone(&socket.options, &socket.fd).map_err(|error| {
                let what = format!("Socket {}: {error}", shown(&socket.name));
                Failure::new(limit::code_of(&error), what)
            })?;
            Given::Own(own)
        } else {
            Given::Shared(socket)
        };
        self.sockets.push((id, number, given));
        self.given.extend(named);
        Ok(number)
    }
}
