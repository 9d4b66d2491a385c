//! The raw system calls that `nix` and `std` do not offer safely, and every `unsafe` line of papad.
//!
//! Each call returns owned descriptors and `io::Result`. Descriptors are close-on-exec from birth.

mod child;
mod file;
mod kill_point;
mod message;
mod process;
mod sock_diag;
mod unread;

pub(crate) use child::{ListenPid, NotStarted, PID_DIGITS, PidRecord, Plan, Step, start_child};
pub(crate) use file::{
    KEPT, close_inherited_on_exec, duplicate_above, give_back_pages, keep, memfd, readable_bytes,
    set_offset,
};
pub(crate) use kill_point::kill_point;
pub(crate) use message::{MAX_DESCRIPTORS, read_with_descriptors, receive, send};
pub(crate) use process::{
    Ended, Fork, do_not_ignore, fork, ignore, ignored_signals, look_at_ended, pidfd, reap,
    reap_at_end,
};
pub(crate) use sock_diag::{TcpPeer, tcp_peer};
pub(crate) use unread::{internet_address, unread_by_peer};
