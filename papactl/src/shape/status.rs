//! The shapes of what is told of papad itself.

use papa_client::{Endpoint, SessionInfo};
use schemars::JsonSchema;
use serde::Serialize;

use crate::finding::Finding;
use crate::time;

/// How papad is doing.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "status")]
pub(crate) struct Status {
    /// Where it was asked.
    pub(crate) endpoint: String,
    /// Whether nothing needs attention. If something does, papactl ends with 1.
    pub(crate) well: bool,
    /// What needs attention.
    pub(crate) attention: Vec<Finding>,
    /// papad's version.
    pub(crate) version: String,
    /// The beginning of the commit that it was built from, if that is known.
    pub(crate) commit: Option<String>,
    /// The pid of its keeper, which is the service's pid.
    pub(crate) keeper: i32,
    /// The pid of its server, which ends and starts as it is upgraded or killed.
    pub(crate) server: i32,
    /// For how many seconds it has been running.
    pub(crate) uptime: u64,
    /// How often its server was started.
    pub(crate) starts: u64,
    /// How the server before this one ended: none, exit-CODE, signal-NUMBER or unknown.
    pub(crate) last_end: String,
    /// Processes on its list.
    pub(crate) processes: u64,
    /// Those of them that run.
    pub(crate) running: u64,
    /// Sockets.
    pub(crate) sockets: u64,
    /// Values.
    pub(crate) values: u64,
    /// Memory of the server, resident, in bytes.
    pub(crate) memory: u64,
    /// Open descriptors of the server.
    pub(crate) descriptors: u64,
    /// Descriptors that it may have open.
    pub(crate) descriptors_allowed: u64,
    /// Bytes of its journal.
    pub(crate) journal: u64,
    /// Records of the journal that could not be read.
    pub(crate) skipped: u64,
    /// What papad leaves out since its servers died of it.
    pub(crate) aside: u64,
    /// Bytes of unread output that were dropped since this server started, since all output took
    /// more memory than it may.
    pub(crate) output_dropped: u64,
    /// Processes that wait to write until all output takes less memory.
    pub(crate) output_waiting: u64,
    /// Its limits, and how near each is. An earlier papad tells of none.
    pub(crate) limits: Vec<Limit>,
    /// Everybody it speaks with.
    pub(crate) sessions: Vec<Session>,
}

/// A limit of papad's: what is beyond it papad refuses.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "limit")]
pub(crate) struct Limit {
    /// Its name, as sessions or values-total: that of papad's option without --max-, or
    /// client-timeout or output-memory.
    pub(crate) name: String,
    /// How much is used, in bytes, seconds or a number, as the option has it. Of line, words,
    /// name, args, answer, client-timeout, watched and value: the most that any had since the server
    /// was started. Of sessions-per-user: what the user has who has the most.
    pub(crate) used: u64,
    /// How much is allowed.
    pub(crate) allowed: u64,
}

/// A session of papad's.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "session")]
pub(crate) struct Session {
    /// Its number: smaller ones are older.
    pub(crate) number: u64,
    /// Who is at the other end.
    pub(crate) peer: String,
    /// When it began.
    pub(crate) since: String,
    /// The protocol it speaks: 1 or 2.
    pub(crate) protocol: u32,
    /// The request that is under way, or the last one.
    pub(crate) doing: String,
}

/// What has taken over.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "upgraded")]
pub(crate) struct Upgraded {
    /// The version that answers now.
    pub(crate) version: String,
}

impl Status {
    pub(crate) fn new(
        endpoint: &Endpoint,
        info: &papa_client::Status,
        attention: Vec<Finding>,
    ) -> Self {
        Self {
            endpoint: endpoint.to_string(),
            well: attention.is_empty(),
            attention,
            version: info.version.clone(),
            commit: info.commit.clone(),
            keeper: info.pid,
            server: info.server,
            uptime: info.uptime.as_secs(),
            starts: info.starts,
            last_end: info.last_end.clone(),
            processes: info.processes,
            running: info.running,
            sockets: info.sockets,
            values: info.values,
            memory: info.memory,
            descriptors: info.descriptors,
            descriptors_allowed: info.descriptors_allowed,
            journal: info.journal,
            skipped: info.skipped,
            aside: info.aside,
            output_dropped: info.output_dropped,
            output_waiting: info.output_waiting,
            limits: Limit::all(info),
            sessions: info.sessions.iter().map(Session::new).collect(),
        }
    }
}

impl Limit {
    /// Those that papad tells.
    pub(crate) fn all(status: &papa_client::Status) -> Vec<Self> {
        let limits = status.limits.iter();
        limits
            .map(|it| Self { name: it.name.clone(), used: it.used, allowed: it.allowed })
            .collect()
    }
}

impl Session {
    fn new(info: &SessionInfo) -> Self {
        Self {
            number: info.number,
            peer: info.peer.clone(),
            since: time::rfc3339(info.since),
            protocol: info.protocol,
            doing: info.doing.clone(),
        }
    }
}

/// A papad that has ended.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "shutdown")]
pub(crate) struct Shutdown {
    /// The process id of its keeper.
    pub(crate) pid: i32,
    /// Processes that run on without it.
    pub(crate) left_running: u64,
}
