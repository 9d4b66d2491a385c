//! papad's own bounds: each is met, told with its number in both protocols, seen in `status`, and
//! costs nobody else anything.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::TcpListener;
use std::os::fd::AsFd;

use papad_tests::exact::{Exact, Seen, make_writer, number_of, read_data, script, value_of};
use papad_tests::{
    BANNER, FakeSystemd, NOBODY, Papad, ScratchDir, Session, as_user, eventually, is_root, shell,
};

/// A papad, a session of each protocol, and how near one bound is.
struct Bounded {
    papad: Papad,
    plain: Session,
    exact: Exact,
    name: &'static str,
}

impl Bounded {
    /// One with `--OPTION ALLOWED`.
    fn by(option: &'static str, allowed: &str) -> Self {
        let papad = Papad::builder().arg(format!("--{option}")).arg(allowed).start();
        let (plain, exact) = (papad.session(), Exact::tcp(&papad));
        Self { papad, plain, exact, name: option.strip_prefix("max-").unwrap() }
    }

    /// What `status` says of the bound.
    fn near(&mut self) -> String {
        near(&mut self.exact, self.name)
    }

    /// Says a line in both protocols; both refuse it in these words, as papa 1.0 has them.
    #[track_caller]
    fn refuse(&mut self, plain: &str, exact: &str, why: &str) {
        self.plain.ask_expecting(plain, format!("Error: {why}"));
        refuse(&mut self.exact, exact, why);
    }
}

fn near(exact: &mut Exact, name: &str) -> String {
    value_of(&exact.ask("status")[0], &format!("limit.{name}"))
}

/// A refusal of protocol 2 in the words of papa 1.0.
#[track_caller]
fn refuse(exact: &mut Exact, line: impl AsRef<[u8]>, why: &str) {
    assert!(exact.ask_for("limit", line).eq_ignore_ascii_case(why), "{why}");
}

#[test]
fn a_line_has_so_many_bytes() {
    let mut it = Bounded::by("max-line", "64");
    let longest = format!("set v {}", "x".repeat(64 - "set v ".len()));
    it.plain.ask_expecting(&longest, "");
    it.plain.ask_expecting(format!("{longest}\r"), "");
    it.exact.ask_expecting(&longest, "ok 0\n");
    assert_eq!(it.near(), "64/64");
    // With its end or without, and what came before is answered.
    for end in ["\n", "xxxx"] {
        let mut plain = it.papad.session();
        plain.send(format!("get none\n{longest}x{end}"));
        plain.expect("\n> Error: A line may have at most 64 bytes\n> ");
        plain.expect_closed();
        let mut exact = Exact::tcp(&it.papad);
        exact.send(format!("set a 1\n{longest}x{end}"));
        exact.expect("ok 0\nerror limit \"a line may have at most 64 bytes\"\n");
        exact.expect_closed();
    }
    it.plain.ask_expecting("get a", "1");
}

#[test]
fn a_line_has_so_many_words() {
    let mut it = Bounded::by("max-words", "8");
    it.plain.ask_expecting(r"set v 3 4 5 6 7 eight\ with\ spaces", "");
    it.plain.ask_expecting("get v", "3 4 5 6 7 eight with spaces");
    it.exact.ask("list values 3 4 5 6 7 \"eight with spaces\"");
    assert_eq!(it.near(), "8/8");
    let nine = "list values 3 4 5 6 7 8 9";
    it.refuse(nine, nine, "A line may have at most 8 words");
    it.exact.ask_expecting("watch *", "ok 0\n");
    refuse(&mut it.exact, "watch 2 3 4 5 6 7 8 9", "a line may have at most 8 words");
    it.exact.ask_expecting("stop", "end stopped\n");
    assert_eq!(it.near(), "8/8");
}

