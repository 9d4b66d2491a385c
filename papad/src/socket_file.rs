//! The file that a Unix socket is bound to, told from whatever else is at its path.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use nix::unistd::Uid;

use crate::{limit, sys};

/// A file that a Unix socket is bound to: the low 32 bits of its inode, which is all that the kernel
/// tells. For as long as the socket is open, no other file of the same file system has this inode,
/// even if it is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SocketFile(u32);

/// What is at the path that a socket is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AtPath {
    /// The socket's own file.
    Own,
    Nothing,
    /// Something else.
    Other,
}

impl SocketFile {
    /// The file of a socket that is bound to this path; `None` if it is bound to none.
    pub(crate) fn of(socket: &OwnedFd, path: &[u8]) -> Option<SocketFile> {
        match sys::unix_inode(socket.as_fd()) {
            Ok(inode) => inode.map(SocketFile),
            // The kernel does not tell. What is there is most likely its own.
            Err(_) => SocketFile::at(path),
        }
    }

    /// What is at a path, if that is a socket.
    fn at(path: &[u8]) -> Option<SocketFile> {
        let file = fs::symlink_metadata(OsStr::from_bytes(path)).ok()?;
        file.file_type().is_socket().then(|| SocketFile(file.ino() as u32))
    }

    /// Compares it with what is at a path.
    pub(crate) fn look(self, path: &[u8]) -> AtPath {
        match SocketFile::at(path) {
            Some(file) if file == self => AtPath::Own,
            // A path that cannot be looked at leads nobody to the socket either.
            None if fs::symlink_metadata(OsStr::from_bytes(path)).is_err() => AtPath::Nothing,
            Some(_) | None => AtPath::Other,
        }
    }

    /// Removes it from its path. Anything else that is there by now stays.
    pub(crate) fn unlink(self, path: &[u8]) {
        if self.look(path) == AtPath::Own {
            // Gone already is as good.
            let _ = fs::remove_file(OsStr::from_bytes(path));
        }
    }
}

/// Removes a Unix socket of papad's user that nobody has open any more. Anything else at the path
/// is left alone, and a symbolic link is not followed.
///
/// # Errors
/// `AlreadyExists` for something that is no socket, or is of a user that is neither papad's own nor
/// among `owners`; `AddrInUse` for a socket that somebody has open.
pub(crate) fn unlink_stale(path: &Path, owners: &[Uid]) -> io::Result<()> {
    let exists = |what: String| Err(io::Error::new(io::ErrorKind::AlreadyExists, what));
    let owner = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(file) if !file.file_type().is_socket() => {
            return exists("there is a file that is not a socket".to_owned());
        }
        Ok(file) => Uid::from_raw(file.uid()),
    };
    match probe(path) {
        Err(Errno::ECONNREFUSED) if owner == Uid::effective() || owners.contains(&owner) => {
            fs::remove_file(path)
        }
        Err(Errno::ECONNREFUSED) => exists(format!("there is a socket of uid {owner}")),
        Err(Errno::ENOENT) => Ok(()),
        _ => Err(Errno::EADDRINUSE.into()),
    }
}

/// Whether somebody has a socket open that is bound to this path, be it that it does not listen.
pub(crate) fn is_open(path: &Path) -> bool {
    !matches!(probe(path), Err(Errno::ECONNREFUSED | Errno::ENOENT | Errno::ENOTDIR))
}

/// Tries to connect, as nobody notices: a socket of another type refuses (EPROTOTYPE) before anything
/// comes of it, and to connect to one for datagrams sends nothing. `ECONNREFUSED` says that nobody has
/// the file's socket open.
fn probe(path: &Path) -> nix::Result<()> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let probe = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
    let address = UnixAddr::new(path)?;
    limit::uninterrupted(|| connect(probe.as_raw_fd(), &address))
}
