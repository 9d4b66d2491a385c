//! Processes that stay on papad's list when they have ended, whoever takes their ends, while they are
//! restarted.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use papa_client::{Mode, Papa, Watcher};

use crate::failure::{Failure, Result};

/// Until this is dropped, papad keeps what has ended on its list. It is a watch that takes ends, and
/// never acknowledges one: output is neither kept nor dropped for it, and whoever takes output is not
/// held up by it.
#[derive(Debug)]
pub(super) struct Hold {
    /// What is told by its end that the watch is to end. `None` when that is told.
    stop: Option<UnixStream>,
    watching: Option<JoinHandle<()>>,
}

impl Hold {
    /// Holds all processes of these names and wildcards.
    pub(super) fn begin(papa: &Papa, names: &[String]) -> Result<Self> {
        let watcher = papa.watch(names).mode(Mode::Take).only_exits().start()?;
        let cannot = |error: io::Error| Failure::io("processes cannot be watched", &error);
        let (stop, stopped) = UnixStream::pair().map_err(cannot)?;
        let watching = thread::Builder::new().name("hold".to_owned());
        let watching = watching.spawn(move || watch(watcher, &stopped)).map_err(cannot)?;
        Ok(Self { stop: Some(stop), watching: Some(watching) })
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(watching) = self.watching.take() {
            // A panic there has been told of.
            let _ = watching.join();
        }
    }
}

/// Goes on watching, over kills of papad's server, too, until that is to stop.
fn watch(mut watcher: Watcher, stopped: &UnixStream) {
    // A batch that is dropped is given once more.
    let mut unacknowledged = Vec::new();
    loop {
        match watcher.try_next() {
            Ok(Some(batch)) => unacknowledged.push(batch),
            Ok(None) if watcher.is_finished() => return,
            Ok(None) => {
                let mut waiting = [
                    PollFd::new(watcher.as_fd(), PollFlags::POLLIN),
                    PollFd::new(stopped.as_fd(), PollFlags::POLLIN),
                ];
                match poll(&mut waiting, PollTimeout::NONE) {
                    Ok(_) | Err(Errno::EINTR) => {}
                    Err(_) => return,
                }
                if waiting[1].any().unwrap_or(true) {
                    break;
                }
            }
            // papad does not come back, which whoever restarts is told of, too.
            Err(_) => return,
        }
    }
    // If papad does not hear it, it sees the connection end.
    let _ = watcher.stop();
}