#[test]
fn a_new_name_has_so_many_bytes() {
    let mut it = Bounded::by("max-name", "8");
    it.plain.ask_expecting("set 12345678 1", "");
    let why = "A name may have at most 8 bytes";
    it.refuse("set 123456789 1", "set 123456789 1", why);
    it.refuse("make socket 123456789", "make socket 123456789", why);
    let command = "make process 123456789 -- /bin/true";
    it.refuse("make process 123456789 /bin/true", command, why);
    assert_eq!(it.near(), "8/8");
    // Names that are asked for may be any.
    it.plain.ask_expecting("get 123456789", "");
    it.exact.ask_for("not-found", "get 123456789");
}

#[test]
fn a_process_has_so_many_bytes_of_words_and_environment() {
    let mut it = Bounded::by("max-args", "40");
    // 2 more for a variable, and 1 for each word.
    it.exact.ask("make process p env.A=12345678 -- /bin/sleep 12345678901234567");
    assert_eq!(it.near(), "40/40");
    it.refuse(
        "make process q env.A=12345678 /bin/sleep 123456789012345678",
        "make process q env.A=123456789 -- /bin/sleep 12345678901234567",
        "The words and the environment of a process may have at most 40 bytes",
    );
    assert_eq!(it.exact.ask("list processes").len(), 1);
}

#[test]
fn an_answer_has_so_many_bytes() {
    let mut it = Bounded::by("max-answer", "400");
    for number in 0..15 {
        it.plain.ask_expecting(format!("set v.{number} {}", "x".repeat(100)), "");
        it.exact.ask(format!("make process p.{number} -- /bin/sleep 1000"));
        it.exact.ask(format!("make socket s.{number} backlog=1000000000"));
    }
    let why = "An answer may have at most 400 bytes: ask for fewer names";
    for noun in ["values", "processes"] {
        it.refuse(&format!("list {noun}"), &format!("list {noun}"), why);
    }
    refuse(&mut it.exact, "list sockets", why);
    refuse(&mut it.exact, "watch *", why);
    assert_eq!(number_of(&it.exact.ask_line("list processes p.1"), "watchers"), 0);
    assert_eq!(it.exact.ask("list values v.1 v.2").len(), 2);
    assert_eq!(it.plain.ask("list processes p.1 p.2").lines().count(), 2);
    let near = it.near();
    let used: u64 = near.strip_suffix("/400").unwrap().parse().unwrap();
    assert!((100..=400).contains(&used), "{near}");
}

#[test]
fn what_all_clients_leave_unread_has_so_many_bytes() {
    const MIB: u64 = 1 << 20;
    let scratch = ScratchDir::new();
    let papad =
        Papad::builder().unix_path(scratch.join("papad.sock")).arg("--max-backlog=10m").start();
    let mut exact = Exact::tcp(&papad);
    for number in 0..6 {
        exact.ask(format!("set v.{number} {}", "x".repeat(MIB as usize)));
    }
    let before = number_of(&exact.ask("status")[0], "memory");
    // Of six mebibytes, a Unix socket takes a fraction unread.
    let deaf = |dialect: &str| {
        let mut session = papad.connect_unix();
        session.expect(BANNER);
        session.send(format!("{dialect}list values\n"));
        session
    };
    let first = deaf("");
    eventually("its answer waits", || {
        let near = near(&mut exact, "backlog");
        near.split('/').next().unwrap().parse::<u64>().unwrap() > 5 * MIB
    });
    let why = "unread answers and unfinished lines may have at most 10485760 bytes together";
    for _ in 0..40 {
        papad.session().ask_expecting("list values", format!("Error: U{}", &why[1..]));
        refuse(&mut exact, "list values", why);
    }
    // What is small is answered, and what there is room for.
    assert_eq!(exact.ask("get v.1")[0].len(), MIB as usize);
    exact.ask("list values none");
    let grown = number_of(&exact.ask("status")[0], "memory").saturating_sub(before);
    assert!(grown < 64 * MIB, "{grown} bytes");
    drop(first);
    eventually("there is room again", || exact.try_ask("list values").unwrap().is_ok());
    let _second = deaf("protocol 2\n");
    eventually("its answer waits", || !near(&mut exact, "backlog").starts_with("0/"));
    refuse(&mut exact, "list values", why);
    // An answer that waits counts with the next server, too.
    exact.ask("upgrade");
    refuse(&mut exact, "list values", why);
}

