//! `--state-dir`: values outlive papad. Here all of papad is killed, and started again.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use papad_tests::exact::{Exact, escaped};
use papad_tests::kills::{Client, Patient, Random};
use papad_tests::{Papad, ScratchDir, is_root, papad_program, skip};

/// A file longer than this many bytes is compacted when it is four times what is in it.
const LONG: u64 = 256 * 1024;

fn start(folder: &str) -> Papad {
    Papad::builder().arg("--state-dir").arg(folder).start()
}

fn values_file(folder: &str) -> String {
    format!("{folder}/values")
}

fn mode(path: impl AsRef<Path>) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Runs a papad that is to refuse to start.
fn run_refused(folder: &str) -> String {
    let args = ["-p", "0", "--state-dir", folder];
    let Output { status, stderr, .. } = Command::new(papad_program()).args(args).output().unwrap();
    assert_eq!(status.code(), Some(1));
    String::from_utf8(stderr).unwrap()
}

#[test]
fn values_are_there_when_papad_starts_from_nothing() {
    let scratch = ScratchDir::new();
    let folder = scratch.join("state");
    let papad = start(&folder);
    let mut exact = Exact::tcp(&papad);
    let any_bytes: Vec<u8> = (0..=255).collect();
    exact.ask(format!("set bytes {}", escaped(&any_bytes)));
    exact.ask("set changed before");
    exact.ask("set changed after");
    exact.ask("set unset 1");
    exact.ask("unset unset");
    exact.ask("set removed.1 1");
    exact.ask("remove values removed.*");
    exact.ask("set empty \"\"");
    papad.session().ask_expecting("set old two words", "");
    let listed = exact.ask("list values");
    drop(papad);

    let papad = start(&folder);
    assert_eq!(Exact::tcp(&papad).ask("list values"), listed);
    // And once more: what was read is still on the disk.
    papad.kill_server();
    assert_eq!(Exact::tcp(&papad).ask("list values"), listed);
    drop(papad);
    assert_eq!(Exact::tcp(&start(&folder)).ask("list values"), listed);
}

#[test]
fn processes_and_what_belongs_to_a_session_are_not_kept() {
    let scratch = ScratchDir::new();
    let folder = scratch.join("state");
    let papad = start(&folder);
    let mut exact = Exact::tcp(&papad);
    exact.ask("make process p -- /bin/sleep 1000");
    exact.ask("set kept 1");
    exact.ask("set mine 1 for=session");
    // What it replaces is no value of its own any more.
    exact.ask("set replaced 1");
    exact.ask("set replaced 2 for=session");
    exact.ask("set given-up 1 for=session");
    exact.ask("set given-up 2");
    drop(papad);
    let papad = start(&folder);
    let mut exact = Exact::tcp(&papad);
    assert_eq!(exact.ask("list values"), ["name=given-up value=2", "name=kept value=1"]);
    assert!(exact.ask("list processes").is_empty());
}

#[test]
fn directory_and_files_are_their_owners_alone() {
    let scratch = ScratchDir::new();
    let folder = scratch.join("state");
    let papad = Papad::builder().arg("--state-dir").arg(&folder).after_shell("umask 0").start();
    papad.session().ask_expecting("set a 1", "");
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(values_file(&folder)), 0o600);
    assert_eq!(mode(format!("{folder}/lock")), 0o600);
}

#[test]
fn an_unfinished_record_is_cut_off_wherever_it_ends() {
    let scratch = ScratchDir::new();
    let folder = scratch.join("state");
    let papad = start(&folder);
    let mut session = papad.session();
    session.ask_expecting("set a 1", "");
    let whole = fs::read(values_file(&folder)).unwrap();
    session.ask_expecting("set b last", "");
    let longer = fs::read(values_file(&folder)).unwrap();
    drop(papad);
    assert!(longer.starts_with(&whole) && longer.len() > whole.len() + 8);
    for length in whole.len()..longer.len() {
        fs::write(values_file(&folder), &longer[..length]).unwrap();
        let papad = start(&folder);
        let mut session = papad.session();
        session.ask_expecting("list values", "a 1");
        assert_eq!(fs::read(values_file(&folder)).unwrap(), whole, "cut at {length}");
        let is_told = papad.log().contains("of an unfinished record");
        assert_eq!(is_told, length > whole.len(), "cut at {length}");
        // What comes next is not lost with it.
        session.ask_expecting("set c 3", "");
        drop(papad);
        start(&folder).session().ask_expecting("list values", "a 1\nc 3");
    }
}

#[test]
fn a_record_that_cannot_be_read_costs_no_other() {
    let scratch = ScratchDir::new();
    let folder = scratch.join("state");
    fs::create_dir(&folder).unwrap();
    let mut bytes = b"\x1e1 set a 1\n".to_vec();
    bytes.extend(b"\x1e1 set b \"2\n");
    bytes.extend([0; 600]);
    bytes.extend(b"\x1e1 dance c 3\n\x1e9 set d 4\n\x1e1 set e 5\n");
    fs::write(values_file(&folder), bytes).unwrap();
    let papad = start(&folder);
    papad.session().ask_expecting("list values", "a 1\ne 5");
    papad.wait_for_log(&format!("{}: 3 records cannot be read", values_file(&folder)));
}

