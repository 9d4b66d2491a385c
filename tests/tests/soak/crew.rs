//! One of those who work with papad: its processes and sessions, each replaced now and then.

use std::collections::VecDeque;
use std::io;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use papad_tests::argument;
use papad_tests::continuity::Subject;
use papad_tests::exact::{Exact, Reply, Seen, number_of, script};
use papad_tests::kills::{Client, Random};

/// Processes and sessions of one crew.
pub(crate) const PROCESSES: usize = 125;
pub(crate) const SESSIONS: usize = 25;

/// Values and sockets of one crew.
const VALUES: u64 = 20;
const SOCKETS: u64 = 4;

/// The most lines that a process writes whose output is read.
const MOST_LINES: u64 = 20_000;

/// A process that runs on until it is killed.
struct Resident {
    name: String,
    pid: Pid,
}

/// One crew.
pub(crate) struct Crew<'a> {
    subject: &'a Subject,
    random: Random,
    /// What the names of all that it makes begin with.
    prefix: String,
    made: u64,
    residents: VecDeque<Resident>,
    sessions: Vec<Exact>,
    pub(crate) steps: u64,
}

impl<'a> Crew<'a> {
    pub(crate) fn new(subject: &'a Subject, random: Random, number: usize) -> Self {
        Self {
            subject,
            random,
            prefix: format!("crew{number}"),
            made: 0,
            residents: VecDeque::new(),
            sessions: (0..SESSIONS).map(|_| Exact::tcp(&subject.papad)).collect(),
            steps: 0,
        }
    }

    /// Makes all of its processes, values and sockets.
    pub(crate) fn fill(&mut self) {
        while self.residents.len() < PROCESSES {
            self.make_resident();
        }
        for number in 0..VALUES {
            self.set_value(number);
        }
        for number in 0..SOCKETS {
            self.replace_socket(number);
        }
    }

    /// Does one of the things that managers do.
    pub(crate) fn step(&mut self) {
        self.steps += 1;
        match self.random.below(10) {
            0..=2 => self.replace_killed(),
            3 => self.replace_removed(),
            4 => self.follow_a_flood(),
            5 => {
                let number = self.random.below(VALUES);
                self.set_value(number);
            }
            6 => {
                let number = self.random.below(SOCKETS);
                self.replace_socket(number);
            }
            7 => self.leave_in_the_middle(),
            8 => self.visit_in_papa_1_0(),
            _ => self.reconnect(),
        }
    }

    /// Has each session answer, another one where it was closed with its server.
    pub(crate) fn settle(&mut self) {
        for at in 0..self.sessions.len() {
            while self.sessions[at].try_ask("get nothing").is_err() {
                self.connect_again(at);
            }
        }
    }

    /// Ends and removes all that it has made.
    pub(crate) fn leave(mut self) {
        while let Some(resident) = self.residents.pop_front() {
            self.end(&resident);
        }
        self.ask(&format!("remove sockets {}.*", self.prefix)).unwrap();
        self.ask(&format!("remove values {}.*", self.prefix)).unwrap();
    }

    fn new_name(&mut self) -> String {
        self.made += 1;
        format!("{}.{}", self.prefix, self.made)
    }

    /// Has another session in place of this one, however often servers are killed meanwhile.
    fn connect_again(&mut self, at: usize) {
        self.sessions[at] = loop {
            if let Ok(session) = Exact::try_tcp(&self.subject.papad) {
                break session;
            }
        };
    }

    /// Does something in one of its sessions, and again in another connection if that ended: only
    /// because a server was killed.
    fn in_session<T>(&mut self, mut act: impl FnMut(&mut Exact) -> io::Result<T>) -> T {
        let at = self.random.below(self.sessions.len() as u64) as usize;
        loop {
            match act(&mut self.sessions[at]) {
                Ok(done) => return done,
                Err(_) => self.connect_again(at),
            }
        }
    }

    fn ask(&mut self, line: &str) -> Reply {
        self.in_session(|session| session.try_ask(line))
    }

    /// Makes a process, however often that is asked for.
    fn make(&mut self, name: &str, options: &str, line: &str) -> Pid {
        let lines = self.ask(&format!("make process {name} {options} {}", script(line))).unwrap();
        Pid::from_raw(number_of(&lines[0], "pid") as i32)
    }

