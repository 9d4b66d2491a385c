//! The server's side of the link: what it tells the keeper, which may be gone or not respond.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::unistd::pipe2;

use super::delivery::unresponsive;
use super::{Held, Link, MAX_NAMES, RESPONSE_TIME, ToKeeper, borrowed, named, on_one_line};
use crate::{limit, log};

/// How long to wait for a store, which the keeper gives up on, too, but sooner.
const PATIENCE: Duration = Duration::from_secs(3);

impl Link {
    /// Tells the keeper. One that is gone need not know: the next is told everything.
    pub(crate) fn tell_keeper(&self, message: &ToKeeper) -> io::Result<()> {
        let told = match message {
            ToKeeper::Hold(fds, done) => {
                self.tell_named("hold", &borrowed(fds), done.as_ref().map(AsFd::as_fd))
            }
            ToKeeper::Drop(names, done) => {
                let told = self.tell_dropped(names, done.as_ref());
                return forgive_absence(told.inspect_err(|_| self.delivery.drop_later(names)));
            }
            ToKeeper::Recorded(pid) => self.tell_text(&format!("recorded {pid}")),
            ToKeeper::Here => self.tell_text("here"),
            ToKeeper::Able => self.tell_text("able"),
            ToKeeper::Unable(why) => self.tell_text(&format!("unable {}", on_one_line(why))),
            ToKeeper::Took => self.tell_text("took"),
            ToKeeper::DropPassed => self.tell_text("drop-passed"),
            ToKeeper::Ready { skipped, answers } => {
                let answers = if *answers { " answers" } else { "" };
                self.tell_text(&format!("ready {skipped}{answers}"))
            }
            ToKeeper::Pong => self.tell_text("pong"),
            ToKeeper::Upgrade(number, program) => {
                let program: Vec<BorrowedFd> = program.iter().map(AsFd::as_fd).collect();
                self.delivery.send(self.fd.as_fd(), &format!("upgrade {number}"), &program)
            }
            ToKeeper::Parted => self.tell_text("parted"),
            ToKeeper::Succeed => self.tell_text("succeed"),
            ToKeeper::Stays(why) => self.tell_text(&format!("stays {}", on_one_line(why))),
            // It is said by a server that ends next, and whose locks others wait for.
            ToKeeper::Leave => self.delivery.send(self.fd.as_fd(), "leave", &[]),
        };
        if told.is_ok() {
            self.drop_what_was_left();
        }
        forgive_absence(told)
    }

    /// Has the keeper hold descriptors that the server goes on using. If there is a store, it has
    /// them when this returns.
    pub(crate) fn hold(&self, fds: &[(Held, BorrowedFd)]) -> io::Result<()> {
        if self.has_store.get().is_none() {
            let told = self.tell_named("hold", fds, None);
            self.drop_what_was_left();
            return forgive_absence(told);
        }
        let (done, keepers_end) = pipe2(OFlag::O_CLOEXEC)?;
        self.tell_named("hold", fds, Some(keepers_end.as_fd()))?;
        drop(keepers_end);
        // A keeper that was killed meanwhile may not have stored it, and the next papad has only
        // what is stored.
        match wait_for_end(done, PATIENCE)? {
            Some(0) => Err(io::Error::other("the keeper is gone")),
            Some(_) => Ok(()),
            // It gives up on a store sooner than this.
            None => Err(unresponsive()),
        }
    }

    /// Has the keeper drop what is needed no longer.
    pub(crate) fn drop_held(&self, names: Vec<Held>) {
        // Fails only if the keeper is gone, which ends the server elsewhere.
        let _ = self.tell_keeper(&ToKeeper::Drop(names, None));
    }

    /// Has the keeper drop something, and returns when its descriptors are closed. To remove things
    /// is what makes room: where there is none to wait with, it happens a little later.
    pub(crate) fn drop_now(&self, names: Vec<Held>) {
        if let Ok((done, keepers_end)) = pipe2(OFlag::O_CLOEXEC)
            && self.tell_keeper(&ToKeeper::Drop(names.clone(), Some(keepers_end))).is_ok()
        {
            let patience = if self.has_store.get().is_some() { PATIENCE } else { RESPONSE_TIME };
            let waited = wait_for_end(done, patience);
            if let Err(error) = waited.and_then(|end| end.ok_or_else(unresponsive)) {
                log::warn!("server", "what was removed may be open for a little longer: {error}");
            }
            return;
        }
        self.drop_held(names);
    }

    /// Tells the keeper what it must hear, however long that takes.
    fn tell_text(&self, text: &str) -> io::Result<()> {
        limit::patiently(|| self.delivery.send_in_the_end(self.fd.as_fd(), text))
    }

    fn tell_named(
        &self,
        verb: &str,
        fds: &[(Held, BorrowedFd)],
        done: Option<BorrowedFd>,
    ) -> io::Result<()> {
        let names = fds.iter().map(|(name, _)| name);
        let text = named(verb, names.clone());
        self.delivery.keep(names.copied());
        let fds: Vec<BorrowedFd> = fds.iter().map(|(_, fd)| *fd).chain(done).collect();
        self.delivery.send(self.fd.as_fd(), &text, &fds)
    }

    fn tell_dropped(&self, names: &[Held], done: Option<&OwnedFd>) -> io::Result<()> {
        let done: Vec<BorrowedFd> = done.into_iter().map(AsFd::as_fd).collect();
        names.chunks(MAX_NAMES).try_for_each(|names| {
            let text = named("drop", names.iter());
            // What is not dropped would be held for ever, and this is what makes room.
            limit::patiently(|| self.delivery.send(self.fd.as_fd(), &text, &done))
        })
    }

    /// Has the keeper drop what it could not be told of while it did not respond.
    pub(super) fn drop_what_was_left(&self) {
        let names = self.delivery.take_undropped();
        if !names.is_empty() && self.tell_dropped(&names, None).is_err() {
            self.delivery.drop_later(&names);
        }
    }
}

/// Nobody hears what is said to a keeper that is gone, and nobody needs to.
fn forgive_absence(told: io::Result<()>) -> io::Result<()> {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected};
    match told {
        Err(error) if matches!(error.kind(), BrokenPipe | ConnectionReset | NotConnected) => Ok(()),
        told => told,
    }
}

/// Waits until nobody has the other end of this pipe any more, and tells how many bytes came; `None`
/// if the time is up before.
fn wait_for_end(pipe: OwnedFd, patience: Duration) -> io::Result<Option<usize>> {
    if !limit::is_readable_within(&pipe, patience)? {
        return Ok(None);
    }
    File::from(pipe).read_to_end(&mut Vec::new()).map(Some)
}