#[test]
fn lines_that_are_not_finished_have_so_many_bytes_together() {
    let papad = Papad::builder().arg("--max-backlog=3m").start();
    let mut exact = Exact::tcp(&papad);
    let half = format!("set v {}", "x".repeat(1 << 20));
    let mut sessions: Vec<Session> = (0..3).map(|_| papad.session()).collect();
    for (at, session) in sessions.iter_mut().enumerate() {
        session.send(&half);
        eventually("it has come", || {
            let near = near(&mut exact, "backlog");
            let used: usize = near.split('/').next().unwrap().parse().unwrap();
            // Of each, 64 KiB do not count.
            used == (at + 1) * (half.len() - (64 << 10))
        });
    }
    let mut one_more = papad.session();
    let _ = one_more.try_send(&half);
    let heard = String::from_utf8(one_more.read_to_end()).unwrap();
    let why = "Unread answers and unfinished lines may have at most 3145728 bytes together";
    assert!(heard.is_empty() || heard == format!("Error: {why}\n> "), "{heard}");
    // Those that fitted go on.
    for session in &mut sessions {
        session.send("\n");
        session.expect("\n> ");
    }
    eventually("nothing is kept", || near(&mut exact, "backlog").starts_with("0/"));
}

#[test]
fn a_user_has_so_many_sessions() {
    let scratch = ScratchDir::new();
    let papad = Papad::builder()
        .unix_path(scratch.join("papad.sock"))
        .arg("--max-sessions-per-user=2")
        .arg("--max-sessions=5")
        .arg(format!("--allow-uid={NOBODY}"))
        .start();
    let (mut exact, mut plain) = (Exact::tcp(&papad), papad.connect_unix());
    plain.expect(BANNER);
    assert_eq!(near(&mut exact, "sessions-per-user"), "2/2");
    assert_eq!(near(&mut exact, "sessions"), "2/5");
    let refused = |mut session: Session, most: &str| {
        session.expect(format!("Error: papad serves at most {most}\n> "));
        session.expect_closed();
    };
    refused(papad.connect(), "2 sessions of one user");
    refused(papad.connect_unix(), "2 sessions of one user");
    if is_root("connecting as somebody else") {
        // Others have sessions of their own.
        let theirs = as_user(NOBODY, || [papad.session(), papad.session()]);
        as_user(NOBODY, || refused(papad.connect(), "2 sessions of one user"));
        assert_eq!(near(&mut exact, "sessions"), "4/5");
        drop(theirs);
    }
    exact.ask("upgrade");
    // The next server knows whose they are.
    assert_eq!(near(&mut exact, "sessions-per-user"), "2/2");
    refused(papad.connect(), "2 sessions of one user");
    drop(plain);
    eventually("there is room again", || {
        papad.connect().read_once().starts_with(BANNER.as_bytes())
    });
}

#[test]
fn there_are_so_many_sessions() {
    let papad = Papad::builder().arg("--max-sessions=2").arg("--max-sessions-per-user=2").start();
    let (mut exact, _plain) = (Exact::tcp(&papad), papad.session());
    papad.connect().expect("Error: papad serves at most 2 sessions\n> ");
    assert_eq!(near(&mut exact, "sessions"), "2/2");
    // One user may have all of them, if it is said.
    assert_eq!(near(&mut exact, "sessions-per-user"), "2/2");
}

#[test]
fn sessions_of_others_leave_places_for_root() {
    if !is_root("connecting as somebody else") {
        return;
    }
    let papad = Papad::builder()
        .arg("--max-sessions=20")
        .arg("--max-sessions-per-user=20")
        .arg(format!("--allow-uid={NOBODY}"))
        .start();
    // Two for root, and two for papad's own user, who is root here.
    let theirs: Vec<Session> = as_user(NOBODY, || (0..16).map(|_| papad.session()).collect());
    as_user(NOBODY, || {
        let mut refused = papad.connect();
        refused.expect("Error: papad serves at most 20 sessions\n> ");
        refused.expect_closed();
    });
    let mut exact = Exact::tcp(&papad);
    assert_eq!(near(&mut exact, "sessions"), "17/20");
    let _last = [(); 3].map(|()| papad.session());
    papad.connect().expect("Error: papad serves at most 20 sessions\n> ");
    drop(theirs);
}

