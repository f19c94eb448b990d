//! Charts as inline SVG, drawn by plotters into our own backend.
//!
//! Where in the flow: sections describe a chart as [`RowChart`] (a list of labels with bars or intervals) or
//! as a [`XyChart`] (lines and points over two axes) and get a complete `figure` element.
//!
//! Drawings are [`WIDTH`] units wide, about the width of a phone, and are hardly scaled up, so that text in
//! them is as readable as the text around them.
//!
//! **Invariant:** values that cannot be drawn (NaN, infinity, beyond [`LARGEST`]) are left out, and the
//! caption says how many. A chart without any value is replaced by a sentence.
//! **Invariant:** series differ by more than colour: each has its own marker, dash or outline.

mod marker;
mod row_chart;
mod svg;
mod xy_chart;

pub(super) use row_chart::{Mark, Row, RowChart};
pub(super) use xy_chart::{Look, Series, XyChart};

use super::text::{escape, fixed};
use marker::Marker;
use plotters::chart::MeshStyle;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::convert::Infallible;
use std::fmt::Write as _;
use svg::{Ink, SCALE, Svg};

/// Width of a drawing in units.
const WIDTH: f64 = 400.0;
/// Font size in units.
const FONT: f64 = 12.5;
/// Height of the ticks and the name of the x axis below a plot, in units.
const AXIS_HEIGHT: f64 = 40.0;
/// Largest number that is drawn. The arithmetic of ticks is not exact beyond it, and no value of a run is.
const LARGEST: f64 = 1e15;

/// The area that plotters draws on.
type Area<'a> = DrawingArea<Svg<'a>, plotters::coord::Shift>;
/// The axes and grid of a chart.
type Mesh<'a, 'b, 'svg> = MeshStyle<'a, 'b, RangedCoordf64, RangedCoordf64, Svg<'svg>>;
/// The result of drawing; our backend never fails.
type Drawn = Result<(), DrawingAreaErrorKind<Infallible>>;

/// The texts that belong to a drawing.
#[derive(Debug, Clone, Default)]
pub(super) struct Caption {
    /// The id of the element, unique on the page.
    pub(super) id: &'static str,
    /// What the chart shows, in one line.
    pub(super) title: String,
    /// How to read it; may be empty.
    pub(super) note: String,
    /// Its content in words, for screen readers.
    pub(super) description: String,
}

/// An entry of the legend.
struct Key<'a> {
    name: &'a str,
    series: usize,
    look: KeyLook,
}

#[derive(Clone, Copy)]
enum KeyLook {
    Marker,
    Line,
    Pale,
    Dashed,
    Solid,
    Outlined,
}

/// Renders a `figure` element around the drawing of `draw`.
fn figure(caption: &Caption, keys: &[Key<'_>], height: f64, draw: impl FnOnce(&Area<'_>) -> Drawn) -> String {
    let Caption { id, title, note, description } = caption;
    let mut drawing = String::new();
    let drawn = {
        let area = Svg::new(&mut drawing, WIDTH, height).into_drawing_area();
        draw(&area).and_then(|()| area.present())
    };
    if drawn.is_err() {
        return missing(title, "it could not be drawn");
    }
    let mut html = format!("<figure class=\"chart\" id=\"{id}\"><figcaption><b>{}</b>", escape(title));
    if !note.is_empty() {
        let _ = write!(html, " {}", escape(note));
    }
    html.push_str("</figcaption>");
    if keys.len() > 1 {
        html.push_str("<ul class=\"legend\">");
        for key in keys {
            let _ = write!(html, "<li>{} {}</li>", swatch(key), escape(key.name));
        }
        html.push_str("</ul>");
    }
    let _ = writeln!(
        html,
        "<svg viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\">\
         <title id=\"{id}-t\">{}</title><desc id=\"{id}-d\">{}</desc>{drawing}</svg></figure>",
        escape(title),
        escape(description),
    );
    html
}

/// Renders a sentence that says why something is missing, in place of a chart or section.
pub(super) fn missing(title: &str, why: &str) -> String {
    format!("<p class=\"missing\"><b>{}</b> Not shown: {}.</p>\n", escape(title), escape(why))
}

