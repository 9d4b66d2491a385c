//! Calls that block.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::net::{TcpListener, UdpSocket};
use std::ops::ControlFlow;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use papa_protocol::name::Noun;

use crate::calls;
use crate::client::{Call, Client};
use crate::deadline::Deadline;
use crate::endpoint::Endpoint;
use crate::error::{Error, Result};
use crate::methods::papa_methods;
use crate::name::Name;
use crate::process::{Process, ProcessBuilder, ProcessInfo};
use crate::search::Search;
use crate::socket::{self, SocketBuilder, SocketInfo, UnixSocketBuilder};
use crate::start;
use crate::status::Status;
use crate::sys;
use crate::value::Value;
use crate::watch::WatchBuilder;

/// papad, to be asked for things.
///
/// It is one session, and connects again by itself: papad's server may be killed or upgraded at
/// any time, and holds everything as it was when it is back. A call that only looks is then
/// repeated. One that changes something is not, since it may have been done: it fails with
/// [`ErrorKind::Disconnected`](crate::ErrorKind::Disconnected), and the next call connects.
///
/// A clone shares the session. Calls of several threads wait for each other; where they should
/// not, each thread connects for itself.
#[derive(Clone)]
pub struct Papa {
    shared: Arc<Shared>,
}

struct Shared {
    endpoint: Endpoint,
    deadline: Mutex<Duration>,
    client: Mutex<Client>,
}

impl Papa {
    /// Connects to the papad at this endpoint, once it has been made sure that it belongs to this
    /// user or root.
    ///
    /// # Errors
    /// [`NotRunning`](crate::ErrorKind::NotRunning) if nobody answers,
    /// [`NotYours`](crate::ErrorKind::NotYours) if somebody else does.
    pub fn connect(endpoint: &Endpoint) -> Result<Self> {
        Self::connect_within(endpoint, endpoint.deadline)
    }

    /// The same, in less time.
    pub(crate) fn connect_within(endpoint: &Endpoint, deadline: Duration) -> Result<Self> {
        let deadline = Deadline::after(deadline);
        let mut search = Search::default();
        for candidate in endpoint.candidates() {
            let left = deadline.left_of(Duration::MAX);
            match search.judge(&candidate, Self::connect_to(&candidate, left)) {
                ControlFlow::Break(result) => return result,
                ControlFlow::Continue(()) => {}
            }
        }
        Err(search.into_error(endpoint))
    }

    /// Connects to this one place.
    fn connect_to(endpoint: &Endpoint, deadline: Duration) -> Result<Self> {
        let client = Mutex::new(Client::new(endpoint.clone())?);
        let shared = Shared { endpoint: endpoint.clone(), deadline: Mutex::new(deadline), client };
        let papa = Self { shared: Arc::new(shared) };
        papa.call(calls::nothing())?;
        papa.set_deadline(endpoint.deadline);
        Ok(papa)
    }

    /// Connects to the papad at this endpoint; starts one there, as a daemon, if nobody answers.
    ///
    /// Any number of processes may do this at the same time: one papad comes of it. Which program
    /// is started [`Endpoint::program`] says.
    ///
    /// # Errors
    /// As [`Papa::connect`], and [`NotRunning`](crate::ErrorKind::NotRunning) with what papad said
    /// if it could not be started.
    pub fn connect_or_start(endpoint: &Endpoint) -> Result<Self> {
        start::connect_or_start(endpoint)
    }

    /// How long each call from now on may take, for all clones. That of the endpoint unless set.
    pub fn set_deadline(&self, deadline: Duration) {
        *lock(&self.shared.deadline) = deadline;
    }

    /// How long a call may take.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        *lock(&self.shared.deadline)
    }

    /// Where this papad is.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.shared.endpoint
    }

    pub(crate) fn call<T>(&self, call: Call<T>) -> Result<T> {
        self.call_within(call, self.deadline())
    }

    /// The same, in another time.
    pub(crate) fn call_within<T>(&self, call: Call<T>, time: Duration) -> Result<T> {
        let deadline = Deadline::after(time);
        let mut client = lock(&self.shared.client);
        // Others' calls may have taken all of the time.
        if deadline.has_passed() {
            return Err(client.too_late(time));
        }
        client.begin(call.ask);
        loop {
            if let Poll::Ready(answers) = client.poll() {
                return (call.read)(answers?);
            }
            let is_in_time = sys::wait_readable(client.as_fd(), deadline)
                .map_err(|error| Error::io("papad's answer cannot be waited for", error))?;
            if !is_in_time {
                return Err(client.too_late(time));
            }
        }
    }

    /// A descriptor that becomes readable between calls when the session has ended.
    pub(crate) fn duplicate_fd(&self) -> Result<OwnedFd> {
        own(lock(&self.shared.client).as_fd())
    }
}

papa_methods!(,);

impl fmt::Debug for Papa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Papa").field(&self.shared.endpoint).finish()
    }
}

/// A call that panicked has left nothing that the next one does not put right.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A duplicate of a descriptor.
pub(crate) fn own(descriptor: impl AsFd) -> Result<OwnedFd> {
    let own = descriptor.as_fd().try_clone_to_owned();
    own.map_err(|error| Error::io("the descriptor cannot be duplicated", error))
}
