//! Whole lines as a client sends them, and the command or the error each must become.

use papa_protocol::command::{Command, MakeProcess, MakeSocket, parse};
use papa_protocol::help::HelpText;
use papa_protocol::name::{MAX_NAME, Noun, Patterns};
use papa_protocol::options::{
    Family, ProcessOptions, SocketAddress, SocketOptions, SocketType, Stderr,
};
use papa_protocol::words;

fn command(line: &str) -> Command {
    match parse(words::split(line.as_bytes())) {
        Ok(command) => command,
        Err(error) => panic!("{line}: {error}"),
    }
}

/// What follows `Error: ` on the wire.
fn error(line: impl AsRef<[u8]>) -> String {
    match parse(words::split(line.as_ref())) {
        Ok(command) => panic!("should be refused: {command:?}"),
        Err(error) => error.to_string(),
    }
}

fn patterns(words: &[&str]) -> Patterns {
    Patterns::new(words.iter().map(|word| word.as_bytes().to_vec()).collect())
}

#[test]
fn list_takes_any_number_of_names() {
    let list = |noun, names: &[&str]| Command::List { noun, names: patterns(names) };
    assert_eq!(command("list processes"), list(Noun::Process, &[]));
    assert_eq!(command("l p *"), list(Noun::Process, &["*"]));
    assert_eq!(command("l s web 5"), list(Noun::Socket, &["web", "5"]));
    assert_eq!(command("LIST VALUES a.*"), list(Noun::Value, &["a.*"]));
}

#[test]
fn remove_takes_names_and_everything_except_for_values() {
    let remove = |noun, names: &[&str]| Command::Remove { noun, names: patterns(names) };
    assert_eq!(command("remove processes"), remove(Noun::Process, &[]));
    assert_eq!(command("r s *"), remove(Noun::Socket, &["*"]));
    assert_eq!(command("r v a b*"), remove(Noun::Value, &["a", "b*"]));
    assert_eq!(error("remove values"), "You cannot remove all variables");
    assert_eq!(error("r v *"), "You cannot remove all variables");
}

#[test]
fn watch_takes_names() {
    assert_eq!(command("w p"), Command::Watch(patterns(&[])));
    assert_eq!(command("watch processes a* 42"), Command::Watch(patterns(&["a*", "42"])));
}

#[test]
fn set_joins_words_and_clears_without() {
    let set = |value: Option<&str>| Command::Set {
        name: b"k".to_vec(),
        value: value.map(|value| value.as_bytes().to_vec()),
    };
    assert_eq!(command("set k a   b"), set(Some("a b")));
    assert_eq!(command("set k a\\ \\ b c"), set(Some("a  b c")));
    assert_eq!(command("set k *"), set(Some("*")));
    assert_eq!(command("set k"), set(None));
}

#[test]
fn set_requires_a_name() {
    for line in ["set", "set *", "set * x"] {
        assert_eq!(error(line), "Value requires a name", "{line}");
    }
}

#[test]
fn a_value_with_a_bad_name_can_be_cleared_but_not_stored() {
    assert_eq!(error("set a\\ b x"), "A value name must not contain a space");
    let clear = Command::Set { name: b"a b".to_vec(), value: None };
    assert_eq!(command("set a\\ b"), clear);
}

#[test]
fn get_takes_the_first_name() {
    assert_eq!(command("get k rest"), Command::Get { name: b"k".to_vec() });
    assert_eq!(error("get"), "Value requires a name");
}

#[test]
fn quit_and_exit_if_idle_ignore_what_follows() {
    assert_eq!(command("q"), Command::Quit);
    assert_eq!(command("quit now"), Command::Quit);
    assert_eq!(command("exit-if-idle please"), Command::ExitIfIdle);
    assert_eq!(error("exit"), r#"You cannot abbreviate "exit-if-idle""#);
}

#[test]
fn help_is_answered_with_text() {
    let Command::Help(HelpText(text)) = command("help l p") else {
        panic!("help is help");
    };
    assert!(text.starts_with("list processes"), "{text}");
}

#[test]
fn unknown_words_are_errors() {
    assert_eq!(error("X"), r#"Unknown command "x""#);
    let no_words = parse(Vec::new()).map_err(|error| error.to_string());
    assert_eq!(no_words, Err(r#"Unknown command """#.to_string()));
}

#[test]
fn half_a_command_is_told_what_may_follow() {
    let must = |name: &str, words: &str| format!("\"{name}\" must be followed by one of: {words}");
    assert_eq!(error("l"), must("list", "processes, sockets, values"));
    assert_eq!(error("make"), must("make", "process, socket"));
    assert_eq!(error("r"), must("remove", "processes, sockets, values"));
    assert_eq!(error("w"), must("watch", "processes"));
    let bad = "Bad \"list\" command. The following word must be one of: processes, sockets, values";
    assert_eq!(error("l x"), bad);
}

#[test]
fn make_socket_needs_a_good_name_and_nothing_but_options() {
    let expected = Command::MakeSocket(MakeSocket {
        name: b"web:80".to_vec(),
        options: SocketOptions {
            family: Family::Inet,
            socket_type: SocketType::Stream,
            backlog: 5,
            address: SocketAddress::Host {
                host: None,
                port: 80,
                interface: None,
                reuseport: false,
                v6only: false,
            },
        },
    });
    assert_eq!(command("m s web:80 port=80"), expected);
    assert_eq!(error("make socket"), "Socket requires a name");
    assert_eq!(error("m s a\\ b"), "A socket name must not contain a space");
    assert_eq!(error("m s web 80"), r#"Option "80" for make socket has no "=""#);
    assert_eq!(error("m s web port=80 x"), r#"Option "x" for make socket has no "=""#);
    assert_eq!(error("m s web port=1 port=2"), r#"Option "port" is given twice"#);
}

#[test]
fn make_process_needs_a_good_name_and_a_command() {
    let expected = Command::MakeProcess(Box::new(MakeProcess {
        name: b"clock".to_vec(),
        options: ProcessOptions { stderr: Stderr::Merge, ..ProcessOptions::default() },
        command: ["/bin/sh", "-c", "date; date", "A=1"].map(|word| word.as_bytes().into()).into(),
    }));
    assert_eq!(command("m p clock stderr=stdout /bin/sh -c date;\\ date A=1"), expected);
    assert_eq!(error("make process"), "Process requires a name");
    assert_eq!(error("m p a:b /bin/true"), r#"A process name must not contain ":""#);
    assert_eq!(error("m p a"), "No command");
    assert_eq!(error("m p a watch=1"), "No command");
    assert_eq!(error(b"m p a /bin/echo x\0y"), "The command must not contain a NUL byte");
}

#[test]
fn a_name_has_a_greatest_length() {
    let longest = "a".repeat(MAX_NAME);
    let too_long = "a".repeat(MAX_NAME + 1);
    assert!(matches!(command(&format!("set {longest} x")), Command::Set { .. }));
    for line in [format!("set {too_long} x"), format!("m s {too_long}"), format!("m p {too_long}")]
    {
        let said = error(line);
        assert!(said.ends_with(" name must not be longer than 255 bytes"), "{said}");
    }
}

#[test]
fn an_error_cannot_carry_a_control_byte_or_flood_a_terminal() {
    assert_eq!(error(b"\x1b[2J\xff"), r#"Unknown command "\x1b[2j\xff""#);
    let flood = vec![b'x'; 1_000_000];
    assert_eq!(error(flood), format!("Unknown command \"{}...\"", "x".repeat(100)));
}
