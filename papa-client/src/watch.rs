//! Reading what processes write, and how they end.

mod batch;
mod buffer;
mod builder;
mod done;
mod event;
#[cfg(feature = "fuzzing")]
#[path = "../../fuzz/papa-client/watch.rs"]
pub mod fuzzing;
mod ledger;
mod machine;
mod reading;
mod resume;
mod watcher;

pub use batch::{Batch, Events};
pub use builder::{Mode, OnDisconnect, Start, WatchBuilder};
pub use event::Event;
#[cfg(feature = "tokio")]
pub(crate) use machine::Machine;
#[cfg(feature = "tokio")]
pub(crate) use watcher::Shared;
pub use watcher::Watcher;
