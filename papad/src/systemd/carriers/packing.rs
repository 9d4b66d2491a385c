//! Which descriptor is in which carrier, and what to do next about it.
//!
//! A carrier is a socket pair whose receiving end systemd stores. What is sent into it and never
//! received lives in its queue, for as long as systemd has the receiving end. Several messages may
//! name the same thing: the one with the highest sequence number counts, and the entries of the
//! others are dead.
//!
//! Only the oldest message of a queue can leave it. So a dead entry leaves by a *pass*: the live
//! entries of the oldest messages are sent again, many in one message, and then those messages are
//! taken out. Whatever is held is in some stored queue at every instant between.
//!
//! Nothing here does any I/O: [`Packing::next`] says what to do, [`Packing::done`] hears it was done.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::carrier::{Carrier, Kind, Limits, kind_of};
use crate::link::Held;

/// How long a dead entry of a bulk carrier stays at most, so that many leave by one pass.
pub(super) const TIDY_AFTER: Duration = Duration::from_secs(1);

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Make a carrier of this number, and have it stored.
    Create(u64, Kind),
    /// Send what is held under these names now.
    Send { carrier: u64, sequence: u64, names: Vec<Held> },
    /// Take the oldest message out, and close what came with it.
    Take(u64),
    /// Have the carrier removed from the store. It is empty.
    Remove(u64),
}

/// Where the live entry of a name is.
#[derive(Clone, Copy, Debug)]
struct Place {
    carrier: u64,
    sequence: u64,
}

/// All carriers and what is in them.
pub(in crate::systemd) struct Packing {
    limits: Limits,
    /// Entries that bulk carriers may have when something new is sent into them.
    allowance: usize,
    carriers: BTreeMap<u64, Carrier>,
    places: BTreeMap<Held, Place>,
    /// What is held and in no carrier yet, or has changed since it was sent.
    pending: BTreeSet<Held>,
    next_carrier: u64,
    next_sequence: u64,
    /// The store takes no more carriers.
    has_no_room: bool,
}

impl Packing {
    pub(super) fn new(limits: Limits, allowance: usize) -> Packing {
        Packing {
            limits,
            allowance,
            carriers: BTreeMap::new(),
            places: BTreeMap::new(),
            pending: BTreeSet::new(),
            next_carrier: 1,
            next_sequence: 1,
            has_no_room: false,
        }
    }

    /// An earlier keeper has left this carrier, with these messages in their order. What is in it
    /// is sent into others, and then it goes.
    pub(super) fn adopt(&mut self, number: u64, messages: Vec<(u64, Vec<Held>)>) {
        self.next_carrier = self.next_carrier.max(number.saturating_add(1));
        let first = messages.iter().find_map(|(_, names)| names.first());
        let kind = first.map_or(Kind::Bulk, |name| kind_of(*name));
        let mut carrier = Carrier::new(kind, true);
        carrier.pass = messages.len();
        self.carriers.insert(number, carrier);
        for (sequence, names) in messages {
            self.next_sequence = self.next_sequence.max(sequence.saturating_add(1));
            if let Some(carrier) = self.carriers.get_mut(&number) {
                carrier.push(sequence, names.clone());
            }
            for name in names {
                let place = Place { carrier: number, sequence };
                let dead = match self.places.get(&name).copied() {
                    Some(later) if later.sequence >= sequence => Some(place),
                    _ => self.places.insert(name, place),
                };
                if let Some(dead) = dead {
                    self.bury(dead);
                }
            }
        }
    }

    /// The names that are in some carrier.
    pub(in crate::systemd) fn names(&self) -> impl Iterator<Item = Held> {
        self.places.keys().copied()
    }

    /// Something is held under this name that was not before.
    pub(super) fn held(&mut self, name: Held) {
        self.pending.insert(name);
    }

    /// Nothing is held under this name any more.
    pub(super) fn dropped(&mut self, name: Held, now: Instant) {
        self.pending.remove(&name);
        if let Some(place) = self.places.remove(&name) {
            self.bury(place);
            self.tidy_soon(place.carrier, now);
        }
    }

    /// systemd has this carrier.
    pub(super) fn stored(&mut self, carrier: u64) {
        if let Some(carrier) = self.carriers.get_mut(&carrier) {
            carrier.is_stored = true;
        }
    }

    /// The kernel takes nothing more into this carrier. False if there is nothing in it: another
    /// would take no more.
    pub(super) fn full(&mut self, carrier: u64) -> bool {
        let carrier = self.carriers.get_mut(&carrier).filter(|it| !it.messages.is_empty());
        carrier.map(|carrier| carrier.is_full = true).is_some()
    }

    /// Whether the store takes more carriers. If not, it does when one is removed.
    pub(super) fn note_room(&mut self, is_there: bool) {
        self.has_no_room = !is_there;
    }

    /// Whether there is no room for something that is held.
    pub(super) fn lacks_room(&self) -> bool {
        self.has_no_room && !self.pending.is_empty()
    }

