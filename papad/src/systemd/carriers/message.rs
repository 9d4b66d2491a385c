//! The text of a message in a carrier: its sequence number, and the names of the descriptors that
//! come with it, in their order.

use crate::link::Held;

pub(super) fn write(sequence: u64, names: &[Held]) -> String {
    use std::fmt::Write;
    let mut text = sequence.to_string();
    for name in names {
        // Writing to a String cannot fail.
        let _ = write!(text, " {name}");
    }
    text
}

/// Reads a message; a name that this version does not know is `None`. `None` in place of all of it
/// if it is no message of papad's.
pub(super) fn read(text: &[u8]) -> Option<(u64, Vec<Option<Held>>)> {
    let mut words = std::str::from_utf8(text).ok()?.split(' ');
    let sequence = words.next()?.parse().ok()?;
    Some((sequence, words.map(|word| word.parse().ok()).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_back_as_it_was_written() {
        let names = [Held::Ring(7), Held::StateLock, Held::Journal(u64::MAX)];
        let text = write(12, &names);
        assert_eq!(text, "12 ring.7 state-lock journal.18446744073709551615");
        assert_eq!(read(text.as_bytes()), Some((12, names.map(Some).to_vec())));
    }

    #[test]
    fn an_unknown_name_is_told_from_an_unknown_message() {
        assert_eq!(read(b"1 new.7 out.2"), Some((1, vec![None, Some(Held::Out(2))])));
        assert_eq!(read(b"ring.1"), None);
        assert_eq!(read(b"\xff"), None);
    }
}
