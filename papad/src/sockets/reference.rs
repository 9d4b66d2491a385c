//! `$(socket.NAME.port)` and `$(socket.NAME.fileno)` in the words of a command.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;

use memchr::memmem;

use papa_protocol::text::shown;

use super::{Socket, Sockets, bind};

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

/// A command with its references replaced, and the sockets that it is to have.
pub(crate) struct Referred {
    pub(crate) args: Vec<Vec<u8>>,
    /// Each with its number in the process.
    pub(crate) sockets: Vec<(RawFd, Given)>,
}

impl Sockets {
    /// Replaces all references in a process's words.
    ///
    /// # Errors
    /// One sentence: a reference is not whole, or names no socket.
    pub(crate) fn refer(&self, process: &[u8], args: &[Vec<u8>]) -> Result<Referred, String> {
        let mut referred = Referred { args: Vec::with_capacity(args.len()), sockets: Vec::new() };
        for arg in args {
            let mut replaced = Vec::with_capacity(arg.len());
            let mut rest = &arg[..];
            while let Some(at) = memmem::find(rest, BEGIN) {
                replaced.extend_from_slice(&rest[..at]);
                let reference = &rest[at + BEGIN.len()..];
                let end = memchr::memchr(b')', reference).ok_or_else(|| {
                    format!(
                        "Process for {} argument starts with \"$(socket.\" but has no closing \
                         parenthesis",
                        shown(process)
                    )
                })?;
                let value = self.replace(&reference[..end], &mut referred.sockets)?;
                replaced.extend(value.bytes());
                rest = &reference[end + 1..];
            }
            replaced.extend_from_slice(rest);
            referred.args.push(replaced);
        }
        Ok(referred)
    }

    /// The text that stands for `NAME.port` or `NAME.fileno`.
    fn replace(
        &self,
        reference: &[u8],
        sockets: &mut Vec<(RawFd, Given)>,
    ) -> Result<String, String> {
        let dot = memchr::memrchr(b'.', reference);
        let (name, field) =
            dot.map_or((reference, &b""[..]), |at| (&reference[..at], &reference[at + 1..]));
        if !matches!(field, b"port" | b"fileno") {
            return Err(
                "You forgot to specify either \".port\" or \".fileno\" after the name".into()
            );
        }
        let socket = self.get(name).ok_or_else(|| format!("Socket {} not found", shown(name)))?;
        if field == b"port" {
            let port =
                socket.port().ok_or_else(|| format!("Socket {} has no port", shown(name)))?;
            return Ok(port.to_string());
        }
        let number = socket.number;
        if sockets.iter().all(|(given, _)| *given != number) {
            let given = if socket.is_shared_port() {
                let own = bind::bind_clone(&socket.options, &socket.fd);
                Given::Own(own.map_err(|error| format!("Socket {}: {error}", shown(name)))?)
            } else {
                Given::Shared(socket)
            };
            sockets.push((number, given));
        }
        Ok(number.to_string())
    }
}
