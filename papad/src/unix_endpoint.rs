//! papad's own Unix socket: at each path there is one papad, and its file is made anew when somebody
//! has removed it.
//!
//! Beside the socket lies a lock, `PATH.lock`. Clients lock it by flock(2) while they start a papad,
//! and papad by fcntl(2), which has nothing to do with the former, for as long as its server runs.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket,
};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::{Uid, getppid};

use crate::listen::BACKLOG;
use crate::socket_file::{AtPath, SocketFile, is_open, unlink_stale};
use crate::{limit, log, socket_owner};

/// How long a papad that is being started waits for the one that has its path to make its file anew,
/// and how often it looks.
const PATIENCE: Duration = Duration::from_secs(2);
const GLANCE: Duration = Duration::from_millis(10);

/// How long after the file was removed another is made: whoever removes the whole directory is to
/// find it empty.
const SETTLING_TIME: Duration = Duration::from_millis(100);

/// How long before another try to lock, or to make the file anew where the directory cannot be watched.
const PAUSE: Duration = Duration::from_secs(1);

/// What happens to a file that is removed or moved.
const OF_FILE: AddWatchFlags = AddWatchFlags::IN_ATTRIB
    .union(AddWatchFlags::IN_MOVE_SELF)
    .union(AddWatchFlags::IN_DELETE_SELF);

/// What happens in and to a directory that may make a difference to who could not make a file below
/// it.
const OF_DIRECTORY: AddWatchFlags = AddWatchFlags::IN_CREATE
    .union(AddWatchFlags::IN_MOVE)
    .union(AddWatchFlags::IN_DELETE)
    .union(AddWatchFlags::IN_ATTRIB)
    .union(AddWatchFlags::IN_MOVE_SELF)
    .union(AddWatchFlags::IN_DELETE_SELF);

/// Opens the socket of a papad that starts. `others` are let in beside papad's own user, and may have
/// been made the file's owner.
///
/// # Errors
/// `AddrInUse` if somebody has a socket there; another papad may have it though the file is gone.
pub(crate) fn open(path: &Path, others: &[Uid]) -> io::Result<OwnedFd> {
    let until = Instant::now() + PATIENCE;
    loop {
        let other = match claim(path) {
            Ok(_lock) => return bind_at(path, others),
            Err(other) => other,
        };
        if is_open(path) {
            return Err(Errno::EADDRINUSE.into());
        }
        if until <= Instant::now() {
            let what = format!(
                "{other} listens there, though the file is gone; SIGHUP to its keeper has it made \
                 anew"
            );
            return Err(io::Error::new(io::ErrorKind::AddrInUse, what));
        }
        thread::sleep(GLANCE);
    }
}

/// The lock beside a path that no papad has; `None` if there is no place for it.
///
/// # Errors
/// Who has the path.
fn claim(path: &Path) -> Result<Option<Lock>, String> {
    let is_free = || socket_owner::of_papads_path(path).map_or(Ok(()), |it| Err(it.to_string()));
    // One that is there may need the lock, to make its file anew: it is not taken from it.
    is_free()?;
    let lock = match Lock::take(path) {
        Locked::Ours(lock) => Some(lock),
        Locked::Not => None,
        Locked::ByOther(Some(pid)) => return Err(format!("another papad (pid {pid})")),
        Locked::ByOther(None) => return Err("another papad".to_owned()),
    };
    is_free()?;
    Ok(lock)
}