    fn make_resident(&mut self) {
        let name = self.new_name();
        let pid = self.make(&name, "bufsize=64k", "echo begun; exec /bin/sleep 100000");
        self.residents.push_back(Resident { name, pid });
    }

    /// Reads everything of a process to its end, and acknowledges that.
    fn watch_to_end(&mut self, name: &str) -> usize {
        let mut bytes = 0;
        let watch = |session: &mut Exact| {
            match session.try_ask(format!("watch {name}"))? {
                // The acknowledgement of its end was heard, and the answer was not.
                Err(refusal) if refusal.code == "not-found" => return Ok(()),
                opening => assert_eq!(opening.unwrap().len(), 1),
            }
            loop {
                match session.try_next_seen()? {
                    Seen::Data { position, data, .. } => {
                        bytes = position as usize + data.len();
                        session.try_send(format!("ack {name} {bytes}\n"))?;
                    }
                    Seen::Closed { .. } => session.try_send(format!("ack {name} closed\n"))?,
                    // Removed, it is gone as soon as it has ended.
                    Seen::Removed { .. } => {}
                    Seen::End(_) => return Ok(()),
                    other => panic!("{other:?}"),
                }
            }
        };
        self.in_session(watch);
        bytes
    }

    fn end(&mut self, resident: &Resident) {
        kill(resident.pid, Signal::SIGKILL).unwrap();
        self.watch_to_end(&resident.name);
    }

    fn replace_killed(&mut self) {
        let resident = self.residents.pop_front().expect("there are residents");
        self.end(&resident);
        self.make_resident();
    }

    /// Removed while it runs, a process is on no list when it has ended.
    fn replace_removed(&mut self) {
        let Resident { name, pid } = self.residents.pop_front().expect("there are residents");
        // The second time, after a kill, it may be gone.
        let _ = self.ask(&format!("remove processes {name}"));
        kill(pid, Signal::SIGKILL).unwrap();
        let list = format!("list processes {name}");
        papad_tests::eventually("it is gone", || {
            self.ask(&list).map_or(true, |lines| lines.is_empty())
        });
        self.make_resident();
    }

    fn follow_a_flood(&mut self) {
        let name = self.new_name();
        let lines = 1 + self.random.below(MOST_LINES) as usize;
        self.make(
            &name,
            "bufsize=64k overflow=block",
            &format!("seq 1000001 {}", 1_000_000 + lines),
        );
        let bytes = self.watch_to_end(&name);
        // Nothing is heard of one whose end was acknowledged to a server that was killed then.
        assert!(bytes == lines * 8 || bytes == 0, "{bytes} of {} came", lines * 8);
    }

    fn set_value(&mut self, number: u64) {
        let value = "x".repeat(1 + self.random.below(2000) as usize);
        self.ask(&format!("set {}.{number} {value}", self.prefix)).unwrap();
    }

    fn replace_socket(&mut self, number: u64) {
        let name = format!("{}.{number}", self.prefix);
        let path = self.subject.scratch.join(&name);
        let options = if number.is_multiple_of(2) { String::new() } else { format!("path={path}") };
        let _ = self.ask(&format!("remove sockets {name}"));
        self.ask(&format!("make socket {name} {options}")).unwrap();
    }

    fn reconnect(&mut self) {
        let at = self.random.below(self.sessions.len() as u64) as usize;
        if self.random.one_in(2) {
            let _ = self.sessions[at].try_send("set half-a-line");
        }
        self.connect_again(at);
    }

    /// A watcher who has acknowledged nothing and leaves.
    fn leave_in_the_middle(&mut self) {
        let at = self.random.below(self.sessions.len() as u64) as usize;
        let watch = format!("watch {}.*", self.prefix);
        let session = &mut self.sessions[at];
        let _ = session.try_ask(watch).and_then(|_| session.try_next_seen());
        self.connect_again(at);
    }

    fn visit_in_papa_1_0(&mut self) {
        let name = self.new_name();
        let make = format!("make process {name} /bin/sh -c {}", argument("echo visited"));
        let papad = &self.subject.papad;
        // Asked again after a kill, it is answered by the line of the one that is there.
        while !Client::connect(papad).is_ok_and(|mut visitor| {
            visitor.ask(&make).is_ok_and(|line| line.contains(" pid=")) && {
                let _ = visitor.watch(&name).and_then(|_| visitor.next_watched());
                true
            }
        }) {}
        self.watch_to_end(&name);
    }
}
