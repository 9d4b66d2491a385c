//! Making processes.

use std::collections::BTreeMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::time::Duration;

use papa_protocol::exact::{MakeProcess, Request};
use papa_protocol::name::Noun;
use papa_protocol::options::{Limit, Overflow, ProcessOptions, Replace, Resource, Stderr, Stdout};
use papa_protocol::text::shown;

use crate::calls;
use crate::client::Call;
use crate::error::{Error, Result};
use crate::fields::os_string;
use crate::name::Name;
use crate::process::{GivenSocket, ProcessInfo};
use crate::socket::SocketInfo;

/// What `sd_listen_fds(3)` reads. They speak of the descriptors of one process and are never
/// handed on.
const LISTEN_VARIABLES: [&str; 3] = ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"];

/// A process that is to be made: see [`Papa::process`](crate::Papa::process).
///
/// It is built as a [`std::process::Command`] is, and like that it has this program's environment
/// unless [`env_clear`](Self::env_clear) is called. All of it makes up what the process *is*: to
/// make one of the same name and the same specification again finds the one that is there, and
/// with any difference, that of one variable too, is an error of the kind
/// [`Exists`](crate::ErrorKind::Exists). A process manager that is to find its processes again
/// therefore clears the environment and names what matters.
///
/// In arguments, and in the values of variables, `$(socket.NAME.fileno)` and `$(socket.NAME.port)`
/// stand for those of papad's socket of that name.
#[derive(Debug, Clone)]
#[must_use = "nothing is made before `make`"]
pub struct ProcessBuilder<P> {
    pub(crate) papa: P,
    name: Vec<u8>,
    pub(super) command: Vec<Vec<u8>>,
    /// Whether this program's environment comes first.
    inherits: bool,
    /// What is set on top of that, or taken out of it.
    changes: BTreeMap<OsString, Option<OsString>>,
    pub(super) options: ProcessOptions,
    /// Names of sockets that the running process of this name was given, and that were made anew
    /// since.
    pub(super) made_anew: Vec<Name>,
}

impl<P> ProcessBuilder<P> {
    pub(crate) fn new(papa: P, name: &[u8], program: &OsStr) -> Self {
        Self {
            papa,
            name: name.to_vec(),
            command: vec![program.as_bytes().to_vec()],
            inherits: true,
            changes: BTreeMap::new(),
            options: ProcessOptions::default(),
            made_anew: Vec::new(),
        }
    }

    /// What makes the process of this request.
    pub(crate) fn of(papa: P, request: MakeProcess) -> Self {
        let MakeProcess { name, mut options, command } = request;
        let env = std::mem::take(&mut options.env).into_iter();
        let changes = env.map(|(name, value)| (os_string(name), Some(os_string(value)))).collect();
        Self { papa, name, command, inherits: false, changes, options, made_anew: Vec::new() }
    }

    /// With the sockets that the process of this builder was given, and those that papad has by these
    /// names now.
    pub(crate) fn with_sockets(mut self, given: &[GivenSocket], now: &[SocketInfo]) -> Self {
        let is_another = |given: &&GivenSocket| {
            let cookie = now.iter().find(|it| it.name == given.name).and_then(|it| it.cookie);
            cookie.is_some_and(|cookie| cookie != given.cookie)
        };
        self.made_anew = given.iter().filter(is_another).map(|given| given.name.clone()).collect();
        self
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.push(arg.as_ref().as_bytes().to_vec());
        self
    }

    /// Adds arguments.
    pub fn args<A: AsRef<OsStr>>(self, args: impl IntoIterator<Item = A>) -> Self {
        args.into_iter().fold(self, Self::arg)
    }

