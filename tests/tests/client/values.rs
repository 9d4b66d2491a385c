//! Values: set, compared, listed, and gone with their session.

use papa_client::{ErrorKind, Papa};
use papad_tests::eventually;

use crate::{Hosted, kind};

#[test]
fn a_value_is_set_read_listed_and_removed() {
    let hosted = Hosted::start();
    let papa = &hosted.papa;
    assert_eq!(papa.get("a").unwrap(), None);
    papa.set("a", "one").unwrap();
    papa.set("a.b", [0, 0xff, b'\n']).unwrap();
    papa.set("c", "").unwrap();
    assert_eq!(papa.get("a").unwrap().unwrap(), b"one");
    assert_eq!(papa.get("c").unwrap().unwrap(), b"");
    let values = papa.values("a*").unwrap();
    let names: Vec<_> = values.iter().map(|value| value.name.to_string()).collect();
    assert_eq!(names, ["a", "a.b"]);
    assert_eq!(values[1].value, [0, 0xff, b'\n']);
    assert!(papa.unset("a").unwrap());
    assert!(!papa.unset("a").unwrap());
    assert_eq!(papa.remove_values("*").unwrap().len(), 2);
    assert!(papa.values("*").unwrap().is_empty());
    assert_eq!(kind(papa.remove_values("gone")), ErrorKind::NotFound);
}

#[test]
fn a_value_changes_only_as_expected() {
    let hosted = Hosted::start();
    let papa = &hosted.papa;
    assert!(papa.compare_and_set("a", None, "absent").unwrap());
    assert!(!papa.compare_and_set("a", None, "2").unwrap());
    assert!(!papa.compare_and_set("a", Some(b"other"), "2").unwrap());
    assert!(papa.compare_and_set("a", Some(b"absent"), "2").unwrap());
    assert_eq!(papa.get("a").unwrap().unwrap(), b"2");
    assert!(!papa.compare_and_unset("a", "other").unwrap());
    assert!(papa.compare_and_unset("a", "2").unwrap());
    assert!(!papa.compare_and_unset("a", "2").unwrap());
}

#[test]
fn a_value_of_a_session_vanishes_with_it() {
    let hosted = Hosted::start();
    let other = Papa::connect(&hosted.endpoint()).unwrap();
    other.set_for_session("mine", "1").unwrap();
    assert!(other.compare_and_set_for_session("mine", Some(b"1"), "2").unwrap());
    let listed = hosted.papa.values("mine").unwrap();
    assert!(listed[0].for_session && listed[0].value == b"2");
    drop(other);
    eventually("the value has vanished", || hosted.papa.get("mine").unwrap().is_none());
}

#[test]
fn who_has_set_such_a_value_is_told_that_its_session_has_ended() {
    let hosted = Hosted::start();
    let (papa, papad) = (&hosted.papa, &hosted.papad);
    papa.set_for_session("mine", "1").unwrap();
    papad.kill_server();
    assert_eq!(kind(papa.get("mine")), ErrorKind::Disconnected);
    assert_eq!(kind(papa.set("mine", "2")), ErrorKind::Disconnected);
    let again = Papa::connect(papa.endpoint()).unwrap();
    assert_eq!(again.get("mine").unwrap(), None);
}

#[test]
fn a_value_may_be_long_but_not_longer_than_a_line() {
    let hosted = Hosted::start();
    let papa = &hosted.papa;
    // Each byte takes four on the wire.
    let long = vec![0xff; 500_000];
    papa.set("long", &long).unwrap();
    assert_eq!(papa.get("long").unwrap().as_ref(), Some(&long));
    assert_eq!(kind(papa.set("long", vec![0xff; 600_000])), ErrorKind::Limit);
    assert_eq!(papa.get("long").unwrap().as_ref(), Some(&long));
}

#[test]
fn a_session_that_got_nothing_to_keep_comes_back_as_any_other() {
    let hosted = Hosted::start();
    let papa = &hosted.papa;
    papa.set("a", "1").unwrap();
    assert!(!papa.compare_and_set_for_session("a", None, "2").unwrap());
    hosted.papad.kill_server();
    assert_eq!(papa.get("a").unwrap().unwrap(), b"1");
}

#[test]
fn a_name_that_is_none_is_not_even_asked_for() {
    let hosted = Hosted::start();
    let papa = &hosted.papa;
    for name in ["", "a b", "a*", "a\n"] {
        assert_eq!(kind(papa.get(name)), ErrorKind::Usage, "{name:?}");
        assert_eq!(kind(papa.set(name, "")), ErrorKind::Usage, "{name:?}");
        assert_eq!(kind(papa.unset(name)), ErrorKind::Usage, "{name:?}");
    }
}
