//! How much processes write, from one reading to the next.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use papa_client::ProcessId;

use super::reading::Reading;

/// How far back graphs go.
const MINUTE: Duration = Duration::from_secs(60);

/// Bars of a graph, from none to the most.
const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The rates of all processes.
#[derive(Debug, Default)]
pub(super) struct Rates {
    meters: BTreeMap<ProcessId, Meter>,
    /// When it was looked last.
    at: Option<Instant>,
}

/// What is known of one process.
#[derive(Debug)]
struct Meter {
    /// The end of its output.
    next: u64,
    /// Processor time until then.
    cpu: Option<Duration>,
    /// Processor time of the last interval, in percent of one processor.
    load: Option<u64>,
    /// Bytes a second, and when that was measured. Nothing is older than a minute.
    history: VecDeque<(Instant, u64)>,
}

impl Rates {
    /// Compares a reading with the one before.
    ///
    /// A process is known by its id: one that takes a name over begins anew, and so do all when
    /// papad has started from nothing.
    pub(super) fn add(&mut self, reading: &Reading) {
        let before = self.at.replace(reading.at);
        let mut meters = BTreeMap::new();
        for process in &reading.processes {
            let (known, known_cpu, mut history) = match self.meters.remove(&process.id) {
                Some(meter) => (meter.next, meter.cpu, meter.history),
                // It was not there the last time: all of its output is of this while.
                None => (0, None, VecDeque::new()),
            };
            let time = before.map(|before| reading.at.saturating_duration_since(before));
            if let Some(time) = time.filter(|time| !time.is_zero()) {
                let bytes = process.next.saturating_sub(known);
                history.push_back((reading.at, per_second(bytes, time)));
            }
            let is_old = |at: Instant| reading.at.saturating_duration_since(at) >= MINUTE;
            while history.front().is_some_and(|(at, _)| is_old(*at)) {
                history.pop_front();
            }
            let cpu = process.usage.map(|usage| usage.cpu);
            let used = cpu.zip(known_cpu).map(|(cpu, known)| cpu.saturating_sub(known));
            let load = used.zip(time.filter(|time| !time.is_zero()));
            let load = load.map(|(used, time)| percent(used, time));
            meters.insert(process.id, Meter { next: process.next, cpu, load, history });
        }
        self.meters = meters;
    }

    /// Bytes a second of a process; `None` before there is anything to compare with.
    pub(super) fn of(&self, id: ProcessId) -> Option<u64> {
        self.meters.get(&id)?.history.back().map(|(_, rate)| *rate)
    }

    /// Processor time of a process in the last interval, in percent of one processor; `None` before
    /// there is anything to compare with.
    pub(super) fn load(&self, id: ProcessId) -> Option<u64> {
        self.meters.get(&id)?.load
    }

    /// Bytes a second of all processes.
    pub(super) fn total(&self) -> u64 {
        let rates = self.meters.values().filter_map(|meter| meter.history.back());
        rates.map(|(_, rate)| *rate).sum()
    }

    /// The last minute of a process in so many bars, the latest at the right, and the greatest of
    /// them full.
    pub(super) fn graph(&self, id: ProcessId, width: usize) -> String {
        let mut bars = vec![0; width];
        let history = self.meters.get(&id).map(|meter| &meter.history);
        if let Some(now) = self.at {
            for (at, rate) in history.into_iter().flatten() {
                let age = now.saturating_duration_since(*at).as_millis();
                let back = age * width as u128 / MINUTE.as_millis();
                let index = width.checked_sub(1 + usize::try_from(back).unwrap_or(usize::MAX));
                if let Some(bar) = index.and_then(|index| bars.get_mut(index)) {
                    *bar = (*bar).max(*rate);
                }
            }
        }
        let most = bars.iter().copied().max().unwrap_or(0);
        bars.into_iter().map(|rate| bar(rate, most)).collect()
    }
}

fn percent(used: Duration, time: Duration) -> u64 {
    u64::try_from(used.as_micros() * 100 / time.as_micros().max(1)).unwrap_or(u64::MAX)
}

/// A bar for a part of the most. Anything but nothing is seen.
fn bar(rate: u64, most: u64) -> char {
    let levels = BARS.len() as u128 - 1;
    let level = (u128::from(rate) * levels).div_ceil(u128::from(most.max(1)));
    BARS.get(level as usize).copied().unwrap_or(' ')
}

fn per_second(bytes: u64, time: Duration) -> u64 {
    let rate = u128::from(bytes) * 1_000_000_000 / time.as_nanos().max(1);
    u64::try_from(rate).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::state::tests::{id, process, reading};
    use super::*;

    /// The rates after readings in which one process has written so much, at so many seconds.
    fn rates(readings: &[(u64, u64)]) -> Rates {
        let begin = Instant::now();
        let mut rates = Rates::default();
        for &(second, next) in readings {
            rates.add(&reading(begin, second, vec![process(1, "web", next)]));
        }
        rates
    }

    #[test]
    fn a_rate_is_what_was_written_by_the_time_that_it_took() {
        assert_eq!(rates(&[(0, 5000)]).of(id(1)), None);
        assert_eq!(rates(&[(0, 5000), (2, 9000)]).of(id(1)), Some(2000));
        // papad has not answered for a while.
        assert_eq!(rates(&[(0, 5000), (1, 6000), (11, 16000)]).of(id(1)), Some(1000));
        // Of nonsense nothing comes.
        assert_eq!(rates(&[(0, 5000), (1, 0)]).of(id(1)), Some(0));
        assert_eq!(rates(&[(0, 5000), (0, 6000)]).of(id(1)), None);
    }

    #[test]
    fn another_process_of_a_name_is_another() {
        let begin = Instant::now();
        let mut rates = rates(&[(0, 5000)]);
        rates.at = Some(begin);
        rates.add(&reading(begin, 1, vec![process(2, "web", 300)]));
        assert_eq!((rates.of(id(1)), rates.of(id(2)), rates.total()), (None, Some(300), 300));
    }

    #[test]
    fn a_graph_is_of_a_minute_and_its_greatest_bar_is_full() {
        let rates = rates(&[(0, 0), (30, 60_000), (59, 60_000), (60, 64_000)]);
        assert_eq!(rates.graph(id(1), 6), "  ▄  █");
        assert_eq!(rates.graph(id(2), 6), "      ");
        // What is a minute old has left it.
        let long: Vec<(u64, u64)> = (0..1000).map(|second| (second, second)).collect();
        assert_eq!(super::tests::rates(&long).meters[&id(1)].history.len(), 60);
    }

    #[test]
    fn anything_but_nothing_is_seen() {
        assert_eq!((bar(0, 1_000_000), bar(1, 1_000_000), bar(1, 1)), (' ', '▁', '█'));
        assert_eq!(bar(u64::MAX, u64::MAX), '█');
    }
}
