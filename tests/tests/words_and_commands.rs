//! The words of a line, and every command that makes nothing: byte for byte.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use papad_tests::{BANNER, Papad, ScratchDir};

const IAC: u8 = 255;
const DONT: u8 = 254;
const DO: u8 = 253;
const WONT: u8 = 252;
const WILL: u8 = 251;
const SB: u8 = 250;
const NOP: u8 = 241;
const SE: u8 = 240;

#[test]
fn a_session_begins_with_the_banner_and_a_prompt() {
    let papad = Papad::start();
    let mut session = papad.connect();
    session.expect("Papa is home. Type \"help\" for commands.\n> ");
}

#[test]
fn a_unix_socket_speaks_the_same() {
    let scratch = ScratchDir::new();
    let papad = Papad::builder().unix_path(scratch.join("papad.sock")).start();
    let mut over_unix = papad.connect_unix();
    over_unix.expect(BANNER);
    over_unix.ask_expecting("set where here", "");
    papad.session().ask_expecting("get where", "here");
}

#[test]
fn an_empty_line_is_answered_by_a_prompt_alone() {
    let papad = Papad::start();
    let mut session = papad.session();
    session.send("\n");
    session.expect("> ");
    session.send("   \r\n");
    session.expect("> ");
    session.ask_expecting("get nothing", "");
}

#[test]
fn blanks_around_a_line_and_carriage_returns_are_no_part_of_it() {
    let papad = Papad::start();
    let mut session = papad.session();
    session.send("  set v   one two  \r\n");
    session.expect("\n> ");
    session.send("get v\r\n");
    session.expect("one two\n> ");
    session.ask_expecting("list values", "v one two");
}

#[test]
fn a_backslash_joins_two_words_with_a_space_and_is_itself_elsewhere() {
    let papad = Papad::start();
    let mut session = papad.session();
    for (sent, stored) in [
        (r"two\ words", "two words"),
        (r"a\ \ b", "a  b"),
        (r"a\ \ \ b\ c d", "a   b c d"),
        (r"C:\dir\file x", r"C:\dir\file x"),
        (r"a\\ b", r"a\ b"),
    ] {
        session.ask_expecting(format!("set v {sent}"), "");
        session.ask_expecting("get v", stored);
    }
}

#[test]
fn commands_may_be_abbreviated_and_written_in_capitals() {
    let papad = Papad::start();
    let mut session = papad.session();
    session.ask_expecting("s v 1", "");
    session.ask_expecting("g v", "1");
    session.ask_expecting("SET V 2", "");
    session.ask_expecting("Get V", "2");
    session.ask_expecting("l v", "V 2\nv 1");
    session.ask_expecting("li val", "V 2\nv 1");
    session.ask_expecting("LIST VALUES", "V 2\nv 1");
    session.ask_expecting("list value", "V 2\nv 1");
    session.ask_expecting("l p", "");
    session.ask_expecting("l s", "");
    session.ask_expecting("r v v", "");
    session.ask_expecting("rem values V", "");
    session.ask_expecting("l v", "");
    session.ask_expecting("w p", "Error: Nothing to watch");
    session.ask_expecting("m p", "Error: Process requires a name");
    session.ask_expecting("m s", "Error: Socket requires a name");
    session.send("q\n");
    session.expect("ok\n");
    session.expect_closed();
}

#[test]
fn a_word_that_is_no_command_is_named() {
    let papad = Papad::start();
    let mut session = papad.session();
    for (line, reply) in [
        ("x", "Error: Unknown command \"x\""),
        ("lists", "Error: Unknown command \"lists\""),
        ("getter v", "Error: Unknown command \"getter\""),
        ("list", "Error: \"list\" must be followed by one of: processes, sockets, values"),
        ("l", "Error: \"list\" must be followed by one of: processes, sockets, values"),
        ("remove", "Error: \"remove\" must be followed by one of: processes, sockets, values"),
        ("make", "Error: \"make\" must be followed by one of: process, socket"),
        ("w", "Error: \"watch\" must be followed by one of: processes"),
        (
            "list x",
            "Error: Bad \"list\" command. The following word must be one of: processes, sockets, \
             values",
        ),
        (
            "rem x y",
            "Error: Bad \"remove\" command. The following word must be one of: processes, \
             sockets, values",
        ),
        (
            "make value x",
            "Error: Bad \"make\" command. The following word must be one of: process, socket",
        ),
        (
            "watch sockets",
            "Error: Bad \"watch\" command. The following word must be one of: processes",
        ),
        ("e", "Error: You cannot abbreviate \"exit-if-idle\""),
        ("exit-if-idl", "Error: You cannot abbreviate \"exit-if-idle\""),
    ] {
        session.ask_expecting(line, reply);
    }
}

