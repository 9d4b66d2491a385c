//! Sizes as people write them.

/// The bytes that `100`, `64k`, `1m` or `2G` stand for; `None` if the text is no size.
///
/// A size is decimal digits and at most one of `k`, `m` and `g`, in either case: powers of 1024.
/// A size above `u64::MAX` bytes is none either.
#[must_use]
pub fn parse(text: &[u8]) -> Option<u64> {
    let (digits, unit) = match text {
        [digits @ .., b'k' | b'K'] => (digits, 1 << 10),
        [digits @ .., b'm' | b'M'] => (digits, 1 << 20),
        [digits @ .., b'g' | b'G'] => (digits, 1 << 30),
        digits => (digits, 1),
    };
    // The standard parser would also take a sign.
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    number.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_bytes_or_powers_of_1024() {
        assert_eq!(parse(b"0"), Some(0));
        assert_eq!(parse(b"100"), Some(100));
        assert_eq!(parse(b"64k"), Some(65_536));
        assert_eq!(parse(b"1m"), Some(1_048_576));
        assert_eq!(parse(b"2G"), Some(2_147_483_648));
        assert_eq!(parse(b"18446744073709551615"), Some(u64::MAX));
    }

    #[test]
    fn anything_else_is_no_size() {
        let texts: [&[u8]; 12] = [
            b"", b"k", b"1kb", b"1t", b"-1", b"+1", b" 1", b"1 k", b"1.5m", b"0x10", b"1_0",
            b"\xff",
        ];
        for text in texts {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_size_beyond_64_bits_is_none() {
        assert_eq!(parse(b"18446744073709551616"), None);
        assert_eq!(parse(b"17179869184g"), None);
        assert_eq!(parse(b"17179869183g"), Some(17_179_869_183 << 30));
    }
}