#[test]
fn one_user_has_no_more_than_half_of_all_sessions_unless_it_is_said() {
    let papad = Papad::builder().arg("--max-sessions=4").start();
    let (mut exact, _plain) = (Exact::tcp(&papad), papad.session());
    assert_eq!(near(&mut exact, "sessions-per-user"), "2/2");
    papad.connect().expect("Error: papad serves at most 2 sessions of one user\n> ");
}

#[test]
fn a_session_watches_so_many_processes() {
    let mut it = Bounded::by("max-watched", "2");
    for name in ["a", "b", "c"] {
        it.exact.ask(format!("make process {name} -- /bin/sleep 1000"));
    }
    let why = "A session watches at most 2 processes and wildcards";
    it.refuse("watch processes", "watch a b c", why);
    // A wildcard counts, too.
    refuse(&mut it.exact, "watch a b*", why);
    it.plain.watch("a b", 2);
    it.exact.ask("watch a b");
    refuse(&mut it.exact, "watch c", why);
    refuse(&mut it.exact, "watch x*", why);
    it.exact.ask_expecting("stop", "end stopped\n");
    assert_eq!(it.near(), "2/2");
}

#[test]
fn a_process_that_is_one_too_many_does_not_join_and_the_log_says_so() {
    let papad = Papad::builder().arg("--max-watched=2").start();
    let (mut exact, mut watcher) = (Exact::tcp(&papad), Exact::tcp(&papad));
    watcher.ask_expecting("watch p.*", "ok 0\n");
    exact.ask("make process p.1 -- /bin/sleep 1000");
    assert!(matches!(watcher.next_seen(), Seen::Joined { name, .. } if name == b"p.1"));
    exact.ask("make process p.2 -- /bin/sleep 1000");
    papad.wait_for_log("p.2 does not join a watch: a session watches at most 2 processes");
    // There is room again.
    exact.ask("remove processes p.1");
    assert!(matches!(watcher.next_seen(), Seen::Removed { name } if name == b"p.1"));
    exact.ask("make process p.3 -- /bin/sleep 1000");
    assert!(matches!(watcher.next_seen(), Seen::Joined { name, .. } if name == b"p.3"));
}

#[test]
fn there_are_so_many_processes() {
    let mut it = Bounded::by("max-processes", "2");
    let first = it.exact.ask("make process a -- /bin/sleep 1000");
    let holder = script("/bin/sleep 1000 & exit 3");
    it.exact.ask(format!("make process b {holder}"));
    let why = "papad hosts at most 2 processes";
    it.refuse("make process c /bin/true", "make process c -- /bin/true", why);
    assert_eq!(it.near(), "2/2");
    // What is there already is found.
    assert_eq!(it.exact.ask("make process a -- /bin/sleep 1000"), first);
    // One that has left the list counts as long as its descendant holds its pipes.
    eventually("it has ended", || it.exact.ask_line("list processes b").contains("exit=3"));
    it.exact.ask("remove processes b");
    assert_eq!(it.exact.ask("list processes").len(), 1);
    it.refuse("make process c /bin/true", "make process c -- /bin/true", why);
    it.papad.kill_server();
    it.exact = Exact::tcp(&it.papad);
    assert_eq!(it.near(), "2/2");
    let pid = number_of(&first[0], "pid") as i32;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::SIGKILL).unwrap();
    it.exact.ask("remove processes a");
    eventually("it has left the list", || it.exact.ask("list processes").is_empty());
    // Until papad has read the end of its pipes, it counts, too.
    eventually("there is room for one", || it.near() == "1/2");
    it.exact.ask("make process c -- /bin/true");
}

