//! Figures as people read them.

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Bytes a second.
    BytesPerSecond,
    /// Something a second.
    PerSecond,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// Things.
    Count,
    /// One figure divided by another.
    Ratio,
}

impl Unit {
    /// What the JSON calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::BytesPerSecond => "bytes/s",
            Self::PerSecond => "1/s",
            Self::Seconds => "s",
            Self::Bytes => "bytes",
            Self::Count => "",
            Self::Ratio => "ratio",
        }
    }

    /// A figure with its unit.
    pub(crate) fn show(self, figure: f64) -> String {
        match self {
            Self::BytesPerSecond => format!("{}/s", bytes(figure)),
            Self::PerSecond => format!("{}/s", count(figure)),
            Self::Seconds => seconds(figure),
            Self::Bytes => bytes(figure),
            Self::Count => count(figure),
            Self::Ratio => ratio(figure),
        }
    }
}

/// A ratio: two digits after the point, or three that count.
pub(crate) fn ratio(ratio: f64) -> String {
    if ratio > 0.0 && ratio < 0.1 { format!("1/{:.0}", 1.0 / ratio) } else { format!("{ratio:.2}") }
}

/// A number with commas between its thousands.
pub(crate) fn count(number: f64) -> String {
    if number.abs() < 100.0 && number.fract() != 0.0 {
        return format!("{number:.1}");
    }
    let digits = format!("{:.0}", number.abs());
    let mut text = if number < 0.0 { String::from("-") } else { String::new() };
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn bytes(bytes: f64) -> String {
    let units = [(1e9, "GB"), (1e6, "MB"), (1e3, "KB")];
    match units.iter().find(|(size, _)| bytes.abs() >= *size) {
        Some((size, unit)) => format!("{:.2} {unit}", bytes / size),
        None => format!("{bytes:.0} B"),
    }
}

fn seconds(seconds: f64) -> String {
    let units = [(1.0, "s"), (1e-3, "ms")];
    match units.iter().find(|(size, _)| seconds >= *size) {
        Some((size, unit)) => format!("{:.2} {unit}", seconds / size),
        None => format!("{:.1} us", seconds / 1e-6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_shown_with_as_much_as_one_wants_to_read() {
        assert_eq!(Unit::PerSecond.show(1_234_567.8), "1,234,568/s");
        assert_eq!(Unit::Count.show(0.0), "0");
        assert_eq!(Unit::Count.show(2.5), "2.5");
        assert_eq!(Unit::Bytes.show(-2048.0), "-2.05 KB");
        assert_eq!(Unit::BytesPerSecond.show(2.5e9), "2.50 GB/s");
        assert_eq!(Unit::Seconds.show(0.000_045), "45.0 us");
        assert_eq!(Unit::Seconds.show(0.25), "250.00 ms");
        assert_eq!(Unit::Ratio.show(0.005), "1/200");
        assert_eq!(Unit::Ratio.show(0.85), "0.85");
    }
}
