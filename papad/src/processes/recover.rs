//! Processes as the journal and the keeper have them after a server has died.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use nix::unistd::getppid;

use papa_protocol::options::Overflow;

use super::orphans::{self, Found, Started};
use super::output::{Output, Pipes};
use super::process::{Life, Process};
use super::replayed::{Entry, Replayed};
use super::table::Processes;
use super::unpinned::room;
use crate::journal::Record;
use crate::link::Held;
use crate::ring::Ring;
use crate::{limit, log, sys};

/// Processes that are as they were, but that nothing is done for yet.
pub(crate) struct Recovered {
    processes: Vec<Arc<Process>>,
    /// Off the list. Their descendants write to these pipes: without a reader that would kill
    /// them.
    draining: Vec<Arc<Process>>,
    last_id: u64,
}

impl Processes {
    /// Makes all processes as they were. What belongs to them is taken out of `held`. Before a ring
    /// is looked at, `may_read` is asked whether it may be, with its process's number.
    pub(crate) fn recover(
        &self,
        replayed: Replayed,
        held: &mut HashMap<Held, OwnedFd>,
        mut may_read: impl FnMut(u64) -> bool,
    ) -> Recovered {
        let mut processes = Vec::new();
        for (id, entry) in replayed.processes {
            let Some(pid) = entry.pid else {
                // The child was never made, or was killed before it had done anything.
                log::debug!("server", "process {id} was not started");
                let _ = self.journal.change().append(Record::new("failed").number(id));
                continue;
            };
            let Entry { name, started, spec, exit, session_seen, removed, kept, .. } = entry;
            let life = exit.map_or(Life::Running, Life::Exited);
            let process = Process::recovered(id, name, spec, started, pid, life);
            process.given.get_or_init(|| entry.given);
            if let Some(since_boot) = entry.since_boot {
                process.since_boot.get_or_init(|| since_boot);
            }
            process.session_seen.store(session_seen, SeqCst);
            if held.contains_key(&Held::Ring(id)) {
                if may_read(id) {
                    sys::kill_point_of("ring", &process.name);
                } else {
                    held.remove(&Held::Ring(id));
                    self.link.drop_held(vec![Held::Ring(id)]);
                }
            }
            let output = self.recover_output(id, process.spec.overflow, held);
            process.set_output(output);
            if removed {
                process.remove();
            }
            if kept {
                process.keep();
            }
            processes.push(Arc::new(process));
        }
        let mut draining = Vec::new();
        for id in replayed.gone {
            let pipes = take_pipes(id, held);
            if !pipes.all_ended() {
                let process = Process::draining(id, Output::new(pipes, None, Overflow::Drop));
                draining.push(Arc::new(process));
            }
        }
        Recovered { processes, draining, last_id: replayed.last_id }
    }

    /// Goes on with what was recovered. The keeper is the parent of all processes if it is the
    /// first of so many `keepers`.
    pub(crate) fn resume(
        &self,
        recovered: Recovered,
        held: &mut HashMap<Held, OwnedFd>,
        keepers: u64,
    ) {
        let Recovered { processes, draining, last_id } = recovered;
        for process in &draining {
            self.lock().draining.push(process.id);
            self.watch_pipes(process);
        }
        let mut table = self.lock();
        table.last_id = last_id;
        for process in &processes {
            table.list_recovered(process);
        }
        drop(table);
        for process in &processes {
            self.watch_pipes(process);
            let next = process.resume();
            self.follow(process, next);
        }
        if processes.iter().any(|process| process.is_waiting()) {
            self.capture.wait_for_takers();
        }
        if keepers > 1 {
            self.find_parents(&processes, held);
        }
    }

