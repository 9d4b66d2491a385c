//! Faults that a test has papad meet: system calls that fail, or do less than they were asked for.
//!
//! With the feature `faults` this program defines libc's functions itself ([`calls`]), so that every
//! call passes through here, whoever makes it: papad, `nix`, or the standard library. A call is made
//! unless a rule of the table ([`table`]) in the file `$PAPAD_FAULTS` is for it. A release has no
//! such code.
//!
//! A rule names a call, and by a part of its description what that is about: `/memfd:papad-journal`,
//! `/dev/null`, `pipe:`, `socket:inet:stream`, `socket:inet:stream:listening`,
//! `socket:unix:seqpacket` (the link), `socket:netlink`, `anon_inode:[pidfd]`, `stderr` (the log),
//! or a path.

mod calls;
mod describe;
mod real;
pub(crate) mod table;

use std::fs::OpenOptions;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::ptr;
use std::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU8, AtomicU32};

use describe::Description;
pub(crate) use describe::Subject;
use table::{CHILD, CUT, FAIL, KEEPER, LOSE_DESCRIPTORS, SERVER, SHIFT, Table};

/// Calls that a signal may interrupt.
const INTERRUPTIBLE: [&str; 14] = [
    "accept4",
    "connect",
    "epoll_wait",
    "fallocate",
    "poll",
    "read",
    "recv",
    "recvmsg",
    "sendmsg",
    "sendto",
    "splice",
    "waitid",
    "write",
    "writev",
];

/// Calls that may move fewer bytes than they were asked for.
const CUTTABLE: [&str; 9] =
    ["pread64", "pwrite64", "read", "recv", "recvmsg", "sendmsg", "splice", "write", "writev"];

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It fails with this errno.
    Fail(i32),
    /// It moves at most so many bytes.
    Cut(usize),
    /// At most so many descriptors come.
    LoseDescriptors(usize),
    /// The clock is so many seconds off.
    Shift(i64),
}

static TABLE: AtomicPtr<Table> = AtomicPtr::new(ptr::null_mut());

/// Which part this process is.
static PART: AtomicU32 = AtomicU32::new(KEEPER);

/// This process: a child that shares its memory has another pid.
static PID: AtomicI32 = AtomicI32::new(0);

/// Maps the table that the environment names, if it names one.
pub(crate) fn attach() {
    let Some(path) = std::env::var_os("PAPAD_FAULTS") else { return };
    let title = std::env::args_os().next().unwrap_or_default();
    let is_server = title.as_bytes().starts_with(b"papad: server");
    PART.store(if is_server { SERVER } else { KEEPER }, Relaxed);
    PID.store(real::pid(), Relaxed);
    let Ok(file) = OpenOptions::new().read(true).write(true).open(path) else { return };
    let length = size_of::<Table>();
    let (read_and_write, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
    // SAFETY: a new mapping that nothing else is in the place of. It outlives the descriptor.
    let table =
        unsafe { libc::mmap(ptr::null_mut(), length, read_and_write, flags, file.as_raw_fd(), 0) };
    if table != libc::MAP_FAILED {
        TABLE.store(table.cast(), SeqCst);
    }
}

/// What is to happen to a call that is about to be made. Allocates nothing and takes no lock, for
/// the child that calls it between clone and exec.
fn meet(call: &str, subject: Subject) -> Option<Fault> {
    // SAFETY: null, or a mapping that is never undone, as large as a table, whose fields are valid
    // whatever their bytes are, and are read and written as atomics alone.
    let rules = unsafe { TABLE.load(Acquire).as_ref() }?;
    let mut description: Option<Description> = None;
    rules.iter().find_map(|rule| {
        let fault = fault_of(rule)?;
        if !is_call(&rule.call, call, fault) || rule.parts.load(Relaxed) & part() == 0 {
            return None;
        }
        let description = description.get_or_insert_with(|| subject.describe());
        if !description.contains(&rule.place) || !description.can_meet(fault) {
            return None;
        }
        let after = rule.seen.fetch_add(1, SeqCst).checked_sub(rule.skip.load(Relaxed))?;
        if !after.is_multiple_of(rule.every.load(Relaxed)) {
            return None;
        }
        let times = rule.times.load(Relaxed);
        let one_more = |met| (met < times).then_some(met + 1);
        rule.met.fetch_update(SeqCst, SeqCst, one_more).ok().map(|_| fault)
    })
}

fn fault_of(rule: &table::Rule) -> Option<Fault> {
    let kind = rule.kind.load(Acquire);
    let value = rule.value.load(Relaxed);
    match kind {
        FAIL => Some(Fault::Fail(value as i32)),
        CUT => Some(Fault::Cut(value as usize)),
        LOSE_DESCRIPTORS => Some(Fault::LoseDescriptors(value as usize)),
        SHIFT => Some(Fault::Shift(value)),
        _ => None,
    }
}

/// Whether the calls of a rule are this one's.
fn is_call(named: &[AtomicU8], call: &str, fault: Fault) -> bool {
    let mut bytes = text(named);
    if bytes.clone().eq(*b"*") {
        return match fault {
            Fault::Fail(_) => INTERRUPTIBLE.contains(&call),
            Fault::Cut(_) => CUTTABLE.contains(&call),
            Fault::LoseDescriptors(_) | Fault::Shift(_) => false,
        };
    }
    bytes.by_ref().eq(call.bytes())
}

/// The bytes of a text in a rule.
fn text(bytes: &[AtomicU8]) -> impl Iterator<Item = u8> + Clone {
    bytes.iter().map(|byte| byte.load(Relaxed)).take_while(|&byte| byte != 0)
}

/// Whose call this is.
fn part() -> u32 {
    if real::pid() == PID.load(Relaxed) { PART.load(Relaxed) } else { CHILD }
}