#[test]
fn all_buffers_together_have_so_many_bytes() {
    let mut it = Bounded::by("max-buffers", "1m");
    it.exact.ask("make process a bufsize=600k -- /bin/sleep 1000");
    it.plain.ask(format!("make process b bufsize=400k {}", shell("sleep 1000")));
    assert_eq!(it.near(), "1024000/1048576");
    it.refuse(
        "make process c bufsize=100k /bin/true",
        "make process c bufsize=100k -- /bin/true",
        "The buffers of all processes may have at most 1048576 bytes together",
    );
    assert_eq!(it.near(), "1024000/1048576");
    // What has no buffer takes nothing of it, nor what could not be started.
    it.exact.ask("make process d stdout=null stderr=null -- /bin/sleep 1000");
    it.exact.ask_for("spawn", "make process e bufsize=24k -- /bin/no-such-program");
    it.papad.kill_server();
    it.exact = Exact::tcp(&it.papad);
    assert_eq!(it.near(), "1024000/1048576");
    it.exact.ask("remove processes a");
    assert_eq!(it.near(), "409600/1048576");
    it.exact.ask("make process c bufsize=600k -- /bin/true");
}

#[test]
fn there_are_so_many_sockets() {
    let scratch = ScratchDir::new();
    let papad =
        Papad::builder().unix_path(scratch.join("papad.sock")).arg("--max-sockets=2").start();
    let (mut plain, mut exact) = (papad.session(), Exact::unix(&papad));
    exact.ask("make socket a");
    exact.ask("make socket b");
    let why = "papad hosts at most 2 sockets";
    let path = scratch.join("c");
    plain.ask_expecting(format!("make socket c path={path}"), format!("Error: {why}"));
    assert!(!std::path::Path::new(&path).exists());
    refuse(&mut exact, "make socket c", why);
    let bound = TcpListener::bind("127.0.0.1:0").unwrap();
    exact.send_with("adopt socket c\n", &[bound.as_fd()]);
    assert_eq!(exact.reply().unwrap_err().what, why);
    exact.ask("make socket a");
    assert_eq!(near(&mut exact, "sockets"), "2/2");
    exact.ask("remove sockets a");
    exact.ask("make socket c");
}

#[test]
fn there_are_so_many_values() {
    let mut it = Bounded::by("max-values", "2");
    it.exact.ask("set a 1");
    it.exact.ask("set b 1 for=session");
    it.refuse("set c 1", "set c 1 for=session", "papad keeps at most 2 values");
    assert_eq!(it.near(), "2/2");
    it.plain.ask_expecting("set a 2", "");
    it.exact.ask_for("not-found", "get c");
    it.plain.ask_expecting("set a", "");
    it.exact.ask("set c 1");
}

#[test]
fn a_value_has_so_many_bytes() {
    let mut it = Bounded::by("max-value", "10");
    it.exact.ask("set a 1234567890");
    it.refuse("set a 1234 678901", "set a 12345678901", "A value may have at most 10 bytes");
    assert_eq!(it.near(), "10/10");
    it.plain.ask_expecting("get a", "1234567890");
}

#[test]
fn all_values_together_have_so_many_bytes() {
    let mut it = Bounded::by("max-values-total", "20");
    it.exact.ask("set a 123456789");
    it.exact.ask("set b 123456789");
    assert_eq!(it.near(), "20/20");
    let why = "All values and their names may have at most 20 bytes together";
    it.refuse("set c 1", "set c \"\"", why);
    it.refuse("set a 1234567890", "set a 1234567890", why);
    it.exact.ask("set a 12345678");
    it.exact.ask("set c \"\"");
    assert_eq!(it.near(), "20/20");
    it.papad.kill_server();
    it.exact = Exact::tcp(&it.papad);
    assert_eq!(it.near(), "20/20");
    it.exact.ask("remove values *");
    assert_eq!(it.near(), "0/20");
}

/// Every bound on what is held, below what [`fill`] makes.
const LOWERED: [&str; 9] = [
    "--max-processes=1",
    "--max-buffers=1k",
    "--max-sockets=0",
    "--max-values=1",
    "--max-value=1",
    "--max-values-total=5",
    "--max-name=2",
    "--max-args=2",
    "--max-watched=1",
];