#[test]
fn many_commands_in_one_packet_are_answered_in_one_packet() {
    let papad = Papad::start();
    let mut session = papad.session();
    // One read returns what has come by then: replies sent one by one would soon come apart.
    for _ in 0..20 {
        session.send("set v 1\nget v\n\nx\nlist values\n");
        let reply = String::from_utf8(session.read_once()).unwrap();
        assert_eq!(reply, "\n> 1\n> > Error: Unknown command \"x\"\n> v 1\n> ");
    }
}

#[test]
fn a_line_may_come_in_pieces() {
    let papad = Papad::start();
    let mut session = papad.session();
    // Each reply shows that the piece sent with its line has been read, too.
    session.send("set v 1\nge");
    session.expect("\n> ");
    session.send("t v\nget v");
    session.expect("1\n> ");
    session.send("\n");
    session.expect("1\n> ");
}

#[test]
fn telnet_negotiation_is_no_part_of_a_line() {
    let papad = Papad::start();
    let mut session = papad.session();
    session.ask_expecting("set v 1", "");
    for (request, answer) in [(DO, Some(WONT)), (DONT, None), (WILL, Some(DONT)), (WONT, None)] {
        for (option, before, after) in [(1, "", "get v\n"), (31, "ge", "t v\n")] {
            let request = [IAC, request, option];
            session.send([before.as_bytes(), &request, after.as_bytes()].concat());
            if let Some(answer) = answer {
                session.expect([IAC, answer, option]);
            }
            session.expect("1\n> ");
        }
    }
    // An option may have the number of a newline; a subnegotiation may hold one, and an IAC.
    session.ask_expecting([&[IAC, DONT, b'\n'], &b"get v"[..]].concat(), "1");
    session.ask_expecting(
        [&[IAC, SB, 31, 0, b'\n', IAC, IAC, b'>', IAC, SE], &b"get v"[..]].concat(),
        "1",
    );
    session.ask_expecting([b"get", &[IAC, NOP][..], b" v"].concat(), "1");
}

#[test]
fn telnet_negotiation_may_come_in_pieces() {
    let papad = Papad::start();
    let mut session = papad.session();
    session.ask_expecting("set v 1", "");
    let pieces: [(&[u8], &[u8]); 6] = [
        (&[IAC], &[WONT, 1]),
        (&[IAC, WONT], &[1]),
        (&[IAC, SB], &[31, 0, IAC, SE]),
        (&[IAC, SB, 31, IAC], &[SE]),
        (&[IAC, SB, 31, IAC], &[IAC, b'\n', IAC, SE]),
        (&[IAC], &[NOP]),
    ];
    for (begin, end) in pieces {
        // The reply shows that the piece behind its line has been read, too.
        session.send([b"get v\n", begin].concat());
        session.expect("1\n> ");
        session.ask_expecting([end, b"get v"].concat(), "1");
    }
}

#[test]
fn a_doubled_iac_is_one_byte_of_the_line() {
    let papad = Papad::start();
    let mut session = papad.session();
    session.ask_expecting([b"set v a", &[IAC, IAC][..], b"b"].concat(), "");
    session.ask_expecting("get v", [b'a', IAC, b'b']);
}

#[test]
fn values_are_set_read_and_cleared() {
    let papad = Papad::start();
    let mut session = papad.session();
    session.ask_expecting("get v", "");
    session.ask_expecting("set v 1", "");
    session.ask_expecting("get v", "1");
    session.ask_expecting("set v key=value  with   words", "");
    session.ask_expecting("get v", "key=value with words");
    session.ask_expecting("set v", "");
    session.ask_expecting("get v", "");
    session.ask_expecting("list values", "");
    session.ask_expecting("set v", "");
}

#[test]
fn values_are_the_same_in_every_session() {
    let papad = Papad::start();
    papad.session().ask_expecting("set v 1", "");
    papad.session().ask_expecting("get v", "1");
}

