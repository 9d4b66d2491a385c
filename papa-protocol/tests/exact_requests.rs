//! Every request of protocol 2 but the options of `make` and `watch`: what it becomes, how it is
//! written, and what is said when it is wrong.

use papa_protocol::exact::{Code, Condition, Fetched, Request, Set, parse};
use papa_protocol::name::{Noun, Patterns};

fn request(line: &str) -> Request {
    match parse(line.as_bytes()) {
        Ok(Some(request)) => request,
        other => panic!("{line}: {other:?}"),
    }
}

fn refusal(line: &[u8]) -> String {
    match parse(line) {
        Err(failure) => {
            assert_eq!(failure.code, Code::Usage, "{failure}");
            failure.to_string()
        }
        other => panic!("{line:?} should be refused: {other:?}"),
    }
}

/// The line is read as the request, and the request is written as the line.
fn assert_both_ways(line: &str, expected: &Request) {
    assert_eq!(&request(line), expected, "{line}");
    assert_written(expected, line);
}

fn assert_written(request: &Request, line: &str) {
    let mut written = b"before\n".to_vec();
    request.write(&mut written);
    assert_eq!(String::from_utf8_lossy(&written), format!("before\n{line}\n"));
}

fn patterns(words: &[&str]) -> Patterns {
    Patterns::new(words.iter().map(|word| word.as_bytes().to_vec()).collect())
}

#[test]
fn a_line_without_words_is_no_request() {
    for line in ["", "\r", "   ", "  \r"] {
        assert_eq!(parse(line.as_bytes()), Ok(None), "{line:?}");
    }
}

#[test]
fn one_return_at_the_end_is_dropped() {
    assert_eq!(request("quit\r"), Request::Quit);
    refusal(b"quit\r\r");
    refusal(b"qu\rit");
}

#[test]
fn requests_of_one_word() {
    assert_both_ways("help", &Request::Help);
    assert_both_ways("status", &Request::Status);
    assert_both_ways("exit-if-idle", &Request::ExitIfIdle);
    assert_both_ways("quit", &Request::Quit);
    for verb in ["help", "status", "exit-if-idle", "quit"] {
        let said = refusal(format!("{verb} x").as_bytes());
        assert_eq!(said, format!("This request is written: {verb}"));
    }
}

#[test]
fn list_takes_any_names_or_none() {
    let list = |noun, names: &[&str]| Request::List { noun, names: patterns(names) };
    assert_both_ways("list sockets", &list(Noun::Socket, &[]));
    assert_both_ways("list processes web db.*", &list(Noun::Process, &["web", "db.*"]));
    assert_both_ways("list values \"\" \"a b\" \"\\xff*\"", &{
        let names = vec![b"".to_vec(), b"a b".to_vec(), b"\xff*".to_vec()];
        Request::List { noun: Noun::Value, names: Patterns::new(names) }
    });
    assert_eq!(request("list values a *"), list(Noun::Value, &[]));
}

#[test]
fn processes_that_were_replaced_and_members_of_sessions_have_lists() {
    let names = || patterns(&["web", "db.*"]);
    assert_both_ways("list previous web db.*", &Request::ListPrevious { names: names() });
    assert_both_ways("list members web db.*", &Request::ListMembers { names: names() });
    assert_both_ways("remove previous web db.*", &Request::RemovePrevious { names: names() });
    assert_both_ways("list members", &Request::ListMembers { names: patterns(&[]) });
    let said = "This request is written: list sockets|processes|previous|members|values [NAME...]";
    for line in ["list", "list member web", "list process"] {
        assert_eq!(refusal(line.as_bytes()), said, "{line}");
    }
    let said = "This request is written: remove sockets|processes|previous|values NAME...";
    for line in ["remove previous", "remove members web"] {
        assert_eq!(refusal(line.as_bytes()), said, "{line}");
    }
}

#[test]
fn remove_takes_one_name_at_least() {
    let remove = |noun, names: &[&str]| Request::Remove { noun, names: patterns(names) };
    assert_both_ways("remove sockets web", &remove(Noun::Socket, &["web"]));
    assert_both_ways("remove processes web db.*", &remove(Noun::Process, &["web", "db.*"]));
    assert_both_ways("remove values *", &remove(Noun::Value, &["*"]));
    let said = "This request is written: remove sockets|processes|previous|values NAME...";
    for line in ["remove", "remove values", "remove value x", "remove x"] {
        assert_eq!(refusal(line.as_bytes()), said, "{line}");
    }
}

