//! The ratios as a picture.

use std::fmt::Write;

use super::Row;
use crate::case::Bound;

/// Pixels.
const LABEL: f64 = 460.0;
const BARS: f64 = 400.0;
const ROW: f64 = 24.0;
const TOP: f64 = 84.0;
const RIGHT: f64 = 110.0;

/// Colours.
const REACHED: &str = "#2a7f62";
const MISSED: &str = "#c8553d";

/// The ends of the scale, which is logarithmic: papad is so much slower or faster.
const LEAST: f64 = 0.1;
const MOST: f64 = 10.0;

/// An SVG with a bar for each ratio to which there is a target. A bar to the right, and the figure
/// beside it, is in papad's favour, whether more is better or less; the mark is the target.
pub(crate) fn plot(rows: &[Row<'_>]) -> String {
    let bars: Vec<Bar> = rows.iter().filter_map(Bar::of).collect();
    draw(&bars)
}

fn draw(bars: &[Bar]) -> String {
    let (width, height) = (LABEL + BARS + RIGHT, TOP + ROW * bars.len() as f64 + 12.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"12\" y=\"20\" font-size=\"14\" font-weight=\"bold\">papad beside others</text>\n\
         <text x=\"12\" y=\"37\" fill=\"#666\">how many times better or worse papad is; more \
         per second is better, and so is less time</text>\n\
         <rect x=\"12\" y=\"46\" width=\"16\" height=\"10\" fill=\"{REACHED}\"/>\n\
         <text x=\"34\" y=\"55\" fill=\"#666\">reaches its target</text>\n\
         <rect x=\"152\" y=\"46\" width=\"16\" height=\"10\" fill=\"{MISSED}\"/>\n\
         <text x=\"174\" y=\"55\" fill=\"#666\">misses it</text>\n\
         <path d=\"M248 44v14\" stroke=\"#000\" stroke-width=\"2\"/>\n\
         <text x=\"256\" y=\"55\" fill=\"#666\">the target</text>\n"
    );
    for (number, bar) in bars.iter().enumerate() {
        bar.draw(&mut svg, TOP + ROW * number as f64);
    }
    for (at, text) in [(LEAST, "10x worse"), (1.0, "equal"), (MOST, "10x better")] {
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
        Some(Self { label, gain, target })
    }

    fn draw(&self, svg: &mut String, y: f64) {
        let (one, end, target) = (x(1.0), x(self.gain), x(self.target));
        let colour = if self.gain >= self.target { REACHED } else { MISSED };
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
            figure(self.gain),
        );
    }
}

/// How many times better or worse, in words that go with the bar's direction.
fn figure(gain: f64) -> String {
    let (times, how) = if gain < 1.0 { (1.0 / gain, "worse") } else { (gain, "better") };
    match times {
        ..1.005 => "equal".to_owned(),
        ..10.0 => format!("{times:.2}x {how}"),
        _ => format!("{times:.0}x {how}"),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_go_with_the_direction_of_their_bars() {
        let figures = [492.4, 2.03, 1.003, 0.997, 0.5, 0.01].map(figure);
        let expected =
            ["492x better", "2.03x better", "equal", "equal", "2.00x worse", "100x worse"];
        assert_eq!(figures, expected);
    }
}
