//! Examples of each command, for its help and its manual page. Two lines each: what is typed, and
//! what that does.

/// The examples of a command, by its name as it is typed after papactl.
#[must_use]
pub(crate) fn of(command: &str) -> Option<&'static [(&'static str, &'static str)]> {
    let found = EXAMPLES.iter().find(|(name, _)| *name == command);
    found.map(|(_, examples)| *examples)
}

/// Adds the examples to the help of each command, and of the commands below it.
pub(crate) fn add_to(root: clap::Command) -> clap::Command {
    below(root, "")
}

fn below(mut command: clap::Command, path: &str) -> clap::Command {
    let names: Vec<String> = command.get_subcommands().map(|it| it.get_name().to_owned()).collect();
    for name in names {
        let path = format!("{path} {name}").trim_start().to_owned();
        command = command.mut_subcommand(&name, |it| match of(&path) {
            Some(examples) => it.after_long_help(text(examples)),
            None => below(it, &path),
        });
    }
    command
}

fn text(examples: &[(&str, &str)]) -> String {
    let lines = examples.iter().map(|(line, what)| format!("  {line}\n      {what}"));
    format!("{HEADING}\n{}", lines.collect::<Vec<_>>().join("\n"))
}

/// What the examples begin with in a command's help.
const HEADING: &str = "Examples:";

type Examples = &'static [(&'static str, &'static str)];

const EXAMPLES: [(&str, Examples); 26] = [
    (
        "run",
        &[
            (
                "papactl run web -- python3 -um http.server 8000",
                "Start a web server by the name web, which outlives this shell.",
            ),
            (
                "papactl run job --attach --rm -- make -j4",
                "Run a build, follow its output, and end with its exit status.",
            ),
            (
                "papactl run db --ready 'ready to accept connections' -- postgres -D data",
                "Return when the program has written that it is ready.",
            ),
            (
                "papactl run api --user www --dir /srv/api --env PORT=8080 --limit nofile=4096 -- ./api",
                "Run a program as another user, in its directory, with a variable and a limit.",
            ),
        ],
    ),
    (
        "ps",
        &[
            ("papactl ps", "Show all processes."),
            ("papactl ps 'web.*' --watch", "Go on to show those whose names begin with web."),
            ("papactl ps --json", "The same for a program."),
        ],
    ),
    (
        "logs",
        &[
            ("papactl logs web -n 20 -f", "Show the last 20 lines, and what comes then."),
            (
                "papactl logs '*' --since 19:38 --until 19:45 --grep error -t",
                "Show all lines with error of these minutes, with times.",
            ),
            ("papactl logs web --take", "Write out what there is, and have papad forget it."),
        ],
    ),
    (
        "inspect",
        &[
            ("papactl inspect web", "Show all there is to know of a process."),
            ("papactl inspect web --env", "The same with the values of its variables."),
        ],
    ),
    ("top", &[("papactl top -d 500ms", "Watch processes, and look twice a second.")]),
    (
        "wait",
        &[
            ("papactl wait job", "Wait for its end, and end with its exit status."),
            ("papactl wait db --ready 'ready to accept' -t 1m", "Wait until it has written this."),
            ("papactl wait 'job.*' --timeout 5m", "Wait for several, for five minutes at most."),
        ],
    ),
    (
        "stop",
        &[
            ("papactl stop web", "Ask it to end, and wait for that."),
            ("papactl stop 'web.*' --grace 30s", "Give several processes half a minute to end."),
            ("papactl stop --rm '*'", "End all processes, and have papad forget them."),
        ],
    ),
    (
        "signal",
        &[
            ("papactl signal HUP web", "Have a program read its configuration again."),
            ("papactl signal -g USR1 'web.*'", "Signal several, and their children, too."),
        ],
    ),
    ("pause", &[("papactl pause 'batch.*'", "Have these stand still while something else runs.")]),
    ("resume", &[("papactl resume 'batch.*'", "Have them go on.")]),
    ("restart", &[("papactl restart web", "Stop it, and start it again as it was made.")]),
    (
        "rm",
        &[
            ("papactl rm '*'", "Remove all that have ended."),
            ("papactl rm --force web", "Kill it first."),
        ],
    ),
    ("sockets", &[("papactl sockets", "Show all sockets.")]),
    (
        "socket make",
        &[("papactl socket make http --port 8080", "Have papad listen on a port of this machine.")],
    ),
    (
        "socket adopt",
        &[(
            "papactl socket adopt http --fd 3",
            "Hand papad a socket that this shell has open as descriptor 3.",
        )],
    ),
    ("socket rm", &[("papactl socket rm http", "Close a socket.")]),
    ("get", &[("papactl get leader", "Print a value.")]),
    (
        "set",
        &[
            ("papactl set leader me --if-absent", "Store a value if there is none yet."),
            ("papactl set config -", "Store what standard input has."),
        ],
    ),
    ("unset", &[("papactl unset leader --if me", "Remove a value if it is still this one.")]),
    ("values", &[("papactl values 'app.*'", "Show the values whose names begin with app.")]),
    (
        "lock",
        &[("papactl lock backup --no-wait -- backup.sh", "Run a backup, unless another one runs.")],
    ),
    ("status", &[("papactl status", "Show whether all is well.")]),
    ("doctor", &[("papactl doctor", "Look for what might be wrong.")]),
    ("log", &[("papactl log -n 20 -f", "Show the last 20 lines, and what is logged then.")]),
    ("upgrade", &[("papactl upgrade", "Have the papad take over that is installed now.")]),
    (
        "shutdown",
        &[
            ("papactl shutdown", "End papad if no process runs."),
            ("papactl shutdown --if-idle", "The same if it holds nothing at all."),
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_has_examples_that_are_understood() {
        let mut commands = Vec::new();
        for command in crate::definition().get_subcommands() {
            let name = command.get_name().to_owned();
            if command.has_subcommands() {
                commands.extend(
                    command.get_subcommands().map(|it| format!("{name} {}", it.get_name())),
                );
            } else {
                commands.push(name);
            }
        }
        for name in commands {
            let examples = of(&name).unwrap_or_else(|| panic!("{name} has none"));
            for (line, _) in examples {
                assert!(line.starts_with(&format!("papactl {name}")), "{line}");
                let words = shell_words::split(line).unwrap();
                let parsed = crate::definition().try_get_matches_from(words);
                assert!(parsed.is_ok(), "{line}: {parsed:?}");
            }
        }
    }

    #[test]
    fn help_shows_the_examples() {
        let mut command = crate::definition();
        let ps = command.find_subcommand_mut("ps").unwrap();
        let help = ps.render_long_help().to_string();
        assert!(help.contains("Examples:\n  papactl ps\n      Show all processes."), "{help}");
    }
}
