//! Standard error as something that can be written to without waiting, where it can.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};
use nix::sys::stat::{Mode, fstat};
use nix::unistd::write;

use super::file::LogFile;
use crate::sys;

const STDERR: &str = "/proc/self/fd/2";

/// Where lines go.
pub(super) enum Target {
    /// A pipe or terminal, opened anew. `O_NONBLOCK` belongs to the open file, and what is standard
    /// error here may be somebody else's standard input.
    Nonblocking(OwnedFd),
    /// A socket, as journald's. It is told with each message not to wait.
    Socket,
    /// The file that `--log-file` names. Its disk may hang.
    File(Arc<LogFile>),
    /// Anything else: another file, or a pipe of another user's, which cannot be
    /// opened anew.
    Blocking,
}

/// What became of an attempt to write.
pub(super) enum Written {
    /// So many bytes were taken.
    Some(usize),
    /// There is no room now.
    Full,
    /// It cannot be written.
    Failed,
}

impl Target {
    /// What standard error is now; `None` if it is a pipe that nobody can read from. A file is this
    /// log file, if there is one.
    pub(super) fn open(file: Option<&Arc<LogFile>>) -> Option<Target> {
        let kind = fstat(io::stderr()).map_or(0, |stat| stat.st_mode & libc::S_IFMT);
        match kind {
            libc::S_IFSOCK => Some(Target::Socket),
            libc::S_IFIFO | libc::S_IFCHR => {
                let flags =
                    OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
                match open(STDERR, flags, Mode::empty()) {
                    Ok(fd) => Some(Target::Nonblocking(sys::keep(fd))),
                    Err(Errno::ENXIO) if kind == libc::S_IFIFO => None,
                    Err(_) => Some(Target::Blocking),
                }
            }
            libc::S_IFREG => {
                Some(file.map_or(Target::Blocking, |file| Target::File(Arc::clone(file))))
            }
            _ => Some(Target::Blocking),
        }
    }

    /// Whether `write` returns at once, whatever happens.
    pub(super) fn never_waits(&self) -> bool {
        !matches!(self, Target::Blocking | Target::File(_))
    }

    /// Writes what there is room for.
    pub(super) fn write(&self, bytes: &[u8]) -> Written {
        if let Target::File(file) = self {
            file.prepare();
        }
        loop {
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
            let written = match self {
                Target::Nonblocking(fd) => write(fd, bytes),
                Target::Socket => send(libc::STDERR_FILENO, bytes, flags),
                // Not by std's handle: its lock would be held for as long as this hangs.
                Target::Blocking | Target::File(_) => write(io::stderr(), bytes),
            };
            return match written {
                Ok(0) => Written::Failed,
                Ok(count) => Written::Some(count),
                Err(Errno::EINTR) => continue,
                Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::ENOMEM) => Written::Full,
                Err(_) => Written::Failed,
            };
        }
    }

    /// Waits until there may be room, or until then.
    pub(super) fn wait_for_room(&self, until: Option<Instant>) {
        let stderr = io::stderr();
        let fd: BorrowedFd = match self {
            Target::Nonblocking(fd) => fd.as_fd(),
            Target::Socket | Target::Blocking | Target::File(_) => stderr.as_fd(),
        };
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let timeout = left.map_or(PollTimeout::NONE, |left| {
            PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
        });
        // Whatever it returns, the next attempt to write shows.
        let _ = poll(&mut [PollFd::new(fd, PollFlags::POLLOUT)], timeout);
    }

    /// The descriptor of its own that it has, if it has one.
    pub(super) fn own_descriptor(&self) -> Option<i32> {
        match self {
            Target::Nonblocking(fd) => Some(fd.as_raw_fd()),
            Target::Socket | Target::Blocking | Target::File(_) => None,
        }
    }
}
