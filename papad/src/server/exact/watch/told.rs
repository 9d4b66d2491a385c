//! A watch as one server tells another of it, which then goes on with it.

use std::io;
use std::sync::Arc;

use papa_protocol::exact::Frame;
use papa_protocol::name::Patterns;

use super::{Watched, Watching, Wildcard};
use crate::processes::{Place, Wants};
use crate::server::Server;
use crate::server::handover::ById;

/// A watch.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::server) struct Told {
    pub(in crate::server) watched: Vec<TellWatched>,
    pub(in crate::server) wildcards: Vec<TellWildcard>,
    pub(in crate::server) window: u64,
    pub(in crate::server) over: Vec<Vec<u8>>,
}

/// A watched process.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::server) struct TellWatched {
    pub(in crate::server) process: u64,
    pub(in crate::server) name: Vec<u8>,
    pub(in crate::server) place: Place,
    pub(in crate::server) wants: Wants,
    pub(in crate::server) until: Option<u64>,
    pub(in crate::server) has_ended: bool,
    pub(in crate::server) is_over: bool,
}

/// What new processes join by.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::server) struct TellWildcard {
    pub(in crate::server) patterns: Vec<Vec<u8>>,
    pub(in crate::server) wants: Wants,
}

impl Watching {
    /// What another server is to know, so that it can go on with this watch. What has joined by
    /// now is said in `out`.
    pub(in crate::server) fn told(&mut self, out: &mut Vec<u8>) -> Told {
        self.join_new(out);
        let watched = self.watched.iter().map(|watched| TellWatched {
            process: watched.process.id,
            name: watched.process.name.clone(),
            place: watched.process.place(watched.reader).unwrap_or_default(),
            wants: watched.wants,
            until: watched.until,
            has_ended: watched.has_ended,
            is_over: watched.is_over,
        });
        let wildcards = self.wildcards.iter().map(|Wildcard { patterns, wants }| TellWildcard {
            patterns: patterns.words().to_vec(),
            wants: *wants,
        });
        Told {
            watched: watched.collect(),
            wildcards: wildcards.collect(),
            window: self.window,
            over: self.over.iter().cloned().collect(),
        }
    }

    /// Goes on with the watch of another server.
    pub(in crate::server) fn resume(
        server: &Arc<Server>,
        told: Told,
        by_id: &ById,
        out: &mut Vec<u8>,
    ) -> io::Result<Watching> {
        let mut watching = Watching::empty(server, told.window)?;
        watching.over = told.over.into();
        for TellWildcard { patterns, wants } in told.wildcards {
            watching.wildcards.push(Wildcard { patterns: Patterns::new(patterns), wants });
        }
        for told in told.watched {
            let Some(process) = by_id.get(&told.process).map(Arc::clone) else {
                Frame::Removed { name: told.name }.write(out);
                continue;
            };
            let TellWatched { place, wants, until, has_ended, is_over, .. } = told;
            let reader = process.attach_again(Arc::clone(&watching.waker), wants, place);
            let is_held_back = false;
            watching.watched.push(Watched {
                process,
                reader,
                wants,
                until,
                is_held_back,
                has_ended,
                is_over,
            });
        }
        watching.hold_back();
        Ok(watching)
    }
}
