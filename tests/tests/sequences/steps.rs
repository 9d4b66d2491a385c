//! Steps of a sequence: each is one thing that a client does, or that happens to papad.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::thread;
use std::time::Duration;

use papad_tests::exact::{Exact, Seen, number_of, script, value_of};
use papad_tests::kills::{Client, Gone, Random};
use papad_tests::{Faults, Fifo, Frame, Papad, ScratchDir, Stream, Watched, eventually, shell};

use crate::faults;
use crate::model::{Model, Process};
use crate::speaker::{Answer, Speaker};

/// Names of each kind.
const NAMES: u64 = 4;

/// The longest time from a request to a kill that meets it, in microseconds.
const LONGEST_START: u64 = 1000;

/// What processes end with.
const CODE: u8 = 7;
const UNKNOWN: i32 = 511;

/// How often what was done.
#[derive(Default)]
pub(crate) struct Done {
    answered: u64,
    refused: u64,
    unanswered: u64,
    faults_met: u64,
    kills: u64,
    keeper_kills: u64,
    upgrades: u64,
    bytes: usize,
    ends: u64,
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} requests done, {} refused, {} not answered; {} faults met, {} kills of a server, {} of \
             the keeper, {} upgrades; {} bytes of output, {} ends",
            self.answered,
            self.refused,
            self.unanswered,
            self.faults_met,
            self.kills,
            self.keeper_kills,
            self.upgrades,
            self.bytes,
            self.ends
        )
    }
}

/// Values, and the names of sockets and of processes.
type Lists = (BTreeMap<String, String>, Vec<String>, Vec<String>);

/// A sequence that is under way.
pub(crate) struct Sequence<'a> {
    papad: &'a Papad,
    faults: &'a Faults,
    scratch: &'a ScratchDir,
    model: Model,
    /// Processes that are listed, or may be, each with the pipe that steers it.
    processes: BTreeMap<String, (Process, Fifo)>,
    made: u64,
    pub(crate) done: Done,
}

impl<'a> Sequence<'a> {
    pub(crate) fn new(papad: &'a Papad, faults: &'a Faults, scratch: &'a ScratchDir) -> Self {
        let (model, processes, done) = (Model::default(), BTreeMap::new(), Done::default());
        Self { papad, faults, scratch, model, processes, made: 0, done }
    }

    /// Does one thing, and compares.
    pub(crate) fn step(&mut self, random: &mut Random) {
        match random.below(20) {
            0..=4 => self.change_value(random),
            5..=8 => self.change_socket(random),
            9..=10 => self.make_process(random),
            11..=12 => self.have_written(random),
            13..=15 => self.watch(random),
            16 => self.end_process(random),
            17 => self.kill_server(random),
            18 if random.one_in(2) => {
                self.papad.kill_keeper();
                self.done.keeper_kills += 1;
                self.processes.values_mut().for_each(|(it, _)| it.may_be_orphan = true);
            }
            _ => self.upgrade(random),
        }
        self.compare();
    }

    /// Asks for something in any dialect, perhaps under a fault, perhaps with a kill of the server on
    /// the way.
    fn ask(&mut self, random: &mut Random, papa: &str, exact: &str) -> Answer {
        let mut speaker = Speaker::any(self.papad, random);
        let fault = random.one_in(2).then(|| self.faults.put(faults::any(random)));
        let answer = thread::scope(|scope| {
            if random.one_in(6) {
                let (papad, after) = (self.papad, random.below(LONGEST_START));
                self.done.kills += 1;
                scope.spawn(move || {
                    // The moment is the subject here: any at all.
                    thread::sleep(Duration::from_micros(after));
                    papad.kill_server();
                });
            }
            speaker.ask(papa, exact)
        });
        self.done.faults_met += fault.map_or(0, |fault| fault.met());
        match answer {
            Answer::Done => self.done.answered += 1,
            Answer::Refused => self.done.refused += 1,
            Answer::None => self.done.unanswered += 1,
        }
        answer
    }

    fn change_value(&mut self, random: &mut Random) {
        let name = format!("v.{}", random.below(NAMES));
        let (line, exact, value) = if random.one_in(3) {
            // papa 1.0 does not mind if there is none; protocol 2 has an option for that.
            (format!("set {name}"), format!("unset {name}"), None)
        } else {
            self.made += 1;
            let line = format!("set {name} {}", self.made);
            (line.clone(), line, Some(self.made.to_string()))
        };
        match self.ask(random, &line, &exact) {
            Answer::Done => self.model.value(&name).becomes(value),
            Answer::Refused => {}
            Answer::None => self.model.value(&name).may_become(value),
        }
    }

    fn change_socket(&mut self, random: &mut Random) {
        let name = format!("s.{}", random.below(NAMES));
        let is_made = !random.one_in(3);
        let line = if !is_made {
            format!("remove sockets {name}")
        } else if random.one_in(2) {
            format!("make socket {name}")
        } else {
            format!("make socket {name} path={}", self.scratch.join(&name))
        };
        match self.ask(random, &line, &line) {
            Answer::Done => self.model.socket(&name).becomes(is_made),
            Answer::Refused => {}
            Answer::None => self.model.socket(&name).may_become(is_made),
        }
    }

