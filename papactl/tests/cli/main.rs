//! papactl as its users use it: the real tool, with a real papad, on a real terminal where that
//! matters.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod ctl;
mod terminal;

mod logs;
mod processes;
mod top;
mod values;
