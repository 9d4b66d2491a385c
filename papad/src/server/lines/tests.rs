//! Lines as they come in pieces.

use super::*;
use crate::bounds::Allowed;

fn lines_of_at_most(bytes: u64) -> Lines {
    let mut allowed = Allowed::default();
    allowed.set(Bound::Line, bytes);
    Lines::new(File::open("/dev/null").unwrap(), Arc::new(Bounds::new(allowed)))
}

fn text_of(packets: &[&[u8]]) -> Vec<u8> {
    let mut lines = lines_of_at_most(100);
    for packet in packets {
        lines.take_text(packet);
    }
    lines.waiting().to_vec()
}

#[test]
fn telnet_negotiation_is_passed_over_wherever_packets_end() {
    let sent = b"\xff\xfd\x03l \xff\xfb\x18p\xff\xfa\x18\x00xterm\xff\xff\xff\xf0\xff\xf1\n";
    for at in 0..sent.len() {
        assert_eq!(text_of(&[&sent[..at], &sent[at..]]), b"l p\n", "split at {at}");
    }
}

#[test]
fn answers_wait_for_the_lines_before_them() {
    let mut lines = lines_of_at_most(100);
    lines.take_text(b"l p\n\xff\xfd\x06ge");
    assert_eq!(lines.due_answers(), b"");
    assert!(!lines.is_unsure_before_next_line());
    assert_eq!(lines.next(), Ok(Some(b"l p".to_vec())));
    assert_eq!(lines.due_answers(), b"\xff\xfb\x06");
    assert_eq!((lines.due_answers(), lines.waiting()), (Vec::new(), &b"ge"[..]));
    assert!(lines.is_unsure_before_next_line());
    assert!(lines.take_unsure());
    assert!(!lines.take_unsure() && !lines.is_unsure_before_next_line());
}

#[test]
fn an_exact_line_is_as_it_was_sent_and_between_lines_telnet_is_answered() {
    let mut lines = lines_of_at_most(100);
    lines.become_exact();
    lines.take_text(b"\xff\xf4\xff\xfd\x06\xff\xf2get a\xff\xfd\x06\xff\xff\x04\n\xff\xfb\x01");
    assert_eq!(lines.next(), Ok(Some(b"get a\xff\xfd\x06\xff\xff\x04".to_vec())));
    assert_eq!(lines.due_answers(), b"\xff\xfb\x06\xff\xfe\x01");
}

#[test]
fn the_end_of_transmission_is_the_end_where_a_line_begins() {
    let mut lines = lines_of_at_most(100);
    lines.take_text(b"set a \x04\n");
    assert!(!lines.has_left());
    lines.take_text(b"l p\n\x04set b 1\n");
    assert!(lines.has_left());
    assert_eq!(lines.waiting(), b"set a \x04\nl p\n");
}

#[test]
fn a_doubled_iac_is_the_byte_255() {
    assert_eq!(text_of(&[b"set a \xff\xff\n"]), b"set a \xff\n");
}

#[test]
fn lines_come_without_line_ends_and_blanks() {
    let mut lines = lines_of_at_most(100);
    lines.take_text(b"  one \r\n\ntwo\nthr");
    assert_eq!(lines.peek(), Some(&b"one"[..]));
    for line in [&b"one"[..], b"", b"two"] {
        assert_eq!(lines.next(), Ok(Some(line.to_vec())));
    }
    assert_eq!(lines.next(), Ok(None));
    lines.take_text(b"ee\n");
    assert_eq!(lines.next(), Ok(Some(b"three".to_vec())));
}

/// As reading brings it.
fn take(lines: &mut Lines, text: &[u8]) {
    let before = lines.buffer.len();
    lines.take_text(text);
    lines.note_unfinished(before);
}

#[test]
fn a_line_is_as_long_as_it_may_be_and_no_longer() {
    for line in [&b"12345678\n"[..], b"12345678\r\n"] {
        for at in 0..line.len() {
            let mut lines = lines_of_at_most(8);
            take(&mut lines, &line[..at]);
            assert_eq!(lines.next(), Ok(None), "{at}");
            take(&mut lines, &line[at..]);
            assert_eq!(lines.next(), Ok(Some(b"12345678".to_vec())));
        }
    }
    for text in [&b"1234567890"[..], b"123456789\n", b"12345678\r\r"] {
        let mut lines = lines_of_at_most(8);
        take(&mut lines, b"1\n");
        take(&mut lines, text);
        assert_eq!(lines.next(), Ok(Some(b"1".to_vec())));
        assert_eq!(lines.next(), Err(lines.too_long()));
    }
}

#[test]
fn a_line_is_unfinished_from_its_first_byte_to_its_end() {
    let mut lines = lines_of_at_most(100);
    let mut since_after = |text: &[u8]| {
        take(&mut lines, text);
        lines.unfinished_since()
    };
    assert_eq!(since_after(b"one\n"), None);
    // What telnet says of itself is no line.
    assert_eq!(since_after(b"\xff\xfd\x03"), None);
    let since = since_after(b"tw");
    assert!(since.is_some());
    assert_eq!(since_after(b"o"), since);
    assert!(since_after(b"\nthr") > since);
    assert_eq!(since_after(b"ee\n"), None);
}
