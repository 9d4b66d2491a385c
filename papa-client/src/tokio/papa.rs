//! Calls to await.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::net::{TcpListener, UdpSocket};
use std::ops::ControlFlow;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use papa_protocol::name::Noun;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::Process;
use super::drive::Waiter;
use crate::calls;
use crate::client::{Call, Client};
use crate::deadline::Deadline;
use crate::endpoint::Endpoint;
use crate::error::{Error, ErrorKind, Result};
use crate::methods::papa_methods;
use crate::name::Name;
use crate::papa::{lock, own};
use crate::process::{ProcessBuilder, ProcessInfo};
use crate::search::Search;
use crate::socket::{self, SocketBuilder, SocketInfo, UnixSocketBuilder};
use crate::status::Status;
use crate::value::Value;
use crate::watch::WatchBuilder;

/// papad, to be asked for things: [`papa_client::Papa`](crate::Papa) with calls to await.
///
/// It is one session that connects again by itself, and a clone shares it. Calls of several tasks
/// wait for each other; where they should not, each task connects for itself.
#[derive(Clone)]
pub struct Papa {
    shared: Arc<Shared>,
}

struct Shared {
    endpoint: Endpoint,
    deadline: std::sync::Mutex<Duration>,
    session: tokio::sync::Mutex<Session>,
}

struct Session {
    client: Client,
    waiter: Waiter,
}

impl Papa {
    /// Connects to the papad at this endpoint, once it has been made sure that it belongs to this
    /// user or root.
    ///
    /// # Errors
    /// [`NotRunning`](crate::ErrorKind::NotRunning) if nobody answers,
    /// [`NotYours`](crate::ErrorKind::NotYours) if somebody else does.
    pub async fn connect(endpoint: &Endpoint) -> Result<Self> {
        let mut search = Search::default();
        for candidate in endpoint.candidates() {
            match search.judge(&candidate, Self::connect_to(&candidate).await) {
                ControlFlow::Break(result) => return result,
                ControlFlow::Continue(()) => {}
            }
        }
        Err(search.into_error(endpoint))
    }

    /// Connects to this one place.
    async fn connect_to(endpoint: &Endpoint) -> Result<Self> {
        let client = Client::new(endpoint.clone())?;
        let waiter = Waiter::new(own(&client)?)?;
        let shared = Shared {
            endpoint: endpoint.clone(),
            deadline: std::sync::Mutex::new(endpoint.deadline),
            session: tokio::sync::Mutex::new(Session { client, waiter }),
        };
        let papa = Self { shared: Arc::new(shared) };
        papa.call(calls::nothing()).await?;
        Ok(papa)
    }

    /// Connects to the papad at this endpoint; starts one there, as a daemon, if nobody answers.
    /// See [`papa_client::Papa::connect_or_start`](crate::Papa::connect_or_start).
    ///
    /// # Errors
    /// As [`Papa::connect`], and [`NotRunning`](crate::ErrorKind::NotRunning) with what papad said
    /// if it could not be started.
    pub async fn connect_or_start(endpoint: &Endpoint) -> Result<Self> {
        let theirs = endpoint.clone();
        let starting = spawn_blocking(move || crate::Papa::connect_or_start(&theirs));
        // Whatever runs on that thread does not panic; a runtime that shuts down ends it.
        let started = starting.await.map_err(|error| {
            Error::new(ErrorKind::NotRunning, "papad was not started").because(error)
        })??;
        let papa = Self::connect(endpoint).await;
        drop(started);
        papa
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

    pub(super) async fn call<T>(&self, call: Call<T>) -> Result<T> {
        let time = self.deadline();
        let deadline = Deadline::after(time);
        let Ok(mut session) = timeout(time, self.shared.session.lock()).await else {
            let what = format!("other calls of this session have taken all of {time:?}");
            return Err(Error::new(ErrorKind::Timeout, what));
        };
        let Session { client, waiter } = &mut *session;
        client.begin(call.ask);
        let step = waiter.step(|| client.poll());
        match timeout(deadline.left_of(time), step).await {
            Ok(answers) => (call.read)(answers?),
            Err(_) => Err(client.too_late(time)),
        }
    }

    /// A descriptor that becomes readable between calls when the session has ended.
    pub(super) async fn duplicate_fd(&self) -> Result<OwnedFd> {
        own(&self.shared.session.lock().await.client)
    }
}

papa_methods!(async, .await);

impl fmt::Debug for Papa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Papa").field(&self.shared.endpoint).finish()
    }
}