/// Binds with the right mode from the start. Who connects is checked again at accept.
fn bind_at(path: &Path, others: &[Uid]) -> io::Result<OwnedFd> {
    unlink_stale(path, others)?;
    let socket = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    // The file gets the socket's own mode, whatever the umask leaves of it.
    fchmod(&socket, Mode::S_IRUSR | Mode::S_IWUSR)?;
    bind(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    listen(&socket, Backlog::new(BACKLOG)?)?;
    if !others.is_empty() {
        fs::set_permissions(path, Permissions::from_mode(0o666))?;
    }
    Ok(socket)
}

/// The lock beside a socket.
struct Lock {
    file: File,
    path: PathBuf,
}

/// What came of trying to lock.
enum Locked {
    Ours(Lock),
    /// A papad has it, whose keeper has this pid.
    ByOther(Option<i32>),
    /// There is no place for the file, or it is somebody else's.
    Not,
}

impl Lock {
    fn take(socket: &Path) -> Locked {
        let path = PathBuf::from({
            let mut path = socket.as_os_str().to_owned();
            path.push(".lock");
            path
        });
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        loop {
            let Ok(mut file) = options.open(&path) else { return Locked::Not };
            // One that has another name, too, may be any file of papad's user that somebody has
            // linked there, and papad writes to it.
            let is_own = |file: &fs::Metadata| {
                file.is_file() && file.uid() == Uid::effective().as_raw() && file.nlink() <= 1
            };
            if !file.metadata().is_ok_and(|metadata| is_own(&metadata)) {
                return Locked::Not;
            }
            let whole = libc::flock {
                l_type: libc::F_WRLCK as i16,
                l_whence: libc::SEEK_SET as i16,
                l_start: 0,
                l_len: 0,
                l_pid: 0,
            };
            match fcntl(&file, FcntlArg::F_OFD_SETLK(&whole)) {
                Ok(_) => {}
                Err(Errno::EAGAIN | Errno::EACCES) => {
                    let mut text = String::new();
                    let pid =
                        file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
                    return Locked::ByOther(pid);
                }
                Err(_) => return Locked::Not,
            }
            let lock = Lock { file, path: path.clone() };
            if lock.is_in_place() {
                return Locked::Ours(lock);
            }
        }
    }

    /// Whether others find this lock, too.
    fn is_in_place(&self) -> bool {
        let at = fs::symlink_metadata(&self.path).map(|file| (file.dev(), file.ino()));
        let own = self.file.metadata().map(|file| (file.dev(), file.ino()));
        matches!((at, own), (Ok(at), Ok(own)) if at == own)
    }

    /// Notes whose it is, for who finds it locked.
    fn sign(&self) -> io::Result<()> {
        self.file.set_len(0)?;
        (&self.file).write_all(format!("{}\n", getppid()).as_bytes())
    }
}

/// Sees to it that papad's own Unix socket is found at its path.
pub(crate) struct Watch {
    path: PathBuf,
    others: Vec<Uid>,
    /// The file of the socket that is served now.
    file: Option<SocketFile>,
    lock: Option<Lock>,
    inotify: Option<Inotify>,
    /// When to try to make the file anew, or to lock.
    due: Option<Instant>,
    /// What the log was last told is wrong.
    told: Option<String>,
}

impl Watch {
    /// Begins to watch the file of this socket.
    pub(crate) fn new(socket: &OwnedFd, path: PathBuf, others: Vec<Uid>) -> Watch {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK);
        if let Err(errno) = inotify {
            let what = "is looked at only when somebody connects";
            log::warn!("server", "{} {what}: inotify: {errno}", path.display());
        }
        let file = SocketFile::of(socket, path.as_os_str().as_bytes());
        let (inotify, told) = (inotify.ok(), None);
        let mut watch = Watch { path, others, file, lock: None, inotify, due: None, told };
        watch.look();
        if !watch.is_in_place() {
            // It was removed before this server began: nobody is to be waited for.
            watch.due = Some(Instant::now());
        }
        watch
    }

    /// What can be read when something has happened to the file.
    pub(crate) fn events(&self) -> Option<BorrowedFd<'_>> {
        self.inotify.as_ref().map(AsFd::as_fd)
    }

    /// When [`Watch::remake`] has something to do.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Looks whether the file is there if something has happened to it. What happens after that is
    /// another event.
    pub(crate) fn look_if_told(&mut self) {
        let has_happened = match &self.inotify {
            Some(inotify) => {
                let next = || limit::uninterrupted(|| inotify.read_events());
                let is_told = next().is_ok();
                while is_told && next().is_ok() {}
                is_told
            }
            None => !self.is_in_place(),
        };
        if has_happened {
            self.look();
        }
    }

    fn look(&mut self) {
        if !self.is_in_place() {
            self.due.get_or_insert_with(|| Instant::now() + SETTLING_TIME);
            return;
        }
        let is_locked = self.take_lock();
        self.due = (!is_locked).then(|| Instant::now() + PAUSE);
        self.told = None;
        self.watch(&self.path, OF_FILE);
        if let Some(lock) = &self.lock {
            self.watch(&lock.path, OF_FILE);
        }
        // Before it was watched, its removal was no event.
        if !self.is_in_place() {
            self.due = Some(Instant::now() + SETTLING_TIME);
        }
    }

    fn is_in_place(&self) -> bool {
        match self.file {
            Some(file) => file.look(self.path.as_os_str().as_bytes()) == AtPath::Own,
            None => self.path.exists(),
        }
    }

    /// Locks, where this has not been done or the lock was removed; false if another papad has the
    /// lock: the server before, which is about to end.
    fn take_lock(&mut self) -> bool {
        if self.lock.as_ref().is_some_and(Lock::is_in_place) {
            return true;
        }
        match Lock::take(&self.path) {
            Locked::Ours(lock) => {
                // Without its pid it is as good a lock.
                let _ = lock.sign();
                self.lock = Some(lock);
                true
            }
            // It cannot be had now or later.
            Locked::Not => true,
            Locked::ByOther(_) => false,
        }
    }

    /// A new socket at the path, if one is due and can be made. It is not served before
    /// [`Watch::serves`] is told.
    pub(crate) fn remake(&mut self) -> Option<OwnedFd> {
        if self.due.is_none_or(|due| Instant::now() < due) {
            return None;
        }
        self.due = None;
        if self.is_in_place() {
            self.look();
            return None;
        }
        // Watched first, so that nothing that happens from now on is missed.
        let is_watched = self.watch_directory();
        match self.bind_again() {
            Ok(socket) => {
                log::warn!("server", "{} was gone, and was made anew", self.path.display());
                Some(socket)
            }
            // Another papad has the lock, one that is starting for instance.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.due = Some(Instant::now() + SETTLING_TIME);
                None
            }
            Err(error) => {
                let path = self.path.display();
                let what = format!("{path} is gone, and cannot be made anew: {error}");
                if self.told.as_ref() != Some(&what) {
                    log::error!("server", "{what}");
                    self.told = Some(what);
                }
                self.due = (!is_watched).then(|| Instant::now() + PAUSE);
                None
            }
        }
    }

    fn bind_again(&mut self) -> io::Result<OwnedFd> {
        if self.take_lock() { bind_at(&self.path, &self.others) } else { Err(Errno::EAGAIN.into()) }
    }

    /// This socket, which is bound to the path, is served from now on.
    pub(crate) fn serves(&mut self, socket: &OwnedFd) {
        self.file = SocketFile::of(socket, self.path.as_os_str().as_bytes());
        // The directory is none of papad's business any more.
        if let Ok(inotify) = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK) {
            self.inotify = Some(inotify);
        }
        self.look();
    }

    /// Watches the directory of the path, or the nearest above it that is there.
    fn watch_directory(&self) -> bool {
        self.path.ancestors().skip(1).any(|directory| self.watch(directory, OF_DIRECTORY))
    }

    /// Whether it can be watched. To watch it again changes nothing.
    fn watch(&self, path: &Path, what: AddWatchFlags) -> bool {
        self.inotify.as_ref().is_some_and(|it| it.add_watch(path, what).is_ok())
    }
}
