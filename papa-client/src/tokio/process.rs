//! A process to signal and to wait for.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::Papa;
use super::drive::Waiter;
use crate::calls;
use crate::deadline::Deadline;
use crate::error::{Error, ErrorKind, Result};
use crate::name::Name;
use crate::papa::own;
use crate::process::{
    End, PAUSE, ProcessId, ProcessInfo, Signal, kernels_word, papads_word, pidfd, send,
    send_to_group, unrecorded,
};

/// One process that papad hosts: [`papa_client::Process`](crate::Process) with calls to await.
#[derive(Clone)]
pub struct Process {
    papa: Papa,
    info: ProcessInfo,
    pidfd: Arc<OnceLock<OwnedFd>>,
}

impl Process {
    pub(super) fn new(papa: Papa, info: ProcessInfo) -> Self {
        Self { papa, info, pidfd: Arc::default() }
    }

    pub(super) fn papa(&self) -> &Papa {
        &self.papa
    }

    /// What papad told of it when this was made.
    #[must_use]
    pub fn info(&self) -> &ProcessInfo {
        &self.info
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.info.name
    }

    /// Which process of that name it is.
    #[must_use]
    pub fn id(&self) -> ProcessId {
        self.info.id
    }

    /// What papad tells of it now; `None` if it is not on the list any more.
    pub async fn reload(&self) -> Result<Option<ProcessInfo>> {
        let info = self.papa.call(calls::process(&self.info.name)).await?;
        Ok(info.filter(|info| info.id == self.info.id))
    }

    /// A descriptor that becomes readable when the process has ended.
    ///
    /// # Errors
    /// [`ErrorKind::Ended`] if it has ended.
    pub async fn pidfd(&self) -> Result<BorrowedFd<'_>> {
        if let Some(pidfd) = self.pidfd.get() {
            return Ok(pidfd.as_fd());
        }
        let pidfd = self.open().await?;
        Ok(self.pidfd.get_or_init(|| pidfd).as_fd())
    }

    async fn open(&self) -> Result<OwnedFd> {
        let ended = || pidfd::ended(&self.info);
        if !self.info.is_running() {
            return Err(ended());
        }
        if self.papa.endpoint().is_unix() {
            return self.papa.call(calls::fetch_pidfd(&self.info)).await?.ok_or_else(ended);
        }
        let guessed = pidfd::guess(&self.info)?.ok_or_else(ended)?;
        let of_process = self.papa.call(calls::trait_of_running(&self.info)).await?;
        guessed.confirm(of_process.ok_or_else(ended)?)
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// As [`papa_client::Process::signal`](crate::Process::signal).
    pub async fn signal(&self, signal: Signal) -> Result<()> {
        send(&self.info, self.pidfd().await?, signal)
    }

    /// Sends a signal to the process group that it leads.
    ///
    /// # Errors
    /// As [`papa_client::Process::signal_group`](crate::Process::signal_group).
    pub async fn signal_group(&self, signal: Signal) -> Result<()> {
        send_to_group(&self.info, self.pidfd().await?, signal)
    }

    /// Sends it [`Signal::KILL`].
    ///
    /// # Errors
    /// As [`Process::signal`].
    pub async fn kill(&self) -> Result<()> {
        self.signal(Signal::KILL).await
    }

    /// Waits until it has ended, however long that takes. See
    /// [`papa_client::Process::wait`](crate::Process::wait).
    pub async fn wait(&self) -> Result<End> {
        match self.pidfd().await {
            Ok(pidfd) => Waiter::new(own(pidfd)?)?.readable().await?,
            Err(error) if error.kind() == ErrorKind::Ended => {}
            Err(error) => return Err(error),
        }
        self.end().await
    }

    /// Asks it to end ([`Signal::TERM`]), and kills it if it still runs after the time of grace.
    /// Returns how it ended.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] if it has not ended within the deadline after it was killed.
    pub async fn stop(&self, grace: Duration) -> Result<End> {
        for (signal, time) in [(Signal::TERM, grace), (Signal::KILL, self.papa.deadline())] {
            match self.signal(signal).await {
                Err(error) if error.kind() == ErrorKind::Ended => return self.end().await,
                result => result?,
            }
            if let Ok(end) = timeout(time, self.wait()).await {
                return end;
            }
        }
        Err(Error::new(ErrorKind::Timeout, format!("the process {} does not end", self.name())))
    }

    /// How it ended, now that it has. papad may be told of it a moment later than everybody else.
    async fn end(&self) -> Result<End> {
        let recorded_by = Deadline::after(self.papa.deadline());
        loop {
            if let Some(end) = self.info.end().or_else(|| kernels_word(self.pidfd.get())) {
                return Ok(end);
            }
            let listed = self.reload().await?;
            if let Some(end) = papads_word(listed.as_ref(), self.pidfd.get()) {
                return Ok(end);
            }
            if recorded_by.has_passed() {
                return Err(unrecorded(&self.info));
            }
            sleep(PAUSE).await;
        }
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Process").field(&self.info).finish()
    }
}
