//! What happens to papad.

use std::env;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use papad_tests::exact::{Exact, Seen};
use papad_tests::kills::Random;

use crate::Arena;

/// Steps, if nobody wants another length.
const STEPS: u64 = 15;

/// The longest time between two steps, in microseconds.
const LONGEST_PAUSE: u64 = 300_000;

/// The longest time from the request for an upgrade to what befalls it, in microseconds.
const LONGEST_START: u64 = 30_000;

/// How often what has happened.
#[derive(Default)]
pub(crate) struct Trouble {
    steps: AtomicU64,
    server_kills: AtomicU64,
    keeper_kills: AtomicU64,
    upgrades: AtomicU64,
    failed: AtomicU64,
    /// Times that a keeper was about to be killed, and times that another was there.
    keeper_going: AtomicU64,
    keeper_back: AtomicU64,
}

/// A time that began with a word to a process, for one who wants to know why its end is unknown.
pub(crate) struct Since {
    keepers_back: u64,
}

impl Trouble {
    /// From now on.
    pub(crate) fn since_now(&self) -> Since {
        Since { keepers_back: self.keeper_back.load(Ordering::SeqCst) }
    }

    /// Whether there was a moment without a keeper since then.
    pub(crate) fn was_without_keeper(&self, since: &Since) -> bool {
        self.keeper_going.load(Ordering::SeqCst) > since.keepers_back
    }

    /// Makes trouble, step by step.
    pub(crate) fn make(&self, arena: &Arena, random: &mut Random) {
        let seconds: Option<u64> = env::var("PAPAD_TORTURE_SECONDS")
            .ok()
            .map(|text| text.parse().expect("PAPAD_TORTURE_SECONDS is a number"));
        let until = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
        let goes_on = |steps| until.map_or(steps < STEPS, |until| Instant::now() < until);
        let mut steps = 0;
        while goes_on(steps) && arena.goes_on() {
            // The moment is the subject here: any at all.
            thread::sleep(Duration::from_micros(random.below(LONGEST_PAUSE)));
            self.step(arena, random);
            steps = self.steps.fetch_add(1, Ordering::SeqCst) + 1;
        }
        assert!(!goes_on(steps), "given up after {steps} steps");
    }

    fn step(&self, arena: &Arena, random: &mut Random) {
        let subject = &arena.subject;
        match random.below(8) {
            0 | 1 => self.kill_a_server(arena, random),
            2 => self.kill_keeper(arena),
            3 => {
                self.kill_keeper(arena);
                self.kill_a_server(arena, random);
            }
            4 => {
                subject.install_again();
                subject.signal_keeper(Signal::SIGHUP);
            }
            5 => self.fail(arena, random),
            6 => {
                subject.install_again();
                self.ask(arena, "upgrade", || {});
            }
            _ => {
                subject.install_again();
                let mut random = random.branch();
                self.ask(arena, "upgrade", || {
                    thread::sleep(Duration::from_micros(random.below(LONGEST_START)));
                    if random.one_in(2) {
                        self.kill_keeper(arena);
                    } else {
                        self.kill_a_server(arena, &mut random);
                    }
                });
            }
        }
    }

    /// Kills a server, the one that runs or the one that is to be.
    fn kill_a_server(&self, arena: &Arena, random: &mut Random) {
        let papad = &arena.subject.papad;
        let servers = papad.servers();
        if !servers.is_empty() {
            papad.kill(random.pick(&servers));
            self.server_kills.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn kill_keeper(&self, arena: &Arena) {
        let papad = &arena.subject.papad;
        // Without a server that is ready, nobody would be left who has anything.
        arena.subject.exact().try_ask("status").ok();
        self.keeper_going.fetch_add(1, Ordering::SeqCst);
        papad.kill_keeper();
        self.keeper_back.fetch_add(1, Ordering::SeqCst);
        self.keeper_kills.fetch_add(1, Ordering::SeqCst);
    }

    fn fail(&self, arena: &Arena, random: &mut Random) {
        let program = *random.pick(&["/bin/true", "/bin/cat", "/no/such/program", "/tmp"]);
        let before = self.upgrades.load(Ordering::SeqCst);
        self.ask(arena, &format!("upgrade {program}"), || {});
        assert_eq!(self.upgrades.load(Ordering::SeqCst), before, "{program} is no papad");
    }

    /// Asks for an upgrade, does something meanwhile, and counts what becomes of it.
    fn ask(&self, arena: &Arena, line: &str, meanwhile: impl FnOnce()) {
        let papad = &arena.subject.papad;
        let kills = papad.kills_over();
        let answer = Exact::try_tcp(papad).and_then(|mut asking| {
            asking.try_send(format!("{line}\n"))?;
            meanwhile();
            asking.try_next_seen()
        });
        match answer {
            Ok(Seen::Reply(Ok(_))) => {
                self.upgrades.fetch_add(1, Ordering::SeqCst);
            }
            Ok(Seen::Reply(Err(_))) => {
                self.failed.fetch_add(1, Ordering::SeqCst);
            }
            Ok(other) => panic!("{other:?}"),
            Err(error) => {
                assert!(papad.has_killed_since(kills), "a session ended by itself: {error}");
            }
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |of: &AtomicU64| of.load(Ordering::SeqCst);
        write!(
            f,
            "{} steps: {} kills of a server, {} of the keeper, {} upgrades by command, {} refused or \
             put back",
            count(&self.steps),
            count(&self.server_kills),
            count(&self.keeper_kills),
            count(&self.upgrades),
            count(&self.failed)
        )
    }
}
