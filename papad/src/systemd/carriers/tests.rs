//! The policy against a model of the kernel's queues and of systemd's store, with kills between any
//! two actions.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::carrier::{Kind, Limits, kind_of};
use super::packing::{Action, Packing, TIDY_AFTER};
use crate::link::Held;

/// Small, so that a few steps meet all of them.
const SMALL: Limits =
    Limits { prompt_entries: 4, bulk_entries: 8, messages: 6, in_message: 3, slack: 2 };

/// No policy needs so many actions to come to rest.
const MOST_ACTIONS: usize = 1000;

/// A message in a queue: its number, and which version of what it has.
type Sent = (u64, Vec<(Held, u32)>);

#[derive(Clone, Copy, Debug)]
enum Step {
    Hold(u8),
    Drop(u8),
    /// Waits until what was dropped is closed.
    Tidy,
    /// systemd takes no messages, or takes them again.
    Hang(bool),
    Later,
    /// After so many more actions.
    Kill(u8),
}

struct World {
    packing: Packing,
    queues: BTreeMap<u64, VecDeque<Sent>>,
    /// Carriers that outlive the keeper.
    stored: BTreeSet<u64>,
    /// What systemd has not taken yet: a carrier, and whether it is to be stored.
    requests: VecDeque<(u64, bool)>,
    hangs: bool,
    held: BTreeMap<Held, u32>,
    /// What was told to be safe.
    acknowledged: BTreeMap<Held, u32>,
    version: u32,
    /// Messages that the kernel takes into one queue.
    capacity: usize,
    now: Instant,
    kill_in: Option<u8>,
}

impl World {
    fn new(capacity: usize) -> World {
        World {
            packing: Packing::new(SMALL, usize::MAX),
            queues: BTreeMap::new(),
            stored: BTreeSet::new(),
            requests: VecDeque::new(),
            hangs: false,
            held: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            version: 0,
            capacity,
            now: Instant::now(),
            kill_in: None,
        }
    }

    /// What a keeper would find that is started now.
    fn found(&self) -> BTreeMap<Held, u32> {
        let mut sent: Vec<&Sent> = self.stored.iter().flat_map(|n| &self.queues[n]).collect();
        sent.sort_by_key(|(sequence, _)| *sequence);
        sent.into_iter().flat_map(|(_, entries)| entries).copied().collect()
    }