    fn recover_output(
        &self,
        id: u64,
        overflow: Overflow,
        held: &mut HashMap<Held, OwnedFd>,
    ) -> Output {
        let pipes = take_pipes(id, held);
        let ring = held.remove(&Held::Ring(id)).and_then(|fd| {
            let ring = Ring::recover(File::from(fd));
            ring.inspect_err(|error| {
                log::error!("server", "the output of process {id} is lost: {error}");
            })
            .ok()
        });
        let ring = ring.map(|ring| {
            let share = self.buffers.promise_again(ring.bufsize());
            (ring, share)
        });
        Output::new(pipes, ring, overflow)
    }

    /// Sees to it that somebody tells how each process ends that runs.
    fn find_parents(&self, processes: &[Arc<Process>], held: &mut HashMap<Held, OwnedFd>) {
        let (keeper, mut room) = (getppid().as_raw(), room());
        let (mut known, mut new) = (Vec::new(), Vec::new());
        for process in processes.iter().filter(|process| process.life() == Life::Running) {
            let (pid, started) = (process.pid(), Started::of(process));
            // An earlier server has found that it is an orphan.
            if let Some(pidfd) = held.remove(&Held::Pidfd(process.id)) {
                known.push((process, orphans::of_held(pidfd, pid, started)));
                continue;
            }
            match orphans::find(pid, started, keeper) {
                Ok(Found::Child) => {}
                Ok(Found::Orphan(handle)) if room > 0 => {
                    room -= 1;
                    new.push((process, handle));
                }
                Ok(Found::Orphan(handle)) => {
                    process.orphaned.get_or_init(|| handle.started);
                    self.unpinned.add(Arc::clone(process), keeper);
                }
                Ok(Found::Other) => self.ended_unseen(process),
                // There is no descriptor to look with.
                Err(_) => self.unpinned.add(Arc::clone(process), keeper),
            }
        }
        // From here on no end is missed, if there is a server or not.
        let pidfds = new.iter().map(|(it, handle)| (Held::Pidfd(it.id), handle.pidfd.as_fd()));
        let pidfds: Vec<(Held, BorrowedFd)> = pidfds.collect();
        for part in pidfds.chunks(sys::MAX_DESCRIPTORS) {
            // Fails only if the keeper is gone, which ends the server elsewhere.
            let _ = limit::patiently(|| self.link.hold(part));
        }
        for (process, handle) in known.into_iter().chain(new) {
            if self.orphans.add(Arc::clone(process), handle).is_err() {
                self.unpinned.add(Arc::clone(process), keeper);
            }
        }
        self.look_at_unpinned_later();
    }
}

