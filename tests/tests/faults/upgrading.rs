//! An upgrade in which a call fails: it is made, or it is refused, and nobody notices.

use nix::errno::Errno;
use papad_tests::exact::{Exact, Reply, number_of, script};
use papad_tests::{Fault, Part};

use crate::faulty::Faulty;
use crate::sweep::{FIRST, Failing, sweep};

const KEEPERS: [Failing; 9] = [
    ("fcntl", "", &[Errno::EMFILE]),
    ("memfd_create", "", &[Errno::EMFILE, Errno::ENOMEM]),
    ("open64", "", &[Errno::EMFILE, Errno::ENOMEM]),
    ("poll", "", &[Errno::EINTR, Errno::ENOMEM]),
    ("posix_spawnp", "", &[Errno::EAGAIN, Errno::ENOMEM]),
    ("recvmsg", ":seqpacket", &[Errno::EINTR, Errno::ENOMEM]),
    ("sendmsg", ":seqpacket", &[Errno::EINTR, Errno::ENOMEM, Errno::ETOOMANYREFS]),
    ("socketpair", "", &[Errno::EMFILE, Errno::ENOMEM]),
    ("waitid", "", &[Errno::EINTR, Errno::ENOMEM]),
];

const SERVERS: [Failing; 8] = [
    ("eventfd", "", &[Errno::EMFILE, Errno::ENOMEM]),
    ("memfd_create", "papad-handover", &[Errno::EMFILE, Errno::ENOMEM]),
    ("pipe2", "", &[Errno::EMFILE]),
    ("poll", "", &[Errno::EINTR, Errno::ENOMEM]),
    ("pread64", "", &[Errno::ENOMEM]),
    ("recvmsg", "", &[Errno::EINTR, Errno::ENOMEM]),
    ("sendmsg", "", &[Errno::EINTR, Errno::ENOMEM]),
    ("write", "papad-handover", &[Errno::ENOSPC, Errno::EINTR]),
];

fn lists(exact: &mut Exact) -> [Vec<String>; 3] {
    ["values", "sockets", "processes"].map(|what| exact.ask(format!("list {what}")))
}

/// Upgrades under this fault, and sees that all is as it was.
fn upgrade(fault: Fault) -> Result<bool, String> {
    let (faulty, before) = start();
    let mut asking = faulty.exact();
    asking.ask("set mine 1 for=session");
    let in_force = faulty.put(fault);
    let reply: std::io::Result<Reply> = asking.try_ask("upgrade");
    let was_met = in_force.met() > 0;
    drop(in_force);
    match &reply {
        Ok(Ok(_)) => {}
        Ok(Err(refusal)) if ["conflict", "limit", "internal"].contains(&refusal.code.as_str()) => {}
        // A candidate that has the baton and cannot go on is a server that ends.
        Err(_) => asking = faulty.exact(),
        Ok(Err(refusal)) => return Err(format!("{refusal:?}")),
    }
    if reply.is_ok() && asking.ask_line("get mine") != "1" {
        return Err("the session is another".to_owned());
    }
    let now = lists(&mut faulty.exact());
    let without_mine = |mut lists: [Vec<String>; 3]| {
        lists[0].retain(|line| !line.starts_with("name=mine "));
        lists
    };
    let now = without_mine(now);
    if now == before { Ok(was_met) } else { Err(format!("there is {now:?}\nand was {before:?}")) }
}

fn start() -> (Faulty, [Vec<String>; 3]) {
    let faulty = Faulty::start();
    let mut exact = faulty.exact();
    exact.ask("set v 1");
    exact.ask("make socket s");
    exact.ask(format!("make process p {}", script("exec sleep 1000")));
    let before = lists(&mut exact);
    assert_eq!(number_of(&exact.ask("status")[0], "starts"), 1);
    (faulty, before)
}

#[test]
fn an_upgrade_is_made_or_refused_whichever_call_of_the_keeper_fails() {
    sweep(Part::Keeper, &KEEPERS, FIRST, upgrade);
}

#[test]
fn an_upgrade_is_made_or_refused_whichever_call_of_a_server_fails() {
    sweep(Part::Server, &SERVERS, FIRST, upgrade);
}
