//! How a table of faults lies in its file. A test writes it, and papad's processes have it mapped:
//! so rules come and go while papad runs, and their counts outlive a server.

use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU32, AtomicU64};

/// Rules in a table. The first that applies to a call is the one that it meets.
pub(crate) const RULES: usize = 16;

/// The longest name of a call, in bytes.
pub(crate) const CALL: usize = 24;

/// The longest place, in bytes.
pub(crate) const PLACE: usize = 64;

/// The parts of papad, as bits of [`Rule::parts`].
pub(crate) const KEEPER: u32 = 1;
/// See [`KEEPER`].
pub(crate) const SERVER: u32 = 2;
/// A child of the server's between clone and exec.
pub(crate) const CHILD: u32 = 4;

/// What [`Rule::kind`] says: the call fails with the errno [`Rule::value`], and is not made.
pub(crate) const FAIL: u32 = 1;
/// The call moves at most [`Rule::value`] bytes.
pub(crate) const CUT: u32 = 2;
/// At most [`Rule::value`] descriptors come with a message; the others are lost (`MSG_CTRUNC`).
pub(crate) const LOSE_DESCRIPTORS: u32 = 3;
/// The clock of the wall is so many seconds from what it is.
pub(crate) const SHIFT: u32 = 4;

/// A rule. All of it is in force when `kind` is not 0, which is written last.
#[repr(C)]
pub(crate) struct Rule {
    pub(crate) kind: AtomicU32,
    /// Whose calls: an or of [`KEEPER`], [`SERVER`], and [`CHILD`].
    pub(crate) parts: AtomicU32,
    pub(crate) value: AtomicI64,
    /// So many calls are let through first.
    pub(crate) skip: AtomicU64,
    /// From then on one in so many meets the fault.
    pub(crate) every: AtomicU64,
    /// Until so many have.
    pub(crate) times: AtomicU64,
    /// Calls that were those of this rule.
    pub(crate) seen: AtomicU64,
    /// Calls that have met the fault.
    pub(crate) met: AtomicU64,
    /// The call's name, ended by a zero if it is shorter; `*` for all that the fault can happen to.
    pub(crate) call: [AtomicU8; CALL],
    /// What stands in the description of what it is about, ended by a zero if it is shorter.
    pub(crate) place: [AtomicU8; PLACE],
}

/// A whole table.
pub(crate) type Table = [Rule; RULES];
