//! The two values of a resource limit.

use std::fmt;

/// A soft and a hard limit, as setrlimit(2) takes them.
///
/// `Display` is one number where both are the same, else `SOFT:HARD`; no limit is `unlimited`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limit {
    /// What holds now. Not above `hard`.
    pub soft: u64,
    /// Up to where the process may raise it.
    pub hard: u64,
}

impl Limit {
    /// No limit: `RLIM_INFINITY`.
    pub const UNLIMITED: u64 = u64::MAX;

    /// The same value for both.
    #[must_use]
    pub const fn both(value: u64) -> Self {
        Self { soft: value, hard: value }
    }

    /// Reads what `Display` writes. `None` if it is no such text, or the soft limit is above the
    /// hard one.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut values = text.splitn(2, |&byte| byte == b':').map(value);
        let soft = values.next()??;
        let hard = values.next().unwrap_or(Some(soft))?;
        (soft <= hard).then_some(Self { soft, hard })
    }
}

fn value(text: &[u8]) -> Option<u64> {
    if text == b"unlimited" {
        return Some(Limit::UNLIMITED);
    }
    // The standard parser would also take a sign.
    let is_number = text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| is_number)?.parse().ok()
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_value(f, self.soft)?;
        if self.hard == self.soft {
            return Ok(());
        }
        f.write_str(":")?;
        write_value(f, self.hard)
    }
}

fn write_value(f: &mut fmt::Formatter<'_>, value: u64) -> fmt::Result {
    match value {
        Limit::UNLIMITED => f.write_str("unlimited"),
        value => write!(f, "{value}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_is_both_limits() {
        assert_eq!(Limit::parse(b"1024"), Some(Limit::both(1024)));
        assert_eq!(Limit::parse(b"unlimited"), Some(Limit::both(Limit::UNLIMITED)));
        assert_eq!(Limit::both(0).to_string(), "0");
        assert_eq!(Limit::both(Limit::UNLIMITED).to_string(), "unlimited");
    }

    #[test]
    fn two_numbers_are_the_soft_and_the_hard_limit() {
        let limit = Limit { soft: 1, hard: Limit::UNLIMITED };
        assert_eq!(Limit::parse(b"1:unlimited"), Some(limit));
        assert_eq!(limit.to_string(), "1:unlimited");
        assert_eq!(Limit::parse(b"7:7"), Some(Limit::both(7)));
    }

    #[test]
    fn anything_else_is_no_limit() {
        let texts = ["", ":", "1:", ":1", "1:2:3", "-1", "+1", "1k", "0x1", "Unlimited", "2:1"];
        for text in texts.into_iter().chain(["unlimited:1", "18446744073709551616"]) {
            assert_eq!(Limit::parse(text.as_bytes()), None, "{text}");
        }
    }
}
