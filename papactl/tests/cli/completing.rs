//! Completion, asked for as shells do.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use papad_tests::exact::{Exact, make_writer};
use papad_tests::{Papad, ScratchDir, eventually, skip};

use crate::ctl::{Ctl, Ran, nowhere};

/// The candidates for the last word, as each shell is told them; for zsh and fish without what is
/// told of each.
fn complete(ctl: &Ctl, shell: &str, words: &[&str]) -> Vec<String> {
    let mut command = ctl.command(&["--", "papactl"]);
    command.args(words).env("COMPLETE", shell).env("_CLAP_IFS", "\n");
    command.env("_CLAP_COMPLETE_INDEX", words.len().to_string());
    let ran = Ran::of(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    assert_eq!((ran.status, ran.error().as_str()), (Some(0), ""), "{words:?}");
    let text = ran.text();
    let value = |line: &str| line.split(['\t', ':']).next().unwrap().to_owned();
    text.lines().map(value).collect()
}

/// Sees that names are completed. papactl does not wait for papad for long, so on a busy machine
/// there may be none at first.
#[track_caller]
fn completes(ctl: &Ctl, shell: &str, words: &[&str], expected: &str) {
    eventually(&format!("{shell} completes {words:?}"), || {
        complete(ctl, shell, words) == [expected]
    });
}

const SHELLS: [&str; 3] = ["bash", "zsh", "fish"];

fn papad_with_names() -> Papad {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    make_writer(&mut Exact::tcp(&papad), "web.1", "hello");
    make_writer(&mut Exact::tcp(&papad), "job", "hello");
    ctl.ok(&["set", "greeting", "hello"]);
    ctl.ok(&["socket", "make", "http"]);
    papad
}

#[test]
fn names_that_are_there_now_are_completed() {
    let papad = papad_with_names();
    let ctl = Ctl::of(&papad);
    for shell in SHELLS {
        let complete = |words: &[&str]| complete(&ctl, shell, words);
        completes(&ctl, shell, &["ps", "w"], "web.1");
        completes(&ctl, shell, &["ps", "web.1", "j"], "job");
        completes(&ctl, shell, &["get", "gr"], "greeting");
        completes(&ctl, shell, &["lock", "gr"], "greeting");
        completes(&ctl, shell, &["socket", "rm", "h"], "http");
        assert_eq!(complete(&["ps", "x"]), [""; 0]);
        // What is no name.
        assert_eq!(complete(&["sta"]), ["status"]);
        assert_eq!(complete(&["socket", "mak"]), ["make"]);
        assert_eq!(complete(&["socket", "make", "s", "--type", "d"]), ["dgram"]);
    }
    ctl.ok(&["unset", "greeting"]);
    assert_eq!(complete(&ctl, "bash", &["get", "gr"]), [""; 0]);
}

#[test]
fn the_papad_that_is_asked_is_that_of_the_line() {
    let papad = papad_with_names();
    let scratch = ScratchDir::new();
    let elsewhere = Ctl::at(nowhere(scratch.path()));
    let port = papad.port().to_string();
    let joined = format!("--endpoint={port}");
    for words in
        [&["-e", &port, "ps", "w"][..], &["ps", "--endpoint", &port, "w"], &[&joined, "ps", "w"]]
    {
        for shell in SHELLS {
            completes(&elsewhere, shell, words, "web.1");
        }
    }
}

#[test]
fn where_no_papad_answers_nothing_is_said() {
    let scratch = ScratchDir::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port().to_string();
    let nowhere = Ctl::at(nowhere(scratch.path()));
    for ctl in [nowhere, Ctl::at(port), Ctl::at("no endpoint")] {
        for shell in SHELLS {
            assert_eq!(complete(&ctl, shell, &["ps", "w"]), [""; 0]);
        }
    }
}

#[test]
fn bash_completes_by_what_is_shipped() {
    if Command::new("bash").arg("-c").arg(":").status().is_err() {
        skip("bash", "there is no such program");
        return;
    }
    let papad = papad_with_names();
    // As it has taken `papactl -e tcp://127.0.0.1:PORT ps w` apart.
    let script = format!(
        "source \"$1\"; COMP_WORDS=(papactl -e tcp : //127.0.0.1 : {} ps w); COMP_CWORD=8; \
         complete -p papactl >/dev/null && _clap_complete_papactl papactl w ps; \
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        papad.port()
    );
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/completions/papactl.bash");
    let directory = Ctl::program().parent().map(Path::to_owned).unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    eventually("bash completes by what is shipped", || {
        let mut bash = Command::new("bash");
        bash.args(["-c", &script, "bash", shipped]).env_remove("PAPA_ENDPOINT");
        bash.env("PATH", format!("{}:{path}", directory.display()));
        let child = bash.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ran::of(child.spawn().unwrap()).text() == "web.1\n"
    });
}
