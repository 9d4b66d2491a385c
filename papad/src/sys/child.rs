//! A hosted process between clone(2) and exec: its parent is the keeper from birth, and it shares
//! the server's memory, so nothing is copied and it makes system calls and nothing else.

use std::ffi::{CString, c_char, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr;
use std::sync::atomic::AtomicI32;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, pthread_sigmask};
use papa_protocol::options::{Limit, Resource};

use super::kill_point::Armed;

/// Bytes of stack for a child until it calls exec.
const STACK: usize = 32 * 1024;

/// How often a record is written of which the journal takes only a part.
const WHOLE_TRIES: u32 = 2;

/// What a child exits with when it could not call exec, as a shell does.
const NOT_RUN: i32 = 127;

/// A step in which a child can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Record,
    Session,
    Signals,
    Directory,
    Limit(Resource),
    DescriptorLimit,
    Descriptors,
    OomScore,
    Keyring,
    Groups,
    Gid,
    Uid,
    Capabilities,
    Exec,
}

/// A record with a place for the child's pid, as ten digits.
pub(crate) struct PidRecord {
    pub(crate) bytes: Vec<u8>,
    /// Where the digits begin.
    pub(crate) place: usize,
}

/// The width of a pid in a record.
pub(crate) const PID_DIGITS: usize = 10;

/// Everything that a child is to do, in this order, prepared so that it needs no memory.
pub(crate) struct Plan<'a> {
    pub(crate) journal: BorrowedFd<'a>,
    /// Appended to the journal first of all.
    pub(crate) started: PidRecord,
    /// Appended to the journal if a later step fails.
    pub(crate) failed: Vec<u8>,
    /// Signals to be given their default effect.
    pub(crate) ignored_signals: Vec<i32>,
    pub(crate) umask: u32,
    pub(crate) folder: Option<CString>,
    /// Source and target; no target is a source, nor the journal.
    pub(crate) descriptors: Vec<(BorrowedFd<'a>, RawFd)>,
    /// Soft and hard.
    pub(crate) descriptor_limit: (u64, u64),
    /// What is written to `/proc/self/oom_score_adj`.
    pub(crate) oom_score: Option<Vec<u8>>,
    pub(crate) limits: Vec<(Resource, Limit)>,
    /// It is to run as another user than papad, who gets none of papad's keys and capabilities.
    pub(crate) is_other_user: bool,
    pub(crate) groups: Option<Vec<libc::gid_t>>,
    pub(crate) gid: Option<libc::gid_t>,
    pub(crate) uid: Option<libc::uid_t>,
    /// Tried in order until one can be executed.
    pub(crate) programs: Vec<CString>,
    pub(crate) args: Vec<CString>,
    pub(crate) env: Vec<CString>,
    /// One more variable of the environment.
    pub(crate) listen_pid: Option<ListenPid>,
}

/// `LISTEN_PID=PID`, with room for the digits, which only the child knows.
pub(crate) struct ListenPid([u8; LISTEN_PID.len() + PID_DIGITS + 1]);

const LISTEN_PID: &[u8] = b"LISTEN_PID=";

impl ListenPid {
    pub(crate) fn new() -> ListenPid {
        let mut bytes = [0; LISTEN_PID.len() + PID_DIGITS + 1];
        bytes[..LISTEN_PID.len()].copy_from_slice(LISTEN_PID);
        ListenPid(bytes)
    }
}

/// Why there is no running child.
#[derive(Debug)]
pub(crate) enum NotStarted {
    /// No process was made.
    Clone(io::Error),
    /// The child failed in this step and has ended.
    Child(Step, Errno),
}

/// What the child works on, all of it the parent's memory.
struct Shared<'a> {
    plan: &'a mut Plan<'a>,
    argv: Vec<*const c_char>,
    envp: Vec<*const c_char>,
    failure: Option<(Step, Errno)>,
    armed: Armed,
}

