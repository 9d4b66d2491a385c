//! Who belongs to a hosted process: the members of the session that it leads (setsid(2)), the
//! process itself and all of its descendants that have not made a session of their own.
//!
//! The number of a session is the pid that its leader had. The kernel gives it to nobody else while
//! the session has a member, and to anybody afterwards, so a session of that number may be a
//! stranger's. Its members are then younger than the end of the last member of ours, which is what
//! [`Process::session_seen`] is for: whatever is in the session and was started by then is ours.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use super::process::{Life, Process};
use super::since_boot;
use super::stat::{self, stat};
use super::table::Processes;
use crate::limit;

/// A process in the session of a hosted one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) pid: i32,
    /// In clock ticks since boot.
    pub(crate) started: u64,
}

impl Processes {
    /// The members of each process's session that have not ended.
    ///
    /// # Errors
    /// There is no descriptor or no memory to look with.
    pub(crate) fn members(
        &self,
        processes: impl IntoIterator<Item = Arc<Process>>,
    ) -> io::Result<Vec<(Arc<Process>, Vec<Member>)>> {
        let processes: Vec<_> = processes.into_iter().filter(|it| it.pid() > 0).collect();
        let mut found = find(processes.iter().map(|process| process.pid()))?;
        let seen = since_boot();
        let mut members = Vec::new();
        for process in processes {
            // Several may have had one pid, one after the other: they see the same.
            let all = found.get_mut(&process.pid()).map(|all| all.clone()).unwrap_or_default();
            let ours = if self.has_pid(&process)? {
                process.session_seen.fetch_max(seen, SeqCst);
                all
            } else {
                ours_of_ended(&process, all, seen)?
            };
            members.push((process, ours));
        }
        Ok(members)
    }

    /// Whether a process has its pid still, so that nobody else can have had it until now.
    fn has_pid(&self, process: &Process) -> io::Result<bool> {
        if !self.may_be_orphan(process) {
            // The keeper reaps it only after its end is recorded.
            return Ok(!matches!(process.life(), Life::Exited(_)));
        }
        // Whoever has adopted it may have reaped it before its end is known here.
        match self.pidfd(process)? {
            Some(pidfd) => Ok(!limit::is_readable_within(&pidfd, Duration::ZERO)?),
            None => Ok(false),
        }
    }
}

/// Of those that are in a session of this number, the members of the session that this process led.
fn ours_of_ended(process: &Process, all: Vec<Member>, seen: u64) -> io::Result<Vec<Member>> {
    let last_tick = process.session_seen.load(SeqCst) / stat::tick();
    let is_known = |member: &Member| member.started <= last_tick;
    for member in all.iter().filter(|member| is_known(member)) {
        if is_in_session(*member, process.pid())? {
            // One that is ours has held the number until now: all are.
            process.session_seen.fetch_max(seen, SeqCst);
            return Ok(all);
        }
    }
    Ok(all.into_iter().filter(is_known).collect())
}

fn is_in_session(member: Member, session: i32) -> io::Result<bool> {
    let is_it = |it: &stat::Stat| it.started == member.started && it.session == session;
    Ok(stat(member.pid)?.is_some_and(|it| is_it(&it)))
}

/// The processes of these sessions that have not ended.
fn find(sessions: impl Iterator<Item = i32>) -> io::Result<HashMap<i32, Vec<Member>>> {
    let mut found: HashMap<i32, Vec<Member>> = sessions.map(|number| (number, vec![])).collect();
    if found.is_empty() {
        return Ok(found);
    }
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        let Some(stat) = stat(pid)?.filter(|stat| !stat.has_ended()) else { continue };
        if let Some(members) = found.get_mut(&stat.session) {
            members.push(Member { pid, started: stat.started });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    use super::super::spec::Spec;
    use super::*;
    use crate::processes::{Ending, Exit, now};

    const EXITED: Life =
        Life::Exited(Exit { ending: Ending::Unknown, time: papa_protocol::frame::Time(0) });

    /// A process that has ended and led this session.
    fn ended(session: i32, session_seen: u64) -> Process {
        let process = Process::recovered(1, b"a".to_vec(), Spec::default(), now(), session, EXITED);
        process.session_seen.store(session_seen, SeqCst);
        process
    }

    #[test]
    fn session_of_an_ended_leader_is_known_by_members_older_than_its_end() {
        let mut leader = Command::new("setsid")
            .args(["sh", "-c", "sleep 1000 >/dev/null & echo $!"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let session = leader.id() as i32;
        let mut line = String::new();
        BufReader::new(leader.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let child: i32 = line.trim().parse().unwrap();
        leader.wait().unwrap();

        let all = find([session].into_iter()).unwrap().remove(&session).unwrap();
        assert_eq!(all.iter().map(|member| member.pid).collect::<Vec<_>>(), [child]);
        let seen = since_boot();
        // A stranger's session of the same number: all in it are younger than the end of ours.
        let before = (all[0].started - 1) * stat::tick();
        let process = ended(session, before);
        assert_eq!(ours_of_ended(&process, all.clone(), seen).unwrap(), []);
        assert_eq!(process.session_seen.load(SeqCst), before);
        // One of ours has held the number, and so younger ones are ours as well.
        let younger = Member { pid: i32::MAX, started: u64::MAX };
        let both = vec![all[0], younger];
        let process = ended(session, (all[0].started + 1) * stat::tick());
        assert_eq!(ours_of_ended(&process, both.clone(), seen).unwrap(), both);
        assert_eq!(process.session_seen.load(SeqCst), seen);
        // When it has ended, nobody can say whose the younger ones are.
        kill(Pid::from_raw(child), Signal::SIGKILL).unwrap();
        while stat(child).unwrap().is_some_and(|stat| !stat.is_zombie) {
            std::thread::yield_now();
        }
        let process = ended(session, (all[0].started + 1) * stat::tick());
        assert_eq!(ours_of_ended(&process, vec![younger], seen).unwrap(), []);
    }
}
