//! The server is killed, and a call of the one that follows fails, or of the keeper that starts it.
//! A server that cannot start is followed by another: what papad holds is all there in the end.

use nix::errno::Errno;
use papad_tests::exact::{Exact, Seen, number_of, read_data, script};
use papad_tests::{Fault, Part, eventually, procfs};

use crate::faulty::Faulty;
use crate::sweep::{FIRST, Failing, sweep};

const SERVERS: [Failing; 19] = [
    ("accept4", "", &[Errno::ENOMEM, Errno::EMFILE, Errno::ECONNABORTED, Errno::EINTR]),
    ("dup2", "", &[Errno::EBUSY]),
    ("epoll_create1", "", &[Errno::EMFILE, Errno::ENOMEM]),
    ("epoll_ctl", "", &[Errno::ENOMEM]),
    ("eventfd", "", &[Errno::EMFILE, Errno::ENOMEM]),
    ("fcntl", "", &[Errno::EMFILE]),
    ("fstat64", "", &[Errno::ENOMEM]),
    ("open64", "", &[Errno::EMFILE, Errno::ENOMEM]),
    ("pipe2", "", &[Errno::EMFILE, Errno::ENFILE]),
    ("poll", "", &[Errno::EINTR, Errno::ENOMEM]),
    ("pread64", "papad-journal", &[Errno::ENOMEM]),
    ("pread64", "papad-ring", &[Errno::ENOMEM]),
    ("pthread_create", "", &[Errno::EAGAIN]),
    ("pwrite64", "papad-ring", &[Errno::ENOSPC]),
    ("recvmsg", ":seqpacket", &[Errno::EINTR, Errno::ENOMEM]),
    ("sendmsg", ":seqpacket", &[Errno::EINTR, Errno::ENOMEM]),
    ("setsockopt", "", &[Errno::ENOMEM, Errno::ENOBUFS]),
    ("socket", "", &[Errno::EMFILE, Errno::ENOBUFS]),
    ("write", "papad-journal", &[Errno::ENOSPC]),
];

const KEEPERS: [Failing; 8] = [
    ("poll", "", &[Errno::EINTR, Errno::ENOMEM]),
    ("posix_spawnp", "", &[Errno::EAGAIN, Errno::ENOMEM, Errno::EMFILE]),
    ("read", "anon_inode", &[Errno::EINTR]),
    ("recvmsg", ":seqpacket", &[Errno::EINTR, Errno::ENOMEM]),
    ("sendmsg", ":seqpacket", &[Errno::EINTR, Errno::ENOMEM, Errno::ENOBUFS, Errno::ETOOMANYREFS]),
    ("setsockopt", "", &[Errno::ENOMEM]),
    ("socketpair", "", &[Errno::EMFILE, Errno::ENFILE, Errno::ENOMEM]),
    ("waitid", "", &[Errno::EINTR, Errno::ENOMEM]),
];

/// What a resident process has written, which nobody has taken.
const UNREAD: &str = "unread\n";

fn start_with_residents() -> Faulty {
    let faulty = Faulty::start();
    let mut exact = faulty.exact();
    exact.ask("set v 1");
    exact.ask("make socket s");
    exact.ask(format!("make process p {}", script("echo unread; exec sleep 1000")));
    exact.ask(format!("make process ended {}", script("echo unread; exit 3")));
    for (name, is_so) in [("p", " next=7 "), ("ended", " next=7 "), ("ended", " exit=3 ")] {
        eventually(is_so, || exact.ask_line(format!("list processes {name}")).contains(is_so));
    }
    faulty
}

fn lists(exact: &mut Exact) -> [Vec<String>; 3] {
    ["values", "sockets", "processes"].map(|what| exact.ask(format!("list {what}")))
}