    fn make_process(&mut self, random: &mut Random) {
        let name = format!("p.{}", random.below(NAMES));
        if self.processes.contains_key(&name) {
            return;
        }
        self.made += 1;
        let fifo = Fifo::new(self.scratch, &format!("fifo.{}", self.made));
        let line = format!(
            "exec 3<>{}; while read line <&3; do [ $line = end ] && exit {CODE}; echo $line; done",
            fifo.path()
        );
        let papa = format!("make process {name} {}", shell(&line));
        let exact = format!("make process {name} {}", script(&line));
        match self.ask(random, &papa, &exact) {
            Answer::Done => self.model.process(&name).becomes(true),
            Answer::Refused => return,
            Answer::None => self.model.process(&name).may_become(true),
        }
        self.processes.insert(name, (Process::new(), fifo));
    }

    /// The process of this number among those that there may be.
    fn any_process(&self, random: &mut Random) -> Option<String> {
        let names: Vec<&String> = self.processes.keys().collect();
        (!names.is_empty()).then(|| (*random.pick(&names)).clone())
    }

    fn have_written(&mut self, random: &mut Random) {
        let Some(name) = self.any_process(random) else { return };
        let fault = random.one_in(2).then(|| self.faults.put(faults::any(random)));
        let Some((process, fifo)) = self.processes.get_mut(&name) else { return };
        if !process.is_ending {
            for _ in 0..=random.below(20) {
                self.made += 1;
                let line = format!("{name}.{}", self.made);
                fifo.send(&line);
                process.text.extend(format!("{line}\n").bytes());
            }
        }
        self.done.faults_met += fault.map_or(0, |fault| fault.met());
    }

    fn end_process(&mut self, random: &mut Random) {
        let Some(name) = self.any_process(random) else { return };
        if let Some((process, fifo)) = self.processes.get_mut(&name)
            && !std::mem::replace(&mut process.is_ending, true)
        {
            fifo.send("end");
        }
    }

    /// Watches a process until everything is seen that it was sent to write, and its end.
    fn watch(&mut self, random: &mut Random) {
        let Some(name) = self.any_process(random) else { return };
        let first = self.first_of(&name);
        let Some((process, fifo)) = self.processes.get_mut(&name) else { return };
        process.taken.is_seen(first, "the place that output is kept from");
        if !process.is_ending {
            // So that there is something to see.
            self.made += 1;
            fifo.send(&self.made.to_string());
            process.text.extend(format!("{}\n", self.made).bytes());
        }
        let mut speaker = Speaker::any(self.papad, random);
        let fault = random.one_in(2).then(|| faults::any(random));
        let mut met = 0;
        let seen = match &mut speaker {
            Speaker::Papa(client) => client.watch(&name).and_then(|is_there| {
                assert!(is_there, "{name} is lost");
                let in_force = fault.map(|fault| self.faults.put(fault));
                let seen = watch_in_papa(client, process, first);
                met = in_force.map_or(0, |fault| fault.met());
                seen.ok_or(Gone)
            }),
            Speaker::Exact(exact) => {
                let in_force = fault.map(|fault| self.faults.put(fault));
                let seen = watch_exactly(exact, &name, process);
                met = in_force.map_or(0, |fault| fault.met());
                seen.map_err(|_| Gone)
            }
        };
        self.done.faults_met += met;
        match seen {
            Ok(has_ended) => {
                self.done.bytes += process.text.len() - first;
                if has_ended {
                    self.done.ends += 1;
                    self.processes.remove(&name);
                    self.model.process(&name).becomes(false);
                }
            }
            Err(Gone) if process.is_ending => self.model.process(&name).may_become(false),
            Err(Gone) => {}
        }
        if let Speaker::Papa(client) = speaker {
            client.leave();
        }
    }

    /// From where on the output of a process is kept.
    fn first_of(&self, name: &str) -> usize {
        loop {
            let asked = Exact::try_tcp(self.papad)
                .and_then(|mut exact| exact.try_ask(format!("list processes {name}")));
            if let Ok(lines) = asked {
                return number_of(&lines.unwrap()[0], "first") as usize;
            }
        }
    }

    fn kill_server(&mut self, random: &mut Random) {
        let fault = random.one_in(2).then(|| self.faults.put(faults::any(random)));
        self.papad.kill_server();
        self.done.kills += 1;
        // It is met as far as the next server has come by then.
        self.done.faults_met += fault.map_or(0, |fault| fault.met());
    }

    fn upgrade(&mut self, random: &mut Random) {
        let answer = self.ask(random, "upgrade", "upgrade");
        self.done.upgrades += u64::from(answer == Answer::Done);
    }

