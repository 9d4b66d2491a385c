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
    /// The beginning of the commit that it was built from, if that is known. An earlier papad does
    /// not report it.
    pub commit: Option<String>,
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
    /// Bytes of unread output that were dropped since this server started, since all output took
    /// more memory than it may. An earlier papad drops none.
    pub output_dropped: u64,
    /// Processes that wait to write, since what they write must not be dropped, until all output
    /// takes less memory.
    pub output_waiting: u64,
    /// Its limits, and how near each of them is. An earlier papad tells of none.
    pub limits: Vec<LimitUse>,
    /// Everybody it speaks with.
    pub sessions: Vec<SessionInfo>,
}

/// One of papad's limits, which protocol.md lists: what is beyond it is
/// [`ErrorKind::Limit`](crate::ErrorKind::Limit).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitUse {
    /// Its name, as `processes` or `values-total`. papad's option is `--max-NAME`, but for
    /// `--client-timeout` and `--output-memory`.
    pub name: String,
    /// How much is used, in bytes, seconds or a number. Where each line, name, value, process,
    /// answer, wait or watch is bounded by itself, the most that any had since the server started.
    pub used: u64,
    /// How much is allowed.
    pub allowed: u64,
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
            commit: line.maybe_text("commit").filter(|commit| commit != "unknown"),
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
            output_dropped: line.maybe_number("output_dropped")?.unwrap_or_default(),
            output_waiting: line.maybe_number("output_waiting")?.unwrap_or_default(),
            limits: line.pairs().filter_map(|(key, value)| LimitUse::parse(key, value)).collect(),
            sessions: sessions
                .iter()
                .map(|line| SessionInfo::parse(line))
                .collect::<Result<_>>()?,
        })
    }
}

impl LimitUse {
    /// `None` for another key, or a value of a later papad that this version does not understand.
    fn parse(key: &[u8], value: &[u8]) -> Option<Self> {
        let name = str::from_utf8(key.strip_prefix(b"limit.")?).ok()?;
        let (used, allowed) = str::from_utf8(value).ok()?.split_once('/')?;
        let (used, allowed) = (used.parse().ok()?, allowed.parse().ok()?);
        Some(Self { name: name.to_owned(), used, allowed })
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

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "version=1 pid=1 server=2 uptime=3 starts=4 last_end=none processes=5 \
                        running=6 sockets=7 values=8 memory=9 descriptors=10/11 journal=12 \
                        skipped=13 aside=14 sessions=0";

    fn limits(more: &str) -> Vec<LimitUse> {
        Status::parse(&[format!("{LINE}{more}").into_bytes()]).unwrap().limits
    }

    #[test]
    fn a_commit_may_be_unknown() {
        let commit =
            |more: &str| Status::parse(&[format!("{LINE}{more}").into_bytes()]).unwrap().commit;
        assert_eq!(commit(" commit=0123456789ab").as_deref(), Some("0123456789ab"));
        assert_eq!((commit(" commit=unknown"), commit("")), (None, None));
    }

    #[test]
    fn limits_are_listed_and_what_is_not_understood_is_passed_over() {
        assert_eq!(limits(""), []);
        let of = |name: &str, used, allowed| LimitUse { name: name.to_owned(), used, allowed };
        assert_eq!(
            limits(" limit.line=1/2 limit.a=3/none other=4/5 limit.b=6 limit.values-total=0/7"),
            [of("line", 1, 2), of("values-total", 0, 7)]
        );
    }
}
