//! Drawings for the report's page: lines and dots over two logarithmic axes, and stacked bars.

use std::fmt::Write;

use super::html::escape;
use super::text::{rate, time};

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 360.0;
/// Left, top, right and bottom of the plane; names of lines stand right of it.
const FRAME: [f64; 4] = [60.0, 12.0, 590.0, 316.0];
/// Told apart by people who see colours otherwise, too (Okabe and Ito 2008).
const COLOURS: [&str; 8] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#666666", "#000000"];

/// A line through points, with its name.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
}

/// A point with a text that shows where the pointer rests.
pub(super) struct Dot {
    pub(super) at: (f64, f64),
    pub(super) title: String,
}

/// Lines and dots over logarithmic axes.
pub(super) struct Chart {
    axes: [String; 2],
    lines: Vec<Line>,
    dots: Vec<(String, Vec<Dot>)>,
}

/// One logarithmic axis and its place in the drawing.
struct Axis {
    /// Values with a mark; the first and the last are its ends.
    ticks: Vec<f64>,
    from: f64,
    to: f64,
}

impl Axis {
    /// Marks at powers of ten, or at 1, 2 and 5 of each where the values are close together.
    fn of(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Axis {
        let bounds = values.filter(|x| *x > 0.0).fold(None, |bounds, x| match bounds {
            None => Some((x, x)),
            Some((low, high)) => Some((x.min(low), x.max(high))),
        });
        let (low, high) = bounds.unwrap_or((1.0, 10.0));
        let steps: &[f64] = if high / low < 100.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let powers = low.log10().floor() as i32..=high.log10().ceil() as i32 + 1;
        let marks: Vec<f64> =
            powers.flat_map(|n| steps.iter().map(move |step| step * 10f64.powi(n))).collect();
        // A rounding must not move an end by a whole mark.
        let first = marks.iter().rposition(|mark| *mark <= low * 1.001).unwrap_or(0);
        let last = marks.iter().position(|mark| *mark >= high * 0.999).unwrap_or(0).max(first + 1);
        Axis { ticks: marks[first..=last].to_vec(), from, to }
    }

    fn at(&self, value: f64) -> f64 {
        let [low, high] = [self.ticks[0], self.ticks[self.ticks.len() - 1]];
        let share = (value.max(f64::MIN_POSITIVE) / low).ln() / (high / low).ln();
        self.from + share.clamp(0.0, 1.0) * (self.to - self.from)
    }
}

impl Chart {
    pub(super) fn new(x: &str, y: &str) -> Chart {
        Chart { axes: [x.into(), y.into()], lines: vec![], dots: vec![] }
    }

    pub(super) fn line(&mut self, line: Line) {
        self.lines.push(line);
    }

    pub(super) fn dots(&mut self, name: &str, dots: impl Iterator<Item = Dot>) {
        self.dots.push((name.into(), dots.collect()));
    }

    pub(super) fn svg(&self) -> String {
        let [left, top, right, bottom] = FRAME;
        let lines = self.lines.iter().flat_map(|line| line.points.iter().copied());
        let dots = self.dots.iter().flat_map(|(_, dots)| dots.iter().map(|dot| dot.at));
        let points: Vec<_> = lines.chain(dots).collect();
        let x = Axis::of(points.iter().map(|p| p.0), left, right);
        let y = Axis::of(points.iter().map(|p| p.1), bottom, top);
        let mut svg = open(HEIGHT);
        self.grid(&mut svg, &x, &y);
        let mut colours = COLOURS.iter().cycle();
        let mut names = vec![];
        for line in &self.lines {
            let colour = colours.next().unwrap_or(&"#000000");
            let path: Vec<_> =
                line.points.iter().map(|p| format!("{:.1},{:.1}", x.at(p.0), y.at(p.1))).collect();
            let _ = writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
                path.join(" ")
            );
            names.push((line.name.as_str(), colour));
        }
        for (name, dots) in self.dots.iter().filter(|(_, dots)| !dots.is_empty()) {
            let colour = colours.next().unwrap_or(&"#000000");
            for dot in dots {
                let (cx, cy) = (x.at(dot.at.0), y.at(dot.at.1));
                let _ = writeln!(
                    svg,
                    "<circle cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"4\" fill=\"{colour}\" \
                     fill-opacity=\"0.7\"><title>{}</title></circle>",
                    escape(&dot.title)
                );
            }
            names.push((name, colour));
        }
        for (i, (name, colour)) in names.iter().enumerate() {
            let at = top + 12.0 + 20.0 * i as f64;
            let _ = writeln!(
                svg,
                "<rect x=\"{:.0}\" y=\"{:.0}\" width=\"12\" height=\"12\" fill=\"{colour}\"/>\
                 <text x=\"{:.0}\" y=\"{at:.0}\">{}</text>",
                right + 10.0,
                at - 10.0,
                right + 27.0,
                escape(name)
            );
        }
        svg + "</svg>\n"
    }