#[test]
fn requests_of_one_name_take_any_bytes() {
    let name = b"a b\xff".to_vec();
    assert_both_ways(r#"get "a b\xff""#, &Request::Get { name: name.clone() });
    assert_both_ways(r#"show process "a b\xff""#, &Request::ShowProcess { name: name.clone() });
    let what = Fetched::Socket;
    assert_both_ways(r#"fetch socket "a b\xff""#, &Request::Fetch { what, name: name.clone() });
    assert_both_ways(r#"fetch pidfd "a b\xff""#, &Request::Fetch { what: Fetched::Pidfd, name });
    for (line, form) in [
        ("get", "get NAME"),
        ("get a b", "get NAME"),
        ("show process", "show process NAME"),
        ("show web", "show process NAME"),
        ("show socket web", "show process NAME"),
        ("fetch web", "fetch socket NAME, or fetch pidfd NAME"),
        ("fetch pidfd", "fetch socket NAME, or fetch pidfd NAME"),
        ("fetch pidfd a b", "fetch socket NAME, or fetch pidfd NAME"),
        ("adopt web", "adopt socket NAME"),
        ("adopt socket", "adopt socket NAME"),
    ] {
        assert_eq!(refusal(line.as_bytes()), format!("This request is written: {form}"), "{line}");
    }
}

#[test]
fn what_comes_to_be_gets_a_name_that_can_be_said_anywhere() {
    assert_both_ways("adopt socket web", &Request::AdoptSocket { name: b"web".to_vec() });
    for beginning in ["make socket", "adopt socket"] {
        let refused = |name: &str| refusal(format!("{beginning} {name}").as_bytes());
        assert_eq!(refused("\"\""), "A socket name must not be empty");
        assert_eq!(refused("\"a b\""), "A socket name must not contain a space");
        assert_eq!(refused("web*"), "A socket name must not end in \"*\"");
    }
    assert_eq!(refusal(b"make process a:b -- x"), "A process name must not contain \":\"");
    assert_eq!(refusal(b"make process * -- x"), "A process name must not end in \"*\"");
    assert_eq!(refusal(b"set \"a\\n\" x"), "A value name must not contain a control character");
    assert_eq!(refusal(b"set a* x"), "A value name must not end in \"*\"");
}

fn set(value: &[u8], condition: Condition, for_session: bool) -> Request {
    Request::Set(Set { name: b"a".to_vec(), value: value.to_vec(), condition, for_session })
}

#[test]
fn set_takes_a_value_of_any_bytes() {
    assert_both_ways("set a b", &set(b"b", Condition::Any, false));
    assert_both_ways("set a \"\"", &set(b"", Condition::Any, false));
    assert_both_ways(r#"set a "b\nc\x00" for=session"#, &set(b"b\nc\0", Condition::Any, true));
    assert_both_ways("set a if=absent", &set(b"if=absent", Condition::Any, false));
}

#[test]
fn set_may_have_one_condition() {
    let is = |old: &str| Condition::Is(old.as_bytes().to_vec());
    assert_both_ways("set a b if=absent", &set(b"b", Condition::Absent, false));
    assert_both_ways("set a b old=c for=session", &set(b"b", is("c"), true));
    assert_both_ways("set a b old=absent", &set(b"b", is("absent"), false));
    assert_both_ways("set a b old=", &set(b"b", is(""), false));
    assert_eq!(request("set a b absent"), set(b"b", Condition::Absent, false));
    assert_eq!(request("set a b for=session if=c=d"), set(b"b", is("c=d"), true));
    let twice = "A value must be set on one condition only";
    assert_eq!(refusal(b"set a b if=c old=c"), twice);
    assert_eq!(refusal(b"set a b absent if=absent"), twice);
    assert_eq!(refusal(b"set a b for=session for=session"), "for= must be given once only");
    assert_eq!(refusal(b"set a b for=ever"), "for= must be session, not \"ever\"");
    let form = "This request is written: set NAME VALUE [if=OLD|if=absent|old=OLD] [for=session]";
    for line in ["set", "set a", "set a b c", "set a b x=y"] {
        assert_eq!(refusal(line.as_bytes()), form, "{line}");
    }
}

#[test]
fn unset_may_have_a_condition() {
    let unset = |condition: Option<&str>| Request::Unset {
        name: b"a".to_vec(),
        condition: condition.map(|old| old.as_bytes().to_vec()),
    };
    assert_both_ways("unset a", &unset(None));
    assert_both_ways("unset a old=b", &unset(Some("b")));
    assert_both_ways("unset a old=absent", &unset(Some("absent")));
    assert_eq!(request("unset a if=b"), unset(Some("b")));
    assert_eq!(
        refusal(b"unset a if=absent"),
        "What is absent cannot be unset; for the text \"absent\" write old=absent"
    );
    for line in ["unset", "unset a b", "unset a if=b old=b", "unset a for=session"] {
        let said = refusal(line.as_bytes());
        assert_eq!(said, "This request is written: unset NAME [if=OLD|old=OLD]", "{line}");
    }
}

#[test]
fn nothing_is_abbreviated_or_in_another_case() {
    for (line, verb) in [("l p", "l"), ("List sockets", "List"), ("\"\"", ""), ("exit", "exit")] {
        let expected =
            format!("A line must begin with a request that \"help\" names, not \"{verb}\"");
        assert_eq!(refusal(line.as_bytes()), expected);
    }
    for line in ["list", "list p", "list socket", "list Sockets"] {
        let form =
            "This request is written: list sockets|processes|previous|members|values [NAME...]";
        assert_eq!(refusal(line.as_bytes()), form, "{line}");
    }
    for line in ["make", "make web", "make sockets web"] {
        assert!(refusal(line.as_bytes()).starts_with("This request is written: make socket "));
    }
}

#[test]
fn what_belongs_into_a_watch_is_refused_outside() {
    for line in ["stop", "ack web 7"] {
        let said = refusal(line.as_bytes());
        assert_eq!(said, "ack and stop must be said in a session that watches");
    }
}

#[test]
fn bytes_that_are_no_exact_words_are_refused() {
    assert_eq!(
        refusal(b"set greeting hello\\ world"),
        "A word with a \"\\\" in it must be quoted, and the \"\\\" doubled"
    );
    let raw = "A control character or byte 255 must be \\xHH in a quoted word";
    assert_eq!(refusal(b"get \xff\xfb\x01"), raw);
    assert_eq!(refusal(b"get a\nb"), raw);
    assert_eq!(refusal(b"get \"a"), "A quote must be closed before the line ends");
}
