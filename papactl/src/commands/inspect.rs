//! `papactl inspect`

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use clap::Args;
use nix::unistd::{Gid, Group};
use papa_client::{Papa, ProcessInfo};

use crate::complete;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Result;
use crate::names;
use crate::output;
use crate::procfs;
use crate::shape::{self, Inspected, ProcessLimit, Setting, Variable};
use crate::specification::Specification;
use crate::text;
use crate::usage::Usage;
use crate::users::Users;

/// Columns of the names at the left.
const WIDTH: usize = 12;

/// Show all there is to know of processes
///
/// What they were made of, and of those that run what they use at this moment: groups, limits,
/// control group, memory, descriptors. Values of the environment, which may be secret, are shown
/// with --env alone.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// Names, or beginnings of names with a *
    #[arg(value_name = "NAME", required = true, add = complete::processes())]
    names: Vec<String>,

    /// Show the values of variables, too
    #[arg(long)]
    env: bool,
}

impl Inspect {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let papa = context.connect()?;
        let mut users = Users::default();
        let mut all = Vec::new();
        for info in names::processes(&papa, &self.names)? {
            all.push(self.inspect(&papa, &info, users.of(&info))?);
        }
        if context.output.is_json() {
            output::json(&all)?;
            return Ok(Exit::DONE);
        }
        for (number, inspected) in all.iter().enumerate() {
            if number > 0 {
                output::line("")?;
            }
            for (name, value) in lines(inspected) {
                output::line(format_args!("{name:<WIDTH$}  {value}"))?;
            }
        }
        Ok(Exit::DONE)
    }

    fn inspect(&self, papa: &Papa, info: &ProcessInfo, user: Option<String>) -> Result<Inspected> {
        let specification = Specification::of(papa, info.name.as_bytes())?;
        let shown = |text: &OsStr| text::printable(text.as_bytes());
        let options = specification.options.iter();
        let options =
            options.map(|(name, value)| Setting { name: name.clone(), value: shown(value) });
        let environment = specification.environment.iter().map(|(name, value)| Variable {
            name: shown(name),
            value: self.env.then(|| shown(value)),
        });
        let of = |file| procfs::of(info.pid, file).filter(|_| info.is_running());
        let descriptors = info.is_running().then(|| procfs::open_files(info.pid).len());
        Ok(Inspected {
            process: shape::Process::new(info, user),
            options: options.collect(),
            environment: environment.collect(),
            groups: of("status").as_deref().and_then(groups),
            limits: of("limits").map(|it| limits(&it)).filter(|it| !it.is_empty()),
            cgroup: of("cgroup").as_deref().and_then(cgroup),
            threads: Usage::of(info).map(|usage| usage.threads),
            descriptors: descriptors.filter(|count| *count > 0),
        })
    }
}

/// The lines for people: names and values.
fn lines(it: &Inspected) -> Vec<(&'static str, String)> {
    let process = &it.process;
    let mut lines = vec![("name", process.name.clone()), ("id", process.id.clone())];
    let end = match (process.exit_status, &process.signal) {
        (Some(status), _) => format!(" (exit status {status})"),
        (None, Some(signal)) => format!(" (signal {signal})"),
        (None, None) => String::new(),
    };
    lines.push(("state", format!("{}{end}", process.state)));
    lines.push(("pid", process.pid.to_string()));
    lines.push(("started", process.started.clone()));
    let mut add = |name, value: Option<String>| lines.extend(value.map(|value| (name, value)));
    add("ended", process.ended.clone());
    add("user", process.user.clone());
    add("groups", it.groups.as_ref().map(|groups| groups.join(" ")));
    let words = process.command.iter().map(|word| shell_words::quote(word).into_owned());
    add("command", Some(words.collect::<Vec<_>>().join(" ")));
    for Setting { name, value } in &it.options {
        add("made with", Some(format!("{name}={value}")));
    }
    add("output", Some(output_line(process)));
    add("cpu", process.cpu_seconds.map(|cpu| format!("{cpu:.2} s")));
    add("memory", process.memory.map(text::size));
    add("threads", it.threads.map(|it| it.to_string()));
    add("descriptors", it.descriptors.map(|it| it.to_string()));
    add("cgroup", it.cgroup.clone());
    for limit in it.limits.iter().flatten() {
        let unit = limit.unit.as_deref().map(|unit| format!(" {unit}")).unwrap_or_default();
        add("limit", Some(format!("{}: {}, hard {}{unit}", limit.name, limit.soft, limit.hard)));
    }
    for Variable { name, value } in &it.environment {
        let value = value.as_ref().map(|value| format!("={value}")).unwrap_or_default();
        add("env", Some(format!("{name}{value}")));
    }
    lines
}

