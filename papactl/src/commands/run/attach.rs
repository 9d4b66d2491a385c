//! `papactl run --attach`: the output of a process, for as long as somebody looks.

use std::fmt::Display;
use std::io::{self, Write};
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd;
use papa_client::{
    Batch, End, ErrorKind, Event, Mode, Papa, Process, Stream, WatchBuilder, Watcher,
};

use crate::commands::wait;
use crate::escape::Escaper;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::interrupts::Interrupts;

/// The most bytes that are written at a time. A pipe that takes any takes so many without a wait:
/// see `PIPE_BUF` in pipe(7).
const MAX_WRITE: usize = 4096;

/// Why following a process has ended.
enum Over {
    /// The process has ended, and all of its output was written.
    Ended(End),
    /// Nobody looks any more.
    Detached,
    Failed(Failure),
}

impl<E: Into<Failure>> From<E> for Over {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// How to follow.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    /// The process was made just now, so that all of its output is wanted.
    pub(super) is_new: bool,
    /// Whether output and end are taken.
    pub(super) takes: bool,
    /// Whether a terminal is sent every byte.
    pub(super) is_raw: bool,
}

/// Writes what a process writes to where this program does, until it has ended; returns its exit
/// status. Of one that is new that is all of its output, and else what is kept.
///
/// # Errors
/// That somebody detached is one, too: it says that the process runs on.
pub(super) fn follow(
    papa: &Papa,
    process: &Process,
    form: Form,
    interrupts: &Interrupts,
) -> Result<Exit> {
    let mut watch = papa.watch([process.name().as_bytes()]);
    if form.is_new {
        // What is pushed out before the watch begins is lost, and was not taken by anybody.
        watch = watch.resume_from(process.name().clone(), process.id(), 0);
    }
    if !form.takes {
        watch = watch.mode(Mode::Peek);
    }
    match try_follow(watch, process, form, interrupts) {
        Over::Ended(end) => wait::status(process, end),
        Over::Failed(failure) => Err(failure),
        Over::Detached => {
            let (name, pid) = (process.name(), process.info().pid);
            let what = format!("{name} runs on as pid {pid}");
            let hint = format!("\"papactl logs -f {name}\" shows what it writes");
            Err(Failure::new(Exit::INTERRUPTED, what).hint(hint))
        }
    }
}

/// Says something beside the process's own output.
pub(super) fn note(what: impl Display) {
    // Where standard error is closed there is nobody to tell.
    let _ = writeln!(io::stderr(), "papactl: {what}");
}

fn try_follow(
    watch: WatchBuilder<Papa>,
    process: &Process,
    form: Form,
    interrupts: &Interrupts,
) -> Over {
    let mut watcher = match watch.start() {
        Ok(watcher) => watcher,
        Err(error) if error.kind() == ErrorKind::NotFound => return gone(process),
        Err(error) => return error.into(),
    };
    let mut view = View { process, interrupts, escapers: Escaper::of_streams(form.is_raw) };
    loop {
        let over = match watcher.try_next() {
            Ok(Some(batch)) => view.show(batch),
            Ok(None) if watcher.is_finished() => Err(gone(process)),
            Ok(None) => view.wait(&watcher),
            Err(error) => Err(error.into()),
        };
        match over {
            Ok(()) => {}
            Err(Over::Ended(end)) => {
                // papad is to have heard that all was taken.
                let heard = if form.takes { watcher.stop() } else { Ok(()) };
                return heard.map_or_else(Over::from, |()| Over::Ended(end));
            }
            Err(over) => return over,
        }
    }
}

/// Somebody who looks at a process.
struct View<'a> {
    process: &'a Process,
    interrupts: &'a Interrupts,
    /// For stdout and stderr, where they are terminals that are not to obey what is written.
    escapers: [Option<Escaper>; 2],
}