/// Runs a child as planned and returns when it has called exec. `pid` is set before the child does
/// anything, for other threads to see.
pub(crate) fn start_child<'a>(plan: &'a mut Plan<'a>, pid: &AtomicI32) -> Result<(), NotStarted> {
    // Nobody knows what a fuzzer would have run.
    if cfg!(feature = "fuzzing") {
        return Err(NotStarted::Clone(Errno::EPERM.into()));
    }
    let pointers = |strings: &[CString]| -> Vec<*const c_char> {
        strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
    };
    let (argv, mut envp) = (pointers(&plan.args), pointers(&plan.env));
    if let Some(ListenPid(bytes)) = &plan.listen_pid {
        envp.insert(0, bytes.as_ptr().cast());
    }
    let armed = super::kill_point::armed_for_child();
    let mut shared = Shared { plan, argv, envp, failure: None, armed };
    clone(&mut shared, pid).map_err(NotStarted::Clone)?;
    match shared.failure {
        None => Ok(()),
        Some((step, errno)) => Err(NotStarted::Child(step, errno)),
    }
}

fn clone(shared: &mut Shared, pid: &AtomicI32) -> io::Result<()> {
    let mut stack = vec![0_u128; STACK / size_of::<u128>()];
    let stack_top = stack.as_mut_ptr_range().end;
    // Descriptors are shared until the child takes on those it needs: copying and closing all
    // that papad holds would make every child slower than the last.
    let flags = libc::CLONE_VM
        | libc::CLONE_FILES
        | libc::CLONE_VFORK
        | libc::CLONE_PARENT
        | libc::CLONE_PARENT_SETTID
        | libc::SIGCHLD;
    // A handler must not run in the child, where it would change the server's memory.
    let mut before = SigSet::empty();
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before))?;
    // SAFETY: the stack's end is 16-byte aligned. CLONE_VFORK suspends this thread until the child
    // has called exec or ended, so the stack, `shared` and `pid` outlive the child's use of them
    // and this thread touches none of them meanwhile: the child alone writes to the plan, and to
    // this thread's errno. All signals are blocked, and handlers are a copy of the child's own. The
    // child does only what `run` does; a change of its user makes the shared memory undumpable, so
    // that the new user cannot trace it.
    let result = unsafe {
        libc::clone(start, stack_top.cast(), flags, ptr::from_mut(shared).cast(), pid.as_ptr())
    };
    let result = Errno::result(result);
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
    result?;
    Ok(())
}

extern "C" fn start(shared: *mut c_void) -> i32 {
    // SAFETY: `clone` passes a pointer to a live `Shared` that nobody else uses meanwhile.
    let shared = unsafe { &mut *shared.cast::<Shared>() };
    if let Err(failure) = run(shared) {
        shared.failure = Some(failure);
        let failed = &shared.plan.failed;
        // The parent will know by `failure`; the record is for its successor if it is killed now.
        let _ = append(shared.plan.journal, failed);
    }
    // SAFETY: _exit runs no handlers and touches no memory that is shared with the parent.
    unsafe { libc::_exit(NOT_RUN) }
}

/// A system call by number. glibc's own wrappers for credentials would signal the server's threads.
fn call(number: libc::c_long, args: [usize; 4]) -> Result<usize, Errno> {
    let [a, b, c, d] = args;
    // SAFETY: every caller in this file passes the arguments that its system call takes, with
    // pointers into memory that the suspended parent keeps alive. None of the calls made unmaps or
    // writes memory.
    let result = unsafe { libc::syscall(number, a, b, c, d) };
    Errno::result(result).map(|result| result as usize)
}