    /// All entries of all queues, dead ones included.
    fn entries(&self) -> usize {
        self.queues.values().flatten().map(|(_, entries)| entries.len()).sum()
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Hold(number) => {
                self.version += 1;
                self.held.insert(name(number), self.version);
                self.packing.held(name(number));
            }
            Step::Drop(number) => {
                self.held.remove(&name(number));
                self.acknowledged.remove(&name(number));
                self.packing.dropped(name(number), self.now);
            }
            Step::Tidy => self.packing.tidy(),
            Step::Hang(hangs) => self.hangs = hangs,
            Step::Later => self.now += TIDY_AFTER + Duration::from_millis(1),
            Step::Kill(after) => self.kill_in = Some(after),
        }
        self.run();
        if matches!(step, Step::Tidy) && !self.hangs && self.packing.is_safe() {
            assert!(self.packing.is_tidy());
            assert_eq!(self.entries(), self.held.len(), "nothing of what was dropped is left");
        }
    }

    /// Does everything that can be done.
    fn run(&mut self) {
        for _ in 0..MOST_ACTIONS {
            if self.kill_in == Some(0) {
                self.kill();
            }
            if !self.hangs
                && let Some((carrier, is_to_be_stored)) = self.requests.pop_front()
            {
                if is_to_be_stored && self.queues.contains_key(&carrier) {
                    self.stored.insert(carrier);
                    self.packing.stored(carrier);
                } else if !is_to_be_stored {
                    self.stored.remove(&carrier);
                    self.queues.remove(&carrier);
                }
            } else if let Some(action) = self.packing.next(self.now) {
                self.act(action);
            } else {
                if self.packing.is_safe() {
                    self.acknowledged.clone_from(&self.held);
                }
                return;
            }
            self.kill_in = self.kill_in.map(|left| left - 1);
            self.expect_nothing_lost();
        }
        panic!("it does not come to rest");
    }

    fn act(&mut self, action: Action) {
        match &action {
            Action::Create(carrier, _) => {
                self.queues.insert(*carrier, VecDeque::new());
                self.requests.push_back((*carrier, true));
            }
            Action::Send { carrier, sequence, names } => {
                assert!((1..=SMALL.in_message).contains(&names.len()), "{names:?}");
                let queue = self.queues.get_mut(carrier).unwrap();
                if queue.len() >= self.capacity {
                    assert!(self.packing.full(*carrier), "an empty queue takes a message");
                    return;
                }
                let entries = names.iter().map(|name| (*name, self.held[name])).collect();
                queue.push_back((*sequence, entries));
            }
            Action::Take(carrier) => {
                assert!(self.queues.get_mut(carrier).unwrap().pop_front().is_some());
            }
            Action::Remove(carrier) => {
                assert!(self.queues[carrier].is_empty());
                self.requests.push_back((*carrier, false));
            }
        }
        self.packing.done(action, self.now);
    }

    fn expect_nothing_lost(&self) {
        let found = self.found();
        for (name, version) in &self.acknowledged {
            let is_there = found.get(name).is_some_and(|found| found >= version);
            assert!(is_there, "{name} was told to be safe and is not");
        }
    }

    /// Both parts of papad are killed, and another starts from the store.
    fn kill(&mut self) {
        self.kill_in = None;
        let found = self.found();
        self.requests.clear();
        self.queues.retain(|carrier, _| self.stored.contains(carrier));
        self.packing = Packing::new(SMALL, usize::MAX);
        for (carrier, queue) in &self.queues {
            let names =
                |entries: &Vec<(Held, u32)>| entries.iter().map(|(name, _)| *name).collect();
            let messages = queue.iter().map(|(sequence, entries)| (*sequence, names(entries)));
            self.packing.adopt(*carrier, messages.collect());
        }
        // The journal knows what was dropped: that is dropped again.
        let known = std::mem::take(&mut self.held);
        for (name, version) in found {
            if known.contains_key(&name) {
                self.held.insert(name, version);
            } else {
                self.packing.dropped(name, self.now);
            }
        }
    }

    /// Once systemd takes messages, and some time has gone by, exactly what is held is stored.
    fn come_to_rest(&mut self) {
        self.kill_in = None;
        for step in [Step::Hang(false), Step::Later, Step::Later] {
            self.step(step);
        }
        assert!(self.packing.is_safe() && self.packing.is_tidy());
        assert_eq!(self.packing.until(), None, "nothing is left to be done");
        assert_eq!(self.found(), self.held);
        assert_eq!(self.entries(), self.held.len());
        assert_eq!(self.queues.keys().copied().collect::<BTreeSet<_>>(), self.stored);
        if self.capacity < MOST_ACTIONS {
            return;
        }
        for (kind, most) in [(Kind::Prompt, SMALL.prompt_entries), (Kind::Bulk, SMALL.bulk_entries)]
        {
            let of_kind = |queue: &&VecDeque<Sent>| {
                queue
                    .iter()
                    .flat_map(|(_, entries)| entries)
                    .any(|(name, _)| kind_of(*name) == kind)
            };
            let carriers = self.queues.values().filter(of_kind).count();
            let live = self.held.keys().filter(|name| kind_of(**name) == kind).count();
            assert!(carriers <= 4 * live / most + 1, "{carriers} for {live} of {kind:?}");
        }
        for queue in self.queues.values() {
            assert!(queue.len() <= SMALL.messages, "{queue:?}");
        }
    }
}

