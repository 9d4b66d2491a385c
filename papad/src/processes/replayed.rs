//! What the journal says of processes, record by record.

use std::collections::BTreeMap;

use papa_protocol::frame::Time;

use super::ending::Ending;
use super::process::{Exit, GIVEN, KEPT, SESSION_SEEN, SINCE_BOOT, read_given};
use super::spec::Spec;
use crate::journal::{Fields, parse_number};
use crate::sockets::GivenSocket;
use crate::sys;

/// What the journal says of processes.
#[derive(Default)]
pub(crate) struct Replayed {
    pub(super) processes: BTreeMap<u64, Entry>,
    /// Off the list, but their pipes may still be held.
    pub(super) gone: Vec<u64>,
    pub(super) last_id: u64,
}

/// What it says of one process.
pub(super) struct Entry {
    pub(super) name: Vec<u8>,
    pub(super) started: Time,
    pub(super) since_boot: Option<u64>,
    pub(super) given: Vec<GivenSocket>,
    pub(super) spec: Spec,
    pub(super) pid: Option<i32>,
    pub(super) exit: Option<Exit>,
    pub(super) session_seen: u64,
    pub(super) removed: bool,
    pub(super) kept: bool,
}

impl Replayed {
    /// Takes one record; `None` if it is none of these or cannot be read.
    pub(crate) fn apply(&mut self, verb: &[u8], mut fields: Fields) -> Option<()> {
        let id = fields.number()?;
        self.last_id = self.last_id.max(id);
        match verb {
            b"process" => {
                let (started, name) = (Time(fields.number()?), fields.word()?);
                sys::kill_point_of("replay-process", &name);
                let since_boot = fields.pair(SINCE_BOOT).and_then(|value| parse_number(&value));
                let given = std::iter::from_fn(|| fields.pair(GIVEN));
                let given = given.filter_map(|value| read_given(&value)).collect();
                let entry = Entry {
                    name,
                    started,
                    since_boot,
                    given,
                    spec: Spec::read(fields)?,
                    pid: None,
                    exit: None,
                    session_seen: 0,
                    removed: false,
                    kept: false,
                };
                self.processes.insert(id, entry);
            }
            b"started" => {
                // 0 stands for a child that was never made, and others name groups.
                let pid = fields.number().filter(|&pid: &i32| pid > 0)?;
                self.processes.get_mut(&id)?.pid = Some(pid);
            }
            b"failed" => {
                self.processes.remove(&id);
            }
            b"exited" => {
                let exit = Exit {
                    ending: Ending::of_code(fields.number()?),
                    time: Time(fields.number()?),
                };
                let seen = fields.pair(SESSION_SEEN).and_then(|value| parse_number(&value));
                let kept = fields.pair(KEPT).is_some();
                // A child that failed before exec is recorded as failed first.
                if let Some(entry) = self.processes.get_mut(&id) {
                    entry.exit = Some(exit);
                    entry.session_seen = seen.unwrap_or_default();
                    entry.kept = kept;
                }
            }
            b"removing" => {
                // It may have left the list at the same time.
                if let Some(entry) = self.processes.get_mut(&id) {
                    entry.removed = true;
                }
            }
            b"gone" => {
                self.processes.remove(&id);
                self.gone.push(id);
            }
            b"last" => {}
            _ => return None,
        }
        Some(())
    }
}
