//! `status`: how papad is, and who speaks with it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use papad_tests::exact::{Exact, number_of, value_of, words};
use papad_tests::{Papad, ScratchDir, eventually, procfs};

fn keys(line: &str) -> Vec<String> {
    let key = |word: &Vec<u8>| {
        String::from_utf8(word.split(|&byte| byte == b'=').next().unwrap().to_vec()).unwrap()
    };
    words(line.as_bytes()).iter().map(key).collect()
}

#[test]
fn the_first_line_tells_of_papad() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    exact.ask("make socket s");
    exact.ask("set a 1");
    exact.ask("set b 1 for=session");
    exact.ask("make process p -- /bin/sleep 1000");
    exact.ask("make process q -- /bin/true");
    eventually("it has ended", || exact.ask_line("list processes q").contains("exit=0"));
    let line = exact.ask("status").remove(0);
    let (limits, others): (Vec<String>, Vec<String>) =
        keys(&line).into_iter().partition(|key| key.starts_with("limit."));
    assert!(keys(&line).ends_with(&limits) && limits.len() > 10, "{line}");
    assert_eq!(
        others,
        [
            "version",
            "commit",
            "pid",
            "server",
            "uptime",
            "starts",
            "last_end",
            "processes",
            "running",
            "sockets",
            "values",
            "memory",
            "descriptors",
            "journal",
            "skipped",
            "aside",
            "output_dropped",
            "output_waiting",
            "sessions",
        ]
    );
    assert_eq!(value_of(&line, "version"), "0.1.0");
    assert_eq!(number_of(&line, "pid"), papad.keeper_pid() as u64);
    assert_eq!(number_of(&line, "server"), papad.server_pid() as u64);
    for (key, count) in [
        ("starts", 1),
        ("processes", 2),
        ("running", 1),
        ("sockets", 1),
        ("values", 2),
        ("skipped", 0),
        ("aside", 0),
        ("sessions", 1),
    ] {
        assert_eq!(number_of(&line, key), count, "{key} in {line}");
    }
    assert_eq!(value_of(&line, "last_end"), "none");
    assert!(number_of(&line, "memory") > 100_000, "{line}");
    assert!(number_of(&line, "journal") > 0, "{line}");
    // Pipes of the process that has ended are closed a moment later.
    eventually("the descriptors that are open are counted", || {
        let line = exact.ask("status").remove(0);
        let descriptors = value_of(&line, "descriptors");
        let (used, allowed) = descriptors.split_once('/').unwrap();
        assert_eq!(allowed, procfs::limit(papad.server_pid(), "Max open files").unwrap().0);
        let open = procfs::open_files(papad.server_pid()).len();
        // One more is open while they are counted.
        used.parse::<usize>().unwrap() == open + 1
    });
}

#[test]
fn a_killed_server_is_told_of_and_the_uptime_goes_on() {
    let papad = Papad::start();
    let before = Exact::tcp(&papad).ask("status").remove(0);
    papad.kill_server();
    let after = Exact::tcp(&papad).ask("status").remove(0);
    assert_eq!(number_of(&after, "starts"), 2);
    assert_eq!(value_of(&after, "last_end"), "signal-9");
    assert_eq!(number_of(&after, "pid"), number_of(&before, "pid"));
    assert_ne!(number_of(&after, "server"), number_of(&before, "server"));
    assert!(number_of(&after, "uptime") >= number_of(&before, "uptime"));
}

#[test]
fn an_upgrade_is_an_orderly_end_of_the_server_before() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    exact.ask("upgrade");
    assert_eq!(value_of(&exact.ask("status")[0], "last_end"), "exit-0");
    // Nor is it the end of the one before that.
    papad.kill_server();
    let mut exact = Exact::tcp(&papad);
    assert_eq!(value_of(&exact.ask("status")[0], "last_end"), "signal-9");
    papad.wait_for_logs(3, "keeper: ready");
    eventually("the old version is out of the way", || exact.try_ask("upgrade").unwrap().is_ok());
    assert_eq!(value_of(&exact.ask("status")[0], "last_end"), "exit-0");
}

#[test]
fn the_other_lines_tell_of_sessions() {
    let scratch = ScratchDir::new();
    let papad = Papad::builder().unix_path(scratch.join("s")).start();
    let mut exact = Exact::tcp(&papad);
    let mut plain = papad.session();
    plain.ask("set a 1");
    let mut watcher = Exact::unix(&papad);
    watcher.ask("watch *");
    let lines = exact.ask("status");
    assert_eq!(number_of(&lines[0], "sessions"), 3);
    assert_eq!(lines.len(), 4);
    for line in &lines[1..] {
        assert_eq!(keys(line), ["session", "peer", "since", "protocol", "doing"]);
    }
    let field = |key: &str| lines[1..].iter().map(|line| value_of(line, key)).collect::<Vec<_>>();
    assert_eq!(field("protocol"), ["2", "1", "2"]);
    assert_eq!(field("doing")[0], "status");
    assert_eq!(field("doing")[2], "watch");
    let peers = field("peer");
    assert!(peers[0].starts_with("127.0.0.1:") && peers[1].starts_with("127.0.0.1:"), "{peers:?}");
    let me = format!("(pid {})", std::process::id());
    assert!(peers[2].starts_with("uid ") && peers[2].ends_with(&me), "{peers:?}");
    let numbers: Vec<u64> = field("session").iter().map(|it| it.parse().unwrap()).collect();
    assert!(numbers.is_sorted(), "{numbers:?}");
    watcher.ask_expecting("stop", "end stopped\n");
    watcher.ask("get a");
    assert_eq!(value_of(&exact.ask("status")[3], "doing"), "get");
    drop((plain, watcher));
    eventually("they are gone", || number_of(&exact.ask("status")[0], "sessions") == 1);
    exact.ask_for("usage", "status all");
}
