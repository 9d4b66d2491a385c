//! Starting a program: all that can be prepared is, then a child does the rest by system calls.
//!
//! The child writes its pid into the journal before anything else, so there is no instant at
//! which a killed server leaves a running child that nobody knows.

use std::collections::BTreeMap;
use std::ffi::{CString, NulError};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::AtomicI32;

use nix::errno::Errno;
use papa_protocol::exact::{Code, Failure};
use papa_protocol::options::{Limit, Resource};
use papa_protocol::text::shown;

use super::identity::Identity;
use super::interpreter;
use super::spec::Spec;
use crate::journal::{Change, Record};
use crate::limit;
use crate::sys::{self, ListenPid, NotStarted, PID_DIGITS, PidRecord, Plan, Step};

/// Where programs without a slash in their name are looked for when the environment has no PATH.
const DEFAULT_PATH: &[u8] = b"/bin:/usr/bin";

/// What a hosted process starts with, whatever papad has made of its own since.
#[derive(Clone, Debug)]
pub(crate) struct Defaults {
    /// Soft and hard limit on descriptors.
    pub(crate) descriptor_limit: (u64, u64),
    /// What is added to its OOM score, if that is not papad's own.
    pub(crate) oom_score: Option<i32>,
    /// Soft and hard, if they are not papad's own.
    pub(crate) file_size_limit: Option<(u64, u64)>,
    pub(crate) umask: u32,
    /// Signals that papad ignores and a child is not to.
    pub(crate) ignored_signals: Vec<i32>,
}

/// A descriptor of papad's and the number it gets in the child.
pub(crate) struct Passed<'a> {
    pub(crate) fd: BorrowedFd<'a>,
    pub(crate) number: RawFd,
}

/// What to start.
pub(crate) struct Program<'a> {
    /// The process's number in the journal.
    pub(crate) id: u64,
    pub(crate) spec: &'a Spec,
    /// `spec.args` and `spec.env` with references to sockets replaced.
    pub(crate) args: Vec<Vec<u8>>,
    pub(crate) env: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) identity: &'a Identity,
    pub(crate) descriptors: Vec<Passed<'a>>,
}

impl Program<'_> {
    /// Starts the program and returns when it runs. `pid` is set before the child does anything.
    ///
    /// # Errors
    /// One sentence that names the cause. No process is left then, and the child's end, if there
    /// was one, is still to be reaped.
    pub(crate) fn start(
        self,
        defaults: &Defaults,
        journal: &Change,
        pid: &AtomicI32,
    ) -> Result<(), Failure> {
        let spec = self.spec;
        let args = if spec.shell { shell_args(&self.args) } else { self.args };
        let mut env: Vec<Vec<u8>> =
            self.env.iter().map(|(key, value)| [key, &b"="[..], value].concat()).collect();
        env.extend(listen_variables(&spec.listen));
        let has_nul =
            |_: NulError| Failure::new(Code::Spawn, "A NUL byte cannot be passed to a program");
        let cannot_prepare = |error: io::Error| {
            Failure::new(limit::code_of(&error), format!("Cannot prepare the process - {error}"))
        };

        // No source may be another's target, and none is to be among the kept numbers, which the
        // child does not take on: those are duplicated to numbers in between.
        let targets = self.descriptors.iter().map(|passed| passed.number);
        let free = targets.max().unwrap_or_default() + 1;
        let mut duplicates = Vec::new();
        let sources = self.descriptors.iter().map(|passed| passed.fd);
        for source in sources.chain([journal.as_fd()]) {
            let is_in_the_way = !(free..sys::KEPT).contains(&source.as_raw_fd());
            let duplicate = is_in_the_way.then(|| sys::duplicate_above(source, free)).transpose();
            duplicates.push(duplicate.map_err(cannot_prepare)?);
        }
        let chosen = |at: usize, otherwise| -> BorrowedFd<'_> {
            duplicates.get(at).and_then(Option::as_ref).map_or(otherwise, OwnedFd::as_fd)
        };
        let passed = self.descriptors.iter().enumerate();

        let file_size_limit = defaults
            .file_size_limit
            .map(|(soft, hard)| (Resource::Fsize, Limit { soft, hard }))
            .filter(|_| !spec.rlimits.contains_key(&Resource::Fsize));
        let is_other_user = self.identity.is_other_user();
        // papad's own may be in a directory that the other user could not enter.
        let otherwise = is_other_user.then(|| b"/".to_vec());
        let folder = spec.working_dir.clone().or(otherwise);
        let programs = candidates(spec, &args);
        let mut plan = Plan {
            journal: chosen(self.descriptors.len(), journal.as_fd()),
            started: started_record(self.id),
            failed: Record::new("failed").number(self.id).into_bytes(),
            ignored_signals: defaults.ignored_signals.clone(),
            umask: spec.umask.unwrap_or(defaults.umask),
            folder: folder.clone().map(CString::new).transpose().map_err(has_nul)?,
            descriptor_limit: defaults.descriptor_limit,
            oom_score: defaults.oom_score.map(|score| score.to_string().into_bytes()),
            // In this order, so that what was asked for is what is in force.
            limits: file_size_limit
                .into_iter()
                .chain(spec.rlimits.iter().map(|(&resource, &limit)| (resource, limit)))
                .collect(),
            descriptors: passed
                .map(|(at, passed)| (chosen(at, passed.fd), passed.number))
                .collect(),
            is_other_user,
            groups: self.identity.groups.clone(),
            gid: self.identity.gid,
            uid: self.identity.uid,
            programs: c_strings(programs.clone()).map_err(has_nul)?,
            args: c_strings(args).map_err(has_nul)?,
            env: c_strings(env).map_err(has_nul)?,
            listen_pid: (!spec.listen.is_empty()).then(ListenPid::new),
        };
        sys::start_child(&mut plan, pid).map_err(|error| match error {
            NotStarted::Clone(error) => {
                let code = if limit::is_met(&error) { Code::Limit } else { Code::Spawn };
                Failure::new(code, format!("Cannot make a process - {error}"))
            }
            NotStarted::Child(step, errno) => {
                let code = if limit::is_met(&errno.into()) { Code::Limit } else { Code::Spawn };
                let mut what = describe(step, errno.desc(), spec);
                if (step, errno) == (Step::Exec, Errno::ENOENT) {
                    let folder = folder.as_deref();
                    let missing = programs.iter().find_map(|it| interpreter::missing(it, folder));
                    what.extend(missing.map(|missing| format!(" ({missing})")));
                }
                Failure::new(code, what)
            }
        })
    }
}

