//! What is written with `--json` is what papactl-json(7) says, for every command.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use papactl::Answers;
use papad_tests::{Papad, ScratchDir};
use serde_json::Value;

use crate::ctl::Ctl;

/// Commands that write no JSON of their own, and why.
const WITHOUT: [(&str, &str); 1] = [("lock", "the command's output is all there is")];

/// A line for each command, in an order in which each has something to show.
const LINES: [(&str, &str); 25] = [
    ("set", "set a 1"),
    ("get", "get a"),
    ("values", "values"),
    ("ps", "ps"),
    ("inspect", "inspect writer --env"),
    ("pause", "pause writer"),
    ("resume", "resume writer"),
    ("socket make", "socket make web"),
    ("socket adopt", "socket adopt web --fd 0"),
    ("sockets", "sockets"),
    ("socket rm", "socket rm web"),
    ("unset", "unset a"),
    ("run", "run job --buffer 4k -- seq 9999"),
    ("wait", "wait job"),
    ("log", "log"),
    ("logs", "logs job -f"),
    ("restart", "restart job"),
    ("top", "top -c 1"),
    ("signal", "signal TERM writer"),
    ("stop", "stop writer"),
    ("rm", "rm writer"),
    ("status", "status"),
    ("doctor", "doctor"),
    ("upgrade", "upgrade"),
    ("shutdown", "shutdown --leave-processes"),
];

#[test]
fn every_command_is_documented_or_writes_none() {
    let mut root = papactl::definition();
    root.build();
    let mut commands = BTreeSet::new();
    for command in root.get_subcommands() {
        let name = command.get_name().to_owned();
        match command.get_subcommands().next() {
            None => drop(commands.insert(name)),
            Some(_) => commands
                .extend(command.get_subcommands().map(|it| format!("{name} {}", it.get_name()))),
        }
    }
    let documented = papactl::answers().commands.into_iter().map(|(name, _)| name);
    let known: BTreeSet<String> =
        documented.chain(WITHOUT.map(|(name, _)| name)).map(str::to_owned).collect();
    assert_eq!(commands, known);
}

#[test]
fn every_key_that_is_written_is_documented_and_every_documented_key_is_written() {
    let scratch = ScratchDir::new();
    let papad = Papad::builder().unix_path(scratch.join("papad")).start();
    let ctl = Ctl::over_unix(&papad);
    ctl.ok(&["run", "writer", "--", "/bin/sh", "-c", "echo hello; exec sleep 1000"]);
    // The log of a papad that has gone.
    let gone = scratch.join("gone");
    fs::write(format!("{gone}.log"), "a line\n").unwrap();
    // What needs attention is a shape, too.
    papad.kill_server();
    let answers = papactl::answers();
    let documented: BTreeMap<&str, &Value> =
        answers.commands.iter().map(|(name, schema)| (*name, schema)).collect();
    let lines: BTreeSet<&str> = LINES.iter().map(|(name, _)| *name).collect();
    assert_eq!(lines, documented.keys().copied().collect(), "each has a line that shows it");

    for (name, line) in LINES {
        let words: Vec<&str> = ["--json"].into_iter().chain(line.split(' ')).collect();
        let ran = match name {
            "socket adopt" => adopt(&ctl, &words),
            "log" => Ctl::at(&gone).run(&words),
            _ => ctl.run(&words),
        };
        let text = ran.text();
        assert!(!text.is_empty(), "{line}: {ran:?}");
        for object in text.lines() {
            let value: Value = serde_json::from_str(object).unwrap();
            compare(line, &answers, documented[name], &value);
        }
    }
    let ran = Ctl::at(&gone).run(&["ps", "nothing", "--json"]);
    let error: Value = serde_json::from_str(&ran.error()).unwrap();
    compare("an error", &answers, &answers.error, &error);
}

/// Hands over a duplicate of the socket of the same name.
fn adopt(ctl: &Ctl, words: &[&str]) -> crate::ctl::Ran {
    let endpoint = papa_client::Endpoint::parse(ctl.endpoint()).unwrap();
    let socket = papa_client::Papa::connect(&endpoint).unwrap().fetch_socket("web").unwrap();
    let mut command = ctl.command(words);
    command.stdin(socket).stdout(std::process::Stdio::piped());
    crate::ctl::Ran::of(command.stderr(std::process::Stdio::piped()).spawn().unwrap())
}

/// Compares the keys of objects with those of a schema, all the way down.
#[track_caller]
fn compare(what: &str, answers: &Answers, schema: &Value, value: &Value) {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap();
        return compare(&format!("{what}: {name}"), answers, &answers.shapes[name], value);
    }
    match value {
        Value::Array(items) => {
            assert!(!items.is_empty(), "{what}: nothing is shown");
            for item in items {
                compare(what, answers, &schema["items"], item);
            }
        }
        Value::Object(object) => {
            let schema = variant(schema, value);
            let properties = schema["properties"].as_object().expect(what);
            let keys: BTreeSet<&String> = object.keys().collect();
            assert_eq!(keys, properties.keys().collect(), "{what}");
            for (key, value) in object {
                compare(&format!("{what}: {key}"), answers, &properties[key], value);
            }
        }
        _ => {}
    }
}

/// Of a shape that has several variants the one that this is, as the key says that tells them apart.
fn variant<'a>(schema: &'a Value, value: &Value) -> &'a Value {
    let Some(variants) = schema["oneOf"].as_array() else { return schema };
    let is_it = |variant: &&Value| {
        let properties = variant["properties"].as_object().unwrap();
        properties.iter().all(|(key, it)| it["const"].is_null() || it["const"] == value[key])
    };
    variants.iter().find(is_it).expect("it is one of the variants")
}
