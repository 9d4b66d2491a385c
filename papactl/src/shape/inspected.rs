//! Everything about a process.

use schemars::JsonSchema;
use serde::Serialize;

use super::Process;

/// All there is to know of a process.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "inspected")]
pub(crate) struct Inspected {
    /// What ps shows, too.
    #[serde(flatten)]
    pub(crate) process: Process,
    /// What it was made of, by the options of papad's protocol, but for its environment and command.
    pub(crate) options: Vec<Setting>,
    /// Its variables, as it was started.
    pub(crate) environment: Vec<Variable>,
    /// Its group and its supplementary groups; null if it has ended or cannot be seen from here.
    pub(crate) groups: Option<Vec<String>>,
    /// Its resource limits at this moment; null as above, or if you may not see them.
    pub(crate) limits: Option<Vec<ProcessLimit>>,
    /// Its control group; null as above.
    pub(crate) cgroup: Option<String>,
    /// Its threads; null as above.
    pub(crate) threads: Option<u64>,
    /// Its open descriptors; null as above, or if you may not see them.
    pub(crate) descriptors: Option<usize>,
}

/// An option that a process was made with.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "setting")]
pub(crate) struct Setting {
    /// Its name, as dir or rlimit.core.
    pub(crate) name: String,
    /// Its value.
    pub(crate) value: String,
}

/// A variable of a process's environment.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "variable")]
pub(crate) struct Variable {
    /// Its name.
    pub(crate) name: String,
    /// Its value; null unless it was asked for with --env.
    pub(crate) value: Option<String>,
}

/// A resource limit.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "process_limit")]
pub(crate) struct ProcessLimit {
    /// Its name, as proc_pid_limits(5) has it.
    pub(crate) name: String,
    /// What holds: a number, or unlimited.
    pub(crate) soft: String,
    /// Up to where the process may raise it.
    pub(crate) hard: String,
    /// What is counted, if that has a name.
    pub(crate) unit: Option<String>,
}