    /// Sets a variable of the environment.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.changes.insert(name.as_ref().to_owned(), Some(value.as_ref().to_owned()));
        self
    }

    /// Sets variables of the environment.
    pub fn envs<N: AsRef<OsStr>, V: AsRef<OsStr>>(
        self,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        variables.into_iter().fold(self, |builder, (name, value)| builder.env(name, value))
    }

    /// Takes a variable out of the environment.
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.changes.insert(name.as_ref().to_owned(), None);
        self
    }

    /// Takes every variable out of the environment, this program's own and those set so far.
    pub fn env_clear(mut self) -> Self {
        self.inherits = false;
        self.changes.clear();
        self
    }

    /// The directory to start in. papad's own unless given, which for a daemon is `/`.
    pub fn current_dir(mut self, directory: impl AsRef<Path>) -> Self {
        self.options.working_dir = Some(directory.as_ref().as_os_str().as_bytes().to_vec());
        self
    }

    /// The user to run as, by number. Only a papad of root's can do that.
    pub fn uid(mut self, uid: u32) -> Self {
        self.options.uid = Some(uid.to_string().into_bytes());
        self
    }

    /// The user to run as, by name.
    pub fn user(mut self, name: impl AsRef<[u8]>) -> Self {
        self.options.uid = Some(name.as_ref().to_vec());
        self
    }

    /// The group to run as, by number. The user's own unless given.
    pub fn gid(mut self, gid: u32) -> Self {
        self.options.gid = Some(gid.to_string().into_bytes());
        self
    }

    /// The group to run as, by name.
    pub fn group(mut self, name: impl AsRef<[u8]>) -> Self {
        self.options.gid = Some(name.as_ref().to_vec());
        self
    }

    /// Bytes of output to keep, at most 64 GiB; 0 records nothing. papad's default unless given:
    /// 2 MiB if papad was not told otherwise.
    pub fn bufsize(mut self, bytes: u64) -> Self {
        self.options.bufsize = Some(bytes);
        self
    }

    /// What happens when so much output is kept that no more fits: the oldest goes unless given.
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.options.overflow = overflow;
        self
    }

    /// For how long its end waits, after it has exited, for descendants that hold its output open,
    /// in whole milliseconds up to an hour. A second unless given.
    pub fn linger(mut self, time: Duration) -> Self {
        // Too long a time is refused by papad, whatever it is cut to.
        self.options.linger_ms = Some(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        self
    }

    /// Its file mode creation mask, 0 to 0o777. papad's own unless given.
    pub fn umask(mut self, umask: u32) -> Self {
        self.options.umask = Some(umask);
        self
    }

    /// A resource limit of setrlimit(2): what holds, and up to where the process may raise it.
    /// [`Limit::UNLIMITED`] is no limit.
    pub fn rlimit(mut self, resource: Resource, soft: u64, hard: u64) -> Self {
        self.options.rlimits.insert(resource, Limit { soft, hard });
        self
    }

    /// What becomes of its standard output: kept unless given.
    pub fn stdout(mut self, stdout: Stdout) -> Self {
        self.options.stdout = stdout;
        self
    }

    /// What becomes of its standard error: kept unless given, as a stream of its own.
    pub fn stderr(mut self, stderr: Stderr) -> Self {
        self.options.stderr = stderr;
        self
    }

    /// Hands it sockets of papad's the way systemd does: at descriptors 3, 4, ... in this order,
    /// with `LISTEN_FDS`, `LISTEN_PID` and `LISTEN_FDNAMES` set. See `sd_listen_fds(3)`.
    pub fn listen<N: AsRef<[u8]>>(mut self, sockets: impl IntoIterator<Item = N>) -> Self {
        self.options.listen.extend(sockets.into_iter().map(|name| name.as_ref().to_vec()));
        self
    }

    /// Hands it sockets of papad's, each at its own number:
    /// [`SocketInfo::fileno`](crate::SocketInfo::fileno).
    pub fn inherit<N: AsRef<[u8]>>(mut self, sockets: impl IntoIterator<Item = N>) -> Self {
        self.options.inherit.extend(sockets.into_iter().map(|name| name.as_ref().to_vec()));
        self
    }

    /// Hands the command to `/bin/sh -c` as one line of shell: the program and the arguments, joined
    /// by spaces. They are not quoted. Give the whole line in place of the program, and no arguments.
    pub fn shell(mut self) -> Self {
        self.options.shell = true;
        self
    }

    /// Starts the process in place of one of this name that has ended, however that was made. What
    /// that one wrote, and how it ended, stays until it is taken, or the name's next process is
    /// replaced: see [`Papa::previous`](crate::Papa::previous). In a watch the new one follows it. One
    /// that runs is found, as without this, and never replaced, whoever else does the same at the same
    /// time.
    ///
    /// If the new one cannot be started, the old one is on papad's list as before, and stays there
    /// until another has taken its place or it is removed, though watchers acknowledge its end.
    pub fn replace_ended(mut self) -> Self {
        self.options.replace = Some(Replace::Ended);
        self
    }

    /// The same for one that has ended and of whose output nothing is kept any more. Any other of this name is found, as without this, ended or not.
    pub fn replace_taken(mut self) -> Self {
        self.options.replace = Some(Replace::Taken);
        self
    }

    /// The request of protocol 2 that makes this process: a line of printable ASCII, without its
    /// end. [`Papa::process_of_request`](crate::Papa::process_of_request) reads it.
    pub fn to_request(&self) -> Result<String> {
        let line = Request::MakeProcess(Box::new(self.request()?)).line();
        Ok(String::from_utf8_lossy(&line.into_bytes()).into_owned())
    }

    pub(super) fn environment(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let own = self.inherits.then(env::vars_os).into_iter().flatten();
        let own = own.filter(|(name, _)| !LISTEN_VARIABLES.iter().any(|it| name == it));
        let mut variables: BTreeMap<OsString, OsString> = own.collect();
        for (name, value) in &self.changes {
            match value {
                Some(value) => variables.insert(name.clone(), value.clone()),
                None => variables.remove(name),
            };
        }
        let bytes = |(name, value): (OsString, OsString)| (name.into_vec(), value.into_vec());
        variables.into_iter().map(bytes).collect()
    }

    pub(crate) fn call(&self) -> Result<Call<ProcessInfo>> {
        self.request().map(calls::make_process)
    }

    fn request(&self) -> Result<MakeProcess> {
        let name = Name::of(Noun::Process, &self.name)?.to_vec();
        // A list of several is said with commas between them.
        let mut sockets = self.options.listen.iter().chain(&self.options.inherit);
        if let Some(name) = sockets.find(|name| name.contains(&b',')) {
            let what = "A socket that is handed on must not have a \",\" in its name";
            return Err(Error::usage(format!("{what}: {}", shown(name))));
        }
        if let Some(name) = self.changes.keys().find(|name| !is_variable(name)) {
            let name = shown(name.as_bytes());
            return Err(Error::usage(format!("Nothing of the environment has this name: {name}")));
        }
        let options = ProcessOptions { env: self.environment(), ..self.options.clone() };
        Ok(MakeProcess { name, options, command: self.command.clone() })
    }
}

