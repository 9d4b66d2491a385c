//! What is asked on a connection to go on with a watch.

use std::collections::BTreeMap;
use std::sync::Arc;

use papa_protocol::exact::{From as WatchFrom, Mode, Watch};

use crate::name::{Name, Pattern};
use crate::process::{ProcessId, ProcessInfo};
use crate::watch::builder::Plan;
use crate::watch::event::Who;
use crate::watch::ledger::{EndOf, Ledger};

/// A request that a watching session is to answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pending {
    /// To watch a process that was watched before, from where it was left.
    Known(Name),
    /// To watch whatever else there is.
    Rest,
}

/// How to go on.
#[derive(Debug, Default)]
pub(crate) struct Resumption {
    /// Processes that are there no more.
    pub(crate) gone: Vec<Name>,
    /// What to ask, in this order. Nothing if nothing is left.
    pub(crate) requests: Vec<(Pending, Watch)>,
}

/// How to go on with what the ledger knows, given what papad has now. Processes that the plan has a
/// place for are put into the ledger.
///
/// Every process that is known is watched from where it was left, and each only if it is the same
/// still: a position says nothing about another process of that name. One that was replaced, and is
/// among the `previous` ones, is asked for by its id. One that is done and listed
/// still has papad wait for the acknowledgement of its end. Then the patterns are watched, which
/// adds those that came meanwhile. A pattern without a `*` stands for the process that had the name
/// when the watch began, and is not asked for again.
pub(crate) fn resume(
    plan: &mut Plan,
    ledger: &mut Ledger,
    listed: &[ProcessInfo],
    previous: &[ProcessInfo],
    is_first: bool,
) -> Resumption {
    let listed: BTreeMap<&Name, &ProcessInfo> =
        listed.iter().filter(|info| !info.removed).map(|info| (&info.name, info)).collect();
    let previous: BTreeMap<ProcessId, &ProcessInfo> =
        previous.iter().map(|info| (info.id, info)).collect();
    let find = |name: &Name, id: ProcessId| {
        let listed = listed.get(name).filter(|info| info.id == id).map(|info| (*info, None));
        listed.or_else(|| previous.get(&id).map(|info| (*info, Some(id))))
    };
    for (name, (id, position)) in std::mem::take(&mut plan.places) {
        if find(&name, id).is_some() {
            ledger.begin(Arc::new(Who { name, id }), position);
        }
    }
    let mut resumption = Resumption::default();
    for track in ledger.tracks() {
        let name = &track.who.name;
        let Some((info, replaced)) = find(name, track.who.id) else {
            resumption.gone.push(name.clone());
            continue;
        };
        // Of one that was done before, all there is was taken.
        let (taken, received) = match track.end {
            EndOf::Taken => (info.next, info.next),
            EndOf::Open | EndOf::Received => (track.taken, track.received),
        };
        let from = match (plan.data, plan.mode) {
            (false, _) => WatchFrom::Oldest,
            // What was received and not acknowledged is not to be taken off papad's hands yet.
            (true, Mode::Take) => WatchFrom::Position(taken),
            (true, Mode::Peek) => WatchFrom::Position(received),
        };
        resumption.watch(plan, name, replaced, from);
    }
    ledger.keep_done(listed.values().map(|info| info.id).chain(previous.keys().copied()));
    if plan.mode == Mode::Take {
        let all = listed.values().map(|info| (*info, None));
        let all = previous.values().map(|info| (*info, Some(info.id))).chain(all);
        for (info, replaced) in all.filter(|(info, _)| ledger.is_done(info.id)) {
            // Not from a position: nothing is to be kept until it is taken from there.
            resumption.watch(plan, &info.name, replaced, WatchFrom::Newest);
        }
    }
    let is_asked = |name: &[u8], is_replaced: bool| {
        let has_id = |watch: &Watch| watch.id.is_some() && plan.only.is_none();
        let mut known = resumption.requests.iter().map(|(_, watch)| watch);
        known.any(|watch| watch.names == [name] && has_id(watch) == is_replaced)
    };
    // One that was replaced goes before the one that has its name.
    let is_awaited = |pattern: &Pattern| plan.awaited.contains(pattern.as_bytes());
    let names = plan.patterns.iter().filter(|pattern| {
        let is_wanted = is_first || is_awaited(pattern);
        let is_open = is_wanted && plan.only.is_none() && !is_asked(pattern.as_bytes(), false);
        pattern.is_wildcard() || is_open
    });
    let names: Vec<Vec<u8>> = names.map(|pattern| pattern.as_bytes().to_vec()).collect();
    let awaited = names.iter().map(|name| Name::told(name));
    let awaited = awaited.filter(|it| is_asked(it.as_bytes(), true) || plan.awaited.contains(it));
    plan.awaited = awaited.collect();
    if !names.is_empty() {
        // What has come meanwhile is wanted from its first byte, wherever the watch began.
        let from = if is_first { plan.start.into() } else { WatchFrom::Oldest };
        resumption.requests.push((Pending::Rest, plan.request(names, from)));
    }
    resumption
}