/// The child's life until exec. No allocation, no lock, no panic.
fn run(shared: &mut Shared) -> Result<(), (Step, Errno)> {
    let plan = &mut *shared.plan;
    let at = |step| move |errno| (step, errno);
    let armed = shared.armed;

    kill_server_if(armed.cloned);
    record(plan).map_err(at(Step::Record))?;
    kill_server_if(armed.recorded);
    call(libc::SYS_setsid, [0; 4]).map_err(at(Step::Session))?;
    for &signal in &plan.ignored_signals {
        default_disposition(signal).map_err(at(Step::Signals))?;
    }
    let none = 0_u64;
    let set_mask = [libc::SIG_SETMASK as usize, ptr::from_ref(&none) as usize, 0, size_of::<u64>()];
    call(libc::SYS_rt_sigprocmask, set_mask).map_err(at(Step::Signals))?;
    call(libc::SYS_umask, [plan.umask as usize, 0, 0, 0]).map_err(at(Step::Directory))?;
    if let Some(folder) = &plan.folder {
        call(libc::SYS_chdir, [folder.as_ptr() as usize, 0, 0, 0]).map_err(at(Step::Directory))?;
    }
    // From here on the child has descriptors of its own: the low ones, and no copy of the rest.
    let last = plan.descriptors.iter().map(|(source, _)| source.as_raw_fd()).max();
    let rest = last.unwrap_or_default().max(plan.journal.as_raw_fd()) as usize + 1;
    let args = [rest, u32::MAX as usize, libc::CLOSE_RANGE_UNSHARE as usize, 0];
    call(libc::SYS_close_range, args).map_err(at(Step::Descriptors))?;
    for (source, target) in &plan.descriptors {
        let args = [source.as_raw_fd() as usize, *target as usize, 0, 0];
        // A source is never its own target, so close-on-exec is always off afterwards.
        call(libc::SYS_dup3, args).map_err(at(Step::Descriptors))?;
    }
    if let Some(score) = &plan.oom_score {
        // Before the user changes, who may not write there any more.
        set_oom_score(score).map_err(at(Step::OomScore))?;
    }
    set_limit(libc::RLIMIT_NOFILE, plan.descriptor_limit).map_err(at(Step::DescriptorLimit))?;
    for &(resource, limit) in &plan.limits {
        set_limit(raw_resource(resource), (limit.soft, limit.hard))
            .map_err(at(Step::Limit(resource)))?;
    }
    if plan.is_other_user {
        // While this is papad's user still, on whose account keyrings are: the kernel allows another
        // user only so many.
        leave_session_keyring().map_err(at(Step::Keyring))?;
    }
    if let Some(groups) = &plan.groups {
        let args = [groups.len(), groups.as_ptr() as usize, 0, 0];
        call(libc::SYS_setgroups, args).map_err(at(Step::Groups))?;
    }
    if let Some(gid) = plan.gid {
        let gid = gid as usize;
        call(libc::SYS_setresgid, [gid, gid, gid, 0]).map_err(at(Step::Gid))?;
    }
    if let Some(uid) = plan.uid {
        let uid = uid as usize;
        call(libc::SYS_setresuid, [uid, uid, uid, 0]).map_err(at(Step::Uid))?;
    }
    if plan.is_other_user {
        drop_capabilities().map_err(at(Step::Capabilities))?;
    }
    if armed.stopped {
        let pid = call(libc::SYS_getpid, [0; 4]).map_err(at(Step::Exec))?;
        call(libc::SYS_kill, [pid, libc::SIGSTOP as usize, 0, 0]).map_err(at(Step::Exec))?;
    }
    let is_search = plan.programs.len() > 1;
    let mut errno = Errno::ENOENT;
    for program in &plan.programs {
        let args = [
            program.as_ptr() as usize,
            shared.argv.as_ptr() as usize,
            shared.envp.as_ptr() as usize,
            0,
        ];
        match call(libc::SYS_execve, args) {
            // Not in this folder of the path.
            Err(Errno::ENOENT | Errno::ENOTDIR) if is_search => {}
            // The first that is there and cannot be executed tells most.
            Err(error) if errno == Errno::ENOENT => errno = error,
            Err(_) | Ok(_) => {}
        }
    }
    Err((Step::Exec, errno))
}

/// Writes the pid into the record and the record into the journal.
fn record(plan: &mut Plan) -> Result<(), Errno> {
    let mut pid = call(libc::SYS_getpid, [0; 4])?;
    let PidRecord { bytes, place } = &mut plan.started;
    for digit in bytes.iter_mut().skip(*place).take(PID_DIGITS).rev() {
        *digit = b'0' + (pid % 10) as u8;
        pid /= 10;
    }
    if let Some(ListenPid(variable)) = &mut plan.listen_pid {
        // Without leading zeros, which would make it octal to some.
        let digits = bytes.iter().skip(*place).take(PID_DIGITS).skip_while(|&&digit| digit == b'0');
        for (to, digit) in variable.iter_mut().skip(LISTEN_PID.len()).zip(digits) {
            *to = *digit;
        }
    }
    append(plan.journal, bytes)
}