#[test]
fn values_are_listed_in_order_by_name_and_by_wildcard() {
    let papad = Papad::start();
    let mut session = papad.session();
    for line in ["set bar 4", "set a.10 3", "set a.1 2", "set a 1", "set b\u{e9} 5"] {
        session.ask_expecting(line, "");
    }
    for (names, listed) in [
        ("", "a 1\na.1 2\na.10 3\nbar 4\nb\u{e9} 5"),
        ("*", "a 1\na.1 2\na.10 3\nbar 4\nb\u{e9} 5"),
        ("a", "a 1"),
        ("a*", "a 1\na.1 2\na.10 3"),
        ("a.*", "a.1 2\na.10 3"),
        ("bar a.1*", "a.1 2\na.10 3\nbar 4"),
        ("a a a*", "a 1\na.1 2\na.10 3"),
        ("nothing", ""),
        ("nothing* bar", "bar 4"),
    ] {
        session.ask_expecting(format!("list values {names}"), listed);
    }
}

#[test]
fn values_are_removed_by_name_and_by_wildcard() {
    let papad = Papad::start();
    let mut session = papad.session();
    for name in ["a", "a.1", "a.2", "b", "c"] {
        session.ask_expecting(format!("set {name} 1"), "");
    }
    session.ask_expecting("remove values a.* c nothing", "");
    session.ask_expecting("list values", "a 1\nb 1");
    session.ask_expecting("remove values", "Error: You cannot remove all variables");
    session.ask_expecting("remove values *", "Error: You cannot remove all variables");
    session.ask_expecting("list values", "a 1\nb 1");
}

#[test]
fn a_value_requires_a_name() {
    let papad = Papad::start();
    let mut session = papad.session();
    session.ask_expecting("set", "Error: Value requires a name");
    session.ask_expecting("set *", "Error: Value requires a name");
    session.ask_expecting("get", "Error: Value requires a name");
}

#[test]
fn quit_says_ok_and_closes_the_connection() {
    let papad = Papad::start();
    let mut session = papad.session();
    session.send("set v 1\nquit\nset v 2\n");
    session.expect("\n> ok\n");
    session.expect_closed();
    papad.session().ask_expecting("get v", "1");
}

#[test]
fn a_client_that_ends_its_side_still_gets_its_replies() {
    let papad = Papad::start();
    let mut session = papad.session();
    session.send("set v 1\nget v\n");
    session.finish_sending();
    session.expect("\n> 1\n> ");
    session.expect_closed();
}

#[test]
fn papad_does_not_exit_while_it_holds_something() {
    let papad = Papad::start();
    let mut session = papad.session();
    session.ask_expecting("set v 1", "");
    session.ask_expecting("exit-if-idle", "not idle");
    session.ask_expecting("set v", "");
    session.ask("make socket s");
    session.ask_expecting("exit-if-idle", "not idle");
    session.ask_expecting("remove sockets s", "");
    session.ask("make process p /bin/sleep 1000");
    session.ask_expecting("exit-if-idle", "not idle");
}

#[test]
fn an_idle_papad_exits_when_its_last_session_is_gone() {
    let mut papad = Papad::start();
    let mut other = papad.session();
    let mut session = papad.session();
    session.ask_expecting("exit-if-idle", "Exiting papa!");
    drop(session);
    // It serves whoever is still there.
    other.ask_expecting("get v", "");
    drop(other);
    assert_eq!(papad.wait_for_exit().code(), Some(0), "{}", papad.log());
}

#[test]
fn help_tells_of_every_command() {
    let papad = Papad::start();
    let mut session = papad.session();
    let overview = session.ask("help");
    for command in [
        "make socket",
        "make process",
        "list sockets",
        "list processes",
        "list values",
        "remove sockets",
        "remove processes",
        "remove values",
        "watch processes",
        "set",
        "get",
        "quit",
        "exit-if-idle",
        "help",
    ] {
        assert!(overview.contains(command), "{command} is missing in:\n{overview}");
        let text = session.ask(format!("help {command}"));
        assert!(text.split_whitespace().count() >= 5, "help {command}:\n{text}");
    }
}

#[test]
fn help_names_every_option() {
    let papad = Papad::start();
    let mut session = papad.session();
    for (command, options) in [
        ("make socket", "family type backlog path umask host port interface reuseport".to_owned()),
        (
            "make process",
            "uid gid working_dir bufsize stdout stderr watch env. rlimit. shell $(socket."
                .to_owned(),
        ),
    ] {
        let text = session.ask(format!("help {command}"));
        for option in options.split(' ') {
            assert!(text.contains(option), "help {command} is silent about {option}:\n{text}");
        }
    }
    let abbreviated = session.ask("h m p");
    assert_eq!(abbreviated, session.ask("help make process"));
}
