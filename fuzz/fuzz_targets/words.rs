//! Lines in words and words in lines, in both dialects.
#![no_main]

use libfuzzer_sys::fuzz_target;
use papa_protocol::{quoted, words};

fuzz_target!(|line: &[u8]| {
    let read = words::split(line);
    assert!(read.iter().all(|word| !word.is_empty()));
    // A newline travels as a space.
    let spaced = |word: &Vec<u8>| word.iter().map(|&b| if b == b'\n' { b' ' } else { b }).collect();
    let carried: Vec<Vec<u8>> = read.iter().map(spaced).collect();
    assert_eq!(words::split(&words::join(&read)), carried);

    if let Ok(read) = quoted::split(line) {
        assert_carried(&read);
    }
    // Any bytes are words, too, of the other kind.
    let any: Vec<Vec<u8>> = line.split(|&byte| byte == 0).map(<[u8]>::to_vec).collect();
    assert_carried(&any);
});

/// Exact words arrive as they were sent, in a line of printable ASCII.
fn assert_carried(words: &[Vec<u8>]) {
    let mut line = Vec::new();
    for word in words {
        quoted::push(&mut line, word);
    }
    assert!(line.iter().all(|byte| (0x20..=0x7e).contains(byte)));
    assert_eq!(quoted::split(&line).as_deref(), Ok(words));
}
