//! Servers and candidates that are killed at each stage of an upgrade.

use papad_tests::continuity::{Subject, sessions_go_on};
use papad_tests::eventually;

/// Upgrades, while papad is killed at `point`; what the caller reads contains `why`. Sessions of
/// every kind go on with the old version.
#[track_caller]
fn put_back(point: &str, why: &str) {
    let subject = Subject::with_kill_points();
    sessions_go_on(&subject, || {
        subject.arm(point);
        let mut asking = subject.exact();
        asking.send("upgrade\n");
        subject.wait_for_kill_at(point);
        let refusal = asking.reply().unwrap_err();
        assert!(refusal.what.contains(why), "{point}: {refusal:?}");
    });
    // Nobody is on trial, and the next one is judged by itself.
    subject.upgrade();
}

const BEFORE: &str = "ended before it could take over";

#[test]
fn a_candidate_that_is_killed_before_it_is_called_is_done_without() {
    for point in ["rehearsed", "able", "called"] {
        put_back(point, BEFORE);
    }
}

#[test]
fn a_candidate_that_is_killed_as_soon_as_it_has_taken_over_is_followed_by_the_old_version() {
    // Whose end the keeper hears of first, the old server's or the new one's, is a matter of chance.
    put_back("baton-taken", "the new version ended ");
    for point in ["took", "taken-up"] {
        put_back(point, "ended soon after it had taken over");
    }
}

#[test]
fn a_new_version_that_dies_when_it_serves_already_is_followed_by_the_old_one() {
    let subject = Subject::with_kill_points();
    subject.exact().ask("set value 1");
    let pid = subject.make("running", "", "exec sleep 1000");
    subject.arm("ready");
    let mut asking = subject.exact();
    asking.send("upgrade\n");
    subject.wait_for_kill_at("ready");
    subject.papad.wait_for_log("the old one is put back");
    // Sessions are those of a server, once that has said that it goes on with them.
    asking.expect_closed();
    assert_eq!(subject.exact().ask("get value"), ["1"]);
    let line = subject.exact().ask_line("list processes running");
    assert!(line.contains(&format!(" pid={pid} ")), "{line}");
    subject.upgrade();
}

#[test]
fn a_new_version_that_is_killed_on_trial_is_followed_by_the_old_one() {
    let subject = Subject::start();
    let old = subject.keepers_program();
    subject.exact().ask("set value 1");
    subject.upgrade();
    subject.papad.kill_server();
    subject.papad.wait_for_log("the old one is put back");
    assert_eq!(subject.exact().ask("get value"), ["1"]);
    assert_eq!(subject.keepers_program(), old);
    // The trial is over with it.
    subject.upgrade();
    subject.wait_for_keeper_to_change();
}

#[test]
fn a_server_that_is_killed_before_it_has_parted_is_followed_by_the_old_version() {
    let subject = Subject::with_kill_points();
    subject.exact().ask("set value 1");
    subject.arm("stopped");
    let mut asking = subject.exact();
    asking.send("upgrade\n");
    subject.wait_for_kill_at("stopped");
    asking.expect_closed();
    assert_eq!(subject.exact().ask("get value"), ["1"]);
    subject.upgrade();
}

#[test]
fn a_server_that_is_killed_after_it_has_parted_is_not_missed() {
    let subject = Subject::with_kill_points();
    sessions_go_on(&subject, || {
        subject.arm("handed-over");
        let mut asking = subject.exact();
        asking.send("upgrade\n");
        subject.wait_for_kill_at("handed-over");
        asking.reply().unwrap();
        eventually("there is one server", || subject.papad.servers().len() == 1);
    });
}