#[test]
fn a_second_papad_is_kept_out_for_as_long_as_any_part_of_the_first_lives() {
    let scratch = ScratchDir::new();
    let folder = scratch.join("state");
    let papad = start(&folder);
    let refusal = format!("papad: cannot keep values in {folder}: another papad does\n");
    assert_eq!(run_refused(&folder), refusal);
    papad.kill_server();
    assert_eq!(run_refused(&folder), refusal);
    papad.session().ask_expecting("set a 1", "");
    assert_eq!(run_refused(&folder), refusal);
    drop(papad);
    start(&folder).session().ask_expecting("list values", "a 1");
}

#[test]
fn a_directory_that_cannot_be_used_is_told_by_name() {
    let scratch = ScratchDir::new();
    let file = scratch.join("file");
    fs::write(&file, "").unwrap();
    assert_eq!(
        run_refused(&file),
        format!("papad: cannot keep values in {file}: Not a directory (os error 20)\n")
    );
    let missing = scratch.join("missing/state");
    assert_eq!(
        run_refused(&missing),
        format!("papad: cannot keep values in {missing}: No such file or directory (os error 2)\n")
    );
    // Nor is what somebody has put there for papad to write to.
    let folder = scratch.join("state");
    fs::create_dir(&folder).unwrap();
    std::os::unix::fs::symlink(&file, values_file(&folder)).unwrap();
    assert!(run_refused(&folder).starts_with(&format!("papad: cannot keep values in {folder}: ")));
}

#[test]
fn what_the_disk_has_and_papad_does_not_is_put_right_by_the_next_server() {
    let scratch = ScratchDir::new();
    let folder = scratch.join("state");
    let papad = start(&folder);
    papad.session().ask_expecting("set a 1", "");
    let mut file = fs::OpenOptions::new().append(true).open(values_file(&folder)).unwrap();
    file.write_all(b"\x1e1 set b 2\n\x1e1 unset a\n").unwrap();
    papad.kill_server();
    papad.session().ask_expecting("list values", "a 1");
    drop(papad);
    start(&folder).session().ask_expecting("list values", "a 1");
}

#[test]
fn the_file_stays_a_few_times_as_long_as_what_is_in_it() {
    let scratch = ScratchDir::new();
    let folder = scratch.join("state");
    let papad = start(&folder);
    let mut session = papad.session();
    let mut longest = 0;
    for number in 0..500 {
        let value = format!("{number} {}", "x".repeat(4000));
        session.ask_expecting(format!("set a.{} {value}", number % 10), "");
        longest = longest.max(fs::metadata(values_file(&folder)).unwrap().len());
    }
    // One more record is written before it is found to be too long.
    assert!(longest > LONG && longest < LONG + 5000, "{longest} bytes");
    assert!(!fs::exists(format!("{folder}/values.new")).unwrap());
    let listed = session.ask("list values");
    assert_eq!(listed.lines().count(), 10);
    drop(papad);
    start(&folder).session().ask_expecting("list values", listed);
}

/// Sets a value of its own again and again, to ever higher numbers, until it is told to stop.
/// Returns the last number that was acknowledged, and the last that was sent.
fn count_up(papad: &Papad, name: &str, is_over: &AtomicBool) -> (u64, u64) {
    let mut patient = Patient::new(papad);
    let (mut acknowledged, mut sent) = (0, 0);
    while !is_over.load(Ordering::SeqCst) {
        sent += 1;
        if patient.once(|client: &mut Client| client.ask(&format!("set {name} {sent}"))).is_ok() {
            acknowledged = sent;
        }
    }
    (acknowledged, sent)
}

#[test]
fn every_acknowledged_value_is_there_however_papad_was_killed() {
    let scratch = ScratchDir::new();
    let folder = scratch.join("state");
    let mut random = Random::from_environment();
    let names = ["a", "b", "c"];
    let mut known = [(0, 0); 3];
    for _ in 0..5 {
        let papad = start(&folder);
        let mut exact = Exact::tcp(&papad);
        for (name, (acknowledged, sent)) in names.iter().zip(known) {
            let stored = exact.ask(format!("list values {name}")).pop();
            let number = stored
                .map_or(0, |line| line.rsplit_once("value=").unwrap().1.parse::<u64>().unwrap());
            assert!((acknowledged..=sent).contains(&number), "{name}: {number}");
            // Each papad counts from one again.
            exact.ask(format!("set {name} 0"));
        }
        drop(exact);
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let counting = names.map(|name| {
                let (papad, is_over) = (&papad, &is_over);
                scope.spawn(move || count_up(papad, name, is_over))
            });
            for _ in 0..10 {
                // The moment is the subject here.
                thread::sleep(Duration::from_micros(random.below(60_000)));
                papad.kill_server();
            }
            is_over.store(true, Ordering::SeqCst);
            for (known, counted) in known.iter_mut().zip(counting) {
                *known = counted.join().unwrap();
            }
        });
        assert!(known.iter().all(|(acknowledged, _)| *acknowledged > 0), "{known:?}");
        drop(papad);
    }
}

