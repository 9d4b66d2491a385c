//! What makes one process another than the next.

use std::collections::{BTreeMap, BTreeSet};

use papa_protocol::text::shown;

use crate::name::Name;
use crate::process::ProcessBuilder;

impl<P> ProcessBuilder<P> {
    /// What makes this another process than `other`, by the keys of
    /// [`show_process`](crate::Papa::show_process): `env.PATH`, `dir`, and so on; `command` for the
    /// program and its arguments. What only one of them leaves to papad is not compared, nor is a
    /// user's name with a number.
    ///
    /// `socket.NAME` is a socket that the process was given and that was made anew since, if one of
    /// them is [`Papa::process_again`](crate::Papa::process_again)'s: it has the old socket until it
    /// is started again. One that was removed and not made again is none of these, nor is one of which
    /// the process's words have the port alone.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let (a, b) = (&self.options, &other.options);
        let is_number = |id: &Vec<u8>| id.iter().all(u8::is_ascii_digit);
        let ids = |a: &Option<Vec<u8>>, b: &Option<Vec<u8>>| match (a, b) {
            (Some(a), Some(b)) => is_number(a) == is_number(b) && a != b,
            (a, b) => a.is_some() != b.is_some(),
        };
        let given = |a: Option<u64>, b: Option<u64>| a.zip(b).is_some_and(|(a, b)| a != b);
        let keys = [
            ("command", self.command != other.command),
            ("uid", ids(&a.uid, &b.uid)),
            ("gid", ids(&a.gid, &b.gid) && a.gid.is_some() == b.gid.is_some()),
            ("dir", a.working_dir != b.working_dir),
            ("umask", a.umask != b.umask),
            ("bufsize", given(a.bufsize, b.bufsize)),
            ("overflow", a.overflow != b.overflow),
            ("stdout", a.stdout != b.stdout),
            ("stderr", a.stderr != b.stderr),
            ("linger", given(a.linger_ms, b.linger_ms)),
            ("shell", a.shell != b.shell),
            ("listen", a.listen != b.listen),
            ("inherit", a.inherit != b.inherit),
        ];
        let keys = keys.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key.to_owned());
        let limits = different(&a.rlimits, &b.rlimits);
        let limits = limits.map(|resource| format!("rlimit.{}", resource.as_str()));
        let (a, b) = (self.environment(), other.environment());
        let variables = different(&a, &b).map(|name| format!("env.{}", shown(name)));
        let anew: BTreeSet<&Name> = self.made_anew.iter().chain(&other.made_anew).collect();
        let sockets = anew.into_iter().map(|name| format!("socket.{}", shown(name.as_bytes())));
        keys.chain(limits).chain(variables).chain(sockets).collect()
    }
}

/// The keys that have not the same value in both.
fn different<'a, K: Ord, V: PartialEq>(
    a: &'a BTreeMap<K, V>,
    b: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = &'a K> {
    let of_a = a.iter().filter(|(key, value)| b.get(key) != Some(value)).map(|(key, _)| key);
    of_a.chain(b.keys().filter(|key| !a.contains_key(key)))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use papa_protocol::options::Resource;

    use super::*;
    use crate::process::ProcessInfo;
    use crate::socket::SocketInfo;

    #[test]
    fn what_makes_it_another_process_can_be_told() {
        let builder = || ProcessBuilder::new((), b"web", OsStr::new("/bin/echo")).env_clear();
        let a = builder().env("A", "1").env("B", "2").user("www").umask(0o27).bufsize(7);
        let b = builder().env("A", "2").env("C", "2").uid(33).rlimit(Resource::Core, 0, 0);
        assert_eq!(a.differences(&b), ["umask", "rlimit.core", "env.A", "env.B", "env.C"]);
        assert_eq!(a.differences(&a), [""; 0]);
        assert_eq!(builder().arg("x").differences(&builder().uid(1)), ["command", "uid"]);
    }

    #[test]
    fn a_socket_differs_if_its_name_stands_for_another_now() {
        let line = "name=web id=7 state=running pid=42 started=5 bufsize=64 overflow=drop first=1 \
                    next=9 lost=2 watchers=3 socket.9=old socket.10=kept socket.11=gone \
                    socket.12=unknown -- /bin/echo";
        let given = ProcessInfo::parse(line.as_bytes(), "0123456789abcdef").unwrap().sockets;
        let socket = |name: &str, cookie: &str| {
            let line = format!("name={name} family=inet type=stream backlog=5 port=80{cookie}");
            SocketInfo::parse(line.as_bytes()).unwrap()
        };
        // An older papad says of no socket which it is.
        let now =
            [socket("kept", " cookie=10"), socket("old", " cookie=13"), socket("unknown", "")];
        let wanted = ProcessBuilder::new((), b"web", OsStr::new("/bin/echo"));
        let running = wanted.clone().with_sockets(&given, &now);
        assert_eq!(wanted.differences(&running), ["socket.old"]);
        assert_eq!(running.differences(&wanted), ["socket.old"]);
        assert_eq!(wanted.differences(&wanted.clone().with_sockets(&[], &now)), [""; 0]);
    }
}
