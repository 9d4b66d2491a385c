//! What the end-to-end tests stand on: a papad of one's own, sessions that read byte by byte,
//! and the view of it that `/proc` gives.
//!
//! Everything here fails by panicking with what was seen: a test has no better use for an error.
//! Waiting is for an event, up to [`DEADLINE`]; a test that passes never waits for the clock.
#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(clippy::missing_panics_doc, clippy::must_use_candidate)]

mod binary;
mod builder;
mod carriers;
pub mod continuity;
mod deadline;
pub mod exact;
mod faults;
mod fifo;
mod hosted;
pub mod kills;
mod log;
pub mod network;
mod other_user;
mod papad;
pub mod procfs;
mod python;
mod scratch;
mod session;
mod skip;
#[expect(unsafe_code, reason = "all that the tests have of it is there")]
mod sys;
mod systemd;
mod watching;

pub use binary::{copy_program, papactl_program, papad_program, target_dir};
pub use builder::Builder;
pub use deadline::{DEADLINE, eventually, wait_readable};
pub use faults::{Fault, Faults, InForce, Part};
pub use fifo::Fifo;
pub use hosted::{make_stopped, pid_of, wait_for_end};
pub use other_user::{NOBODY, as_user, is_root};
pub use papad::Papad;
pub use python::run_python;
pub use scratch::ScratchDir;
pub use session::{BANNER, Session, argument, field, shell};
pub use skip::skip;
pub use sys::{Attribute, attribute, find_key, heed_signals, join_keyring_with_a_key};
pub use systemd::FakeSystemd;
pub use watching::{Frame, Recording, Stream, Watched};