impl View<'_> {
    /// Writes a batch and then acknowledges it.
    fn show(&mut self, batch: Batch) -> Result<(), Over> {
        let name = self.process.name();
        let mut ended = None;
        for event in &batch {
            if event.id() != self.process.id() {
                return Err(gone(self.process));
            }
            match event {
                Event::Output { stream, bytes, .. } => {
                    let [out, err] = &mut self.escapers;
                    let escaper = if stream == Stream::Out { out } else { err };
                    match escaper.as_mut().map(|escaper| escaper.escape(bytes)) {
                        Some(bytes) => self.write(stream, &bytes)?,
                        None => self.write(stream, bytes)?,
                    }
                }
                Event::Lost { bytes, .. } => {
                    note(format_args!("{bytes} bytes of {name} were lost before they were shown"));
                }
                Event::Closed { end, .. } => ended = Some(end),
                Event::Removed { .. } => return Err(gone(self.process)),
                _ => {}
            }
        }
        if ended.is_some() {
            let held = self.escapers.each_mut().map(|it| it.as_mut().map(Escaper::finish));
            for (stream, bytes) in [Stream::Out, Stream::Err].into_iter().zip(held) {
                self.write(stream, &bytes.unwrap_or_default())?;
            }
        }
        batch.acknowledge();
        ended.map_or(Ok(()), |end| Err(Over::Ended(end)))
    }

    /// Writes, for as long as somebody reads and nobody interrupts. Who reads slowly may take any
    /// time.
    fn write(&self, to: Stream, mut bytes: &[u8]) -> Result<(), Over> {
        let (stdout, stderr) = (io::stdout(), io::stderr());
        let to = if to == Stream::Out { stdout.as_fd() } else { stderr.as_fd() };
        while !bytes.is_empty() {
            let mut waited = [
                PollFd::new(self.interrupts.as_fd(), PollFlags::POLLIN),
                PollFd::new(to, PollFlags::POLLOUT),
            ];
            wait_for(&mut waited)?;
            if has_any(&waited[0]) {
                return Err(Over::Detached);
            }
            let piece = bytes.get(..MAX_WRITE).unwrap_or(bytes);
            match unistd::write(to, piece) {
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                // A pipe that nobody reads, or a terminal that is gone.
                Err(Errno::EPIPE | Errno::EIO) => return Err(Over::Detached),
                Err(errno) => {
                    let name = self.process.name();
                    let hint = format!(
                        "what {name} writes is kept, and \"papactl logs -f {name}\" shows it"
                    );
                    let failure = Failure::io("output cannot be written", &errno.into());
                    return Err(failure.hint(hint).into());
                }
            }
        }
        Ok(())
    }

    /// Waits until there is more to show.
    fn wait(&self, watcher: &Watcher) -> Result<(), Over> {
        let stdout = io::stdout();
        let mut waited = [
            PollFd::new(self.interrupts.as_fd(), PollFlags::POLLIN),
            // Tells without being asked that nobody reads any more.
            PollFd::new(stdout.as_fd(), PollFlags::empty()),
            PollFd::new(watcher.as_fd(), PollFlags::POLLIN),
        ];
        wait_for(&mut waited)?;
        let is_over = waited.iter().take(2).any(has_any);
        if is_over { Err(Over::Detached) } else { Ok(()) }
    }
}

fn wait_for(waited: &mut [PollFd<'_>]) -> Result<(), Over> {
    loop {
        match poll(waited, PollTimeout::NONE) {
            Ok(_) => return Ok(()),
            // A signal, which the next poll tells of.
            Err(Errno::EINTR) => {}
            Err(errno) => {
                return Err(Failure::io("output cannot be waited for", &errno.into()).into());
            }
        }
    }
}

fn has_any(waited: &PollFd<'_>) -> bool {
    waited.any().unwrap_or(true)
}

/// Somebody else has taken what was to be shown.
fn gone(process: &Process) -> Over {
    let name = process.name();
    let what = format!("{name} has left papad's list: somebody has removed it or taken its end");
    Over::Failed(Failure::new(Exit::NOT_FOUND, what))
}
