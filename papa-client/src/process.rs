//! Processes that papad hosts.

mod builder;
mod differences;
mod end;
mod handle;
mod id;
mod info;
pub(crate) mod member;
pub(crate) mod pidfd;
pub(crate) mod stop;
mod stopping;

pub use builder::ProcessBuilder;
pub use end::{End, Signal};
pub use handle::Process;
#[cfg(feature = "tokio")]
pub(crate) use handle::{PAUSE, kernels_word, papads_word, send, send_to_group, unrecorded};
pub use id::ProcessId;
pub use info::{GivenSocket, ProcessInfo, State};
pub use member::Member;
pub use stop::{Scope, StopOptions, Stopped};
#[cfg(feature = "tokio")]
pub(crate) use stopping::does_not_end;
