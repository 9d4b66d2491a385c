//! `watch` in protocol 2, and what a client says meanwhile.

use std::fmt::Debug;

use papa_protocol::exact::{
    AckTo, Code, DEFAULT_WINDOW, Failure, From, MAX_WINDOW, MIN_WINDOW, Mode, Request, Watch,
    WatchRequest, parse, parse_in_watch,
};

fn names(names: &[&str]) -> Vec<Vec<u8>> {
    names.iter().map(|name| name.as_bytes().to_vec()).collect()
}

fn watch(line: &str) -> Watch {
    match parse(line.as_bytes()) {
        Ok(Some(Request::Watch(watch))) => watch,
        other => panic!("{line}: {other:?}"),
    }
}

fn usage<T: Debug>(read: Result<T, Failure>, line: &str) -> String {
    match read {
        Err(failure) => {
            assert_eq!(failure.code, Code::Usage, "{failure}");
            failure.what
        }
        Ok(read) => panic!("{line} should be refused: {read:?}"),
    }
}

fn refusal(line: &str) -> String {
    usage(parse(line.as_bytes()), line)
}

fn in_watch(line: &str) -> WatchRequest {
    match parse_in_watch(line.as_bytes()) {
        Ok(Some(request)) => request,
        other => panic!("{line}: {other:?}"),
    }
}

fn refusal_in_watch(line: &str) -> String {
    usage(parse_in_watch(line.as_bytes()), line)
}

fn written(request: &WatchRequest) -> String {
    let mut line = b"before\n".to_vec();
    request.write(&mut line);
    let line = String::from_utf8_lossy(&line);
    assert!(line.starts_with("before\n"), "what was there stays");
    line["before\n".len()..].to_owned()
}

#[test]
fn a_watch_takes_everything_from_the_oldest_byte_and_follows() {
    let expected = Watch {
        names: names(&["web", "db.*"]),
        mode: Mode::Take,
        from: From::Oldest,
        follow: true,
        data: true,
        window: DEFAULT_WINDOW,
        id: None,
    };
    assert_eq!(watch("watch web db.*"), expected);
    assert_eq!(Watch::new(names(&["web", "db.*"])), expected);
    let by_default = "watch web db.* mode=take from=oldest follow=yes data=yes window=1m";
    assert_eq!(watch(by_default), expected);
}

#[test]
fn options_may_stand_anywhere_before_two_dashes() {
    let expected = Watch {
        names: names(&["web", "db"]),
        mode: Mode::Peek,
        from: From::Newest,
        follow: false,
        data: false,
        window: MIN_WINDOW,
        id: None,
    };
    for line in [
        "watch mode=peek web from=newest follow=no db data=no window=4096",
        "watch web db window=4k data=no follow=no from=newest mode=peek",
        "watch mode=peek from=newest follow=no data=no window=4k -- web db",
    ] {
        assert_eq!(watch(line), expected, "{line}");
    }
}

#[test]
fn a_name_that_looks_like_an_option_comes_after_two_dashes() {
    let named = watch("watch a mode=peek -- mode=take -- b");
    assert_eq!(named.names, names(&["a", "mode=take", "--", "b"]));
    assert_eq!(named.mode, Mode::Peek);
    let line = written(&WatchRequest::Watch(named));
    assert_eq!(line, "watch mode=peek -- a mode=take -- b\n");
    assert_eq!(
        refusal("watch a=b"),
        "There is no a= for watch; its options are: mode=, from=, follow=, data=, window= and id=; \
         a name with a \"=\" comes after \"--\""
    );
}

#[test]
fn an_id_is_one_process_s() {
    assert_eq!(watch("watch web id=7").id, Some(7));
    assert_eq!(watch("watch web id=7 from=3 mode=peek").from, From::Position(3));
    let line = written(&WatchRequest::Watch(watch("watch id=7 web")));
    assert_eq!(line, "watch web id=7\n");
    for line in ["watch web db id=7", "watch web* id=7"] {
        assert_eq!(refusal(line), "id= must be for one name, and without a \"*\"", "{line}");
    }
    assert_eq!(refusal("watch web id=x"), "id= must be a process's number, not \"x\"");
}

#[test]
fn a_position_is_one_process_s() {
    assert_eq!(watch("watch web from=0").from, From::Position(0));
    assert_eq!(watch("watch web from=18446744073709551615").from, From::Position(u64::MAX));
    for line in ["watch web db from=7", "watch web* from=7", "watch * from=7"] {
        let said = refusal(line);
        assert_eq!(said, "from=POSITION must be for one name, and without a \"*\"", "{line}");
    }
}

#[test]
fn a_wrong_watch_is_answered_with_what_would_be_right() {
    for line in ["watch", "watch mode=peek", "watch --"] {
        assert_eq!(
            refusal(line),
            "This request is written: watch NAME... [mode=take|peek] \
             [from=POSITION|oldest|newest] [follow=no] [data=no] [window=BYTES] [id=ID]",
            "{line}"
        );
    }
    for (options, said) in [
        ("mode=look", r#"mode= must be take or peek, not "look""#),
        ("from=-1", r#"from= must be a position, oldest or newest, not "-1""#),
        (
            "from=18446744073709551616",
            r#"from= must be a position, oldest or newest, not "18446744073709551616""#,
        ),
        ("follow=0", r#"follow= must be yes or no, not "0""#),
        ("data=", r#"data= must be yes or no, not """#),
        ("window=4095", r#"window= must be from 4k to 64m bytes, not "4095""#),
        ("window=65m", r#"window= must be from 4k to 64m bytes, not "65m""#),
        ("mode=take mode=take", "mode= must be given once only"),
    ] {
        assert_eq!(refusal(&format!("watch web {options}")), said, "{options}");
    }
    assert_eq!(watch("watch web window=64m").window, MAX_WINDOW);
}

#[test]
fn while_it_watches_a_session_acknowledges_adds_and_stops() {
    let ack = |to| WatchRequest::Ack { name: b"a b".to_vec(), to };
    for (line, request) in [
        ("ack \"a b\" 0", ack(AckTo::Position(0))),
        ("ack \"a b\" 18446744073709551615", ack(AckTo::Position(u64::MAX))),
        ("ack \"a b\" closed", ack(AckTo::Closed)),
        ("watch web", WatchRequest::Watch(Watch::new(names(&["web"])))),
        ("stop", WatchRequest::Stop),
    ] {
        assert_eq!(in_watch(line), request);
        assert_eq!(in_watch(&format!("{line}\r")), request);
        assert_eq!(written(&request), format!("{line}\n"));
    }
    assert_eq!(parse_in_watch(b""), Ok(None));
}

#[test]
fn any_other_request_has_to_wait_until_the_watch_is_over() {
    assert_eq!(
        refusal_in_watch("list sockets"),
        "A session that watches must say ack, watch or stop, not \"list\""
    );
    for line in ["ack", "ack web", "ack web end", "ack web -1", "ack web 1 2", "ack web Closed"] {
        let said = refusal_in_watch(line);
        assert_eq!(said, "This request is written: ack NAME POSITION|closed", "{line}");
    }
    assert_eq!(refusal_in_watch("stop now"), "This request is written: stop");
    refusal_in_watch("ack \"web 1");
    refusal_in_watch("watch");
}
