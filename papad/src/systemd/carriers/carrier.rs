//! One carrier, as the policy sees it: what was sent into it and not taken out.

use std::collections::VecDeque;
use std::time::Instant;

use crate::link::Held;
use crate::sys;

/// How much a carrier takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Entries of a prompt carrier, dead ones included. Few: each drop costs a pass.
    pub(super) prompt_entries: usize,
    /// Entries of a bulk carrier, dead ones included.
    pub(super) bulk_entries: usize,
    /// Messages in a queue before they are merged into fewer.
    pub(super) messages: usize,
    /// Entries of one message.
    pub(super) in_message: usize,
    /// Dead entries of a bulk carrier, beyond as many as are live, before a pass begins at once.
    pub(super) slack: usize,
}

impl Limits {
    /// Entries that a carrier of this kind takes.
    pub(super) fn entries(self, kind: Kind) -> usize {
        match kind {
            Kind::Prompt => self.prompt_entries,
            Kind::Bulk => self.bulk_entries,
        }
    }
}

/// The limits of a papad that runs. A queue with as much fits in a socket's default buffer.
pub(super) const LIMITS: Limits = Limits {
    prompt_entries: 1024,
    bulk_entries: 4096,
    messages: 128,
    in_message: sys::MAX_DESCRIPTORS,
    slack: 128,
};

/// How soon what is dropped has to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// At once: a port is to be free when the reply says so, and a journal is large.
    Prompt,
    /// Soon: what processes have, of which there may be many thousands.
    Bulk,
}

#[derive(Debug)]
pub(super) struct Message {
    pub(super) sequence: u64,
    pub(super) names: Vec<Held>,
    /// Those of them whose latest entry this is.
    pub(super) live: usize,
}

#[derive(Debug)]
pub(super) struct Carrier {
    pub(super) kind: Kind,
    /// The oldest first, so that sequence numbers rise.
    pub(super) messages: VecDeque<Message>,
    pub(super) entries: usize,
    pub(super) live: usize,
    /// systemd has it, if only in its queue.
    pub(super) is_stored: bool,
    /// Nothing more is sent into it: it is an earlier keeper's, or is emptied into another.
    pub(super) is_closed: bool,
    /// The kernel took nothing more, until a message is taken out.
    pub(super) is_full: bool,
    /// So many of the oldest messages are to leave.
    pub(super) pass: usize,
    /// When dead entries are to leave.
    pub(super) tidy_at: Option<Instant>,
}

pub(super) fn kind_of(name: Held) -> Kind {
    match name {
        Held::Ring(_) | Held::Out(_) | Held::Err(_) | Held::Pidfd(_) => Kind::Bulk,
        Held::Control(_)
        | Held::Journal(_)
        | Held::Server(_)
        | Held::StateLock
        | Held::Mark
        | Held::Socket(_)
        | Held::Handover
        | Held::Passed(_)
        | Held::Baton => Kind::Prompt,
    }
}

impl Carrier {
    pub(super) fn new(kind: Kind, is_closed: bool) -> Carrier {
        Carrier {
            kind,
            messages: VecDeque::new(),
            entries: 0,
            live: 0,
            is_stored: is_closed,
            is_closed,
            is_full: false,
            pass: 0,
            tidy_at: None,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        !self.is_closed && !self.is_full
    }

    pub(super) fn push(&mut self, sequence: u64, names: Vec<Held>) {
        self.entries += names.len();
        self.live += names.len();
        self.messages.push_back(Message { sequence, live: names.len(), names });
    }

    /// An entry has died.
    pub(super) fn bury(&mut self, sequence: u64) {
        let mut messages = self.messages.iter_mut();
        if let Some(message) = messages.find(|it| it.sequence == sequence && it.live > 0) {
            message.live -= 1;
            self.live -= 1;
        }
    }

    /// The length of a pass after which nothing that is dead now is left.
    pub(super) fn up_to_the_last_dead(&self) -> usize {
        let has_dead = |message: &Message| message.live < message.names.len();
        self.messages.iter().rposition(has_dead).map_or(0, |at| at + 1)
    }
}