/// Draws the sample of a series for the legend.
fn swatch(key: &Key<'_>) -> String {
    let mut drawing = String::new();
    let series = key.series;
    {
        let area = Svg::new(&mut drawing, 24.0, 12.0).into_drawing_area();
        let line = |ink: Ink| PathElement::new(vec![(5, 60), (235, 60)], ink.rgb().stroke_width(20));
        let point = |radius| Marker::new((120, 60), series, radius);
        let bar = |ink: Ink| Rectangle::new([(30, 15), (170, 105)], ink.rgb().filled());
        // Drawing into a string does not fail.
        let _ = match key.look {
            KeyLook::Marker => area.draw(&point(4.5)),
            KeyLook::Line => area.draw(&line(Ink::Series(series))).and_then(|()| area.draw(&point(3.4))),
            KeyLook::Pale => area.draw(&line(Ink::Pale(series))).and_then(|()| area.draw(&point(2.6))),
            KeyLook::Dashed => area.draw(&line(Ink::Dashed(series))).and_then(|()| area.draw(&point(4.0))),
            KeyLook::Solid => area.draw(&bar(Ink::Series(series))),
            KeyLook::Outlined => area.draw(&bar(Ink::Outlined(series))),
        };
        let _ = area.present();
    }
    format!("<svg viewBox=\"0 0 24 12\" width=\"24\" height=\"12\" aria-hidden=\"true\">{drawing}</svg>")
}

/// The style of text in a chart.
fn text_style(ink: Ink, horizontal: HPos, vertical: VPos, bold: bool) -> TextStyle<'static> {
    let mut font = ("sans-serif", FONT * SCALE).into_font();
    if bold {
        font = font.style(FontStyle::Bold);
    }
    TextStyle { font, color: ink.rgb().to_backend_color(), pos: Pos::new(horizontal, vertical) }
}

/// Applies the style that the axes of all charts share.
fn style_axes<'mesh, 'a, 'b, 'svg>(mesh: &'mesh mut Mesh<'a, 'b, 'svg>) -> &'mesh mut Mesh<'a, 'b, 'svg> {
    let muted = || text_style(Ink::Muted, HPos::Left, VPos::Top, false);
    mesh.max_light_lines(0)
        .set_all_tick_mark_size(4.0 * SCALE)
        .axis_style(Ink::Muted.rgb().stroke_width(10))
        .bold_line_style(Ink::Grid.rgb().stroke_width(10))
        .label_style(muted())
        .axis_desc_style(muted())
}

/// Estimates the width of a text in multiples of its font size, for an average sans-serif font. Digits and
/// signs are as wide as in a wide font.
fn text_width(text: &str) -> f64 {
    let width = |c: char| match c {
        'i' | 'j' | 'l' | '\'' | '.' | ',' | ':' | ';' | '|' | '!' => 0.28,
        ' ' | 'f' | 't' | 'r' | '(' | ')' | '[' | ']' | '-' => 0.36,
        'm' | 'w' | 'M' | 'W' | '%' | '…' => 0.88,
        // Columns of values consist of digits and signs; if their width is underestimated, they touch the
        // data.
        '0'..='9' => 0.64,
        '+' | '−' => 0.84,
        'A'..='Z' => 0.66,
        c if c.is_ascii() => 0.56,
        _ => 0.75,
    };
    text.chars().map(width).sum()
}

/// Shortens `text` with an ellipsis if it is wider than `width` units.
fn fit(text: &str, width: f64) -> String {
    if text_width(text) * FONT <= width {
        return text.to_owned();
    }
    let mut short = String::new();
    for c in text.chars() {
        if (text_width(&short) + 1.6) * FONT > width {
            break;
        }
        short.push(c);
    }
    short + "…"
}

fn plottable(number: f64) -> bool {
    number.is_finite() && number.abs() <= LARGEST
}

/// The ends of an axis; the first is lower than the second.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Ends(f64, f64);

impl Ends {
    /// The ends of an axis that shows all plottable `numbers`, with a margin given as a share of the range.
    /// `None` if no number is plottable.
    fn around(numbers: impl Iterator<Item = f64>, margin: f64) -> Option<Self> {
        let found = numbers.filter(|n| plottable(*n)).fold(None, |ends: Option<(f64, f64)>, n| {
            Some(ends.map_or((n, n), |(low, high)| (low.min(n), high.max(n))))
        });
        found.map(|(low, high)| {
            let least = (low.abs().max(high.abs()) * 1e-6).max(1e-9);
            let pad = match high - low {
                width if width >= least => width * margin,
                _ if high.abs() < 1e-9 => 0.5,
                _ => low.abs() * 0.1,
            };
            Self(low - pad, high + pad)
        })
    }

