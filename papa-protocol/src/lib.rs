//! What papad and its clients say to each other: words, commands, options and frames.
//!
//! This crate turns the bytes of a line into a [`command::Command`], and output into
//! [`frame`]s. It does no I/O, keeps no state and has no dependencies, so every rule of the wire
//! can be tested without a socket. The rules are those of papa 1.0, except where a module says
//! that papad knows better; [`exact`] is papad's own protocol 2, which a session asks for.
//!
//! Everything a client sends is bytes (`Vec<u8>`), not text: names, arguments and values may hold
//! any encoding, and papad gives them back as they came.
#![forbid(unsafe_code)]

pub mod command;
mod error;
pub mod exact;
pub mod frame;
pub mod help;
mod lookup;
pub mod name;
pub mod options;
pub mod quoted;
pub mod size;
pub mod text;
pub mod words;