/// Makes some of everything; returns the pids.
fn fill(exact: &mut Exact) -> Vec<i32> {
    let pids = (0..3).map(|number| make_writer(exact, &format!("web.{number}"), "output"));
    let pids = pids.collect();
    for number in 0..3 {
        exact.ask(format!("make socket web.{number}"));
        exact.ask(format!("set web.{number} value"));
    }
    pids
}

fn everything(exact: &mut Exact) -> Vec<String> {
    ["processes", "sockets", "values"].map(|noun| exact.ask(format!("list {noun}"))).concat()
}

/// Under bounds that are lower than what is held, all is there and nothing is added.
#[track_caller]
fn nothing_is_lost_and_nothing_added(papad: &Papad, held: &[String]) {
    let mut exact = Exact::tcp(papad);
    assert_eq!(everything(&mut exact), held);
    assert_eq!(near(&mut exact, "values"), "3/1");
    assert_eq!(near(&mut exact, "processes"), "3/1");
    assert_eq!(near(&mut exact, "sockets"), "3/0");
    assert_eq!(near(&mut exact, "values-total"), "30/5");
    assert_eq!(near(&mut exact, "buffers"), format!("{}/1024", 3 * (2 << 20)));
    for line in ["make process q -- /bin/true", "make socket q", "set q 1", "watch web.*"] {
        exact.ask_for("limit", line);
    }
    // What is asked for again is there, and may be used.
    exact.ask("make socket web.1");
    exact.ask("watch web.1 mode=peek");
    assert_eq!(read_data(&mut exact, 6), b"output");
    // The next look is to find no watcher.
    exact.ask_expecting("stop", "end stopped\n");
}

#[test]
fn bounds_lower_than_what_is_held_take_nothing_away() {
    let systemd = FakeSystemd::new();
    let mut papad = Papad::builder().under(&systemd).start();
    let mut exact = Exact::tcp(&papad);
    for pid in fill(&mut exact) {
        systemd.look_after(pid);
    }
    let held = everything(&mut exact);
    drop(exact);

    papad.kill_both();
    let lowered = LOWERED.iter().fold(Papad::builder().under(&systemd), |it, arg| it.arg(*arg));
    let papad = lowered.start();
    // The start time that tells orphans apart is shown of them alone.
    let held: Vec<String> = {
        let now = everything(&mut Exact::tcp(&papad));
        let without = |line: &String| -> String {
            let words = line.split(' ').filter(|word| !word.starts_with("starttime="));
            words.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(now.iter().map(without).collect::<Vec<_>>(), held);
        now
    };
    nothing_is_lost_and_nothing_added(&papad, &held);
    papad.kill_server();
    nothing_is_lost_and_nothing_added(&papad, &held);
    Exact::tcp(&papad).ask("upgrade");
    nothing_is_lost_and_nothing_added(&papad, &held);

    // There is room when there is less than is allowed.
    let mut exact = Exact::tcp(&papad);
    exact.ask("remove values web.1 web.2");
    exact.ask_for("limit", "set q 1");
    exact.ask("remove values *");
    exact.ask("set q 1");
}

#[test]
fn values_on_disk_are_all_read_however_few_there_may_be() {
    let scratch = ScratchDir::new();
    let folder = scratch.join("state");
    let start = |more: &[&str]| {
        let builder = Papad::builder().arg("--state-dir").arg(&folder);
        more.iter().fold(builder, |builder, arg| builder.arg(*arg)).start()
    };
    let papad = start(&[]);
    let mut exact = Exact::tcp(&papad);
    for number in 0..3 {
        exact.ask(format!("set web.{number} value"));
    }
    let held = exact.ask("list values");
    drop(papad);
    let papad = start(&["--max-values=1", "--max-value=1", "--max-values-total=1", "--max-name=1"]);
    assert_eq!(Exact::tcp(&papad).ask("list values"), held);
    papad.kill_server();
    let mut exact = Exact::tcp(&papad);
    assert_eq!(exact.ask("list values"), held);
    exact.ask_for("limit", "set q 1");
}
