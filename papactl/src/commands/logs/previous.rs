//! What processes left that others have replaced.

use std::collections::BTreeMap;

use papa_client::{Name, Papa, ProcessInfo};

use super::source::Source;
use super::writer::Writer;
use super::{Logs, MAX_BY_TIME, merge};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::names;
use crate::waiter::{Waiter, Woken};

impl Logs {
    pub(super) fn show_previous(&self, context: &Context, papa: &Papa) -> Result<Exit> {
        let processes = newest(papa.previous("*")?, &self.names)?;
        let (waiter, view) = (Waiter::new()?, self.view(context));
        let mut writer = Writer::new(self.form(context, &processes), true, self.raw)?;
        let places = self.places(papa, &processes)?;
        self.tell_what_is_lost(&processes, &mut writer)?;
        for processes in processes.chunks(MAX_BY_TIME) {
            let mut sources = Vec::new();
            for info in processes {
                sources.push(Source::of_one(
                    papa,
                    info,
                    view,
                    places.get(&info.name),
                    self.follow,
                )?);
            }
            let (sources, woken) = merge::show(sources, true, &mut writer, &waiter)?;
            for source in sources {
                source.stop(papa)?;
            }
            if woken == Woken::Interrupted {
                return Ok(Exit::INTERRUPTED);
            }
        }
        Ok(Exit::DONE)
    }
}

/// The last one of each name that is meant.
fn newest(all: Vec<ProcessInfo>, wanted: &[String]) -> Result<Vec<ProcessInfo>> {
    let mut newest: BTreeMap<Name, ProcessInfo> = BTreeMap::new();
    for info in all {
        if wanted.iter().any(|name| names::matches(name, info.name.as_bytes())) {
            // The oldest of each name come first.
            newest.insert(info.name.clone(), info);
        }
    }
    for name in wanted {
        if !names::is_wildcard(name) && !newest.contains_key(name.as_bytes()) {
            let what = format!("nothing is left of a process before {name}");
            let hint = "it was not restarted, or somebody has taken all of its output";
            return Err(Failure::new(Exit::NOT_FOUND, what).hint(hint));
        }
    }
    Ok(newest.into_values().collect())
}