    /// Sees that papad holds what it may hold.
    fn compare(&mut self) {
        let (values, sockets, processes) = loop {
            if let Ok(lists) = self.lists() {
                break lists;
            }
        };
        self.model.compare(&values, &sockets, &processes);
        self.processes.retain(|name, _| processes.contains(name));
    }

    fn lists(&self) -> io::Result<Lists> {
        let mut exact = Exact::try_tcp(self.papad)?;
        let values = exact.try_ask("list values")?.unwrap();
        let values = values.iter().map(|line| (value_of(line, "name"), value_of(line, "value")));
        let sockets = exact.try_ask("list sockets")?.unwrap();
        let processes = exact.try_ask("list processes")?.unwrap();
        let names = |lines: Vec<String>| lines.iter().map(|line| value_of(line, "name")).collect();
        Ok((values.collect(), names(sockets), names(processes)))
    }

    /// Removes everything, and sees each process to its end.
    pub(crate) fn end_all(&mut self) {
        let mut exact = Exact::tcp(self.papad);
        exact.ask("remove sockets *");
        for line in exact.ask("list values") {
            exact.ask(format!("unset {}", value_of(&line, "name")));
        }
        for (name, (process, fifo)) in &mut self.processes {
            if !std::mem::replace(&mut process.is_ending, true) {
                fifo.send("end");
            }
            let mut watching = Exact::tcp(self.papad);
            assert!(watch_exactly(&mut watching, name, process).unwrap(), "{name} has not ended");
        }
        eventually("nothing is listed", || exact.ask("list processes").is_empty());
        let status = exact.ask("status").remove(0);
        assert_eq!(number_of(&status, "aside"), 0, "{status}");
    }
}

/// Sees that these bytes are those that come next, and takes them.
#[track_caller]
fn pass(process: &Process, at: &mut usize, data: &[u8]) {
    let expected = &process.text[*at..];
    assert!(
        expected.starts_with(data),
        "at {at} there is {} and not {}",
        data.escape_ascii(),
        expected.escape_ascii()
    );
    *at += data.len();
}

fn is_end_of(process: &Process, code: i32) -> bool {
    code == i32::from(CODE) || code == UNKNOWN && process.may_be_orphan
}

/// Watches in protocol 2; returns whether the process has ended and left the list.
fn watch_exactly(exact: &mut Exact, name: &str, process: &mut Process) -> io::Result<bool> {
    let opening = match exact.try_ask(format!("watch {name}"))? {
        Ok(lines) => lines,
        Err(refusal) => return Err(io::Error::other(refusal.what)),
    };
    let mut at = number_of(&opening[0], "from") as usize;
    process.taken.is_seen(at, "the place that output is kept from");
    while at < process.text.len() || process.is_ending {
        match exact.try_next_seen()? {
            Seen::Data { stream: Stream::Out, position, data, .. } => {
                assert_eq!(position as usize, at);
                pass(process, &mut at, &data);
            }
            Seen::Closed { end, .. } => {
                assert_eq!(at, process.text.len());
                let code = if end.starts_with("unknown") { UNKNOWN } else { number_in(&end) };
                assert!(is_end_of(process, code), "{end}");
                process.taken.may_become(at);
                exact.try_send(format!("ack {name} {at}\nack {name} closed\n"))?;
                while !matches!(exact.try_next_seen()?, Seen::End(_)) {}
                return Ok(true);
            }
            other => panic!("{other:?}"),
        }
    }
    process.taken.may_become(at);
    exact.try_send(format!("ack {name} {at}\nstop\n"))?;
    match exact.try_next_seen()? {
        Seen::End(_) => process.taken.becomes(at),
        Seen::Reply(Err(refusal)) => return Err(io::Error::other(refusal.what)),
        other => panic!("{other:?}"),
    }
    Ok(false)
}

fn number_in(end: &str) -> i32 {
    end.split(' ').nth(1).and_then(|number| number.parse().ok()).expect("an end has a number")
}

/// The same in papa 1.0, which does not say where output begins; `None` if the session has ended.
fn watch_in_papa(client: &mut Client, process: &mut Process, first: usize) -> Option<bool> {
    let mut at = first;
    loop {
        let Watched::Batch(frames) = client.next_watched().ok()? else { return None };
        let mut has_ended = false;
        for frame in frames {
            match frame {
                Frame::Output { data, .. } => pass(process, &mut at, &data),
                Frame::Closed { code, .. } => {
                    assert!(is_end_of(process, code), "{code}");
                    assert_eq!(at, process.text.len());
                    has_ended = true;
                }
            }
        }
        process.taken.may_become(at);
        if has_ended {
            client.send("").ok()?;
            return match client.next_watched().ok()? {
                Watched::Ended(_) => Some(true),
                Watched::Batch(_) => panic!("something came after the end"),
            };
        }
        if process.is_ending || at < process.text.len() {
            client.send("").ok()?;
            continue;
        }
        client.send("q").ok()?;
        while let Watched::Batch(_) = client.next_watched().ok()? {}
        process.taken.becomes(at);
        return Some(false);
    }
}
