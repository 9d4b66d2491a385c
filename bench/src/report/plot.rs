//! The ratios as a picture.

use std::fmt::Write;

use super::Row;
use crate::case::Bound;
use crate::unit::ratio;

/// Pixels.
const LABEL: f64 = 460.0;
const BARS: f64 = 400.0;
const ROW: f64 = 24.0;
const TOP: f64 = 48.0;
const RIGHT: f64 = 110.0;

/// The ends of the scale, which is logarithmic: papad is so much slower or faster.
const LEAST: f64 = 0.1;
const MOST: f64 = 10.0;

/// An SVG with a bar for each ratio to which there is a target. A bar to the right is in papad's
/// favour, whether more is better or less; the mark is the target.
pub(crate) fn plot(rows: &[Row<'_>]) -> String {
    let bars: Vec<Bar> = rows.iter().filter_map(Bar::of).collect();
    let (width, height) = (LABEL + BARS + RIGHT, TOP + ROW * bars.len() as f64 + 12.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"12\" y=\"20\" font-size=\"14\" font-weight=\"bold\">papad beside others</text>\n\
         <text x=\"12\" y=\"37\" fill=\"#666\">to the right: papad is better; black mark: what is \
         to be reached</text>\n"
    );
    for (number, bar) in bars.iter().enumerate() {
        bar.draw(&mut svg, TOP + ROW * number as f64);
    }
    for (at, text) in [(0.1, "1/10"), (1.0, "1"), (10.0, "10")] {
        let x = x(at);
        let _ = writeln!(
            svg,
            "<path d=\"M{x} {TOP}V{}\" stroke=\"#999\" stroke-dasharray=\"2 3\"/>\n\
             <text x=\"{x}\" y=\"{}\" fill=\"#666\" text-anchor=\"middle\">{text}</text>",
            height - 8.0,
            TOP - 4.0
        );
    }
    svg + "</svg>\n"
}

/// One ratio, turned so that more is better.
struct Bar {
    label: String,
    figure: String,
    gain: f64,
    target: f64,
}

impl Bar {
    fn of(row: &Row<'_>) -> Option<Self> {
        let found = row.ratio()?;
        let (gain, target) = match row.bound? {
            Bound::AtLeast(bound) => (found, bound),
            Bound::AtMost(bound) => (1.0 / found, 1.0 / bound),
        };
        let reference = row.reference.as_ref()?.subject;
        let label = format!("{}: {}, {reference}", row.case, row.line.what);
        Some(Self { label, figure: ratio(found), gain, target })
    }

    fn draw(&self, svg: &mut String, y: f64) {
        let (one, end, target) = (x(1.0), x(self.gain), x(self.target));
        let colour = if self.gain >= self.target { "#2a7f62" } else { "#c8553d" };
        let middle = y + ROW / 2.0 + 4.0;
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\">{}</text>\n\
             <rect x=\"{:.1}\" y=\"{}\" width=\"{:.1}\" height=\"{}\" fill=\"{colour}\"/>\n\
             <path d=\"M{target:.1} {}v{}\" stroke=\"#000\" stroke-width=\"2\"/>\n\
             <text x=\"{}\" y=\"{middle}\">{}</text>",
            LABEL - 24.0,
            escaped(&self.label),
            one.min(end),
            y + 4.0,
            (one - end).abs(),
            ROW - 8.0,
            y + 2.0,
            ROW - 4.0,
            LABEL + BARS + 12.0,
            escaped(&self.figure),
        );
    }
}

/// Where a ratio is on the scale.
fn x(ratio: f64) -> f64 {
    let ends = (LEAST.log10(), MOST.log10());
    LABEL + BARS * (ratio.clamp(LEAST, MOST).log10() - ends.0) / (ends.1 - ends.0)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