impl Resumption {
    /// Asks for one process; by its id if another has replaced it.
    fn watch(&mut self, plan: &Plan, name: &Name, replaced: Option<ProcessId>, from: WatchFrom) {
        let mut request = plan.request(vec![name.to_vec()], from);
        request.id = request.id.or(replaced.map(ProcessId::number));
        self.requests.push((Pending::Known(name.clone()), request));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::WatchBuilder;
    use crate::watch::ledger::{Mark, Track};

    const PAPAD: &str = "0123456789abcdef";

    fn id(number: u64) -> ProcessId {
        ProcessId::new(PAPAD, number).unwrap()
    }

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn listed(name: &str, number: u64) -> ProcessInfo {
        let line = format!(
            "name={name} id={number} state=running pid=1 started=0 bufsize=1 overflow=drop \
             first=0 next=0 lost=0 watchers=0 -- x"
        );
        ProcessInfo::parse(line.as_bytes(), PAPAD).unwrap()
    }

    fn plan(patterns: &[&str]) -> Plan {
        WatchBuilder::new((), patterns).into_parts().unwrap().1
    }

    /// A process that was received up to 30 and acknowledged up to 20.
    fn known<'a>(ledger: &'a mut Ledger, text: &str, number: u64) -> &'a mut Track {
        let who = Arc::new(Who { name: name(text), id: id(number) });
        let track = ledger.begin(Arc::clone(&who), 0);
        track.is_announced = true;
        track.received = 30;
        let number = ledger.hand_out(vec![Mark { who, position: 20, has_ended: false }]);
        ledger.acknowledge(number);
        ledger.get_mut(text.as_bytes()).unwrap()
    }

    /// The names and the beginnings of all requests.
    fn asked(resumption: &Resumption) -> Vec<(String, WatchFrom)> {
        let requests = resumption.requests.iter();
        requests
            .map(|(_, watch)| {
                let names = String::from_utf8(watch.names.join(&b' ')).unwrap();
                let id = watch.id.map(|id| format!(" id={id}")).unwrap_or_default();
                (names + &id, watch.from)
            })
            .collect()
    }

    #[test]
    fn known_processes_go_on_where_they_were_left_and_new_ones_begin() {
        let mut ledger = Ledger::default();
        known(&mut ledger, "web.1", 1);
        let listed = [listed("web.1", 1), listed("web.2", 2)];
        let resumption = resume(&mut plan(&["web.*"]), &mut ledger, &listed, &[], false);
        assert_eq!(
            asked(&resumption),
            [
                ("web.1".to_owned(), WatchFrom::Position(20)),
                ("web.*".to_owned(), WatchFrom::Oldest)
            ]
        );
        assert!(resumption.gone.is_empty());
    }

    #[test]
    fn who_only_looks_goes_on_where_it_has_read_to() {
        let mut ledger = Ledger::default();
        known(&mut ledger, "web", 1);
        let mut plan = plan(&["web"]);
        plan.mode = Mode::Peek;
        let resumption = resume(&mut plan, &mut ledger, &[listed("web", 1)], &[], false);
        assert_eq!(asked(&resumption), [("web".to_owned(), WatchFrom::Position(30))]);
    }

    #[test]
    fn a_name_stands_for_the_process_that_had_it_when_the_watch_began() {
        let mut ledger = Ledger::default();
        known(&mut ledger, "web", 1);
        let (listed, previous) = ([listed("web", 2)], [listed("web", 1)]);
        let resumption = resume(&mut plan(&["web"]), &mut ledger, &listed, &[], false);
        assert_eq!(resumption.gone, [name("web")]);
        assert!(resumption.requests.is_empty());
        let resumption = resume(&mut plan(&["web*"]), &mut ledger, &listed, &[], false);
        assert_eq!(asked(&resumption), [("web*".to_owned(), WatchFrom::Oldest)]);
        // What is kept of the one that was replaced comes first.
        let replaced = || ("web id=1".to_owned(), WatchFrom::Position(20));
        let resumption = resume(&mut plan(&["web"]), &mut ledger, &listed, &previous, false);
        assert_eq!(asked(&resumption), [replaced()]);
        let resumption = resume(&mut plan(&["web*"]), &mut ledger, &listed, &previous, false);
        assert_eq!(asked(&resumption), [replaced(), ("web*".to_owned(), WatchFrom::Oldest)]);
    }

    #[test]
    fn papad_is_told_again_of_what_is_done_and_on_its_list() {
        let mut ledger = Ledger::default();
        let who = Arc::clone(&known(&mut ledger, "web.1", 1).who);
        let end = ledger.hand_out(vec![Mark { who, position: 30, has_ended: true }]);
        ledger.acknowledge(end);
        ledger.take_unsent();
        let listed = [listed("web.1", 1)];
        let mut take = plan(&["web.*"]);
        let resumption = resume(&mut take, &mut ledger, &listed, &[], false);
        let rest = || ("web.*".to_owned(), WatchFrom::Oldest);
        let ended = ("web.1".to_owned(), WatchFrom::Newest);
        assert_eq!(asked(&resumption), [ended, rest()]);
        let mut peek = Plan { mode: Mode::Peek, ..take.clone() };
        let resumption = resume(&mut peek, &mut ledger, &listed, &[], false);
        assert_eq!(asked(&resumption), [rest()]);
        // It has left the list: nothing of it is kept.
        resume(&mut take, &mut ledger, &[], &[], false);
        assert!(!ledger.is_done(id(1)));
    }

    #[test]
    fn when_nothing_is_left_nothing_is_asked() {
        let mut ledger = Ledger::default();
        known(&mut ledger, "web", 1);
        let resumption = resume(&mut plan(&["web"]), &mut ledger, &[], &[], false);
        assert_eq!(resumption.gone, [name("web")]);
        assert!(resumption.requests.is_empty());
    }

    #[test]
    fn a_place_counts_for_the_very_process_alone_and_absent_names_are_asked_for_at_first() {
        let mut plan = plan(&["a", "b", "c"]);
        plan.places = [(name("a"), (id(1), 7)), (name("b"), (id(9), 7))].into();
        let listed = [listed("a", 1), listed("b", 2)];
        let resumption = resume(&mut plan, &mut Ledger::default(), &listed, &[], true);
        assert_eq!(
            asked(&resumption),
            [("a".to_owned(), WatchFrom::Position(7)), ("b c".to_owned(), WatchFrom::Oldest)]
        );
    }

    #[test]
    fn a_place_in_a_replaced_process_counts_before_its_successor() {
        let mut plan = plan(&["a", "b"]);
        plan.places = [(name("b"), (id(1), 7))].into();
        let (current, previous) = ([listed("b", 2)], [listed("b", 1)]);
        let mut ledger = Ledger::default();
        let resumption = resume(&mut plan, &mut ledger, &current, &previous, true);
        let replaced = || ("b id=1".to_owned(), WatchFrom::Position(7));
        assert_eq!(asked(&resumption), [replaced(), ("a b".to_owned(), WatchFrom::Oldest)]);
        // The connection may end before the successor has joined.
        for _ in 0..2 {
            let resumption = resume(&mut plan, &mut ledger, &current, &previous, false);
            assert_eq!(asked(&resumption), [replaced(), ("b".to_owned(), WatchFrom::Oldest)]);
        }
    }
}
