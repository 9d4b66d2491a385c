//! One call in a few, of whatever papad does, is interrupted by a signal, or does only a part.

use nix::errno::Errno;
use papad_tests::exact::{number_of, script};
use papad_tests::kills::{Expected, Patient, Random, Residents, under_load, watch_to_end};
use papad_tests::{Fault, Part, shell};

use crate::faulty::Faulty;

/// Kills of the server under load.
const KILLS: usize = 3;

/// Has papad do everything, for several servers, while a fault is met all the time. No server ends
/// by itself.
#[track_caller]
fn all_is_well_under(met: &[Fault]) {
    let mut random = Random::from_environment();
    let faulty = Faulty::start();
    let Faulty { papad, scratch, .. } = &faulty;
    let in_force: Vec<_> = met.iter().map(|fault| faulty.put(*fault)).collect();
    let residents = Residents::new(papad, scratch);
    under_load(papad, scratch, &mut random, |_, go_on| {
        let mut patient = Patient::new(papad);
        for _ in 0..KILLS {
            papad.kill_server();
            residents.check(&mut patient);
            // Some more of the load comes to be done by this one.
            for number in 0..100 {
                assert!(go_on());
                patient.ask(&format!("set own.{number} 1"));
            }
            patient.ask("remove values own.*");
        }
    });
    residents.check_alone(&mut Patient::new(papad), &mut random);
    let status = faulty.exact().ask("status").remove(0);
    assert_eq!(number_of(&status, "starts"), 1 + KILLS as u64, "{}", papad.log());
    for (fault, in_force) in met.iter().zip(&in_force) {
        assert!(in_force.met() > 0, "{fault} is not met");
    }
}

#[test]
fn one_call_in_three_is_interrupted() {
    all_is_well_under(&[Fault::fail("*", Errno::EINTR).one_in(3)]);
}

/// Calls that move only so many bytes. Records of the journal are another matter: each is written by
/// one call.
fn few_bytes(most: u32) -> [Fault; 7] {
    [
        Fault::cut("read", most),
        Fault::cut("recvmsg", most),
        Fault::cut("splice", most),
        Fault::cut("pread64", most),
        Fault::cut("pwrite64", most),
        Fault::cut("write", most).at(":stream"),
        Fault::cut("write", most).at("stderr"),
    ]
}

#[test]
fn every_fifth_call_moves_few_bytes() {
    all_is_well_under(&few_bytes(7).map(|fault| fault.one_in(5)));
}

#[test]
fn every_fifth_call_moves_few_bytes_and_others_are_interrupted() {
    let mut met = few_bytes(100).map(|fault| fault.one_in(5)).to_vec();
    met.push(Fault::fail("*", Errno::EINTR).one_in(4));
    all_is_well_under(&met);
}

/// A short day, since each byte is a call.
#[test]
fn every_call_moves_one_byte() {
    let faulty = Faulty::start();
    let in_force = few_bytes(1).map(|fault| faulty.put(fault));
    let mut random = Random::from_environment();
    let mut patient = Patient::new(&faulty.papad);
    for server in 0..3 {
        let (name, text) = (format!("p{server}"), "some words, ".repeat(20));
        patient.ask("set v some words");
        let line = format!("printf '{text}'; printf '{text}' >&2; exit 7");
        let made = patient.ask(&format!("make process {name} {}", shell(&line)));
        assert!(made.text.contains(" pid="), "{made:?}");
        let expected = Expected { out: text.as_bytes(), err: text.as_bytes(), code: 7 };
        watch_to_end(&mut patient, &mut random, &name, expected);
        let mut exact = faulty.exact();
        let writer = script("printf text; exec sleep 1000");
        exact.ask_line(format!("make process q{server} {writer}"));
        exact.ask(format!("watch q{server}"));
        assert_eq!(papad_tests::exact::read_data(&mut exact, 4), b"text");
        exact.ask_expecting("stop", "end stopped\n");
        patient.leave();
        drop(exact);
        faulty.papad.kill_server();
        assert_eq!(patient.ask("get v").text, "some words");
    }
    assert!(in_force.iter().all(|fault| fault.met() > 0));
    let status = faulty.exact().ask("status").remove(0);
    assert_eq!(number_of(&status, "starts"), 4, "{}", faulty.papad.log());
    assert_eq!(number_of(&status, "skipped"), 0);
}

/// With a log that cannot be written, or only slowly, nothing else changes.
#[test]
fn the_log_cannot_be_written() {
    let faulty = Faulty::start();
    for fault in [
        Fault::fail("write", Errno::EAGAIN).at("stderr"),
        Fault::fail("write", Errno::ENOSPC).at("stderr"),
        Fault::fail("write", Errno::EPIPE).at("stderr").of(Part::Keeper),
        Fault::cut("write", 1).at("stderr"),
    ] {
        let in_force = faulty.put(fault);
        let mut exact = faulty.exact();
        exact.ask("set v 1");
        drop(exact);
        faulty.papad.kill_server();
        faulty.exact().ask_expecting("get v", "ok 1\n1\n");
        in_force.wait_until_met(1);
    }
}
