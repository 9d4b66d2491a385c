//! The raw system calls that `nix` and `std` do not offer safely, and every `unsafe` line of papad.
//!
//! Each call returns owned descriptors and `io::Result`. Descriptors are close-on-exec from birth.

mod child;
mod cookie;
#[cfg(feature = "faults")]
pub(crate) mod faults;
mod file;
mod kill_point;
mod mapping;
mod memory;
mod message;
mod pidfd;
mod process;
mod shut_down;
mod sock_diag;
mod unread;

pub(crate) use child::{ListenPid, NotStarted, PID_DIGITS, PidRecord, Plan, Step, start_child};
pub(crate) use cookie::socket_cookie;
pub(crate) use file::{
    KEPT, close_inherited_on_exec, duplicate_above, give_back_pages, inherit, keep, let_inherit,
    memfd, readable_bytes, replace, set_offset, take_inherited,
};
pub(crate) use kill_point::{kill_point, kill_point_of};
pub(crate) use mapping::Mapping;
pub(crate) use memory::give_back_free_memory;
pub(crate) use message::{
    MAX_DESCRIPTORS, discard_message, peek_all, peek_texts, read_with_descriptors, receive, send,
    send_now,
};
pub(crate) use pidfd::{Told, pidfd, told_of_end};
pub(crate) use process::{
    Ended, Fork, forget_variables, fork, heed, ignore, ignored_signals, look_at_child,
    look_at_ended, reap, reap_at_end,
};
pub(crate) use shut_down::is_shut_for_reading;
pub(crate) use sock_diag::{TcpPeer, is_tcp_open, tcp_peer, unix_inode};
pub(crate) use unread::{internet_address, unread_by_peer};
