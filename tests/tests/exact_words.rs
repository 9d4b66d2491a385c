//! Words: every byte can be said, and comes back as it was.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use papad_tests::Papad;
use papad_tests::exact::{Exact, escaped, words};
use papad_tests::kills::Random;

/// The longest random word, in bytes.
const LONGEST: u64 = 60;

/// How many words are said at random.
const WORDS: u64 = 2000;

/// Bytes that words trip over, and any others.
fn random_byte(random: &mut Random) -> u8 {
    if random.one_in(2) {
        *random.pick(b" \"\\\n\r\t\0\x7f\xff=*x$,:-")
    } else {
        random.below(256) as u8
    }
}

fn random_bytes(random: &mut Random, least: u64) -> Vec<u8> {
    (0..least + random.below(LONGEST)).map(|_| random_byte(random)).collect()
}

/// One of the ways to say a word.
fn said(random: &mut Random, word: &[u8]) -> Vec<u8> {
    let is_bare = |byte: &u8| !byte.is_ascii_control() && !b" \"\\\xff".contains(byte);
    if !word.is_empty() && word.iter().all(is_bare) && random.one_in(2) {
        return word.to_vec();
    }
    let mut said = b"\"".to_vec();
    for &byte in word {
        match (byte, random.below(3)) {
            (b'"' | b'\\', 0 | 1) => said.extend([b'\\', byte]),
            (b'\n', 0 | 1) => said.extend(b"\\n"),
            (b'\r', 0 | 1) => said.extend(b"\\r"),
            (b'\t', 0 | 1) => said.extend(b"\\t"),
            (byte, 0 | 1) if is_bare(&byte) || byte == b' ' => said.push(byte),
            (byte, 0) => said.extend(format!("\\x{byte:02X}").bytes()),
            (byte, _) => said.extend(format!("\\x{byte:02x}").bytes()),
        }
    }
    said.push(b'"');
    said
}

#[test]
fn random_words_come_back_as_values() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    let mut random = Random::from_environment();
    for _ in 0..WORDS {
        let value = random_bytes(&mut random, 0);
        exact
            .send([&b"set v "[..], &said(&mut random, &value), b"\nget v\nlist values\n"].concat());
        exact.expect("ok 0\n");
        let got = exact.reply().unwrap();
        assert!(words(got[0].as_bytes()).concat() == value, "{}", got[0]);
        let listed = exact.reply().unwrap();
        let pair = [&b"value="[..], &value].concat();
        assert_eq!(words(listed[0].as_bytes()), [b"name=v".to_vec(), pair], "{}", listed[0]);
    }
}

#[test]
fn random_words_come_back_as_arguments() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    let mut random = Random::from_environment();
    for round in 0..50 {
        let mut args: Vec<Vec<u8>> = (0..40)
            .map(|_| random_bytes(&mut random, 0).into_iter().filter(|&it| it != 0).collect())
            .collect();
        args.insert(0, b"/bin/sleep".to_vec());
        let mut line = format!("make process p{round} --").into_bytes();
        for arg in &args {
            line.push(b' ');
            line.extend(said(&mut random, arg));
        }
        let made = exact.ask_line(line);
        let made_words = words(made.as_bytes());
        let (_, command) = made_words.split_at(made_words.len() - args.len());
        assert_eq!(command, args, "{made}");
        assert_eq!(made_words[made_words.len() - args.len() - 1], b"--");
        let shown = words(exact.ask_line(format!("show process p{round}")).as_bytes());
        assert!(shown.ends_with(&args));
    }
}

#[test]
fn random_words_reach_the_process_and_its_output_comes_back() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    let mut random = Random::from_environment();
    for round in 0..20 {
        let args: Vec<Vec<u8>> = (0..10)
            .map(|_| random_bytes(&mut random, 0).into_iter().filter(|&it| it != 0).collect())
            .collect();
        // The environment may hold any bytes but NUL, too.
        let args_said: Vec<Vec<u8>> = args.iter().map(|arg| said(&mut random, arg)).collect();
        let env: Vec<u8> = args[0].clone();
        let env_said = said(&mut random, &[&b"env.V="[..], &env].concat());
        let script = r#"-- /bin/sh -c "printf '%s\\0' \"$V\" \"$@\"" sh "#;
        exact.ask(
            [
                format!("make process p{round} ").as_bytes(),
                &env_said,
                b" ",
                script.as_bytes(),
                &args_said.join(&b' '),
            ]
            .concat(),
        );
        exact.ask(format!("watch p{round}"));
        let mut output = Vec::new();
        loop {
            match exact.next_seen() {
                papad_tests::exact::Seen::Data { data, .. } => output.extend(data),
                papad_tests::exact::Seen::Closed { end, .. } => {
                    assert_eq!(end, "exit 0");
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
        exact.send(format!("ack p{round} closed\n"));
        exact.expect("end finished\n");
        let mut expected = [&env[..], b"\0"].concat();
        expected.extend(args.iter().flat_map(|arg| [arg, &b"\0"[..]].concat()));
        assert_eq!(output, expected);
    }
}

#[test]
fn names_may_be_of_any_bytes_that_are_not_blank_or_control_characters() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    let mut random = Random::from_environment();
    for _ in 0..500 {
        let mut name = random_bytes(&mut random, 1);
        name.retain(|&byte| byte != b' ' && byte != b'*' && !byte.is_ascii_control());
        if name.is_empty() {
            continue;
        }
        let name = said(&mut random, &name);
        exact.send(
            [&b"set "[..], &name, b" 1\nget "[..].as_ref(), &name, b"\nunset ", &name, b"\n"]
                .concat(),
        );
        exact.expect("ok 0\nok 1\n1\nok 0\n");
    }
}

#[test]
fn every_byte_can_be_said_and_is_said_in_one_way() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    let all: Vec<u8> = (0..=255).collect();
    exact.ask(format!("set v {}", escaped(&all)));
    let shown = all.into_iter().map(|byte| match byte {
        b'"' => r#"\""#.to_owned(),
        b'\\' => r"\\".to_owned(),
        b'\n' => r"\n".to_owned(),
        b'\r' => r"\r".to_owned(),
        b'\t' => r"\t".to_owned(),
        b' '..=b'~' => char::from(byte).to_string(),
        _ => format!(r"\x{byte:02x}"),
    });
    let shown: String = shown.collect();
    exact.ask_expecting("get v", format!("ok 1\n\"{shown}\"\n"));
}

