//! Write process managers on papad.
//!
//! papad is a small daemon that owns listening sockets and child processes, and keeps what those
//! write until it was read. It does nothing of its own accord: which processes there are, when one
//! is started again, where its output goes, is the business of a *manager*, a program written with
//! this crate. A manager may crash, be killed or be upgraded at any time, and so may papad's
//! server; the processes run on, and nothing of what they write is lost.
//!
//! # A first process
//! [`Papa`] is a connection. [`Papa::connect_or_start`] starts papad if it does not run, and it
//! does not matter how many programs do so at once. [`Papa::process`] is built like a
//! [`std::process::Command`].
//!
//! ```
//! # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/papad.rs")); }
//! # let _papad = doc::Papad::start();
//! use papa_client::{Endpoint, Papa};
//!
//! // `PAPA_ENDPOINT` of the environment, or else this user's own endpoint, or port 20202.
//! let papa = Papa::connect_or_start(&Endpoint::from_env()?)?;
//! let web = papa.process("web", "/bin/sh").args(["-c", "echo hello; exit 3"]).make()?;
//! assert_eq!(web.wait()?.code(), Some(3));
//! # Ok::<(), papa_client::Error>(())
//! ```
//!
//! A process is known by its name. To make it again, as the same, finds the one that is there. So a
//! manager that starts says what there is to be, and need not know whether it was there before:
//!
//! ```
//! # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/papad.rs")); }
//! # let _papad = doc::Papad::start();
//! use papa_client::{Endpoint, ErrorKind, Papa, Process, Result};
//!
//! fn start(papa: &Papa) -> Result<Process> {
//!     // The environment is part of what a process is. Named in full, it is always the same.
//!     papa.process("web", "/bin/sleep").arg("1000").env_clear().env("LANG", "C").make()
//! }
//!
//! let papa = Papa::connect(&Endpoint::from_env()?)?;
//! let web = start(&papa)?;
//! // Later, in another run of the manager:
//! assert_eq!(start(&papa)?.id(), web.id());
//! // What is not the same is refused, and not taken for it.
//! let other = papa.process("web", "/bin/sleep").arg("1").make();
//! assert_eq!(other.unwrap_err().kind(), ErrorKind::Exists);
//! # Ok::<(), papa_client::Error>(())
//! ```
//!
//! # Reading what it writes
//! A [`Watcher`] is an iterator of batches. What is in a batch papad keeps until the batch is
//! [acknowledged](Batch::acknowledge), and a batch that is dropped instead comes again: so what a
//! manager does not get done it is given once more, in its next life if need be.
//!
//! ```
//! # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/papad.rs")); }
//! # let _papad = doc::Papad::start();
//! use papa_client::{Endpoint, Event, Papa};
//!
//! let papa = Papa::connect(&Endpoint::from_env()?)?;
//! papa.process("job.1", "/bin/echo").arg("one").make()?;
//! papa.process("job.2", "/bin/echo").arg("two").make()?;
//!
//! let mut log = Vec::new();
//! let mut ends = 0;
//! // Processes that are made later, and match, join the watch.
//! for batch in papa.watch(["job.*"]).start()? {
//!     let batch = batch?;
//!     for event in &batch {
//!         match event {
//!             Event::Output { bytes, .. } => log.extend_from_slice(bytes),
//!             Event::Lost { name, bytes, .. } => eprintln!("{name}: {bytes} bytes are lost"),
//!             Event::Closed { end, .. } => ends += i32::from(end.success()),
//!             _ => {}
//!         }
//!     }
//!     batch.acknowledge();
//!     if ends == 2 {
//!         break;
//!     }
//! }
//! assert_eq!(log.len(), 8);
//! # Ok::<(), papa_client::Error>(())
//! ```
//!
//! When papad's server is killed or upgraded, the watcher connects to the next one and goes on:
//! each byte comes once. A process that writes faster than it is read either loses its oldest
//! output, and the watcher says how much, or, with [`Overflow::Block`], waits. Who only wants to
//! look watches with [`Mode::Peek`] and takes nothing from anybody; who wants to know of ends
//! alone, with [`only_exits`](WatchBuilder::only_exits).
//!
//! # Exactly once
//! What a manager does with a batch and its acknowledgement are two things, and it may be killed
//! between them. One that keeps the [places](Batch::places) of each batch together with what it
//! made of it goes on exactly there:
//!
//! ```
//! # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/papad.rs")); }
//! # let _papad = doc::Papad::start();
//! use std::collections::BTreeMap;
//! use papa_client::{Endpoint, Event, Name, Papa, ProcessId};
//!
//! let papa = Papa::connect(&Endpoint::from_env()?)?;
//! papa.process("hello", "/bin/echo").arg("hello").make()?;
//!
//! // Where both of these are kept is the manager's choice: a database, or files.
//! let mut log = Vec::new();
//! let mut places: BTreeMap<Name, (ProcessId, u64)> = BTreeMap::new();
//! for life in ["first", "second"] {
//!     let mut watch = papa.watch(["hello"]);
//!     for (name, (id, position)) in &places {
//!         watch = watch.resume_from(name.clone(), *id, *position);
//!     }
//!     for batch in watch.start()? {
//!         let batch = batch?;
//!         for event in &batch {
//!             if let Event::Output { bytes, .. } = event {
//!                 log.extend_from_slice(bytes);
//!             }
//!         }
//!         places.extend(batch.places().map(|(name, id, position)| (name, (id, position))));
//!         // The output and its places are on disk by one transaction, and just then:
//!         if life == "first" && !log.is_empty() {
//!             break; // It is killed.
//!         }
//!         batch.acknowledge();
//!     }
//! }
//! assert_eq!(log, b"hello\n");
//! # Ok::<(), papa_client::Error>(())
//! ```
//!
//! The example `exactly_once_log` does so with nothing but files.
//!
//! # Stopping and starting again
//! A [`Process`] is that very process: it is signaled through a pidfd, and never is somebody else
//! hit who got its pid. [`Process::stop`] asks first and kills then. A process that has ended stays
//! on papad's list, so that its end is not missed, until a watcher has acknowledged it or it is
//! removed; then its name is free:
//!
//! ```
//! # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/papad.rs")); }
//! # let _papad = doc::Papad::start();
//! use std::time::Duration;
//! use papa_client::{End, Endpoint, Papa, Signal};
//!
//! let papa = Papa::connect(&Endpoint::from_env()?)?;
//! let builder = papa.process("web", "/bin/sleep").arg("1000");
//! let old = builder.make()?;
//!
//! let end = old.stop(Duration::from_secs(5))?;
//! assert_eq!(end, End::Signaled(Signal::TERM));
//! papa.remove_process("web")?;
//! let new = builder.make()?;
//! assert_ne!(new.id(), old.id());
//! # Ok::<(), papa_client::Error>(())
//! ```
//!
//! [`ProcessBuilder::replace_ended`] does the last two steps in one, for a process that is simply to
//! run: what has ended is replaced, and what runs is found. What the old one left unread stays to be
//! read, as that of the name's [previous](Papa::previous) process.
//!
//! ```
//! # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/papad.rs")); }
//! # let _papad = doc::Papad::start();
//! use papa_client::{Endpoint, Papa};
//!
//! let papa = Papa::connect(&Endpoint::from_env()?)?;
//! let builder = papa.process("web", "/bin/sleep").arg("1000").env_clear().replace_ended();
//! let old = builder.make()?;
//! assert_eq!(builder.make()?.id(), old.id());
//! old.kill()?;
//! old.wait()?;
//! assert_ne!(builder.make()?.id(), old.id());
//! # Ok::<(), papa_client::Error>(())
//! ```
//!
//! Without it `make` finds a process that has ended, too, and is content with that.
//!
//! Who has not made a process can start it again as well, for papad tells what it was made of:
//!
//! ```
//! # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/papad.rs")); }
//! # let _papad = doc::Papad::start();
//! use papa_client::{Endpoint, Papa};
//!
//! let papa = Papa::connect(&Endpoint::from_env()?)?;
//! let old = papa.process("web", "/bin/sleep").arg("1000").env_clear().env("LANG", "C").make()?;
//!
//! let again = papa.process_again("web")?.replace_ended();
//! old.kill()?;
//! old.wait()?;
//! let new = again.make()?;
//! assert_ne!(new.id(), old.id());
//! assert_eq!(new.info().command, ["/bin/sleep", "1000"]);
//! # Ok::<(), papa_client::Error>(())
//! ```
//!
//! [`Process::stop_with`] and [`Papa::stop_all`] end a process's descendants as well: all in the session
//! that it leads.
//!
//! Who watches acknowledges the [`Closed`](Event::Closed) event: only then the new process joins the
//! watch, so that all of the old one comes before its first byte. The example `mini_manager` is a manager that starts again what ends.
//!
//! # Sockets that outlive their servers
//! A socket that papad holds goes on to listen while the server behind it is started again. A
//! process finds it where systemd would have put it, as `sd_listen_fds(3)` says:
//!
//! ```
//! # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/papad.rs")); }
//! # let _papad = doc::Papad::start();
//! use papa_client::{Endpoint, Papa};
//!
//! let papa = Papa::connect(&Endpoint::from_env()?)?;
//! let socket = papa.socket("http").host("127.0.0.1").port(0).make()?;
//! let server = papa
//!     .process("server", "/bin/sh")
//!     .args(["-c", "test $LISTEN_FDS = 1 && test $LISTEN_FDNAMES = http && test -S /dev/fd/3"])
//!     .listen(["http"])
//!     .make()?;
//! assert!(server.wait()?.success());
//! // It listens still; and whoever may speak with papad can have it, too.
//! let listener = papa.tcp_listener("http")?;
//! assert_eq!(listener.local_addr().map(|address| address.port()).ok(), socket.port());
//! # Ok::<(), papa_client::Error>(())
//! ```
//!
//! # Small things to remember
//! papad holds values, too, for managers that must agree on something: see [`Papa::set`],
//! [`Papa::compare_and_set`], and [`Papa::set_for_session`] for what is to vanish with who has set
//! it. A [`Lock`] is made of these and keeps a second manager out; a [`KeptLock`] does so through the
//! end of papad's server, too.
//!
//! ```
//! # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/papad.rs")); }
//! # let _papad = doc::Papad::start();
//! use papa_client::{Endpoint, Papa};
//!
//! let papa = Papa::connect(&Endpoint::from_env()?)?;
//! papa.set("web.generation", "7")?;
//! assert!(papa.compare_and_set("web.generation", Some(b"7"), "8")?);
//! assert_eq!(papa.get("web.generation")?.as_deref(), Some(&b"8"[..]));
//! # Ok::<(), papa_client::Error>(())
//! ```
//!
//! # Errors, and time
//! There is one [`Error`]; [`Error::kind`] is for programs, and its text, papad's own words mostly,
//! for people. Nothing here panics. Each call has a [deadline](Papa::set_deadline). A call that
//! only looks is repeated when papad's server ends under it; one that changes something may have
//! been done, and says [`ErrorKind::Disconnected`].
//!
//! Whoever answers is handed commands and descriptors. So it must belong to this user or root, or
//! nothing is said to it: [`ErrorKind::NotYours`].
//!
//! # Other ways to wait
//! A [`Watcher`] and a [`Process`]'s pidfd are descriptors for a poll(2) loop: see
//! [`Watcher::try_next`]. With the feature `tokio` the module `tokio` has the same calls to await,
//! and watchers as streams.
#![deny(missing_docs)]

