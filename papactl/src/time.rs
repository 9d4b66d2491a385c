//! Times and ages.

use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Timestamp};

/// A length of time as people write it: `10s`, `1m30s`, `500ms`, or a plain number of seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    let time = text.parse::<SignedDuration>().ok().and_then(|time| time.try_into().ok());
    time.ok_or_else(|| "a time is like 10s, 1m30s or 500ms, or a number of seconds".to_owned())
}

/// How long ago something was.
pub(crate) fn since(time: SystemTime) -> Duration {
    time.elapsed().unwrap_or_default()
}

/// A time in the one or two units that matter: `12s`, `3m04s`, `5h12m`, `2d07h`, `400d`.
pub(crate) fn short(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m{:02}s", seconds % 60),
        3600..86400 => format!("{hours}h{:02}m", minutes % 60),
        _ if days < 100 => format!("{days}d{:02}h", hours % 24),
        _ => format!("{days}d"),
    }
}

/// A time as RFC 3339 has it, in UTC.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    // Outside the years that a timestamp has nothing of papad's can be.
    Timestamp::try_from(time).unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_is_written_as_people_do() {
        for (text, milliseconds) in
            [("0", 0), ("90", 90_000), ("10s", 10_000), ("1m30s", 90_000), ("500ms", 500)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "-1", "-1s", "10x", "s", "1m 30", "99999999999999999999"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_age_has_two_units_at_most() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (64, "1m04s"),
            (3600 * 5 + 60 * 12, "5h12m"),
            (86400 * 2 + 3600 * 7, "2d07h"),
            (86400 * 400, "400d"),
        ] {
            assert_eq!(short(Duration::from_secs(seconds)), text);
        }
    }
}
