//! Kills while a value is written to disk: papad and its disk say the same again afterwards.

use papad_tests::exact::Exact;
use papad_tests::kills::{Client, Gone};
use papad_tests::{ScratchDir, eventually};

use crate::armed::Armed;

#[test]
fn killed_between_the_disk_and_the_journal() {
    let scratch = ScratchDir::new();
    let args = ["--state-dir", &scratch.join("state")];
    let armed = Armed::start_with(ScratchDir::new(), &args);
    armed.papad.session().ask_expecting("set old 1", "");
    // Nobody was told of these, so they have not happened.
    for change in ["set new 1", "set old 2", "set old"] {
        let mut session = armed.ask_and_kill_at("disk-appended", change);
        session.ask_expecting("list values", "old 1");
    }
    // A condition holds for what papad has, whatever was on the disk for a moment.
    let mut exact = Exact::tcp(&armed.papad);
    exact.ask("set new 3 if=absent");
    exact.ask("set old 4 if=1");
    let armed = armed.start_again(&args);
    armed.papad.session().ask_expecting("list values", "new 3\nold 4");
}

#[test]
fn killed_with_the_keeper_between_the_disk_and_the_journal() {
    let scratch = ScratchDir::new();
    let args = ["--state-dir", &scratch.join("state")];
    let armed = Armed::start_with(ScratchDir::new(), &args);
    armed.papad.session().ask_expecting("set v 1", "");
    armed.arm("disk-appended");
    let mut client = Client::connect(&armed.papad).unwrap();
    assert_eq!(client.ask("set v 2"), Err(Gone));
    let armed = armed.start_again(&args);
    // Whether the next server has put it right before papad was killed, or not.
    let value = armed.papad.session().ask("get v");
    assert!(["1", "2"].contains(&value.as_str()), "{value}");
    let again = armed.start_again(&args);
    again.papad.session().ask_expecting("get v", &value);
}

fn killed_during_compaction(point: &str) {
    let scratch = ScratchDir::new();
    let args = ["--state-dir", &scratch.join("state")];
    let armed = Armed::start_with(ScratchDir::new(), &args);
    armed.papad.session().ask_expecting("set kept 1", "");
    let (mut acknowledged, mut sent) = (String::new(), String::new());
    let mut session = armed.kill_at(point, || {
        let mut client = Client::connect(&armed.papad).unwrap();
        for number in 0..1000 {
            sent = format!("{number} {}.", "x".repeat(2000));
            match client.ask(&format!("set v {sent}")) {
                Ok(_) => acknowledged.clone_from(&sent),
                Err(Gone) => break,
            }
        }
    });
    assert_ne!(acknowledged, sent);
    let expected = format!("kept 1\nv {acknowledged}");
    session.ask_expecting("list values", &expected);
    let armed = armed.start_again(&args);
    armed.papad.session().ask_expecting("list values", &expected);
    // It is compacted all the same, once the file is long again.
    let new = scratch.join("state/values.new");
    eventually("nothing is left over", || {
        armed.papad.session().ask(format!("set v {}", "x".repeat(50_000)));
        !std::fs::exists(&new).unwrap()
    });
}

#[test]
fn killed_before_the_new_file_has_its_name() {
    killed_during_compaction("disk-written");
}

#[test]
fn killed_after_the_new_file_has_its_name() {
    killed_during_compaction("disk-renamed");
}