    /// Extends the axis to include `number`.
    fn with(self, number: f64) -> Self {
        Self(self.0.min(number), self.1.max(number))
    }

    /// The nearest number between the ends.
    fn clamp(self, number: f64) -> f64 {
        number.clamp(self.0, self.1)
    }

    /// Formats a tick label with as many decimals as the axis needs.
    fn label(self, number: f64) -> String {
        let step = (self.1 - self.0) / 5.0;
        if number.abs() >= 1e4 {
            return short(number);
        }
        if step < 1e-4 {
            return if number.abs() < 1e-12 {
                "0".to_owned()
            } else {
                format!("{number:.0e}").replace('-', "−")
            };
        }
        let decimals = (-step.log10()).ceil().clamp(0.0, 4.0) as usize;
        fixed(number, decimals)
    }
}

/// Formats a large number with an SI prefix.
fn short(number: f64) -> String {
    for (size, letter) in [(1e9, " G"), (1e6, " M"), (1e3, " k")] {
        if number.abs() >= size {
            let scaled = number / size;
            let decimals = usize::from(scaled.abs() < 100.0 && (scaled * 10.0).round() % 10.0 != 0.0);
            return fixed(scaled, decimals) + letter;
        }
    }
    fixed(number, 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{Just, Strategy, prop_assert, prop_oneof, proptest};

    #[test]
    fn the_ends_of_an_axis_differ_whatever_the_numbers() {
        let cases: [&[f64]; 6] =
            [&[3.0], &[0.0, 0.0], &[f64::NAN, 1.0], &[-LARGEST, LARGEST], &[1e-300], &[1.0, 1.0 + 1e-16]];
        for numbers in cases {
            let Ends(low, high) = Ends::around(numbers.iter().copied(), 0.05).unwrap();
            assert!(low < high && low.is_finite() && high.is_finite(), "{numbers:?}");
        }
        assert_eq!(Ends::around([f64::NAN, f64::INFINITY].into_iter(), 0.1), None);
    }

    #[test]
    fn labels_are_as_exact_as_the_axis_needs() {
        assert_eq!(Ends(0.0, 1.0).label(0.2), "0.2");
        assert_eq!(Ends(0.0, 100.0).label(20.0), "20");
        assert_eq!(Ends(0.0, 2e-4).label(1e-4), "1e−4");
        assert_eq!(Ends(0.0, 3e6).label(1.5e6), "1.5 M");
        assert_eq!(fit("verifiable_constraints", 60.0).chars().last(), Some('…'));
    }

    proptest! {
        /// Neither plotters' ticks nor our backend hang, panic or write an invalid number.
        #[test]
        fn any_numbers_can_be_drawn(a in any_number(), b in any_number(), c in any_number()) {
            let points = vec![(a, b), (b, c), (c, a)];
            let series = Series { name: String::new(), index: 0, look: Look::Line, points };
            let xy = XyChart { series: vec![series], ..XyChart::default() }.html("nothing");
            let dot = Mark::Dot { value: a, ends: (b, c), inner: Some((c, b)), series: 1 };
            let bar = Mark::Bar { from: b, to: a, series: 2, outlined: true };
            let row = Row { label: "row".to_owned(), marks: vec![dot, bar], value: String::new() };
            let chart = RowChart { rows: vec![row], axis_includes: vec![c], ..RowChart::default() };
            let rows = chart.html("nothing");
            for html in [xy, rows] {
                prop_assert!(!html.contains("NaN") && !html.contains("inf\""), "{}", html);
            }
        }
    }

    /// Numbers of any size, including NaN and infinity.
    fn any_number() -> impl Strategy<Value = f64> {
        prop_oneof![
            proptest::num::f64::ANY,
            -1e3..1e3_f64,
            Just(0.0),
            Just(LARGEST),
            Just(1.0 + f64::EPSILON)
        ]
    }
}