/// One sentence for the client.
fn describe(step: Step, why: &str, spec: &Spec) -> String {
    match step {
        Step::Exec => {
            let command = spec.args.first().map(|word| shown(word)).unwrap_or_default();
            format!("Bad command - {why}: {command}")
        }
        Step::Directory => {
            let folder = spec.working_dir.as_deref().unwrap_or_default();
            format!("Bad working_dir - {why}: {}", shown(folder))
        }
        Step::Limit(resource) => format!("Cannot set rlimit {} - {why}", resource.as_str()),
        Step::DescriptorLimit => format!("Cannot set rlimit nofile - {why}"),
        Step::OomScore => format!("Cannot set the OOM score - {why}"),
        Step::Groups => format!("Cannot set the supplementary groups - {why}"),
        Step::Gid => format!("Cannot change to gid {} - {why}", spec.gid.unwrap_or_default()),
        Step::Uid => format!("Cannot change to uid {} - {why}", spec.uid.unwrap_or_default()),
        Step::Record
        | Step::Session
        | Step::Signals
        | Step::Descriptors
        | Step::Keyring
        | Step::Capabilities => format!("Cannot prepare the process - {why}"),
    }
}

/// `started ID PID`, the pid to be filled in by the child.
fn started_record(id: u64) -> PidRecord {
    let digits = "0".repeat(PID_DIGITS);
    let bytes = Record::new("started").number(id).word(digits).into_bytes();
    let place = bytes.len() - 1 - PID_DIGITS;
    PidRecord { bytes, place }
}

/// What systemd's `sd_listen_fds(3)` reads, but for the pid.
fn listen_variables(names: &[Vec<u8>]) -> Vec<Vec<u8>> {
    if names.is_empty() {
        return Vec::new();
    }
    let count = format!("LISTEN_FDS={}", names.len());
    vec![count.into_bytes(), [&b"LISTEN_FDNAMES="[..], &names.join(&b':')].concat()]
}

/// The words are one command line for the shell, as a person types it.
fn shell_args(words: &[Vec<u8>]) -> Vec<Vec<u8>> {
    vec![b"/bin/sh".to_vec(), b"-c".to_vec(), words.join(&b' ')]
}

/// The files to try: the command itself if it has a slash, otherwise in each folder of PATH, the
/// one in the process's own environment (as papa does).
fn candidates(spec: &Spec, args: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let command = args.first().map(Vec::as_slice).unwrap_or_default();
    if command.contains(&b'/') {
        return vec![command.to_vec()];
    }
    let path = spec.env.get(&b"PATH"[..]).map_or(DEFAULT_PATH, Vec::as_slice);
    path.split(|&byte| byte == b':')
        .map(|folder| match folder {
            b"" => command.to_vec(),
            folder => [folder, b"/", command].concat(),
        })
        .collect()
}

fn c_strings(strings: Vec<Vec<u8>>) -> Result<Vec<CString>, NulError> {
    strings.into_iter().map(CString::new).collect()
}
