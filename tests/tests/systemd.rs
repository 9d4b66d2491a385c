//! papad as a service of systemd, whose part a test plays: over a real notification socket, with a
//! store that keeps descriptors while there is no papad.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use papad_tests::exact::{Exact, Seen, number_of, script};
use papad_tests::kills::{Client, Random};
use papad_tests::{
    FakeSystemd, Fifo, Papad, ScratchDir, Session, eventually, field, is_root, make_stopped,
    papad_program, pid_of, procfs, shell, wait_for_end,
};

/// What a papad stores that hosts nothing.
const ALWAYS_STORED: [&str; 4] = ["control.0", "control.1", "journal.1", "server.1"];

fn start(systemd: &FakeSystemd) -> Papad {
    Papad::builder().under(systemd).start()
}

/// Makes a process that outlives papad, and is killed with the test.
fn make(systemd: &FakeSystemd, session: &mut Session, name: &str, words: &str) -> String {
    let line = session.ask(format!("make process {name} {words}"));
    systemd.look_after(pid_of(&line));
    line
}

fn environment(pid: i32) -> String {
    String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/environ")).unwrap()).into_owned()
}

#[test]
fn ready_is_said_by_the_main_process_when_sessions_are_served() {
    let systemd = FakeSystemd::new();
    let papad = start(&systemd);
    systemd.wait_for(0, "READY=1");
    // The thread is there, and gives itself its name when it is given a processor.
    eventually("the server accepts connections", || {
        let tasks = fs::read_dir(format!("/proc/{}/task", papad.server_pid())).unwrap();
        let mut names = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("comm")));
        names.any(|name| name.unwrap() == "accept\n")
    });
    let said = systemd.said();
    assert!(said.contains(&"STATUS=Ready, with server 1".to_owned()), "{said:?}");
    assert!(said.contains(&format!("MAINPID={}", papad.keeper_pid())), "{said:?}");

    papad.kill_server();
    systemd.wait_for(said.len(), "STATUS=The server ended by signal 9; starting it again");
    systemd.wait_for(said.len(), "STATUS=Ready, with server 2");
    assert_eq!(systemd.not_heard(), 0, "only the main process speaks");
}