fn take_pipes(id: u64, held: &mut HashMap<Held, OwnedFd>) -> Pipes {
    Pipes { out: held.remove(&Held::Out(id)), err: held.remove(&Held::Err(id)) }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use papa_protocol::frame::Time;
    use papa_protocol::name::Patterns;

    use super::super::process::Exit;
    use super::super::spec::Spec;
    use super::*;
    use crate::bounds::{Allowed, Bounds};
    use crate::journal::{self, Journal};
    use crate::link::Link;
    use crate::processes::ending::Ending;
    use crate::processes::table::shown;
    use crate::processes::{Defaults, Numbers, now};

    fn replay(records: &[Vec<u8>]) -> Replayed {
        let mut file = sys::memfd(c"journal").unwrap();
        std::io::Write::write_all(&mut file, &records.concat()).unwrap();
        let mut replayed = Replayed::default();
        let skipped = journal::replay(&file, |verb, fields| replayed.apply(verb, fields)).unwrap();
        assert_eq!(skipped, 0);
        replayed
    }

    /// What the journal says of a process that runs.
    fn running(process: &Process) -> Vec<u8> {
        process.records().into_iter().flat_map(Record::into_bytes).collect()
    }

    fn process(id: u64, name: &str, pid: i32) -> Process {
        let process = Process::new(id, name.into(), Spec::default(), now());
        process.pid.store(pid, SeqCst);
        process
    }

    fn recovered(replayed: Replayed, keepers: u64) -> (Processes, Link) {
        let (link, server_end) = Link::pair().unwrap();
        let journal = Arc::new(Journal::create().unwrap());
        let defaults = Defaults {
            descriptor_limit: (1, 1),
            oom_score: None,
            file_size_limit: None,
            umask: 0,
            ignored_signals: Vec::new(),
        };
        let server_end = Arc::new(Link::new(server_end));
        let gate = Arc::new(crate::gate::Gate::new().unwrap());
        let bounds = Arc::new(Bounds::new(Allowed::default()));
        let processes = Processes::new(journal, server_end, gate, bounds, defaults).unwrap();
        let mut held = HashMap::new();
        let recovered = processes.recover(replayed, &mut held, |_| true);
        processes.resume(recovered, &mut held, keepers);
        (processes, link)
    }

    fn lives(processes: &Processes) -> Vec<(String, Life)> {
        let all = processes.find(&Patterns::new(Vec::new()), Numbers::AreNames).into_processes();
        all.map(|process| (shown(&process), process.life())).collect()
    }

    fn ending(life: &Life) -> Option<Ending> {
        match life {
            Life::Exited(exit) => Some(exit.ending),
            Life::Starting | Life::Running => None,
        }
    }

    #[test]
    fn under_a_second_keeper_every_process_is_looked_for() {
        // This test's parent stands for the keeper, so its own child is an orphan.
        let runs = process(1, "runs", 0);
        let mut child = Command::new("/bin/cat").stdin(Stdio::piped()).spawn().unwrap();
        runs.pid.store(child.id() as i32, SeqCst);
        // Nobody can have this pid.
        let is_gone = process(2, "is-gone", i32::MAX);
        let records = [running(&runs), running(&is_gone)];

        let (processes, _link) = recovered(replay(&records), 2);
        let found = lives(&processes);
        assert_eq!(found[1], ("runs".to_owned(), Life::Running));
        assert_eq!((&*found[0].0, ending(&found[0].1)), ("is-gone", Some(Ending::Unknown)));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn under_the_first_keeper_no_process_is_looked_for() {
        let is_gone = process(2, "is-gone", i32::MAX);
        let (processes, _link) = recovered(replay(&[running(&is_gone)]), 1);
        assert_eq!(lives(&processes), [("is-gone".to_owned(), Life::Running)]);
    }

    #[test]
    fn an_unknown_end_is_recorded_as_such_and_earlier_versions_see_an_end() {
        let ended = process(1, "a", 7);
        let exit = Exit { ending: Ending::Unknown, time: Time(5) };
        ended.set_exited(exit);
        assert!(running(&ended).ends_with(b"exited 1 511 5\n"));
        let replayed = replay(&[running(&ended)]);
        assert_eq!(replayed.processes[&1].exit, Some(exit));
    }

    #[test]
    fn a_record_without_the_time_since_boot_is_read() {
        let noted = process(1, "a", 7);
        let replayed = replay(&[noted.made_record().into_bytes()]);
        assert_eq!(replayed.processes[&1].since_boot, noted.since_boot.get().copied());
        let replayed = replay(&[b"\x1e1 process 1 5 a bufsize=0 -- /bin/true\n".to_vec()]);
        assert_eq!(replayed.processes[&1].since_boot, None);
    }

    #[test]
    fn a_process_is_not_recovered_under_what_is_no_pid() {
        for pid in ["0", "-1", "x"] {
            let record = process(1, "a", 7).made_record().into_bytes();
            let mut replayed = replay(&[record]);
            let started = Record::new("started").number(1).word(pid).into_bytes();
            let mut file = sys::memfd(c"journal").unwrap();
            std::io::Write::write_all(&mut file, &started).unwrap();
            let skipped = journal::replay(&file, |verb, fields| replayed.apply(verb, fields));
            assert_eq!((skipped.unwrap(), replayed.processes[&1].pid), (1, None), "pid {pid}");
        }
    }
}
