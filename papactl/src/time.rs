//! Times and ages.

use std::time::{Duration, SystemTime};

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp, Zoned};

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

/// A time as RFC 3339 has it, in this machine's time zone and to the millisecond.
pub(crate) fn local(time: SystemTime) -> String {
    let time = Timestamp::try_from(time).unwrap_or_default().to_zoned(TimeZone::system());
    time.strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string()
}

/// A point in time as people write it: how long ago (`10m`, `2d 3h`), a time of RFC 3339, where this
/// machine's time zone and midnight need not be said, or a time of day, which is the last such.
pub(crate) fn moment(text: &str) -> Result<SystemTime, String> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time.into());
    }
    if let Ok(time) = text.parse::<DateTime>() {
        let zoned = time.to_zoned(TimeZone::system());
        return zoned.map(|it| it.timestamp().into()).map_err(|error| error.to_string());
    }
    if let Some(time) = time_of_day(text) {
        return Ok(time);
    }
    // A span may be written like a time of day, too, which nobody means.
    let ago = text.parse::<Span>().ok().filter(|span| !span.is_negative() && !text.contains(':'));
    let time = ago.and_then(|span| Zoned::now().checked_sub(span).ok());
    time.map(|it| it.timestamp().into())
        .ok_or_else(|| "say how long ago, as 10m, or when, as 2026-11-22T10:00 or 10:00".to_owned())
}

/// The last time that a clock here showed this: `19:38` or `19:38:38`.
fn time_of_day(text: &str) -> Option<SystemTime> {
    // Without this, a number alone would be hours.
    let time = text.contains(':').then(|| text.parse::<Time>().ok()).flatten()?;
    let now = Zoned::now();
    let on = |date: Date| date.to_datetime(time).to_zoned(now.time_zone().clone()).ok();
    let today = on(now.date()).filter(|it| *it <= now);
    let yesterday = || on(now.date().yesterday().ok()?);
    today.or_else(yesterday).map(|it| it.timestamp().into())
}

/// A length of time as people write it: `500ms`, `1m 30s`, or a number of seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|it| Duration::try_from_secs_f64(it).ok());
    let span = || text.parse::<SignedDuration>().ok()?.try_into().ok();
    seconds.or_else(span).ok_or_else(|| "say how long, as 500ms, 10s or 1m".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_or_how_long_ago_it_was() {
        let at = |text: &str| rfc3339(moment(text).unwrap());
        assert_eq!(at("2026-11-22T10:00:00.5+01:00"), "2026-11-22T09:00:00.5Z");
        assert_eq!(moment("2026-11-22"), moment("2026-11-22T00:00"));
        let ago = since(moment("1h 30m").unwrap()).as_secs();
        assert!((5400..5500).contains(&ago), "{ago}");
        for text in ["", "soon", "-5m", "25:00", "10:00:61"] {
            assert!(moment(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_of_day_is_the_last_one() {
        let now = Zoned::now();
        for text in ["19:38:38", "00:00", "23:59:59.5"] {
            let time = moment(text).unwrap();
            assert!(time <= SystemTime::now() && since(time).as_secs() <= 25 * 3600, "{text}");
            let shown = Timestamp::try_from(time).unwrap().to_zoned(now.time_zone().clone());
            assert_eq!(shown.time(), text.parse::<Time>().unwrap());
        }
    }

    #[test]
    fn a_duration_has_units_or_is_in_seconds() {
        for (text, milliseconds) in [("2", 2000), ("0.5", 500), ("250ms", 250), ("1m 30s", 90_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "-1", "-1s", "NaN", "soon"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_local_time_is_the_same_time() {
        let time = moment("2026-11-22T09:00:00.123Z").unwrap();
        assert_eq!(moment(&local(time)), Ok(time));
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
