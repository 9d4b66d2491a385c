//! papactl as its users use it: the real tool, with a real papad, on a real terminal where that
//! matters.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod ctl;

mod terminal;

mod attach;
mod completing;
mod descriptors;
mod doctor;
mod escaping;
mod inspect;
mod json;
mod locks;
mod logs;
mod own_endpoint;
mod processes;
mod restart;
mod rm;
mod run;
mod sockets;
mod status;
mod stop;
mod top;
mod upgrade;
mod usage;
mod values;
mod wait;