/// Writes a record by one call: between two, others write theirs.
fn append(journal: BorrowedFd, record: &[u8]) -> Result<(), Errno> {
    let args = [journal.as_raw_fd() as usize, record.as_ptr() as usize, record.len(), 0];
    for _ in 0..WHOLE_TRIES {
        let written = loop {
            match call(libc::SYS_write, args) {
                Err(Errno::EINTR) => {}
                result => break result?,
            }
        };
        if written == record.len() {
            return Ok(());
        }
    }
    Err(Errno::ENOSPC)
}

fn default_disposition(signal: i32) -> Result<(), Errno> {
    // struct kernel_sigaction: all zeros is SIG_DFL, no flags, an empty mask.
    let default = [0_u64; 4];
    let args = [signal as usize, ptr::from_ref(&default) as usize, 0, size_of::<u64>()];
    call(libc::SYS_rt_sigaction, args).map(drop)
}

/// Sets the child's own score: with `CLONE_VFORK` it is not that of all who share the memory.
fn set_oom_score(score: &[u8]) -> Result<(), Errno> {
    let path = c"/proc/self/oom_score_adj".as_ptr() as usize;
    let flags = (libc::O_WRONLY | libc::O_CLOEXEC) as usize;
    let file = call(libc::SYS_openat, [libc::AT_FDCWD as usize, path, flags, 0])?;
    let written = call(libc::SYS_write, [file, score.as_ptr() as usize, score.len(), 0]);
    call(libc::SYS_close, [file, 0, 0, 0])?;
    written.map(drop)
}

/// Has a new and empty session keyring in place of papad's, whose keys anyone may use who was started
/// with it, whatever the user (session-keyring(7)).
fn leave_session_keyring() -> Result<(), Errno> {
    const JOIN_SESSION_KEYRING: usize = 1;
    let anonymous = 0;
    match call(libc::SYS_keyctl, [JOIN_SESSION_KEYRING, anonymous, 0, 0]) {
        // Where there are no keyrings, or a filter forbids their use, which the child inherits.
        Err(Errno::ENOSYS | Errno::EPERM) => Ok(()),
        result => result.map(drop),
    }
}

/// Empties the sets of capabilities but for the bounding set. A change from root to another user
/// leaves the inheritable ones, and all of them where securebits say so, or where papad has them
/// without being root (capabilities(7)). The ambient set is emptied with the others.
fn drop_capabilities() -> Result<(), Errno> {
    /// `_LINUX_CAPABILITY_VERSION_3`, with two of each set of 32.
    const VERSION: u32 = 0x2008_0522;
    let header = [VERSION, 0];
    let none = [0_u32; 6];
    let args = [ptr::from_ref(&header) as usize, ptr::from_ref(&none) as usize, 0, 0];
    call(libc::SYS_capset, args).map(drop)
}

fn set_limit(resource: libc::__rlimit_resource_t, (soft, hard): (u64, u64)) -> Result<(), Errno> {
    let limit = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    call(libc::SYS_prlimit64, [0, resource as usize, ptr::from_ref(&limit) as usize, 0]).map(drop)
}

fn raw_resource(resource: Resource) -> libc::__rlimit_resource_t {
    match resource {
        Resource::As => libc::RLIMIT_AS,
        Resource::Core => libc::RLIMIT_CORE,
        Resource::Cpu => libc::RLIMIT_CPU,
        Resource::Data => libc::RLIMIT_DATA,
        Resource::Fsize => libc::RLIMIT_FSIZE,
        Resource::Locks => libc::RLIMIT_LOCKS,
        Resource::Memlock => libc::RLIMIT_MEMLOCK,
        Resource::Msgqueue => libc::RLIMIT_MSGQUEUE,
        Resource::Nice => libc::RLIMIT_NICE,
        Resource::Nofile => libc::RLIMIT_NOFILE,
        Resource::Nproc => libc::RLIMIT_NPROC,
        Resource::Rss => libc::RLIMIT_RSS,
        Resource::Rtprio => libc::RLIMIT_RTPRIO,
        Resource::Rttime => libc::RLIMIT_RTTIME,
        Resource::Sigpending => libc::RLIMIT_SIGPENDING,
        Resource::Stack => libc::RLIMIT_STACK,
    }
}

/// In the child: kills the server, which is where the parent's thread group is.
fn kill_server_if(armed: bool) {
    if armed {
        super::kill_point::kill_from_child();
    }
}
