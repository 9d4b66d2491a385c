//! System calls fail, or do less than they were asked for, at every place where papad makes them.
//! Whatever fails: papad answers; what it answers is true, now and after a kill of its server; and
//! nothing is left behind.
//!
//! This needs a build of papad that can be told to meet faults, which its feature `faults` makes. A
//! release has nothing of them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod accepting;
mod clock;
mod everywhere;
mod faulty;
mod life;
mod link;
mod recording;
mod requests;
mod starting;
mod sweep;
mod upgrading;