mod alarm;
mod calls;
mod client;
mod deadline;
mod endpoint;
mod error;
mod fields;
mod incoming;
mod lock;
mod methods;
mod name;
mod owner;
mod papa;
mod process;
mod search;
mod session;
mod socket;
mod start;
mod start_log;
mod status;
#[expect(unsafe_code, reason = "all that the crate has of it is there")]
mod sys;
#[cfg(feature = "tokio")]
pub mod tokio;
mod transport;
mod user_dirs;
mod value;
mod watch;
mod wire;

pub use endpoint::Endpoint;
pub use error::{Error, ErrorKind, Result};
pub use lock::{KeptLock, Lock, LockLost};
pub use name::Name;
pub use papa::Papa;
pub use papa_protocol::frame::Stream;
pub use papa_protocol::options::{Family, Limit, Overflow, Resource, SocketType, Stderr, Stdout};
pub use papa_protocol::size::parse as parse_size;
pub use process::{
    End, GivenSocket, Member, Process, ProcessBuilder, ProcessId, ProcessInfo, Scope, Signal,
    State, StopOptions, Stopped,
};
pub use socket::{SocketAddress, SocketBuilder, SocketFault, SocketInfo, UnixSocketBuilder};
pub use status::{LimitUse, SessionInfo, Status};
pub use value::Value;
#[cfg(feature = "fuzzing")]
pub use watch::fuzzing;
pub use watch::{Batch, Event, Events, Mode, OnDisconnect, Start, WatchBuilder, Watcher};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_may_go_to_other_threads() {
        fn assert_send_and_sync<T: Send + Sync>() {}
        assert_send_and_sync::<(Papa, Process, Lock, KeptLock, Watcher, Batch, Error)>();
        #[cfg(feature = "tokio")]
        assert_send_and_sync::<(
            tokio::Papa,
            tokio::Process,
            tokio::Lock,
            tokio::KeptLock,
            tokio::Watcher,
        )>();
    }
}
