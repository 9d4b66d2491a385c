//! The server is killed at named points, each between two steps that belong together, and the
//! next one must find nothing half done.
//!
//! This needs a build of papad that has the points, which its feature `kill-points` makes. A
//! release has none.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod armed;
mod bad_day;
mod compaction;
mod disk;
mod ending;
mod load;
mod making;
mod mending;
mod merging;
mod output;
mod output_memory;
mod sockets;
mod values;