/// Whether a variable can have this name: see environ(7).
fn is_variable(name: &OsStr) -> bool {
    !name.is_empty() && !name.as_bytes().contains(&b'=')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(builder: &ProcessBuilder<()>) -> Vec<(String, String)> {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        builder.environment().into_iter().map(|(n, v)| (text(n), text(v))).collect()
    }

    #[test]
    fn what_the_wire_would_take_for_something_else_is_refused() {
        let builder = || ProcessBuilder::new((), b"a", OsStr::new("/bin/true"));
        let wrong = [
            builder().listen(["a", "b,c"]),
            builder().inherit(["a,b"]),
            builder().env("A=B", "c"),
            builder().env("", "c"),
        ];
        for builder in wrong {
            let kind = builder.call().err().map(|error| error.kind());
            assert_eq!(kind, Some(crate::ErrorKind::Usage), "{builder:?}");
        }
        assert!(builder().listen(["a", "b"]).env("A", "b=c").call().is_ok());
    }

    #[test]
    fn what_is_written_as_a_request_is_read_back() {
        let builder = ProcessBuilder::new((), b"web", OsStr::new("/bin/echo")).args(["", "a\nb"]);
        let builder = builder.env_clear().env("A", "b=c").bufsize(7).umask(0o27).replace_taken();
        let request = builder.to_request().unwrap();
        assert_eq!(
            request,
            "make process web umask=0027 bufsize=7 replace=taken env.A=b=c -- /bin/echo \"\" \
             \"a\\nb\""
        );
        let again = ProcessBuilder::of((), calls::parse_make_process(request.as_bytes()).unwrap());
        assert_eq!(again.to_request().unwrap(), request);
        assert_eq!(again.env("B", "2").env_remove("A").changes.len(), 2);
    }

    #[test]
    fn the_environment_is_built_as_a_commands() {
        let builder = ProcessBuilder::new((), b"a", OsStr::new("/bin/true"));
        let own = env::var("PATH").unwrap();
        assert!(environment(&builder).contains(&("PATH".to_owned(), own)));
        let builder = builder.env_remove("PATH").env("A", "1");
        assert!(!environment(&builder).iter().any(|(name, _)| name == "PATH"));
        let builder = builder.env_clear().envs([("B", "2"), ("C", "3")]).env_remove("C");
        assert_eq!(environment(&builder), [("B".to_owned(), "2".to_owned())]);
    }
}