/// As many prompt names as bulk ones.
fn name(number: u8) -> Held {
    if number.is_multiple_of(2) { Held::Socket(number.into()) } else { Held::Ring(number.into()) }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..40_u8).prop_map(Step::Hold),
        6 => (0..40_u8).prop_map(Step::Drop),
        1 => Just(Step::Tidy),
        1 => any::<bool>().prop_map(Step::Hang),
        2 => Just(Step::Later),
        1 => (0..12_u8).prop_map(Step::Kill),
    ]
}

proptest! {
    #[test]
    fn nothing_is_lost_by_a_kill_between_any_two_actions(
        capacity in prop_oneof![Just(usize::MAX), 1..10_usize],
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let mut world = World::new(capacity);
        for step in steps {
            world.step(step);
        }
        world.come_to_rest();
    }
}

#[test]
fn what_is_dropped_of_a_socket_is_closed_at_once() {
    let mut world = World::new(usize::MAX);
    for number in [0, 2, 4] {
        world.step(Step::Hold(number));
    }
    world.step(Step::Drop(0));
    assert_eq!(world.entries(), 2);
    world.step(Step::Drop(4));
    assert_eq!(world.entries(), 1);
}

#[test]
fn what_is_dropped_of_a_process_is_closed_soon_or_when_somebody_waits() {
    let mut world = World::new(usize::MAX);
    for number in [1, 3, 5, 7] {
        world.step(Step::Hold(number));
    }
    world.step(Step::Drop(3));
    assert_eq!(world.entries(), 4);
    assert_eq!(world.packing.until(), Some(world.now + TIDY_AFTER));
    world.step(Step::Later);
    assert_eq!((world.entries(), world.packing.until()), (3, None));
    world.step(Step::Drop(7));
    assert_eq!(world.entries(), 3);
    world.step(Step::Tidy);
    assert_eq!(world.entries(), 2);
}

#[test]
fn what_replaces_something_counts_when_it_is_stored() {
    let mut world = World::new(usize::MAX);
    for number in 1..=4 {
        world.step(Step::Hold(number * 2));
    }
    world.step(Step::Hang(true));
    // There is no room for it but in a carrier that is not stored.
    world.step(Step::Hold(2));
    assert!(!world.packing.is_safe());
    assert_eq!(world.found()[&name(2)], 1);
    world.step(Step::Hang(false));
    assert!(world.packing.is_safe());
    assert_eq!(world.found()[&name(2)], 5);
}

#[test]
fn beyond_the_allowance_only_what_comes_first_is_sent() {
    let mut world = World::new(usize::MAX);
    world.packing = Packing::new(SMALL, 3);
    for number in [1, 3, 5] {
        world.step(Step::Hold(number));
    }
    assert!(!world.packing.lacks_allowance() && world.packing.is_safe());
    world.step(Step::Hold(7));
    world.step(Step::Hold(2));
    assert!(world.packing.lacks_allowance() && !world.packing.is_safe());
    assert_eq!(world.found().into_keys().collect::<Vec<_>>(), [2, 1, 3, 5].map(name));
    world.step(Step::Drop(1));
    world.step(Step::Drop(2));
    world.step(Step::Later);
    assert!(!world.packing.lacks_allowance() && world.packing.is_safe());
    assert!(world.found().contains_key(&name(7)));
}

#[test]
fn nothing_more_is_made_for_a_store_without_room() {
    let now = Instant::now();
    let mut packing = Packing::new(SMALL, usize::MAX);
    packing.held(name(1));
    let action = packing.next(now).unwrap();
    assert_eq!(action, Action::Create(1, Kind::Bulk));
    packing.note_room(false);
    assert_eq!(packing.next(now), None);
    assert!(packing.lacks_room() && !packing.is_safe());
    packing.dropped(name(1), now);
    assert!(!packing.lacks_room() && packing.is_safe());
}
