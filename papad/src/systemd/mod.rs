//! What papad shares with systemd, by its documented interfaces alone: the notification socket and
//! the descriptor store (`sd_notify(3)`, `sd_pid_notify_with_fds(3)`), and descriptors that were
//! passed at the start (`sd_listen_fds(3)`).
//!
//! Only the keeper speaks with systemd: it is the unit's main process.

mod carriers;
mod notifier;
mod obstacle;
mod passed;
mod service;

pub(crate) use carriers::{is_carrier, number_of as carrier_number};
pub(crate) use passed::{count as count_passed, take as take_passed};
pub(crate) use service::Service;

/// What systemd sets in the environment of the keeper, and of nobody else.
pub(crate) const VARIABLES: [&str; 6] = [
    notifier::SOCKET,
    service::STORE_SIZE,
    passed::PID,
    passed::COUNT,
    passed::NAMES,
    "LISTEN_PIDFDID",
];
