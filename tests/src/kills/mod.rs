//! Checking a papad whose server is killed all the time: clients that come back, and a load of
//! everything papad does, each part of which knows what it must find afterwards.
//!
//! What a kill may leave open is only what had not been answered yet. A request without an answer
//! was done or was not; an acknowledgement without an answer was taken or was not.

mod client;
mod files;
mod flood;
mod load;
mod processes;
mod random;
mod residents;
mod sockets;
mod values;
mod watcher;

pub use client::{Client, Gone, Patient, Reply};
pub use files::kinds_of_files;
pub use flood::Flood;
pub use load::under_load;
pub use random::{Random, kills_wanted};
pub use residents::Residents;
pub use sockets::round as socket_round;
pub use watcher::{Expected, watch_to_end};
