//! What papad sends in protocol 2, as a client reads it: answers, frames, fields, the greeting.
#![no_main]

use libfuzzer_sys::fuzz_target;
use papa_protocol::exact::{
    Fields, Frame, Hello, Line, ReplyHead, ServerLine, parse_reply_head, parse_server_line,
    write_error, write_ok,
};

fuzz_target!(|line: &[u8]| {
    if let Ok(head) = parse_reply_head(line) {
        let mut written = Vec::new();
        match &head {
            ReplyHead::Ok(count) => {
                // So many lines need not be made to see the first.
                let few = vec![Vec::new(); (*count).min(3)];
                write_ok(&mut written, &few);
                written = first_line(&written)
                    .replace(&few.len().to_string(), &count.to_string())
                    .into_bytes();
            }
            ReplyHead::Error(failure) => {
                write_error(&mut written, failure);
                written = first_line(&written).into_bytes();
            }
        }
        assert_eq!(parse_reply_head(&written), Ok(head.clone()));
        assert_eq!(parse_server_line(line), Ok(ServerLine::Reply(head)));
    }
    if let Ok(frame) = Frame::parse(line) {
        let mut written = Vec::new();
        frame.write(&mut written);
        assert_eq!(Frame::parse(first_line(&written).as_bytes()), Ok(frame.clone()));
        assert_eq!(parse_server_line(line), Ok(ServerLine::Frame(frame)));
    }
    if let Ok(fields) = Fields::parse(line) {
        let pairs =
            fields.pairs().filter_map(|(key, value)| Some((str::from_utf8(key).ok()?, value)));
        let written = pairs.fold(Line::new(), |line, (key, value)| line.pair(key, value));
        assert!(Fields::parse(&written.into_bytes()).is_ok());
    }
    if let Ok(hello) = Hello::parse(line) {
        let mut written = Vec::new();
        hello.write(&mut written);
        let second = written.strip_prefix(b"ok 1\n").and_then(|it| it.strip_suffix(b"\n"));
        assert_eq!(second.map(Hello::parse), Some(Ok(hello)));
    }
});

/// The first line, which is ASCII.
fn first_line(written: &[u8]) -> String {
    let line = written.split(|&byte| byte == b'\n').next().unwrap_or_default();
    assert!(line.is_ascii(), "{}", line.escape_ascii());
    String::from_utf8_lossy(line).into_owned()
}
