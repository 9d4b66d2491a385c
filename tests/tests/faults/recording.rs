//! What is written down: the journal, and values on disk.

use std::fs;
use std::thread;

use nix::errno::Errno;
use papad_tests::exact::{Exact, number_of, value_of};
use papad_tests::{Fault, Part};

use crate::faulty::Faulty;
use crate::sweep::{ALL, Failing, sweep};

/// Two records of which each is written in two parts would be in each other's way. So would they
/// with room that is made for those after them.
#[test]
fn records_that_are_taken_in_parts_do_not_take_each_other_apart() {
    let faulty = Faulty::start();
    let cut = faulty.put(Fault::cut("write", 9).at("papad-journal").of(Part::Server).one_in(2));
    let mut recorded: Vec<String> = thread::scope(|scope| {
        let sessions: Vec<_> = (0..4)
            .map(|session| {
                let faulty = &faulty;
                scope.spawn(move || {
                    let mut exact = faulty.exact();
                    let requests = (0..50).flat_map(|number| {
                        let name = format!("{session}.{number}");
                        // Every other one is too long for the room after the one before.
                        let value = "1".repeat([40_000, 900][number % 2]);
                        [("value", name.clone(), value), ("socket", name, String::new())]
                    });
                    let is_recorded = |(what, name, value): &(&str, String, String)| {
                        let verb = if *what == "value" { "set" } else { "make socket" };
                        match exact.try_ask(format!("{verb} {name} {value}").trim_end()) {
                            Ok(Ok(_)) => true,
                            Ok(Err(refusal)) => {
                                assert_eq!(refusal.code, "limit");
                                false
                            }
                            Err(error) => panic!("{error}"),
                        }
                    };
                    let recorded = requests.filter(is_recorded);
                    recorded.map(|(what, name, _)| format!("{what} {name}")).collect::<Vec<_>>()
                })
            })
            .collect();
        sessions.into_iter().flat_map(|session| session.join().unwrap()).collect()
    });
    assert!(cut.met() >= 200);
    drop(cut);
    faulty.papad.kill_server();
    let mut exact = faulty.exact();
    let mut found = Vec::new();
    for (what, list) in [("value", "list values"), ("socket", "list sockets")] {
        let lines = exact.ask(list);
        found.extend(lines.iter().map(|line| format!("{what} {}", value_of(line, "name"))));
    }
    recorded.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, recorded);
}

/// The child of a process that is made writes its own record.
#[test]
fn a_process_whose_record_is_taken_in_part_runs_or_is_refused() {
    let faulty = Faulty::start();
    let mut exact = faulty.exact();
    let cut = Fault::cut("write", 9).at("papad-journal").of(Part::Child);
    for (fault, is_made) in [
        (cut.once(), true),
        (cut, false),
        (Fault::fail("write", Errno::ENOSPC).at("papad-journal").of(Part::Child), false),
        (Fault::fail("write", Errno::EINTR).at("papad-journal").of(Part::Child).once(), true),
    ] {
        let in_force = faulty.put(fault);
        let made = exact.try_ask("make process p -- /bin/sleep 1000").unwrap();
        assert!(in_force.met() > 0);
        assert_eq!(made.is_ok(), is_made, "{fault}: {made:?}");
        drop(in_force);
        faulty.papad.kill_server();
        exact = faulty.exact();
        assert_eq!(exact.ask("list processes").len(), usize::from(is_made));
        exact.ask("remove processes p*");
        for line in exact.ask("list processes") {
            let pid = nix::unistd::Pid::from_raw(number_of(&line, "pid") as i32);
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
        }
        papad_tests::eventually("it is gone", || exact.ask("list processes").is_empty());
    }
}

const DISK: [Failing; 7] = [
    ("fdatasync", "", &[Errno::EIO, Errno::ENOSPC, Errno::EINTR]),
    ("fsync", "", &[Errno::EIO, Errno::ENOSPC, Errno::EINTR]),
    ("ftruncate64", "", &[Errno::EIO]),
    ("open64", "state/", &[Errno::EMFILE, Errno::ENOSPC, Errno::EIO]),
    ("rename", "state/", &[Errno::ENOSPC, Errno::EIO]),
    ("unlink", "state/", &[Errno::EIO]),
    ("write", "state/values", &[Errno::ENOSPC, Errno::EIO, Errno::EDQUOT, Errno::EINTR]),
];

/// What papad said of a value is so after a kill of all of it.
#[test]
fn a_value_is_on_the_disk_or_refused_whichever_call_fails() {
    let start = |builder: papad_tests::Builder<'static>, scratch: &papad_tests::ScratchDir| {
        fs::create_dir_all(scratch.join("state")).unwrap();
        builder.arg("--state-dir").arg(scratch.join("state"))
    };
    let mut faulty = Faulty::start_with(start);
    faulty.exact().ask("set kept 1");
    let mut count = 0;
    let mut last = "1".to_owned();
    let mut values = |fault: Fault| {
        count += 1;
        let mut exact = faulty.exact();
        let in_force = faulty.put(fault);
        // Each of these is a record; the first one that cannot be written has the file written anew
        // for the next.
        for number in 0..3 {
            let value = format!("{count}.{number}");
            match exact.try_ask(format!("set kept {value}")).map_err(|it| it.to_string())? {
                Ok(_) => last = value,
                Err(refusal) if ["limit", "internal"].contains(&refusal.code.as_str()) => {}
                Err(refusal) => return Err(format!("{refusal:?}")),
            }
            let now = exact.ask_line("get kept");
            if now != last {
                return Err(format!("there is {now}, and {last} was answered"));
            }
        }
        let was_met = in_force.met() > 0;
        drop((in_force, exact));
        let on_disk = fs::read_to_string(faulty.scratch.join("state/values")).unwrap();
        let is_last = on_disk.trim_end().ends_with(&format!(" set kept {last}"));
        if is_last { Ok(was_met) } else { Err(format!("{last} was answered, not {on_disk:?}")) }
    };
    sweep(Part::Server, &DISK[..1], ALL, &mut values);
    sweep(Part::Server, &DISK[6..], ALL, &mut values);
    faulty.papad.kill_both();
    faulty.start_again(start);
    assert_eq!(faulty.exact().ask_line("get kept"), last);
}

/// A disk from which the file cannot even be cut to what is certain.
#[test]
fn a_broken_disk_refuses_every_change_until_it_is_mended() {
    let faulty = Faulty::start_with(|builder, scratch| {
        fs::create_dir_all(scratch.join("state")).unwrap();
        builder.arg("--state-dir").arg(scratch.join("state"))
    });
    let mut exact: Exact = faulty.exact();
    exact.ask("set kept 1");
    for (call, place, errnos) in DISK {
        let errno = errnos[0];
        let broken = [
            faulty.put(Fault::fail("fdatasync", Errno::EIO).of(Part::Server)),
            faulty.put(Fault::fail("ftruncate64", Errno::EIO).of(Part::Server)),
            faulty.put(Fault::fail(call, errno).at(place).of(Part::Server)),
        ];
        assert!(exact.try_ask("set kept 2").unwrap().is_err(), "{call}");
        let _ = exact.try_ask("set other 2").unwrap();
        let now = exact.ask("list values");
        drop(broken);
        faulty.papad.kill_server();
        exact = faulty.exact();
        assert_eq!(exact.ask("list values"), now, "{call}");
        exact.ask("set kept 1");
        let _ = exact.try_ask("unset other").unwrap();
    }
}
