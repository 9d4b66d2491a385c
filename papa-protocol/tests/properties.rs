//! What holds for any bytes at all.

use papa_protocol::command::{self, Command};
use papa_protocol::{quoted, words};
use proptest::collection::vec;
use proptest::prelude::*;

/// Bytes that are likely to be special somewhere, among others that are not.
fn byte() -> impl Strategy<Value = u8> {
    prop_oneof![
        4 => proptest::sample::select(&b" \\\"\n\r\t\x00=*:.x1"[..]),
        1 => any::<u8>(),
    ]
}

fn word() -> impl Strategy<Value = Vec<u8>> {
    vec(byte(), 0..12)
}

/// Words that the wire can carry.
///
/// It has no way to write a word that ends in `\`, for that would escape the space after it; and
/// at the ends of a line, whitespace that is not escaped is taken for the line's own, so a tab,
/// return or form feed is lost there.
fn sendable_words() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let is_bare_whitespace = |byte: Option<&u8>| matches!(byte, Some(b'\t' | b'\r' | b'\x0c'));
    let word = word().prop_filter("a word ends in a backslash", |word| !word.ends_with(b"\\"));
    vec(word, 0..6).prop_filter("bare whitespace at an end of the line", move |words| {
        let mut bytes = words.iter().flatten();
        !is_bare_whitespace(bytes.next()) && !is_bare_whitespace(bytes.next_back())
    })
}

/// Lines that get past the first words of a command more often than chance would have it.
fn line() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let beginning = proptest::sample::select(vec![
        "",
        "x",
        "l p",
        "m s s",
        "m p p",
        "r v",
        "w p",
        "set",
        "get",
        "h m",
        "q",
        "exit-if-idle",
    ]);
    let option = proptest::sample::select(vec![
        "family=",
        "type=",
        "backlog=",
        "path=/",
        "umask=",
        "host=",
        "port=",
        "interface=",
        "reuseport=",
        "uid=",
        "working_dir=",
        "bufsize=",
        "stderr=",
        "env.",
        "rlimit.nofile=",
        "",
    ]);
    let rest = vec((option, word()), 0..5);
    (beginning, rest).prop_map(|(beginning, rest)| {
        let mut line = words::split(beginning.as_bytes());
        line.extend(rest.into_iter().map(|(key, value)| [key.as_bytes(), &value].concat()));
        line
    })
}

proptest! {
    #[test]
    fn any_bytes_split_into_words_that_are_not_empty(line in vec(byte(), 0..80)) {
        let words = words::split(&line);
        prop_assert!(words.iter().all(|word| !word.is_empty()));
        prop_assert_eq!(words::count(&line), words.len());
    }

    #[test]
    fn what_the_python_client_sends_comes_back_as_meant(sent in sendable_words()) {
        let mut line = words::join(&sent);
        line.push(b'\n');
        let as_meant = |word: &Vec<u8>| -> Vec<u8> {
            word.iter().map(|&byte| if byte == b'\n' { b' ' } else { byte }).collect()
        };
        let meant: Vec<Vec<u8>> =
            sent.iter().filter(|word| !word.is_empty()).map(as_meant).collect();
        prop_assert_eq!(words::split(&line), meant);
    }

    #[test]
    fn any_bytes_are_exact_words_or_an_error(line in vec(byte(), 0..80)) {
        if let Ok(words) = quoted::split(&line) {
            let mut again = Vec::new();
            for word in &words {
                quoted::push(&mut again, word);
            }
            prop_assert_eq!(quoted::count(&line), words.len());
            prop_assert_eq!(quoted::split(&again), Ok(words));
        }
    }

    #[test]
    fn exact_words_come_back_exactly(sent in vec(word(), 0..6)) {
        let mut line = Vec::new();
        for word in &sent {
            quoted::push(&mut line, word);
        }
        prop_assert!(line.iter().all(|byte| (0x20..=0x7e).contains(byte)));
        prop_assert_eq!(quoted::split(&line), Ok(sent));
    }

    #[test]
    fn an_exact_pair_is_one_word(key in "[a-z.]{1,8}", value in word()) {
        let mut line = b"before".to_vec();
        quoted::push_pair(&mut line, &key, &value);
        let pair = [key.as_bytes(), b"=", &value].concat();
        prop_assert_eq!(quoted::split(&line), Ok(vec![b"before".to_vec(), pair]));
    }

    #[test]
    fn any_words_are_a_command_or_a_short_line_of_error(words in line()) {
        match command::parse(words) {
            Ok(Command::MakeProcess(made)) => prop_assert!(!made.command.is_empty()),
            Ok(_) => {}
            Err(error) => {
                let said = error.to_string();
                prop_assert!(!said.is_empty() && said.len() < 1000);
                prop_assert!(!said.contains(char::is_control), "{said:?}");
            }
        }
    }

    #[test]
    fn any_bytes_are_a_command_or_an_error(line in vec(byte(), 0..80)) {
        if let Err(error) = command::parse(words::split(&line)) {
            prop_assert!(!error.to_string().contains(char::is_control));
        }
    }
}
