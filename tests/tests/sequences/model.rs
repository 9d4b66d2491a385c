//! What papad holds, as far as its answers tell.

use std::collections::BTreeMap;

/// What something may be: one thing, or one of several if a request about it was not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MayBe<T>(Vec<T>);

impl<T: Clone + PartialEq + std::fmt::Debug> MayBe<T> {
    pub(crate) fn is(it: T) -> Self {
        Self(vec![it])
    }

    /// A request was answered: it is this.
    pub(crate) fn becomes(&mut self, it: T) {
        self.0 = vec![it];
    }

    /// A request was not answered: it may be this, too.
    pub(crate) fn may_become(&mut self, it: T) {
        if !self.0.contains(&it) {
            self.0.push(it);
        }
    }

    /// It was seen to be this, and is from now on.
    #[track_caller]
    pub(crate) fn is_seen(&mut self, it: T, what: &str) {
        assert!(self.0.contains(&it), "{what} is {it:?} and may be {:?}", self.0);
        self.becomes(it);
    }
}

/// A process that writes each line that it is sent, and ends with a code after `end`.
pub(crate) struct Process {
    /// All that it was sent to write.
    pub(crate) text: Vec<u8>,
    /// It was sent to end.
    pub(crate) is_ending: bool,
    /// From where on output is kept: what was acknowledged, or may have been.
    pub(crate) taken: MayBe<usize>,
    /// The keeper was killed while it ran: how it ends may be unknown.
    pub(crate) may_be_orphan: bool,
}

impl Process {
    pub(crate) fn new() -> Self {
        Self { text: Vec::new(), is_ending: false, taken: MayBe::is(0), may_be_orphan: false }
    }
}

/// Everything.
#[derive(Default)]
pub(crate) struct Model {
    values: BTreeMap<String, MayBe<Option<String>>>,
    sockets: BTreeMap<String, MayBe<bool>>,
    /// Whether a process of this name is listed.
    processes: BTreeMap<String, MayBe<bool>>,
}

impl Model {
    pub(crate) fn value(&mut self, name: &str) -> &mut MayBe<Option<String>> {
        self.values.entry(name.to_owned()).or_insert_with(|| MayBe::is(None))
    }

    pub(crate) fn socket(&mut self, name: &str) -> &mut MayBe<bool> {
        self.sockets.entry(name.to_owned()).or_insert_with(|| MayBe::is(false))
    }

    pub(crate) fn process(&mut self, name: &str) -> &mut MayBe<bool> {
        self.processes.entry(name.to_owned()).or_insert_with(|| MayBe::is(false))
    }

    /// Compares what was listed: values, and the names of sockets and processes.
    #[track_caller]
    pub(crate) fn compare(
        &mut self,
        values: &BTreeMap<String, String>,
        sockets: &[String],
        processes: &[String],
    ) {
        let known = |names: &mut dyn Iterator<Item = &String>, of: &dyn Fn(&String) -> bool| {
            names.for_each(|name| assert!(of(name), "nobody has made {name}"));
        };
        known(&mut values.keys(), &|name| self.values.contains_key(name));
        known(&mut sockets.iter(), &|name| self.sockets.contains_key(name));
        known(&mut processes.iter(), &|name| self.processes.contains_key(name));
        for (name, value) in &mut self.values {
            value.is_seen(values.get(name).cloned(), name);
        }
        for (name, socket) in &mut self.sockets {
            socket.is_seen(sockets.contains(name), name);
        }
        for (name, process) in &mut self.processes {
            process.is_seen(processes.contains(name), name);
        }
    }
}
