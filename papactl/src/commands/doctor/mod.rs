//! `papactl doctor`

use std::time::Duration;

use clap::Args;
use papa_client::{Papa, Status};

use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Result;
use crate::finding::{Finding, Verdict};
use crate::output;

mod answer;
pub(super) mod health;
pub(super) mod limits;
mod place;
mod resources;
pub(super) mod sockets;
mod surroundings;

/// How long papad may take to answer each question.
const PATIENCE: Duration = Duration::from_secs(2);

/// Look for the usual troubles, and say what to do about them
///
/// Each line is ok, warn or bad. Where no papad answers it looks for who does instead, and where
/// there is a papad. What only root or papad's user may know is looked at if papactl runs as one of
/// them. The exit status is 1 if anything is bad.
#[derive(Debug, Args)]
pub(crate) struct Doctor {}

impl Doctor {
    #[expect(clippy::unused_self, reason = "all commands are run alike")]
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let (papa, mut findings) = answer::ask(&context.endpoint.clone().deadline(PATIENCE));
        if let Some(papa) = papa {
            match look_at(&papa, &mut findings) {
                Ok(status) => findings.extend(place::finding(status.pid)),
                Err(error) => {
                    let what = format!("papad greets, and then does not say how it is: {error}");
                    findings.push(Finding::bad("answer", what).advice(
                        "try again; if it stays so, kill -9 the pid of its server, which loses \
                         nothing: another one takes its place",
                    ));
                }
            }
        }
        findings.extend(surroundings::findings());
        if context.output.is_json() {
            output::json(&findings)?;
        } else {
            for finding in &findings {
                output::line(finding)?;
            }
        }
        let is_bad = findings.iter().any(|finding| finding.verdict == Verdict::Bad);
        Ok(if is_bad { Exit::FAILED } else { Exit::DONE })
    }
}

/// What a papad that answers tells, and what can be seen of it.
fn look_at(papa: &Papa, findings: &mut Vec<Finding>) -> papa_client::Result<Status> {
    let status = papa.status()?;
    let processes = papa.processes("*")?;
    let values = papa.values("*")?;
    findings.extend(health::findings(&status, &processes));
    findings.extend(resources::findings(status.pid, status.server));
    findings.extend(sockets::findings(&papa.sockets("*")?));
    let kept = values.iter().filter(|value| !value.for_session).count();
    findings.extend(surroundings::of_papad(&status, kept));
    Ok(status)
}