/// Kills the server and has this fault met then; sees that everything is there, whichever server it
/// is that answers.
fn start_again(faulty: &Faulty, fault: Fault) -> Result<bool, String> {
    let before = lists(&mut faulty.exact());
    let in_force = faulty.put(fault);
    faulty.papad.kill_server();
    // Whoever is turned away comes again.
    while !faulty.serves() {}
    let was_met = in_force.met() > 0;
    drop(in_force);
    let mut exact = faulty.exact();
    let now = lists(&mut exact);
    if now != before {
        return Err(format!("there is {now:?}\nand was {before:?}"));
    }
    for name in ["p", "ended"] {
        exact.ask(format!("watch {name} mode=peek follow=no"));
        let output = read_data(&mut exact, UNREAD.len());
        while !matches!(exact.next_seen(), Seen::End(_)) {}
        if output != UNREAD.as_bytes() {
            return Err(format!("{name} has written {}", output.escape_ascii()));
        }
    }
    let status = exact.ask("status").remove(0);
    if number_of(&status, "skipped") + number_of(&status, "aside") > 0 {
        return Err(status);
    }
    Ok(was_met)
}

#[test]
fn everything_is_found_whichever_call_of_a_new_server_fails() {
    // Servers that end at once would follow each other more and more slowly.
    sweep(Part::Server, &SERVERS, FIRST, |fault| start_again(&start_with_residents(), fault));
}

#[test]
fn everything_is_found_whichever_call_of_the_keeper_fails() {
    sweep(Part::Keeper, &KEEPERS, FIRST, |fault| {
        let faulty = start_with_residents();
        let was_met = start_again(&faulty, fault)?;
        eventually("there is no zombie", || {
            procfs::children(faulty.papad.keeper_pid()).iter().all(|child| !child.is_zombie())
        });
        Ok(was_met)
    });
}

/// Nothing is set aside because there was no room for several servers one after the other.
#[test]
fn nothing_is_given_up_when_server_after_server_cannot_start() {
    for fault in [
        Fault::fail("pthread_create", Errno::EAGAIN).times(4),
        Fault::fail("epoll_ctl", Errno::ENOSPC).times(4),
        Fault::fail("epoll_create1", Errno::EMFILE).times(4),
        Fault::fail("eventfd", Errno::EMFILE).times(4),
        Fault::fail("pread64", Errno::ENOMEM).at("papad-ring").times(4),
        Fault::fail("pread64", Errno::ENOMEM).at("papad-journal").times(4),
        Fault::fail("fstat64", Errno::ENOMEM).at("papad-journal").times(4),
    ] {
        let (fault, faulty) = (fault.of(Part::Server), start_with_residents());
        if let Err(why) = start_again(&faulty, fault) {
            panic!("{fault}: {why}\n{}", faulty.papad.log());
        }
    }
}

/// After the keeper was killed, a server looks for each process by its pid. One that it cannot look
/// at would be taken for another, and said to have ended.
#[test]
fn a_process_that_runs_is_found_however_its_line_is_read() {
    let faulty = start_with_residents();
    faulty.papad.kill_keeper();
    let mut exact = faulty.exact();
    for fault in
        [Fault::fail("read", Errno::EINTR).at("/stat").one_in(2), Fault::cut("read", 7).at("/stat")]
    {
        exact.ask("make process child -- /bin/sleep 1000");
        let in_force = faulty.put(fault);
        faulty.papad.kill_server();
        exact = faulty.exact();
        assert!(in_force.met() > 0, "{fault}");
        for name in ["p", "child"] {
            let line = exact.ask_line(format!("list processes {name}"));
            assert!(line.contains(" state=running "), "{fault}: {line}");
        }
    }
}

/// Why a server cannot start is in the log, and it is not taken for one that was killed.
#[test]
fn a_server_that_cannot_start_says_why() {
    let faulty = start_with_residents();
    let in_force =
        faulty.put(Fault::fail("pthread_create", Errno::EAGAIN).of(Part::Server).times(3));
    faulty.papad.kill_server();
    in_force.wait_until_met(3);
    while !faulty.serves() {}
    // The log comes by a pipe, and this is the last line that is looked for.
    faulty.papad.wait_for_logs(3, "the server ended with status 1");
    let log = faulty.papad.log();
    assert_eq!(log.matches("the server failed: Resource temporarily unavailable").count(), 3);
    assert_eq!(log.matches("the server ended with status 1").count(), 3, "{log}");
    assert_eq!(log.matches("the server ended by signal 9").count(), 1, "{log}");
}