    fn grid(&self, svg: &mut String, x: &Axis, y: &Axis) {
        let [left, top, right, bottom] = FRAME;
        for &tick in &x.ticks {
            let at = x.at(tick);
            let _ = writeln!(
                svg,
                "<line x1=\"{at:.1}\" y1=\"{top}\" x2=\"{at:.1}\" y2=\"{bottom}\" stroke=\"#ddd\"/>\
                 <text x=\"{at:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{}</text>",
                bottom + 16.0,
                number(tick)
            );
        }
        for &tick in &y.ticks {
            let at = y.at(tick);
            let _ = writeln!(
                svg,
                "<line x1=\"{left}\" y1=\"{at:.1}\" x2=\"{right}\" y2=\"{at:.1}\" stroke=\"#ddd\"/>\
                 <text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                left - 6.0,
                at + 4.0,
                number(tick)
            );
        }
        let _ = writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"middle\">{}</text>\
             <text x=\"14\" y=\"{:.0}\" text-anchor=\"middle\" transform=\"rotate(-90 14 {:.0})\">{}</text>",
            (left + right) / 2.0,
            bottom + 36.0,
            escape(&self.axes[0]),
            (top + bottom) / 2.0,
            (top + bottom) / 2.0,
            escape(&self.axes[1])
        );
    }
}

/// A mark's value, in few digits.
fn number(tick: f64) -> String {
    // Without the noise that powers of ten have.
    let tick = (tick * 1e9).round() / 1e9;
    if tick < 1.0 { format!("{tick}") } else { rate(tick).replace(".00", "").replace(".0", "") }
}

fn open(height: f64) -> String {
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\" role=\"img\">\n"
    )
}

/// Rows of parts, each as wide as its share of the row's sum.
pub(super) fn bars(rows: &[(String, Vec<(String, f64)>)]) -> String {
    let mut svg = open(30.0 * rows.len() as f64 + 10.0);
    let (left, width) = (70.0, WIDTH - 80.0);
    for (i, (name, parts)) in rows.iter().enumerate() {
        let top = 30.0 * i as f64 + 5.0;
        let _ = writeln!(svg, "<text x=\"5\" y=\"{:.0}\">{}</text>", top + 16.0, escape(name));
        let sum: f64 = parts.iter().map(|(_, seconds)| seconds).sum();
        let mut at = left;
        for ((part, seconds), colour) in parts.iter().zip(COLOURS) {
            let wide = width * seconds / sum;
            let text = format!("{part} {}", time(*seconds));
            let _ = writeln!(
                svg,
                "<rect x=\"{at:.1}\" y=\"{top}\" width=\"{wide:.1}\" height=\"24\" \
                 fill=\"{colour}\"><title>{}</title></rect>",
                escape(&text)
            );
            // About six points a letter.
            if wide > 7.0 * text.len() as f64 {
                let _ = writeln!(
                    svg,
                    "<text x=\"{:.1}\" y=\"{:.0}\" fill=\"#fff\">{}</text>",
                    at + 6.0,
                    top + 16.0,
                    escape(&text)
                );
            }
            at += wide;
        }
    }
    svg + "</svg>\n"
}