fn output_line(process: &shape::Process) -> String {
    format!(
        "{} written, {} unread, {} lost; buffer {} ({}), {} watchers",
        text::size(process.written),
        text::size(process.unread),
        text::size(process.lost),
        text::size(process.buffer),
        process.overflow,
        process.watchers
    )
}

/// The groups in `/proc/PID/status`, by name where they have one: its own first.
fn groups(status: &str) -> Option<Vec<String>> {
    let numbers = |key: &str| status.lines().find_map(|line| line.strip_prefix(key));
    let own = numbers("Gid:")?.split_whitespace().nth(1)?;
    let others = numbers("Groups:").unwrap_or_default().split_whitespace();
    let mut groups: Vec<&str> = [own].into_iter().chain(others.filter(|it| *it != own)).collect();
    groups.dedup();
    Some(groups.into_iter().map(group_name).collect())
}

fn group_name(number: &str) -> String {
    let group = number.parse().ok().and_then(|it| Group::from_gid(Gid::from_raw(it)).ok()?);
    group.map_or_else(|| number.to_owned(), |group| group.name)
}

/// The control group in `/proc/PID/cgroup`: that of the unified hierarchy, or else the first.
fn cgroup(text: &str) -> Option<String> {
    let unified = text.lines().find_map(|line| line.strip_prefix("0::"));
    let first = || text.lines().next()?.splitn(3, ':').nth(2);
    unified.or_else(first).map(str::to_owned)
}

/// The table of `/proc/PID/limits`: columns that two spaces or more divide.
fn limits(table: &str) -> Vec<ProcessLimit> {
    let limit = |line: &str| {
        let mut columns = line.split("  ").map(str::trim).filter(|column| !column.is_empty());
        let name = columns.next()?.strip_prefix("Max ")?.to_owned();
        let (soft, hard) = (columns.next()?.to_owned(), columns.next()?.to_owned());
        Some(ProcessLimit { name, soft, hard, unit: columns.next().map(str::to_owned) })
    };
    table.lines().skip(1).filter_map(limit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_from_their_table() {
        let table = "\
Limit                     Soft Limit           Hard Limit           Units     
Max cpu time              unlimited            unlimited            seconds   
Max open files            1024                 524288               files     
Max nice priority         0                    0                    
";
        let read = limits(table);
        assert_eq!(read.len(), 3);
        assert_eq!((read[1].name.as_str(), read[1].soft.as_str()), ("open files", "1024"));
        assert_eq!((read[0].unit.as_deref(), read[2].unit.as_deref()), (Some("seconds"), None));
    }

    #[test]
    fn the_unified_control_group_is_shown() {
        assert_eq!(cgroup("4:memory:/a\n0::/system.slice/x\n").as_deref(), Some("/system.slice/x"));
        assert_eq!(cgroup("4:memory:/a:b\n").as_deref(), Some("/a:b"));
        assert_eq!(cgroup(""), None);
    }

    #[test]
    fn a_processs_own_group_comes_first() {
        let status = "Gid:\t7\t4294967\t7\t7\nGroups:\t0 4294967 \n";
        let read = groups(status).unwrap();
        assert_eq!((read.len(), read[0].as_str()), (2, "4294967"));
        assert_eq!(groups("Name:\tx\n"), None);
    }
}
