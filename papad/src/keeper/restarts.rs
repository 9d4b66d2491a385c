//! When the next server is started.
//!
//! While there is no server, hosted processes whose pipes are full wait. So a pause is worth it
//! only if starting servers is all that would happen otherwise: a server that was of some use, even
//! for part of a second, is followed by the next one at once, however often that goes on. One that
//! spends less time serving than starting is of none. Servers that end before they are ready are
//! started again with growing pauses from the first one on; those that are ready, and then end at
//! once, after a second of that. A server does not send itself SIGKILL: somebody did, and will stop
//! at some time, or the kernel, for want of memory. That may go on for a minute.

use std::time::{Duration, Instant};

/// Pauses double from the first of these to the last.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A server has ended at once if it served for less than this, or for less than it took to start.
const AT_ONCE: Duration = Duration::from_millis(20);

/// For so long, in all, servers that end at once may follow each other without a pause.
const PATIENCE: Duration = Duration::from_secs(1);

/// Time that was taken by servers which were killed counts for so much less.
const KILLED_COUNT_LESS: u32 = 60;

/// A server that has served for so long is as good as any: what was before it does not count.
const LONG_LIFE: Duration = Duration::from_secs(10);

/// What has become of the servers so far.
pub(super) struct Restarts {
    started: Instant,
    ready: Option<Instant>,
    /// The time that servers in a row took which ended at once, as it counts.
    wasted: Duration,
    /// The pause that servers which ended at once have led to.
    pause: Duration,
    /// Servers in a row that were never ready.
    never_ready: u64,
    /// The pause that they have led to.
    pause_of_never_ready: Duration,
}

impl Restarts {
    pub(super) fn new(now: Instant) -> Restarts {
        Restarts {
            started: now,
            ready: None,
            wasted: Duration::ZERO,
            pause: Duration::ZERO,
            never_ready: 0,
            pause_of_never_ready: Duration::ZERO,
        }
    }

    /// A server is started.
    pub(super) fn start(&mut self, now: Instant) {
        (self.started, self.ready) = (now, None);
    }

    /// It serves.
    pub(super) fn ready(&mut self, now: Instant) {
        self.ready = Some(now);
        (self.never_ready, self.pause_of_never_ready) = (0, Duration::ZERO);
    }

    /// It has ended, of itself or by SIGKILL, or could not be started at all.
    pub(super) fn end(&mut self, now: Instant, is_killed: bool) {
        let Some(ready) = self.ready else {
            self.never_ready += 1;
            self.pause_of_never_ready = longer(self.pause_of_never_ready);
            return;
        };
        let (starting, serving) = (ready - self.started, now - ready);
        if serving >= LONG_LIFE {
            self.pause = Duration::ZERO;
        }
        if serving >= AT_ONCE.max(starting) {
            self.wasted = Duration::ZERO;
            return;
        }
        self.wasted += (starting + serving) / if is_killed { KILLED_COUNT_LESS } else { 1 };
        if self.wasted > PATIENCE {
            self.pause = longer(self.pause);
        }
    }

    /// How many servers in a row have ended before they were ready.
    pub(super) fn never_ready(&self) -> u64 {
        self.never_ready
    }

    /// How long to wait before the next server is started.
    pub(super) fn pause(&self) -> Duration {
        self.pause.max(self.pause_of_never_ready)
    }
}

fn longer(pause: Duration) -> Duration {
    (pause * 2).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_millis(5);

    /// Servers, one after the other, each with the pause before it.
    struct Servers {
        now: Instant,
        restarts: Restarts,
        are_killed: bool,
    }

    impl Servers {
        fn new() -> Servers {
            let now = Instant::now();
            Servers { now, restarts: Restarts::new(now), are_killed: false }
        }

        /// Has one server run, which is ready after the first time and ends after the second.
        /// Returns the pause that follows.
        fn run(&mut self, starting: Duration, serving: Duration) -> Duration {
            self.restarts.start(self.now);
            self.now += starting;
            self.restarts.ready(self.now);
            self.now += serving;
            self.restarts.end(self.now, self.are_killed);
            self.now += self.restarts.pause();
            self.restarts.pause()
        }

        fn run_never_ready(&mut self) -> Duration {
            self.restarts.start(self.now);
            self.restarts.end(self.now + START, self.are_killed);
            self.restarts.pause()
        }
    }

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn those_that_are_never_ready_are_started_with_growing_pauses_until_one_is() {
        let mut servers = Servers::new();
        let pauses: Vec<Duration> = (0..12).map(|_| servers.run_never_ready()).collect();
        assert_eq!(pauses[..3], [millis(10), millis(20), millis(40)]);
        assert_eq!(pauses[10..], [LONGEST_PAUSE; 2]);
        assert_eq!(servers.restarts.never_ready(), 12);
        assert_eq!(servers.run(START, millis(100)), Duration::ZERO);
        assert_eq!(servers.restarts.never_ready(), 0);
        assert_eq!(servers.run_never_ready(), SHORTEST_PAUSE);
    }

    #[test]
    fn those_that_end_at_once_are_started_at_once_for_a_second_and_with_growing_pauses_then() {
        let mut servers = Servers::new();
        let (begun, mut deaths) = (servers.now, 0);
        while servers.run(START, millis(3)) == Duration::ZERO {
            deaths += 1;
        }
        assert!(deaths > 100, "{deaths}");
        assert!(servers.now - begun < PATIENCE + millis(100));
        let pauses: Vec<Duration> = (0..12).map(|_| servers.run(START, millis(3))).collect();
        assert_eq!(pauses[..3], [millis(20), millis(40), millis(80)]);
        assert_eq!(pauses[10..], [LONGEST_PAUSE; 2]);
        // One that does a little better does not change that; one that lives long does.
        assert_eq!(servers.run(START, millis(500)), LONGEST_PAUSE);
        assert_eq!(servers.run(START, LONG_LIFE), Duration::ZERO);
        assert_eq!(servers.run(START, millis(3)), Duration::ZERO);
    }

    #[test]
    fn those_that_are_killed_may_be_so_for_longer() {
        let mut servers = Servers { are_killed: true, ..Servers::new() };
        let begun = servers.now;
        while servers.run(START, millis(3)) == Duration::ZERO {}
        assert!(servers.now - begun > millis(55_000));
        assert!(servers.now - begun < millis(65_000));
    }

    #[test]
    fn those_that_serve_for_a_while_are_started_at_once_however_many_there_are() {
        let mut servers = Servers::new();
        for number in 0..10_000 {
            let serving = if number % 10 == 0 { millis(20) } else { millis(1) };
            assert_eq!(servers.run(START, serving), Duration::ZERO);
        }
    }

    #[test]
    fn who_starts_slowly_has_to_serve_for_longer() {
        let mut servers = Servers::new();
        for _ in 0..2 {
            servers.run(millis(600), millis(300));
        }
        assert_eq!(servers.restarts.pause(), SHORTEST_PAUSE);
        assert_eq!(Servers::new().run(millis(1200), millis(1200)), Duration::ZERO);
    }
}
