//! Upgrades in place: what goes on, and what becomes of those that fail.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod failing;
mod going_on;
mod killed;
mod load;