/// A disk of a few kilobytes, which is full soon.
struct SmallDisk {
    _scratch: ScratchDir,
    folder: String,
}

impl SmallDisk {
    /// `None`, with a message, where that may not be made.
    fn mount(options: &str) -> Option<Self> {
        if !is_root("mounting a small disk") {
            return None;
        }
        let scratch = ScratchDir::new();
        let folder = scratch.join("disk");
        fs::create_dir(&folder).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs", &folder]);
        if !mount.status().is_ok_and(|status| status.success()) {
            skip("mount", "nothing may be mounted here");
            return None;
        }
        Some(Self { _scratch: scratch, folder })
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.folder).status();
    }
}

#[test]
fn a_removed_directory_refuses_changes_and_a_removed_file_is_written_anew() {
    let scratch = ScratchDir::new();
    let folder = scratch.join("state");
    let papad = start(&folder);
    let mut exact = Exact::tcp(&papad);
    exact.ask("set a 1");
    fs::remove_file(values_file(&folder)).unwrap();
    exact.ask("set b 2");
    let file = fs::read_to_string(values_file(&folder)).unwrap();
    assert!(file.contains(" a 1") && file.contains(" b 2"), "{file}");

    fs::remove_dir_all(&folder).unwrap();
    for _ in 0..2 {
        let why = exact.ask_for("internal", "set c 3");
        assert!(why.contains("was removed or replaced"), "{why}");
        // Nor is another one trusted that stands in its place: another papad may have that.
        let _ = fs::create_dir(&folder);
    }
    assert_eq!(exact.ask("list values"), ["name=a value=1", "name=b value=2"]);
}

#[test]
fn a_full_disk_refuses_the_change_and_nothing_else_suffers() {
    let Some(disk) = SmallDisk::mount("size=64k") else { return };
    let folder = format!("{}/state", disk.folder);
    let papad = start(&folder);
    let mut exact = Exact::tcp(&papad);
    exact.ask("set small 1");
    exact.ask("make process p -- /bin/cat /proc/self/stat");
    let long = "x".repeat(100_000);
    let before = fs::read(values_file(&folder)).unwrap();
    for line in [
        format!("set small {long}"),
        format!("set large {long}"),
        format!("set large {long} if=absent"),
        format!("set small {long} if=1"),
    ] {
        let why = exact.ask_for("limit", line);
        assert!(why.contains("No space left on device"), "{why}");
    }
    let why = papad.session().ask_for_error(&format!("set large {long}"));
    assert_eq!(why, "The value cannot be kept - No space left on device (os error 28)");
    assert_eq!(exact.ask("list values"), ["name=small value=1"]);
    assert_eq!(fs::read(values_file(&folder)).unwrap(), before);
    assert_eq!(exact.ask("list processes").len(), 1);
    // What fits is taken, and the next server and the next papad find the same.
    exact.ask("set large little");
    exact.ask("set mine 1 for=session");
    papad.kill_server();
    let expected = ["name=large value=little", "name=small value=1"];
    assert_eq!(Exact::tcp(&papad).ask("list values"), expected);
    drop(papad);
    assert_eq!(Exact::tcp(&start(&folder)).ask("list values"), expected);
}

#[test]
fn a_disk_that_stops_taking_anything_is_used_again_when_it_does() {
    let Some(disk) = SmallDisk::mount("size=64k") else { return };
    let folder = format!("{}/state", disk.folder);
    let papad = start(&folder);
    let mut exact = Exact::tcp(&papad);
    exact.ask("set a 1");
    let filler = format!("{}/filler", disk.folder);
    let mut file = fs::File::create(&filler).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    drop(file);
    // There is room in the last page of the file of values; after that there is none.
    let refused = (0..500).filter(|n| exact.try_ask(format!("set b.{n} 1")).unwrap().is_err());
    assert!(refused.count() > 0);
    let listed = exact.ask("list values");
    // A server that starts on a full disk serves what it has.
    papad.kill_server();
    let mut exact = Exact::tcp(&papad);
    assert_eq!(exact.ask("list values"), listed);
    exact.ask_for("limit", format!("set c {}", "x".repeat(5000)));
    fs::remove_file(&filler).unwrap();
    exact.ask(format!("set c {}", "x".repeat(5000)));
    let listed = exact.ask("list values");
    drop(papad);
    assert_eq!(Exact::tcp(&start(&folder)).ask("list values"), listed);
}