    /// Whether something that is held is more than may be sent.
    pub(super) fn lacks_allowance(&self) -> bool {
        let is_bulk = |name: &Held| kind_of(*name) == Kind::Bulk;
        self.allowed(Kind::Bulk) == 0 && self.pending.iter().any(is_bulk)
    }

    /// Has everything leave that is dead now.
    pub(super) fn tidy(&mut self) {
        for carrier in self.carriers.values_mut() {
            carrier.pass = carrier.pass.max(carrier.up_to_the_last_dead());
        }
    }

    /// Whether all that was to leave has left.
    pub(in crate::systemd) fn is_tidy(&self) -> bool {
        self.carriers.values().all(|carrier| carrier.pass == 0)
    }

    /// Whether everything that is held outlives the keeper.
    pub(in crate::systemd) fn is_safe(&self) -> bool {
        self.pending.is_empty() && self.carriers.values().all(|carrier| carrier.is_stored)
    }

    /// Whether this outlives the keeper as it is.
    pub(in crate::systemd) fn has_safe(&self, name: Held) -> bool {
        let place = self.places.get(&name).filter(|_| !self.pending.contains(&name));
        place.is_some_and(|place| self.is_stored(place.carrier))
    }

    /// Whether this is in a carrier, or is to be.
    pub(in crate::systemd) fn knows(&self, name: Held) -> bool {
        self.places.contains_key(&name) || self.pending.contains(&name)
    }

    /// When `next` is of use again, if nothing else happens.
    pub(in crate::systemd) fn until(&self) -> Option<Instant> {
        let untidy = self.carriers.values().filter(|carrier| carrier.pass == 0);
        untidy.filter_map(|carrier| carrier.tidy_at).min()
    }

    /// What to do next; `None` if all is done that can be.
    pub(super) fn next(&mut self, now: Instant) -> Option<Action> {
        self.begin_passes(now);
        self.take()
            .or_else(|| self.send_pending())
            .or_else(|| self.send_again())
            .or_else(|| self.remove())
    }

    /// An action was carried out.
    pub(super) fn done(&mut self, action: Action, now: Instant) {
        match action {
            Action::Create(number, kind) => {
                self.next_carrier = number + 1;
                self.carriers.insert(number, Carrier::new(kind, false));
            }
            Action::Send { carrier: number, sequence, names } => {
                self.next_sequence = sequence + 1;
                for name in &names {
                    let has_changed = self.pending.remove(name);
                    let place = Place { carrier: number, sequence };
                    if let Some(former) = self.places.insert(*name, place) {
                        self.bury(former);
                        if has_changed {
                            self.tidy_soon(former.carrier, now);
                        }
                    }
                }
                if let Some(carrier) = self.carriers.get_mut(&number) {
                    carrier.push(sequence, names);
                }
            }
            Action::Take(number) => {
                if let Some(carrier) = self.carriers.get_mut(&number)
                    && let Some(message) = carrier.messages.pop_front()
                {
                    carrier.entries -= message.names.len();
                    carrier.pass = carrier.pass.saturating_sub(1);
                    carrier.is_full = false;
                    if carrier.entries == carrier.live {
                        carrier.tidy_at = None;
                    }
                }
            }
            Action::Remove(number) => {
                self.carriers.remove(&number);
                self.has_no_room = false;
            }
        }
    }

    fn bury(&mut self, place: Place) {
        if let Some(carrier) = self.carriers.get_mut(&place.carrier) {
            carrier.bury(place.sequence);
        }
    }

    fn tidy_soon(&mut self, carrier: u64, now: Instant) {
        if let Some(carrier) = self.carriers.get_mut(&carrier) {
            carrier.tidy_at.get_or_insert(now + TIDY_AFTER);
        }
    }

    fn is_stored(&self, carrier: u64) -> bool {
        self.carriers.get(&carrier).is_some_and(|carrier| carrier.is_stored)
    }

    /// How many entries may be sent that are new. Journal and sockets come before all else.
    fn allowed(&self, kind: Kind) -> usize {
        match kind {
            Kind::Prompt => usize::MAX,
            Kind::Bulk => {
                let entries: usize = self.carriers.values().map(|carrier| carrier.entries).sum();
                self.allowance.saturating_sub(entries)
            }
        }
    }

    fn begin_passes(&mut self, now: Instant) {
        for kind in [Kind::Prompt, Kind::Bulk] {
            if let Some(number) = self.sparse(kind)
                && let Some(carrier) = self.carriers.get_mut(&number)
            {
                carrier.is_closed = true;
                carrier.pass = carrier.messages.len();
            }
        }
        let Limits { messages, slack, .. } = self.limits;
        for carrier in self.carriers.values_mut().filter(|carrier| carrier.pass == 0) {
            let dead = carrier.entries - carrier.live;
            let is_due = dead > 0
                && match carrier.kind {
                    Kind::Prompt => true,
                    Kind::Bulk => {
                        dead > carrier.live + slack || carrier.tidy_at.is_some_and(|at| at <= now)
                    }
                };
            if carrier.messages.len() >= messages {
                carrier.pass = carrier.messages.len();
            } else if is_due {
                carrier.pass = carrier.up_to_the_last_dead();
            }
        }
    }

