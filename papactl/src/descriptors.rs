//! Whether standard input, output and error can be used, which is checked before a command takes or
//! changes anything.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::{SFlag, fstat};
use nix::unistd;

use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::sys;

/// A standard descriptor that a command reads or writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standard {
    Input,
    Output,
    Error,
}

/// Checks that each of these is open, in the right direction, and no device that takes nothing.
pub(crate) fn check(needed: &[Standard]) -> Result<()> {
    needed.iter().try_for_each(|standard| standard.check())
}

impl Standard {
    fn check(self) -> Result<()> {
        let (name, number) = match self {
            Self::Input => ("standard input", 0),
            Self::Output => ("standard output", 1),
            Self::Error => ("standard error", 2),
        };
        if sys::was_closed(number) {
            return Err(failure(format!("{name} is closed")));
        }
        match self {
            Self::Input => check_readable(io::stdin().as_fd()),
            Self::Output => check_writable(io::stdout().as_fd()),
            Self::Error => check_writable(io::stderr().as_fd()),
        }
        .map_err(|why| failure(format!("{name} {why}")))
    }
}

fn failure(what: String) -> Failure {
    Failure::new(Exit::FAILED, what).hint("nothing was done")
}

fn check_readable(descriptor: BorrowedFd<'_>) -> Result<(), String> {
    if access_mode(descriptor)? == OFlag::O_WRONLY {
        return Err("is open for writing only".to_owned());
    }
    Ok(())
}

fn check_writable(descriptor: BorrowedFd<'_>) -> Result<(), String> {
    if access_mode(descriptor)? == OFlag::O_RDONLY {
        return Err("is open for reading only".to_owned());
    }
    let kind = fstat(descriptor).map_err(|errno| format!("cannot be looked at: {errno}"))?.st_mode;
    let is_device = SFlag::from_bits_truncate(kind) & SFlag::S_IFMT == SFlag::S_IFCHR;
    // A device answers to a write of nothing, too: /dev/full says that it is full.
    if is_device && let Err(errno) = unistd::write(descriptor, &[]) {
        return Err(format!("cannot be written: {}", io::Error::from(errno)));
    }
    Ok(())
}

fn access_mode(descriptor: BorrowedFd<'_>) -> Result<OFlag, String> {
    let flags = fcntl(descriptor, FcntlArg::F_GETFL)
        .map_err(|errno| format!("cannot be used: {}", io::Error::from(errno)))?;
    Ok(OFlag::from_bits_truncate(flags) & OFlag::O_ACCMODE)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::pipe;

    use super::*;

    #[test]
    fn a_descriptor_must_be_open_in_the_right_direction() {
        let (reader, writer) = pipe().unwrap();
        assert_eq!(check_readable(reader.as_fd()), Ok(()));
        assert_eq!(check_writable(writer.as_fd()), Ok(()));
        assert!(check_readable(writer.as_fd()).is_err());
        assert!(check_writable(reader.as_fd()).is_err());
    }

    #[test]
    fn a_full_device_is_found_before_anything_is_written() {
        let open = |path| File::options().write(true).open(path).unwrap();
        assert_eq!(check_writable(open("/dev/null").as_fd()), Ok(()));
        let why = check_writable(open("/dev/full").as_fd()).unwrap_err();
        assert!(why.starts_with("cannot be written: No space left"), "{why}");
    }
}
