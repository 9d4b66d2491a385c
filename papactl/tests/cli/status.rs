//! status.

use papad_tests::exact::{Exact, script};
use papad_tests::{Fifo, Papad, ScratchDir, eventually};
use serde_json::{Value, json};

use crate::ctl::{Ctl, words};

/// What needs attention, by the word that stands for it, and how bad it is.
fn attention(ctl: &Ctl) -> (Option<i32>, Vec<(String, String)>) {
    let ran = ctl.run(&["status", "--json"]);
    let json: Value = serde_json::from_str(&ran.text()).unwrap();
    let found = json["attention"].as_array().unwrap();
    assert_eq!(json["well"], found.is_empty());
    assert!(found.iter().all(|it| it["advice"].is_string()), "{json}");
    let text = |it: &Value, key: &str| it[key].as_str().unwrap().to_owned();
    (ran.status, found.iter().map(|it| (text(it, "check"), text(it, "verdict"))).collect())
}

#[test]
fn where_all_is_well_the_first_line_says_so() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    ctl.ok(&["set", "a", "1"]);
    papad.session().ask("make process web /bin/sleep 1000");
    let text = ctl.ok(&["status"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], format!("papad 0.1.0 at tcp://127.0.0.1:{} is well", papad.port()));
    let said = words(&text);
    let pids = ["pids", "keeper", &format!("{},", papad.keeper_pid()), "server"];
    assert!(said.iter().any(|line| line.starts_with(&pids)), "{text}");
    assert!(said.contains(&vec!["processes", "1", "running,", "0", "ended"]), "{text}");
    assert!(said.contains(&vec!["values", "1"]), "{text}");
    assert!(said.contains(&vec!["SESSION", "PEER", "AGE", "PROTOCOL", "DOING"]), "{text}");
    assert_eq!(said.last().unwrap()[3..], ["2", "status"]);

    let json = ctl.json(&["status"]);
    assert_eq!((&json["well"], &json["attention"]), (&json!(true), &json!([])));
    assert_eq!((&json["running"], &json["values"]), (&json!(1), &json!(1)));
    assert_eq!(json["server"], papad.server_pid());
}

#[test]
fn what_needs_attention_is_told_and_is_the_exit_status() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    assert_eq!(attention(&ctl), (Some(0), vec![]));

    let mut exact = Exact::tcp(&papad);
    // What nobody ever takes is not missed.
    let flood = "head -c 100000 /dev/zero";
    exact.ask(format!(
        "make process untaken bufsize=4096 {}",
        script(&format!("{flood}; exec sleep 1000"))
    ));
    eventually("some is pushed out", || ctl.json(&["ps", "untaken"])[0]["lost"] != json!(0));
    assert_eq!(attention(&ctl), (Some(0), vec![]));

    // Somebody takes the first of this one's.
    let scratch = ScratchDir::new();
    let fifo = Fifo::new(&scratch, "taken");
    let line = format!("echo first; read taken <{}; {flood}; exec sleep 1000", fifo.path());
    exact.ask(format!("make process lossy bufsize=4096 {}", script(&line)));
    eventually("it has written", || ctl.json(&["ps", "lossy"])[0]["unread"] == json!(6));
    assert_eq!(ctl.ok(&["logs", "--take", "lossy"]), "first\n");
    fifo.send("taken");
    exact.ask("make process stuck bufsize=4096 overflow=block -- /usr/bin/yes");
    let expected = |words: &[(&str, &str)]| {
        let words = words.iter().map(|(check, verdict)| ((*check).into(), (*verdict).into()));
        (Some(1), words.collect::<Vec<(String, String)>>())
    };
    let output = [("output", "warn"), ("blocked", "bad")];
    eventually("both are seen", || attention(&ctl) == expected(&output));

    papad.kill_server();
    let all = [("restarts", "warn"), ("output", "warn"), ("blocked", "bad")];
    eventually("the end of the server, too", || attention(&ctl) == expected(&all));
    let ran = ctl.run(&["status"]);
    let text = ran.text();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].ends_with(" needs attention"), "{text}");
    assert!(lines[1].contains("the server before this one was ended by SIGKILL"), "{text}");
    assert!(lines[2].contains(" of lossy was lost before anybody read it; "), "{text}");
    assert!(lines[3].contains("stuck cannot write: "), "{text}");
    assert!(lines[3].ends_with("; \"papactl logs --take stuck\" reads and makes room"), "{text}");
    assert_eq!(lines[4], "");
}

#[test]
fn a_limit_that_is_near_needs_attention() {
    let papad = Papad::builder().arg("--max-values=10").arg("--max-sessions-per-user=100").start();
    let ctl = Ctl::of(&papad);
    let set = |numbers: std::ops::Range<u32>| {
        for number in numbers {
            ctl.ok(&["set", &format!("value.{number}"), "1"]);
        }
    };
    set(0..5);
    assert!(ctl.ok(&["status"]).contains("limits       values 5 of 10\n"));
    set(5..8);
    assert_eq!(attention(&ctl), (Some(1), vec![("limits".into(), "warn".into())]));
    let ran = ctl.run(&["status"]);
    assert!(ran.text().contains("values: 8 of 10 are in use; "), "{ran:?}");
    set(8..10);
    assert_eq!(attention(&ctl), (Some(1), vec![("limits".into(), "bad".into())]));
    ctl.ok(&["unset", "value.9", "value.8", "value.7"]);

    let limit = |name: &str| {
        let json = ctl.json(&["status"]);
        let mut limits = json["limits"].as_array().unwrap().iter();
        let limit = limits.find(|it| it["name"] == name).unwrap();
        (limit["used"].clone(), limit["allowed"].clone())
    };
    assert_eq!(limit("values"), (json!(7), json!(10)));
    eventually("its own session is the only one left", || {
        limit("sessions-per-user") == (json!(1), json!(100))
    });
}

#[test]
fn with_many_sessions_it_is_one_screen_still() {
    let papad = Papad::start();
    let sessions: Vec<_> = (0..50).map(|_| papad.session()).collect();
    let ctl = Ctl::of(&papad);
    let text = ctl.ok(&["status"]);
    // There is a prompt below it.
    assert!(text.lines().count() < 24, "{text}");
    assert!(text.ends_with("\n... and 44 more\n"), "{text}");
    eventually("JSON has them all, and its own", || {
        ctl.json(&["status"])["sessions"].as_array().unwrap().len() == sessions.len() + 1
    });
}
