//! Upgrades, which nobody who has a connection notices.

use std::path::Path;

use papa_client::{ErrorKind, OnDisconnect};
use papad_tests::DEADLINE;

use crate::flood::Flood;
use crate::{Hosted, kind};

#[test]
fn an_upgrade_tells_the_version_and_closes_no_connection() {
    let hosted = Hosted::start();
    let papa = &hosted.papa;
    // A session with such a value would say so if it were connected anew.
    papa.set_for_session("here", "still").unwrap();
    let server = papa.status().unwrap().server;
    assert_eq!(papa.upgrade(None).unwrap(), papa.status().unwrap().version);
    assert_ne!(papa.status().unwrap().server, server);
    assert_eq!(papa.get("here").unwrap().unwrap(), b"still");
}

#[test]
fn an_upgrade_that_cannot_be_says_why_and_changes_nothing() {
    let hosted = Hosted::start();
    let papa = &hosted.papa;
    let server = papa.status().unwrap().server;
    let upgrade = |path| papa.upgrade(Some(Path::new(path)));
    let error = upgrade("/bin/true").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("ended before it could take over"), "{error}");
    assert_eq!(kind(upgrade("/nowhere")), ErrorKind::NotFound);
    assert_eq!(kind(upgrade("papad")), ErrorKind::Usage);
    assert_eq!(papa.status().unwrap().server, server);
}

#[test]
fn a_watch_goes_on_through_an_upgrade_without_a_break() {
    let hosted = Hosted::start();
    let flood = Flood::make_endless(&hosted.papa, "web");
    let watch = hosted.papa.watch(["w*"]).on_disconnect(OnDisconnect::Report);
    let mut watcher = watch.start().unwrap();
    let mut check = flood.check();
    let mut next = || {
        // A break would be an error.
        let batch = watcher.next_timeout(DEADLINE).unwrap().expect("a batch comes in time");
        check.take(&batch);
        batch
    };
    let held = next();
    hosted.papa.upgrade(None).unwrap();
    held.acknowledge();
    for _ in 0..100 {
        next().acknowledge();
    }
    flood.process.kill().unwrap();
}
