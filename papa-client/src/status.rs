//! How papad is doing.

use std::time::{Duration, SystemTime};

use crate::error::{Error, Result};
use crate::fields::Line;

/// How papad is doing at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// papad's version.
    pub version: String,
    /// The pid of its keeper, which is the service's pid.
    pub pid: i32,
    /// The pid of its server, which ends and starts as it is upgraded or killed.
    pub server: i32,
    /// For how long it has been running.
    pub uptime: Duration,
    /// How often its server was started.
    pub starts: u64,
    /// How the server before this one ended: `none`, `exit-CODE` or `signal-NUMBER`.
    pub last_end: String,
    /// Processes on its list.
    pub processes: u64,
    /// Those of them that run.
    pub running: u64,
    /// Sockets.
    pub sockets: u64,
    /// Values.
    pub values: u64,
    /// Memory of the server, resident, in bytes.
    pub memory: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// Descriptors that may be open.
    pub descriptors_allowed: u64,
    /// Bytes of its journal.
    pub journal: u64,
    /// Records of the journal that could not be read.
    pub skipped: u64,
    /// What papad leaves out since its servers died of it: records of its journal, and buffers of
    /// output.
    pub aside: u64,
    /// Everybody it speaks with.
    pub sessions: Vec<SessionInfo>,
}

/// One session of papad's.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionInfo {
    /// Its number.
    pub number: u64,
    /// Who is at the other end.
    pub peer: String,
    /// When it began.
    pub since: SystemTime,
    /// 1 or 2.
    pub protocol: u32,
    /// The request that is under way, or the last one.
    pub doing: String,
}

impl Status {
    pub(crate) fn parse(lines: &[Vec<u8>]) -> Result<Self> {
        let (first, sessions) =
            lines.split_first().ok_or_else(|| Error::protocol("papad's status is empty"))?;
        let line = Line::parse(first)?;
        let descriptors = line.text("descriptors")?;
        let (used, allowed) = descriptors
            .split_once('/')
            .and_then(|(used, allowed)| Some((used.parse().ok()?, allowed.parse().ok()?)))
            .ok_or_else(|| line.bad("descriptors"))?;
        Ok(Self {
            version: line.text("version")?,
            pid: line.number("pid")?,
            server: line.number("server")?,
            uptime: Duration::from_secs(line.number("uptime")?),
            starts: line.number("starts")?,
            last_end: line.text("last_end")?,
            processes: line.number("processes")?,
            running: line.number("running")?,
            sockets: line.number("sockets")?,
            values: line.number("values")?,
            memory: line.number("memory")?,
            descriptors: used,
            descriptors_allowed: allowed,
            journal: line.number("journal")?,
            skipped: line.number("skipped")?,
            aside: line.number("aside")?,
            sessions: sessions
                .iter()
                .map(|line| SessionInfo::parse(line))
                .collect::<Result<_>>()?,
        })
    }
}

impl SessionInfo {
    fn parse(line: &[u8]) -> Result<Self> {
        let line = Line::parse(line)?;
        Ok(Self {
            number: line.number("session")?,
            peer: line.text("peer")?,
            since: line.time("since")?,
            protocol: line.number("protocol")?,
            doing: line.text("doing")?,
        })
    }
}
