//! How much is done in each case.

/// The amounts of a run.
#[derive(Debug, Clone)]
pub(crate) struct Sizes {
    /// Bytes that one process writes.
    pub(crate) flood: u64,
    /// Processes that write lines at the same time.
    pub(crate) writers: usize,
    /// Lines that each of them writes.
    pub(crate) lines: usize,
    /// Lines whose way is timed.
    pub(crate) timed_lines: usize,
    /// Quiet processes beside a busy one.
    pub(crate) quiet: usize,
    /// Many processes: as many of these as papad's descriptors are enough for.
    pub(crate) hosted: usize,
    /// The same for papa, which has a thread for each.
    pub(crate) hosted_by_papa: usize,
    /// Processes that are made to see how fast that goes.
    pub(crate) makes: usize,
    /// Requests that are sent one at a time.
    pub(crate) requests: usize,
    /// Connections at once.
    pub(crate) connections: usize,
    /// Processes, and watchers, while nothing happens.
    pub(crate) resting: (usize, usize),
    /// For how long nothing happens, in seconds.
    pub(crate) rest: u64,
    /// Values to store before it is enough.
    pub(crate) values: usize,
    /// Sockets and processes to make before it is enough.
    pub(crate) most: usize,
    /// Sessions to begin before it is enough. Each is a thread of papad's, and threads are what
    /// everything else on the machine needs, too.
    pub(crate) sessions: usize,
    /// How long after an upgrade clients are still looked at, in seconds. The keeper follows its
    /// server to the new version within this time.
    pub(crate) after_upgrade: u64,
}

impl Sizes {
    /// What says something about speed.
    pub(crate) fn full() -> Self {
        Self {
            flood: 4 << 30,
            writers: 1000,
            lines: 2000,
            timed_lines: 2000,
            quiet: 1000,
            hosted: 10_000,
            hosted_by_papa: 500,
            makes: 2000,
            requests: 30_000,
            connections: 50,
            resting: (500, 100),
            rest: 5,
            values: 1_000_000,
            most: 30_000,
            sessions: 10_000,
            after_upgrade: 6,
        }
    }

    /// What shows that everything runs.
    pub(crate) fn quick() -> Self {
        Self {
            flood: 16 << 20,
            writers: 20,
            lines: 50,
            timed_lines: 50,
            quiet: 10,
            hosted: 80,
            hosted_by_papa: 10,
            makes: 20,
            requests: 200,
            connections: 5,
            resting: (10, 5),
            rest: 1,
            values: 1000,
            most: 50,
            sessions: 50,
            after_upgrade: 0,
        }
    }
}
