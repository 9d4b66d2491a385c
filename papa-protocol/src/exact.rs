//! Protocol 2: exact words, answers that cannot be mistaken, and watches that stream.
//!
//! A session becomes exact with the line [`PROTOCOL`], which is answered by [`Hello`]. From the
//! next byte on each request is one line of exact words (see [`crate::quoted`]), read by
//! [`parse`], and each answer is `ok N` and N lines, or `error CODE "what and why"`. A session
//! that watches is sent [`Frame`]s and says [`WatchRequest`]s.
//!
//! Nothing is abbreviated, upper and lower case differ, and numbers are plain decimal digits
//! except a `umask`, which is octal. Sizes are bytes and may end in `k`, `m` or `g`.
//!
//! Each type writes itself and is read back the same: what a client writes is what the server
//! reads, and the other way round.

mod failure;
mod fields;
mod frame;
mod hello;
mod help;
mod line;
mod process;
mod reply;
mod request;
mod socket;
mod value;
mod watch;
mod words;

pub use crate::command::{MakeProcess, MakeSocket};
pub use failure::{Code, Failure};
pub use fields::Fields;
pub use frame::{End, Ended, Frame, write_data};
pub use hello::Hello;
pub use help::help;
pub use line::Line;
pub use reply::{
    ReplyHead, ServerLine, parse_reply_head, parse_server_line, write_error, write_ok,
};
pub use request::{Fetched, Request, parse};
pub use value::{Condition, Set};
pub use watch::{AckTo, From, Mode, Watch, WatchRequest, parse_in_watch};

/// The line, without its end, that makes a session exact. It is said in papa 1.0.
pub const PROTOCOL: &[u8] = b"protocol 2";
/// The most bytes in a request's line, its end included: 2 MiB.
pub const MAX_LINE: usize = 2 << 20;
/// The smallest [`Watch::window`]: 4 KiB.
pub const MIN_WINDOW: u64 = 4 << 10;
/// The greatest [`Watch::window`]: 64 MiB.
pub const MAX_WINDOW: u64 = 64 << 20;
/// The [`Watch::window`] of a watch that names none: 1 MiB.
pub const DEFAULT_WINDOW: u64 = 1 << 20;
/// Milliseconds that the end of a process waits for its descendants, unless `linger=` says more
/// or less.
pub const DEFAULT_LINGER_MS: u64 = 1000;
