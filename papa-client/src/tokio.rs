//! The same calls for programs that use tokio. Needs the feature `tokio`.
//!
//! [`Papa`], [`Process`], [`Lock`] and [`Watcher`] are as those at the crate's root, with `.await`
//! where those block, and a watcher is a [`Stream`](futures_core::Stream). Everything else is the
//! same: builders, events, batches, errors.
//!
//! A call that is dropped before it is done was sent or was not; its answer, if one comes, is
//! passed over, and the session goes on.
//!
//! All of this must be used within a runtime that has I/O and time enabled, and stay within it.
//! Without any runtime there is an error; a runtime that lacks one of the two panics, which tokio
//! gives nobody a way to find out before.
//!
//! ```
//! # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/papad.rs")); }
//! # #[tokio::main] async fn main() -> papa_client::Result<()> {
//! # let _papad = doc::Papad::start();
//! use papa_client::tokio::Papa;
//! use papa_client::{Endpoint, Event};
//!
//! let papa = Papa::connect(&Endpoint::from_env()?).await?;
//! papa.process("web", "/bin/echo").arg("hello").make().await?;
//! let mut watcher = papa.watch(["web"]).start().await?;
//! while let Some(batch) = watcher.next().await {
//!     let batch = batch?;
//!     for event in &batch {
//!         match event {
//!             Event::Output { bytes, .. } => assert_eq!(bytes, b"hello\n"),
//!             Event::Closed { end, .. } => assert!(end.success()),
//!             _ => {}
//!         }
//!     }
//!     batch.acknowledge();
//! }
//! # Ok(()) }
//! ```

mod drive;
mod kept_lock;
mod lock;
mod papa;
mod process;
mod stopping;
mod watcher;

pub use kept_lock::KeptLock;
pub use lock::Lock;
pub use papa::Papa;
pub use process::Process;
pub use watcher::Watcher;