#[test]
fn an_abstract_socket_is_spoken_to_as_well() {
    use std::os::linux::net::SocketAddrExt;
    let name = format!("papad-test-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let socket = std::os::unix::net::UnixDatagram::bind_addr(&address).unwrap();
    socket.set_read_timeout(Some(papad_tests::DEADLINE)).unwrap();
    let _papad = Papad::builder().after_shell(&format!("export NOTIFY_SOCKET=@{name}")).start();
    let mut message = [0; 4096];
    let mut is_ready = false;
    while !is_ready {
        let length = socket.recv(&mut message).unwrap();
        is_ready = message[..length].starts_with(b"READY=1\n");
    }
}

#[test]
fn sockets_of_a_socket_unit_take_the_place_of_its_own() {
    let scratch = ScratchDir::new();
    let path = scratch.join("papad.sock");
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = tcp.local_addr().unwrap().port();
    let unix = UnixListener::bind(&path).unwrap();
    let systemd =
        FakeSystemd::new().with_socket("papad.socket", tcp).with_socket("papad.socket", unix);
    // It connects before papad is there, as what activates a service does.
    let early = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut papad = Papad::builder().unix_path(&path).under(&systemd).start();
    assert_eq!(papad.port(), port);
    papad_tests::wait_readable(&early);
    papad.session().ask_expecting("list values", "");
    papad.connect_unix().expect(papad_tests::BANNER);
    // systemd has them without its store, and would pass them twice.
    assert_eq!(systemd.stored(), ["journal.1", "server.1"]);

    papad.kill_both();
    let mut papad = Papad::builder().unix_path(&path).under(&systemd).start();
    assert_eq!(papad.port(), port);
    papad.wait_for_log("ready");
    kill(Pid::from_raw(papad.keeper_pid()), Signal::SIGTERM).unwrap();
    assert!(papad.wait_for_exit().success());
    assert!(Path::new(&path).exists(), "the socket unit's file is not papad's to remove");
}

#[test]
fn what_was_passed_to_another_process_is_not_taken() {
    let scratch = ScratchDir::new();
    let path = scratch.join("papad.sock");
    let mut papad = Command::new(papad_program())
        .args(["-p", "0", "-u", &path])
        .env("LISTEN_PID", "1")
        .env("LISTEN_FDS", "1")
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    eventually("papad listens on its own socket", || UnixStream::connect(&path).is_ok());
    kill(Pid::from_raw(papad.id() as i32), Signal::SIGTERM).unwrap();
    assert!(papad.wait().unwrap().success());
}

#[test]
fn everything_is_found_again_after_both_were_killed() {
    let systemd = FakeSystemd::new();
    let scratch = ScratchDir::new();
    let gate = Fifo::new(&scratch, "gate");
    let hosted_path = scratch.join("hosted.sock");
    let mut papad = start(&systemd);
    let port = papad.port();
    let mut session = papad.session();
    let web = session.ask("make socket web");
    let local = session.ask(format!("make socket local path={hosted_path}"));
    session.ask("set value kept");
    let talks = format!("echo before; read go < {0}; echo after; read go < {0}", gate.path());
    let talker = make(&systemd, &mut session, "talker", &shell(&talks));
    session.ask(format!("make process ended {}", shell("echo last words; exit 7")));
    wait_for_end(&mut session, "ended");
    let (processes, sockets) = (session.ask("list processes"), session.ask("list sockets"));
    drop(session);

    papad.kill_both();
    // Nobody is there, and yet nobody is turned away, nor killed by SIGPIPE.
    let waiting = TcpStream::connect(("127.0.0.1", port)).unwrap();
    TcpStream::connect(("127.0.0.1", field(&web, "port").parse().unwrap())).unwrap();
    UnixStream::connect(&hosted_path).unwrap();
    gate.send_line();
    let papad = start(&systemd);
    assert_eq!(papad.port(), port);
    papad_tests::wait_readable(&waiting);

    let mut session = papad.session();
    session.ask_expecting("list processes", &processes);
    session.ask_expecting("list sockets", &sockets);
    session.ask_expecting("make socket web", &web);
    session.ask_expecting(format!("make socket local path={hosted_path}"), &local);
    session.ask_expecting("get value", "kept");
    let mut exact = Exact::tcp(&papad);
    exact.ask("watch ended talker");
    let (mut of_ended, mut of_talker) = (Vec::new(), Vec::new());
    while of_talker.len() < "before\nafter\n".len() {
        match exact.next_seen() {
            Seen::Data { name, data, .. } if name == b"ended" => of_ended.extend(data),
            Seen::Data { data, .. } => of_talker.extend(data),
            Seen::Closed { name, end, .. } => {
                assert_eq!((&name[..], &*end), (&b"ended"[..], "exit 7"));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(of_talker, b"before\nafter\n");
    assert_eq!(of_ended, b"last words\n");
    let pid = pid_of(&talker);
    assert!(procfs::stat(pid).is_some_and(|process| !process.is_zombie()));
}

#[test]
fn four_hundred_processes_are_found_again_after_both_were_killed() {
    let systemd = FakeSystemd::new();
    let mut papad = start(&systemd);
    let mut session = papad.session();
    for number in 0..400 {
        make(&systemd, &mut session, &format!("p{number}"), "/bin/sleep 1000");
    }
    let processes = session.ask("list processes");
    drop(session);
    papad.kill_both();
    let papad = start(&systemd);
    papad.session().ask_expecting("list processes", &processes);
}

#[test]
fn a_user_who_may_have_few_descriptors_in_flight_loses_nothing() {
    /// Nobody else's: the kernel counts for each user.
    const USER: u32 = 61234;
    if !is_root("running papad as somebody else") {
        return;
    }
    let systemd = FakeSystemd::new();
    let scratch = ScratchDir::new();
    let start = || {
        let papad = Papad::builder().as_user(USER, scratch.join("papad")).under(&systemd);
        papad.after_shell("ulimit -n 1400; export LISTEN_PID=$$").start()
    };
    let mut papad = start();
    let mut session = papad.session();
    // All of these are in carriers, and cannot be on their way to a server at the same time.
    for number in 0..280 {
        make(&systemd, &mut session, &format!("p{number}"), "/bin/sleep 1000");
    }
    let processes = session.ask("list processes");
    drop(session);
    papad.kill_both();
    let mut papad = start();
    papad.session().ask_expecting("list processes", &processes);

    // More is held than can be safe, and the log says so; the journal is.
    let mut session = papad.session();
    for number in 280..310 {
        make(&systemd, &mut session, &format!("p{number}"), "/bin/sleep 1000");
    }
    session.ask("set v kept");
    papad.wait_for_log("may have no more descriptors in flight");
    drop(session);
    papad.kill_both();
    let papad = start();
    let mut session = papad.session();
    session.ask_expecting("get v", "kept");
    assert_eq!(session.ask("list processes").lines().count(), 310);
}

#[test]
fn every_byte_of_a_flood_comes_through_kills_of_both() {
    const LAST: usize = 400_000;
    let systemd = FakeSystemd::new();
    let mut papad = start(&systemd);
    let flood = script(&format!("/usr/bin/seq 1 {LAST}; exec /bin/sleep 1000"));
    let request = format!("make process p overflow=block bufsize=64k {flood}");
    let made = Exact::tcp(&papad).ask_line(request);
    systemd.look_after(number_of(&made, "pid") as i32);
    let numbers: Vec<String> = (1..=LAST).map(|number| number.to_string()).collect();
    let expected = numbers.join("\n") + "\n";
    let mut random = Random::from_environment();
    let mut seen = Vec::new();
    while seen.len() < expected.len() {
        let mut exact = Exact::tcp(&papad);
        exact.ask(format!("watch p window=64k from={}", seen.len()));
        let until = (seen.len() + 1 + random.below(400_000) as usize).min(expected.len());
        while seen.len() < until {
            let Seen::Data { position, data, .. } = exact.next_seen() else { panic!() };
            assert_eq!(position, seen.len() as u64);
            seen.extend(data);
            exact.send(format!("ack p {}\n", seen.len()));
        }
        papad.kill_both();
        papad = start(&systemd);
    }
    assert!(seen == expected.as_bytes());
}

/// Sets a value again and again, until papad is gone, and returns the last number that it told to
/// be kept. The journal is compacted over and over.
fn set_until_gone(mut client: Client, first: usize) -> usize {
    let mut number = first;
    let filler = "x".repeat(5000);
    while client.ask(&format!("set v {}.{filler}", number + 1)).is_ok() {
        number += 1;
    }
    number
}

/// The number in the value that is kept: the last that was told to be, or the next one, which may
/// have been set without an answer.
#[track_caller]
fn expect_kept(papad: &Papad, told: usize) -> usize {
    let value = papad.session().ask("get v");
    let kept = value.split_once('.').map_or(0, |(number, _)| number.parse().unwrap());
    assert!(kept == told || kept == told + 1, "{told} was set, {kept} is kept");
    kept
}

#[test]
fn no_value_is_lost_by_kills_of_both_while_the_journal_is_compacted() {
    let systemd = FakeSystemd::new();
    let mut papad = start(&systemd);
    let mut random = Random::from_environment();
    let mut number = 0;
    let journals = || -> Vec<String> {
        systemd.stored().into_iter().filter(|name| name.starts_with("journal.")).collect()
    };
    let mut rounds = 0;
    // How much is set in a round is a matter of time, too.
    while rounds < 15 || journals() == ["journal.1"] {
        rounds += 1;
        // In the middle of something, which is a matter of time.
        let pause = Duration::from_micros(random.below(60_000));
        let client = Client::connect(&papad).unwrap();
        number = thread::scope(|scope| {
            let setting = scope.spawn(|| set_until_gone(client, number));
            thread::sleep(pause);
            let server = papad.server_pid();
            kill(Pid::from_raw(papad.keeper_pid()), Signal::SIGKILL).unwrap();
            let _ = kill(Pid::from_raw(server), Signal::SIGKILL);
            setting.join().unwrap()
        });
        assert_eq!(papad.wait_for_exit().code(), None);
        papad = start(&systemd);
        number = expect_kept(&papad, number);
    }
    assert_eq!(journals().len(), 1, "{:?}", journals());
}

#[test]
fn a_new_journal_counts_only_when_it_is_stored() {
    let systemd = FakeSystemd::new();
    let mut papad = start(&systemd);
    papad.session().ask("list values");
    let (keeper, server) = (papad.keeper_pid(), papad.server_pid());
    let client = Client::connect(&papad).unwrap();
    // A keeper that stands still stores nothing: the server may not go on in a new journal.
    kill(Pid::from_raw(keeper), Signal::SIGSTOP).unwrap();
    let journals = || {
        let files = procfs::open_files(server);
        files.values().filter(|file| file.contains("papad-journal")).count()
    };
    let only = journals();
    let told = thread::scope(|scope| {
        let setting = scope.spawn(|| set_until_gone(client, 0));
        eventually("the server has a new journal", || journals() > only);
        kill(Pid::from_raw(keeper), Signal::SIGKILL).unwrap();
        let _ = kill(Pid::from_raw(server), Signal::SIGKILL);
        setting.join().unwrap()
    });
    papad.wait_for_exit();
    assert_eq!(systemd.stored(), ALWAYS_STORED);
    let papad = start(&systemd);
    expect_kept(&papad, told);
}

#[test]
fn the_next_server_waits_for_children_that_the_last_one_was_making() {
    let systemd = FakeSystemd::new();
    let mut papad = start(&systemd);
    papad.session().ask("list values");
    // What such a child has of its server, in the hands of the test.
    let server = papad.server_pid();
    let is_pipe = |(number, file): &(i32, String)| *number > 2 && file.starts_with("pipe:");
    let pipe = procfs::open_files(server).into_iter().find(is_pipe);
    let (number, _) =
        pipe.expect("beside its log, a server that hosts nothing has this pipe alone");
    let writing = fs::File::options().append(true).open(format!("/proc/{server}/fd/{number}"));
    let child = writing.unwrap();
    papad.kill_both();
    let said = systemd.said().len();
    let papad = start(&systemd);
    papad.wait_for_log("waiting until the last server's children are on their own");
    // Unless this test has taken longer than papad waits for such a child.
    let is_served = systemd.said().len() != said;
    assert!(
        !is_served || papad.log().contains("is late; going on without it"),
        "somebody is served"
    );
    drop(child);
    systemd.wait_for(said, "READY=1");
    assert_eq!(systemd.stored(), ["control.0", "control.1", "journal.1", "server.2"]);
}

#[test]
fn a_stop_is_announced_and_leaves_what_a_restart_needs() {
    let systemd = FakeSystemd::new();
    let scratch = ScratchDir::new();
    let (own, hosted) = (scratch.join("papad.sock"), scratch.join("hosted.sock"));
    let mut papad = Papad::builder().unix_path(&own).under(&systemd).start();
    let mut session = papad.session();
    let socket = session.ask(format!("make socket hosted path={hosted}"));
    let process = make(&systemd, &mut session, "p", "/bin/sleep 1000");
    drop(session);
    assert!(!systemd.has_said("STOPPING=1"));
    kill(Pid::from_raw(papad.keeper_pid()), Signal::SIGTERM).unwrap();
    assert!(papad.wait_for_exit().success());
    assert!(systemd.has_said("STOPPING=1"));

    UnixStream::connect(&hosted).unwrap();
    let papad = Papad::builder().unix_path(&own).under(&systemd).start();
    papad.connect_unix().expect(papad_tests::BANNER);
    let mut session = papad.session();
    session.ask_expecting("list processes", &process);
    session.ask_expecting("list sockets", &socket);
}

#[test]
fn the_store_is_as_small_after_many_processes_as_before() {
    let systemd = FakeSystemd::new();
    let papad = start(&systemd);
    let mut session = papad.session();
    session.ask("make socket s");
    session.ask("remove sockets s");
    for number in 0..1000 {
        session.ask(format!("make process p{number} {}", shell("echo out; echo err >&2")));
    }
    session.ask("remove processes p*");
    eventually("nothing is hosted", || session.ask("list processes").is_empty());
    eventually("the store has what it had", || {
        let stored = systemd.stored();
        let is_journal = |name: &&String| name.starts_with("journal.");
        let journals = stored.iter().filter(is_journal).count();
        let others: Vec<&String> = stored.iter().filter(|name| !is_journal(name)).collect();
        journals == 1 && others == ["control.0", "control.1", "server.1"]
    });
    assert!(systemd.entries().len() <= 2, "{:?}", systemd.entries());
}

#[test]
fn hosted_processes_know_nothing_of_systemd() {
    let systemd = FakeSystemd::new();
    let papad = start(&systemd);
    let mut session = papad.session();
    let pid = make_stopped(&mut session, "p", "", "");
    systemd.look_after(pid);
    for pid in [pid, papad.server_pid()] {
        let environment = environment(pid);
        assert!(!environment.contains("NOTIFY_SOCKET"), "{environment}");
        assert!(!environment.contains("LISTEN_"), "{environment}");
    }
    assert_eq!(procfs::open_files(pid).into_keys().collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn a_systemd_that_takes_no_messages_holds_nobody_up() {
    let systemd = FakeSystemd::new();
    let papad = start(&systemd);
    let mut session = papad.session();
    session.ask("make socket s");
    systemd.hang();
    // The first of them needs another carrier, which is not stored.
    for number in 0..600 {
        session.ask(format!("make process p{number} /bin/sleep 1000"));
    }
    session.ask("set v kept");
    session.ask_expecting("remove sockets s", "");
    papad.wait_for_log("systemd takes no messages; what is held is not safe");
    session.ask("set w kept");

    systemd.go_on();
    papad.wait_for_log("systemd takes messages again");
    let stored = systemd.stored();
    for number in 1..=600 {
        assert!(stored.contains(&format!("ring.{number}")), "{number} of {stored:?}");
    }
    assert!(!stored.contains(&"socket.1".to_owned()));
}

#[test]
fn what_is_made_while_systemd_takes_no_messages_is_found_again() {
    let systemd = FakeSystemd::new();
    let mut papad = start(&systemd);
    let mut session = papad.session();
    make(&systemd, &mut session, "first", "/bin/sleep 1000");
    systemd.hang();
    make(&systemd, &mut session, "second", "/bin/sleep 1000");
    session.ask("make socket web");
    session.ask("set v kept");
    let (processes, sockets) = (session.ask("list processes"), session.ask("list sockets"));
    drop(session);
    papad.kill_both();
    assert!(!papad.log().contains("systemd"), "{}", papad.log());
    systemd.go_on();
    let papad = start(&systemd);
    let mut session = papad.session();
    session.ask_expecting("list processes", &processes);
    session.ask_expecting("list sockets", &sockets);
    session.ask_expecting("get v", "kept");
}

#[test]
fn a_store_without_room_for_processes_keeps_journal_and_sockets() {
    let systemd = FakeSystemd::new().with_store_size(1);
    let mut papad = start(&systemd);
    let mut session = papad.session();
    make(&systemd, &mut session, "p", "/bin/sleep 1000");
    papad.wait_for_log("systemd's store is full");
    let web = session.ask("make socket web");
    session.ask("set v kept");
    assert!(!systemd.stored().contains(&"ring.1".to_owned()));
    drop(session);
    papad.kill_both();
    let papad = start(&systemd);
    let mut session = papad.session();
    session.ask_expecting("list sockets", &web);
    session.ask_expecting("get v", "kept");
}

#[test]
fn the_store_has_few_entries_however_much_is_held() {
    let systemd = FakeSystemd::new();
    let mut papad = start(&systemd);
    let mut session = papad.session();
    for number in 0..300 {
        make(&systemd, &mut session, &format!("p{number}"), "/bin/sleep 1000");
        session.ask(format!("make socket s{number}"));
    }
    assert_eq!(systemd.entries().len(), 2, "{:?}", systemd.entries());
    let (processes, sockets) = (session.ask("list processes"), session.ask("list sockets"));
    drop(session);
    for _ in 0..2 {
        papad.kill_both();
        papad = start(&systemd);
        let mut session = papad.session();
        session.ask_expecting("list processes", &processes);
        session.ask_expecting("list sockets", &sockets);
        eventually("what an earlier papad has left is in the carriers of this one", || {
            systemd.entries().len() == 2
        });
    }
}

#[test]
fn what_an_earlier_version_has_stored_is_found_and_gets_into_carriers() {
    let systemd = FakeSystemd::new();
    let mut papad = start(&systemd);
    let mut session = papad.session();
    for number in 0..20 {
        make(&systemd, &mut session, &format!("p{number}"), "/bin/sleep 1000");
        session.ask(format!("make socket s{number}"));
    }
    session.ask("set v kept");
    let lists = ["list processes", "list sockets", "list values"];
    let before = lists.map(|list| session.ask(list));
    drop(session);
    papad.kill_both();
    systemd.store_singly();
    assert!(systemd.entries().contains(&"ring.20".to_owned()));
    for _ in 0..2 {
        let mut papad = start(&systemd);
        let mut session = papad.session();
        assert_eq!(lists.map(|list| session.ask(list)), before);
        eventually("everything is in carriers", || {
            systemd.entries().iter().all(|name| name.starts_with("carrier."))
        });
        drop(session);
        papad.kill_both();
    }
    assert!(systemd.stored().contains(&"ring.20".to_owned()));
}

#[test]
fn full_store_of_an_earlier_version_gets_into_carriers_without_loss() {
    // What papad holds that hosts one process: each by itself, they fill the store.
    let systemd = FakeSystemd::new().with_store_size(ALWAYS_STORED.len() + 3);
    let mut papad = start(&systemd);
    let mut session = papad.session();
    make(&systemd, &mut session, "p", "/bin/sleep 1000");
    session.ask("set v kept");
    let processes = session.ask("list processes");
    drop(session);
    papad.kill_both();
    systemd.store_singly();
    assert_eq!(systemd.entries().len(), ALWAYS_STORED.len() + 3);
    let mut papad = start(&systemd);
    eventually("everything is in carriers", || {
        let entries = systemd.entries();
        !entries.is_empty() && entries.iter().all(|name| name.starts_with("carrier."))
    });
    assert!(systemd.stored().contains(&"ring.1".to_owned()));
    papad.kill_both();
    let papad = start(&systemd);
    papad.session().ask_expecting("list processes", &processes);
    papad.session().ask_expecting("get v", "kept");
}

#[test]
fn endpoints_that_are_not_asked_for_any_more_are_closed() {
    let systemd = FakeSystemd::new();
    let scratch = ScratchDir::new();
    let (former, new) = (scratch.join("former"), scratch.join("new"));
    let mut papad = Papad::builder().unix_path(&former).under(&systemd).start();
    let port = papad.port();
    papad.kill_both();
    let papad = Papad::builder().unix_path(&new).under(&systemd).start();
    assert_eq!(papad.port(), port);
    papad.connect_unix().expect(papad_tests::BANNER);
    // systemd may close it a moment later, and so may a program that another test is starting.
    eventually("nobody listens at the former path", || {
        let connected = UnixStream::connect(&former);
        connected.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    });
    assert_eq!(systemd.stored().iter().filter(|name| name.starts_with("control.")).count(), 3);
}