#[test]
fn words_are_said_bare_where_they_can_be() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    for (value, shown) in [
        ("abc", "abc"),
        (r#""abc""#, "abc"),
        (r#""""#, r#""""#),
        (r#"" ""#, r#"" ""#),
        ("a=b,c*'$;", "a=b,c*'$;"),
        ("caf\u{e9}", r#""caf\xc3\xa9""#),
        (r#""\x41\x62""#, "Ab"),
        (r#""\\""#, r#""\\""#),
        (r#""\"""#, r#""\"""#),
        (r#""\xFF\xff""#, r#""\xff\xff""#),
        (r#""a\nb""#, r#""a\nb""#),
    ] {
        exact.ask_expecting(format!("set v {value}"), "ok 0\n");
        exact.ask_expecting("get v", format!("ok 1\n{shown}\n"));
        // The key is within the quotes, and an empty value needs none.
        let pair = match shown.strip_prefix('"') {
            Some("\"") => "value=".to_owned(),
            Some(rest) => format!("\"value={rest}"),
            None => format!("value={shown}"),
        };
        exact.ask_expecting("list values", format!("ok 1\nname=v {pair}\n"));
    }
}

#[test]
fn spaces_between_words_do_not_count() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    exact.ask_expecting("   set    v   \" x \"   ", "ok 0\n");
    exact.ask_expecting("get v", "ok 1\n\" x \"\n");
}

#[test]
fn what_is_not_made_of_words_is_refused_and_the_session_goes_on() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    for word in [
        &br#"a"b""#[..],
        br#""a"b"#,
        br#""a""b""#,
        br#""a"#,
        br#"""#,
        br#""a\"#,
        br#""\a""#,
        br#""\x4""#,
        br#""\xg0""#,
        br#""\u0041""#,
        br"a\b",
        br"a\ b",
        b"a\x01",
        b"a\0b",
        b"\"a\tb\"",
        b"\"a\x7f\"",
        b"\xff",
        b"\"\xff\"",
    ] {
        exact.ask_for("usage", [b"set v ", word].concat());
    }
    exact.ask_expecting("list values", "ok 0\n");
}

#[test]
fn one_return_is_dropped_at_the_end_of_a_line_and_nothing_else() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    exact.ask_expecting("set a 1\r", "ok 0\n");
    for line in ["get a\r\r", "get a\t", "\tget a", "get a\x0c", "\rget a", "get a\r "] {
        exact.ask_for("usage", line);
    }
}

#[test]
fn telnets_commands_are_not_understood() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    exact.ask_for("usage", b"set v a\xff\xfb\x01b");
    exact.ask_for("usage", b"set v a\xff\xff");
    exact.ask_expecting("list values", "ok 0\n");
}

#[test]
fn what_a_client_wrote_is_shown_on_one_line_and_cut_short() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    let why = exact.ask_for("not-found", r#"get "a\nb\x01""#);
    assert!(why.contains(r"a\x0ab\x01"), "{why}");
    let why = exact.ask_for("not-found", format!("get {}", "a".repeat(100_000)));
    assert!(why.len() < 300, "{why}");
}

#[test]
fn papas_sessions_see_newlines_as_spaces() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    let mut plain = papad.session();
    exact.ask(r#"set v "one\n> two\r\t""#);
    plain.ask_expecting("get v", "one > two\r\t");
    plain.ask_expecting("list values", "v one > two\r\t");
    exact.ask_expecting("get v", "ok 1\n\"one\\n> two\\r\\t\"\n");
    exact.ask(r#"make process p -- /bin/sleep "1000\n" "" "a  b""#);
    let line = plain.ask("list processes");
    assert!(line.ends_with(" args=/bin/sleep 1000   a  b"), "{line}");
}