    /// A carrier whose entries another one has room for, so that there would be one less.
    fn sparse(&self, kind: Kind) -> Option<u64> {
        let of_kind = self.carriers.iter();
        let of_kind = of_kind.filter(|(_, it)| it.kind == kind && it.is_open() && it.is_stored);
        let mut sizes: Vec<(usize, u64)> = of_kind.map(|(n, it)| (it.entries, *n)).collect();
        sizes.sort_unstable();
        match sizes[..] {
            // Half full at most, so that it is not soon more than one again.
            [(fewest, number), (few, _), ..] if fewest + few <= self.limits.entries(kind) / 2 => {
                Some(number)
            }
            _ => None,
        }
    }

    /// The oldest message of a queue goes when nothing of it is needed. What is in another place
    /// is needed here until that place is stored.
    fn take(&self) -> Option<Action> {
        let is_needed = |name: &Held| {
            let place = self.places.get(name);
            place.is_some_and(|place| !self.is_stored(place.carrier))
        };
        let can_be_taken = |carrier: &Carrier| {
            let oldest = carrier.messages.front();
            oldest.is_some_and(|it| it.live == 0 && !it.names.iter().any(is_needed))
        };
        let found = self.carriers.iter().find(|(_, carrier)| can_be_taken(carrier));
        found.map(|(number, _)| Action::Take(*number))
    }

    fn send_pending(&self) -> Option<Action> {
        [Kind::Prompt, Kind::Bulk].into_iter().find_map(|kind| {
            let of_kind = self.pending.iter().copied().filter(|name| kind_of(*name) == kind);
            let most = self.limits.in_message.min(self.allowed(kind));
            let names: Vec<Held> = of_kind.take(most).collect();
            if names.is_empty() {
                return None;
            }
            match self.with_room(kind, None) {
                Some((carrier, room)) => Some(self.send(carrier, room, names)),
                None => self.create(kind),
            }
        })
    }

    /// Goes on with a pass.
    fn send_again(&self) -> Option<Action> {
        self.carriers.iter().find_map(|(number, carrier)| {
            let names = self.oldest_live(carrier);
            let kind = kind_of(*names.first()?);
            if carrier.is_open() {
                return Some(self.send(*number, usize::MAX, names));
            }
            match self.with_room(kind, Some(*number)) {
                Some((to, room)) if self.is_stored(to) => Some(self.send(to, room, names)),
                // It comes to be stored, or does not.
                Some(_) => None,
                None => self.create(kind),
            }
        })
    }

    /// The live entries of the oldest messages that are to leave, as many as one message takes.
    fn oldest_live(&self, carrier: &Carrier) -> Vec<Held> {
        let mut names: Vec<Held> = Vec::new();
        for message in carrier.messages.iter().take(carrier.pass).filter(|it| it.live > 0) {
            if names.len() >= self.limits.in_message {
                break;
            }
            let is_live = |name: &&Held| {
                self.places.get(name).is_some_and(|place| place.sequence == message.sequence)
            };
            names.extend(message.names.iter().filter(is_live));
        }
        names.truncate(self.limits.in_message);
        if let Some(kind) = names.first().map(|name| kind_of(*name)) {
            names.retain(|name| kind_of(*name) == kind);
        }
        names
    }

    fn send(&self, carrier: u64, room: usize, mut names: Vec<Held>) -> Action {
        names.truncate(room);
        Action::Send { carrier, sequence: self.next_sequence, names }
    }

    /// A carrier that takes more, and how many entries; one that is stored, if there is one.
    fn with_room(&self, kind: Kind, except: Option<u64>) -> Option<(u64, usize)> {
        let carriers = self.carriers.iter();
        let open = carriers.filter(|(_, it)| it.kind == kind && it.is_open());
        let rooms =
            open.filter(|(number, _)| Some(**number) != except).filter_map(|(number, it)| {
                let room = self.limits.entries(kind).saturating_sub(it.entries);
                (room > 0).then_some((!it.is_stored, *number, room))
            });
        rooms.min().map(|(_, number, room)| (number, room))
    }

    fn create(&self, kind: Kind) -> Option<Action> {
        (!self.has_no_room).then_some(Action::Create(self.next_carrier, kind))
    }

    /// An empty carrier goes, unless more would be sent into it.
    fn remove(&self) -> Option<Action> {
        let is_in_use = |number: u64, carrier: &Carrier| {
            carrier.is_open() && self.with_room(carrier.kind, Some(number)).is_none()
        };
        let mut empty = self.carriers.iter().filter(|(_, carrier)| carrier.messages.is_empty());
        let found = empty.find(|(number, carrier)| !is_in_use(**number, carrier));
        found.map(|(number, _)| Action::Remove(*number))
    }
}
