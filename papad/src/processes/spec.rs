//! What a process was asked to be: what two requests for one name are compared by, and what the
//! journal keeps.

use std::collections::BTreeMap;

use papa_protocol::command::MakeProcess;
use papa_protocol::exact::DEFAULT_LINGER_MS;
use papa_protocol::options::{Limit, Overflow, ProcessOptions, Resource, Stderr, Stdout};

use super::identity::Identity;
use crate::journal::{Fields, Record, parse_number};
use crate::sockets::References;

/// The whole specification of a process. References to sockets in `args` are not replaced yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spec {
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) working_dir: Option<Vec<u8>>,
    /// Bytes of output that are kept; 0 keeps none.
    pub(crate) bufsize: u64,
    pub(crate) overflow: Overflow,
    /// How long after its exit its end waits for descendants that hold its pipes, in milliseconds.
    pub(crate) linger_ms: u64,
    pub(crate) umask: Option<u32>,
    /// Sockets that it gets as systemd's `LISTEN_FDS`.
    pub(crate) listen: Vec<Vec<u8>>,
    /// Sockets that it gets though none of its words refers to them.
    pub(crate) inherit: Vec<Vec<u8>>,
    pub(crate) stdout: Stdout,
    pub(crate) stderr: Stderr,
    pub(crate) shell: bool,
    pub(crate) env: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) rlimits: BTreeMap<Resource, Limit>,
    pub(crate) args: Vec<Vec<u8>>,
}

impl Spec {
    /// `bufsize` stands in where the options name none.
    pub(crate) fn new(
        options: ProcessOptions,
        args: Vec<Vec<u8>>,
        identity: &Identity,
        bufsize: u64,
    ) -> Spec {
        let bufsize = options.bufsize.unwrap_or(bufsize);
        // Without a buffer there is nothing to keep.
        let (stdout, stderr) = match bufsize {
            0 => (Stdout::Null, Stderr::Null),
            _ => (options.stdout, options.stderr),
        };
        Spec {
            uid: identity.uid,
            gid: identity.gid,
            working_dir: options.working_dir,
            bufsize,
            overflow: options.overflow,
            linger_ms: options.linger_ms.unwrap_or(DEFAULT_LINGER_MS),
            umask: options.umask,
            listen: options.listen,
            inherit: options.inherit,
            stdout,
            stderr,
            shell: options.shell,
            env: options.env,
            rlimits: options.rlimits,
            args,
        }
    }

    /// Bytes of words and environment as exec(2) counts them, but for references to sockets.
    pub(crate) fn bytes(&self) -> usize {
        let env = self.env.iter().map(|(key, value)| key.len() + value.len() + 2);
        let args = self.args.iter().map(|word| word.len() + 1);
        env.chain(args).sum()
    }

    /// Where sockets are referred to.
    pub(crate) fn references(&self) -> References<'_> {
        let Spec { args, env, listen, inherit, .. } = self;
        References { args, env, listen, inherit }
    }

    /// The request that makes such a process again.
    pub(crate) fn request(&self, name: Vec<u8>) -> MakeProcess {
        let text = |number: Option<u32>| number.map(|number| number.to_string().into_bytes());
        let options = ProcessOptions {
            uid: text(self.uid),
            gid: text(self.gid),
            working_dir: self.working_dir.clone(),
            bufsize: Some(self.bufsize),
            stdout: self.stdout,
            stderr: self.stderr,
            watch: false,
            shell: self.shell,
            env: self.env.clone(),
            rlimits: self.rlimits.clone(),
            umask: self.umask,
            overflow: self.overflow,
            linger_ms: Some(self.linger_ms),
            listen: self.listen.clone(),
            inherit: self.inherit.clone(),
            replace: None,
        };
        MakeProcess { name, options, command: self.args.clone() }
    }

    /// Whether a pipe is needed for the stream.
    pub(crate) fn keeps_stdout(&self) -> bool {
        self.stdout == Stdout::Keep
    }

    /// Whether a pipe of its own is needed for the stream.
    pub(crate) fn keeps_stderr(&self) -> bool {
        self.stderr == Stderr::Keep
    }

    /// Adds the specification to a record, as its last words.
    pub(crate) fn write(&self, record: Record) -> Record {
        let mut record = record
            .maybe("uid", self.uid)
            .maybe("gid", self.gid)
            .pair("bufsize", self.bufsize.to_string());
        if let Some(folder) = &self.working_dir {
            record = record.pair("working_dir", folder);
        }
        if self.stdout == Stdout::Null {
            record = record.pair("stdout", "0");
        }
        match self.stderr {
            Stderr::Keep => {}
            Stderr::Null => record = record.pair("stderr", "0"),
            Stderr::Merge => record = record.pair("stderr", "stdout"),
        }
        if let Some(umask) = self.umask {
            record = record.pair("umask", umask.to_string());
        }
        for name in &self.listen {
            record = record.pair("listen", name);
        }
        for name in &self.inherit {
            record = record.pair("inherit", name);
        }
        if self.overflow == Overflow::Block {
            record = record.pair("overflow", "block");
        }
        if self.linger_ms != DEFAULT_LINGER_MS {
            record = record.pair("linger", self.linger_ms.to_string());
        }
        if self.shell {
            record = record.pair("shell", "1");
        }
        for (resource, value) in &self.rlimits {
            record = record.pair(&format!("rlimit.{}", resource.as_str()), value.to_string());
        }
        for (key, value) in &self.env {
            record = record.pair("env", [key, &b"="[..], value].concat());
        }
        self.args.iter().fold(record.word("--"), Record::word)
    }

    /// Reads what `write` wrote.
    pub(crate) fn read(mut fields: Fields) -> Option<Spec> {
        let mut spec = Spec { linger_ms: DEFAULT_LINGER_MS, ..Spec::default() };
        for (key, value) in fields.pairs() {
            match key.as_slice() {
                b"uid" => spec.uid = Some(parse_number(&value)?),
                b"gid" => spec.gid = Some(parse_number(&value)?),
                b"bufsize" => spec.bufsize = parse_number(&value)?,
                b"overflow" => spec.overflow = Overflow::Block,
                b"umask" => spec.umask = Some(parse_number(&value)?),
                b"listen" => spec.listen.push(value),
                b"inherit" => spec.inherit.push(value),
                b"linger" => spec.linger_ms = parse_number(&value)?,
                b"working_dir" => spec.working_dir = Some(value),
                b"stdout" => spec.stdout = Stdout::Null,
                b"stderr" if value == b"stdout" => spec.stderr = Stderr::Merge,
                b"stderr" => spec.stderr = Stderr::Null,
                b"shell" => spec.shell = true,
                b"env" => {
                    let at = value.iter().position(|&byte| byte == b'=')?;
                    spec.env.insert(value[..at].to_vec(), value[at + 1..].to_vec());
                }
                _ => {
                    if let Some(resource) = key.strip_prefix(b"rlimit.") {
                        spec.rlimits.insert(Resource::parse(resource)?, Limit::parse(&value)?);
                    }
                }
            }
        }
        if fields.word()? != b"--" {
            return None;
        }
        spec.args = fields.rest();
        Some(spec)
    }
}
