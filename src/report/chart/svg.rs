//! A plotters backend that writes compact SVG with CSS classes instead of colours.
//!
//! Where in the flow: the charts draw with plotters, which calls this backend; the SVG goes into the page
//! unchanged. `page.css` defines the colours of the classes, so a drawing works in light mode, in dark mode
//! and on paper.
//!
//! plotters only supports RGB colours and whole pixels. An [`Ink`] is therefore encoded as an RGB value that
//! is not a real colour, and plotters draws at [`SCALE`] times the size that is written.
//!
//! **Invariant:** the output is well-formed, and every number in it is a finite decimal, because coordinates
//! are integers here.
//! **Invariant:** no function of this backend fails.

use crate::report::text::escape;
use plotters::style::RGBColor;
use plotters_backend::text_anchor::{HPos, VPos};
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind, FontStyle,
};
use std::convert::Infallible;
use std::fmt::Write as _;

/// Backend pixels per unit of the drawing.
pub(super) const SCALE: f64 = 10.0;

/// Number of series with their own colour and marker; further series reuse them.
pub(super) const SERIES: usize = 6;

/// The style of a drawn element, written as CSS classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    /// The colour of text.
    Text,
    /// The colour of tick labels and axes.
    Muted,
    /// The colour of grid lines.
    Grid,
    /// The colour of a series.
    Series(usize),
    /// The colour of a series, dashed.
    Dashed(usize),
    /// An outline in the colour of a series, with a light fill.
    Outlined(usize),
    /// The colour of a series, half transparent.
    Pale(usize),
}

impl Ink {
    /// Encodes the ink as an RGB value for plotters.
    pub(super) fn rgb(self) -> RGBColor {
        let series = |index: usize| (index % SERIES) as u8;
        match self {
            Self::Text => RGBColor(0, 0, 0),
            Self::Muted => RGBColor(1, 0, 0),
            Self::Grid => RGBColor(2, 0, 0),
            Self::Series(index) => RGBColor(3, series(index), 0),
            Self::Dashed(index) => RGBColor(4, series(index), 0),
            Self::Outlined(index) => RGBColor(5, series(index), 0),
            Self::Pale(index) => RGBColor(6, series(index), 0),
        }
    }
}

/// Decodes an RGB value to the CSS class of its colour and an additional class for its style.
fn class(color: BackendColor) -> (String, &'static str) {
    let also = |kind| match kind {
        4 => " d",
        5 => " o",
        6 => " n",
        _ => "",
    };
    match color.rgb {
        (1, ..) => ("cm".to_owned(), ""),
        (2, ..) => ("cg".to_owned(), ""),
        (kind @ 3..=6, index, _) => (format!("c{index}"), also(kind)),
        _ => ("ct".to_owned(), ""),
    }
}

/// Writes a number of backend pixels in units of the drawing.
fn units(out: &mut String, pixels: i32) {
    let (whole, tenth) = (pixels.unsigned_abs() / 10, pixels.unsigned_abs() % 10);
    let sign = if pixels < 0 { "-" } else { "" };
    let _ = if tenth == 0 { write!(out, "{sign}{whole}") } else { write!(out, "{sign}{whole}.{tenth}") };
}

fn point(out: &mut String, command: char, (x, y): BackendCoord) {
    out.push(command);
    units(out, x);
    out.push(' ');
    units(out, y);
}

/// The backend, which appends elements to a string.
#[derive(Debug)]
pub(super) struct Svg<'a> {
    out: &'a mut String,
    size: (u32, u32),
    /// Attributes and path of an element that is not written yet. Further shapes with the same attributes are
    /// appended to its path, so a thousand points are one element.
    open: Option<(String, String)>,
}

type Drawn = Result<(), DrawingErrorKind<Infallible>>;

impl<'a> Svg<'a> {
    /// Starts a drawing of `width` by `height` units, appended to `out`.
    pub(super) fn new(out: &'a mut String, width: f64, height: f64) -> Self {
        let pixels = |units: f64| (units * SCALE).clamp(SCALE, 1e6) as u32;
        Self { out, size: (pixels(width), pixels(height)), open: None }
    }

    fn shape(&mut self, attributes: String, path: &str) {
        match &mut self.open {
            Some((same, whole)) if *same == attributes => whole.push_str(path),
            _ => {
                self.close();
                self.open = Some((attributes, path.to_owned()));
            }
        }
    }

    fn close(&mut self) {
        if let Some((attributes, path)) = self.open.take() {
            let _ = write!(self.out, "<path {attributes} d=\"{path}\"/>");
        }
    }

    fn stroke(&mut self, kind: &str, color: BackendColor, width: u32, path: &str) {
        let (class, also) = class(color);
        let mut attributes = format!("class=\"{kind} {class}{also}\" stroke-width=\"");
        units(&mut attributes, i32::try_from(width).unwrap_or(i32::MAX));
        attributes.push('"');
        self.shape(attributes, path);
    }

    fn fill(&mut self, color: BackendColor, path: &str) {
        let (class, also) = class(color);
        self.shape(format!("class=\"f {class}{also}\""), path);
    }
}

/// Writes a path through `points`: the first point absolute, the others relative, which takes fewer digits.
fn path_through(points: impl IntoIterator<Item = BackendCoord>) -> String {
    let mut path = String::new();
    let mut last: Option<BackendCoord> = None;
    for at in points {
        match last.map(|last| (at.0.saturating_sub(last.0), at.1.saturating_sub(last.1))) {
            None => point(&mut path, 'M', at),
            Some((0, 0)) => {}
            Some((dx, 0)) => {
                path.push('h');
                units(&mut path, dx);
            }
            Some((0, dy)) => {
                path.push('v');
                units(&mut path, dy);
            }
            Some(step) => point(&mut path, 'l', step),
        }
        last = Some(at);
    }
    path
}

impl DrawingBackend for Svg<'_> {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        self.size
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        self.close();
        Ok(())
    }

    fn draw_pixel(&mut self, at: BackendCoord, color: BackendColor) -> Drawn {
        self.draw_circle(at, 1, &color, true)
    }

    fn draw_line<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S) -> Drawn {
        self.draw_path([from, to], style)
    }

    fn draw_rect<S: BackendStyle>(
        &mut self,
        (left, top): BackendCoord,
        (right, bottom): BackendCoord,
        style: &S,
        fill: bool,
    ) -> Drawn {
        let corners = [(left, top), (right, top), (right, bottom), (left, bottom)];
        if fill {
            return self.fill_polygon(corners, style);
        }
        self.draw_path(corners.into_iter().chain([(left, top)]), style)
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        path: I,
        style: &S,
    ) -> Drawn {
        if style.color().alpha > 0.0 {
            self.stroke("l", style.color(), style.stroke_width(), &path_through(path));
        }
        Ok(())
    }

    fn draw_circle<S: BackendStyle>(
        &mut self,
        center: BackendCoord,
        radius: u32,
        style: &S,
        fill: bool,
    ) -> Drawn {
        if style.color().alpha <= 0.0 {
            return Ok(());
        }
        let mut path = String::new();
        if fill {
            // A line of length 0 with round ends is the shortest way to write a disc.
            point(&mut path, 'M', center);
            path.push_str("h0");
            self.stroke("p", style.color(), 2 * radius, &path);
        } else {
            let r = i32::try_from(radius).unwrap_or(i32::MAX / 4);
            point(&mut path, 'M', (center.0 - r, center.1));
            for (dx, sweep) in [(2 * r, "0"), (-2 * r, "0")] {
                path.push('a');
                units(&mut path, r);
                path.push(' ');
                units(&mut path, r);
                let _ = write!(path, " 0 1 {sweep} ");
                units(&mut path, dx);
                path.push_str(" 0");
            }
            self.stroke("l", style.color(), style.stroke_width(), &path);
        }
        Ok(())
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        vert: I,
        style: &S,
    ) -> Drawn {
        if style.color().alpha > 0.0 {
            let mut path = path_through(vert);
            path.push('z');
            self.fill(style.color(), &path);
        }
        Ok(())
    }

    fn draw_text<T: BackendTextStyle>(&mut self, text: &str, style: &T, (x, y): BackendCoord) -> Drawn {
        self.close();
        let (class, ..) = class(style.color());
        let bold = if matches!(style.style(), FontStyle::Bold) { " b" } else { "" };
        let anchor = style.anchor();
        let side = match anchor.h_pos {
            HPos::Left => "",
            HPos::Center => " text-anchor=\"middle\"",
            HPos::Right => " text-anchor=\"end\"",
        };
        // The baseline is computed here, because `dominant-baseline` differs between browsers.
        let drop = match anchor.v_pos {
            VPos::Top => 0.78,
            VPos::Center => 0.35,
            VPos::Bottom => -0.22,
        };
        let size = style.size().clamp(1.0, 1e4);
        let _ = write!(self.out, "<text class=\"t {class}{bold}\"{side} font-size=\"");
        units(self.out, size as i32);
        self.out.push_str("\" x=\"");
        units(self.out, x);
        self.out.push_str("\" y=\"");
        units(self.out, y.saturating_add((drop * size) as i32));
        let _ = write!(self.out, "\">{}</text>", escape(text));
        Ok(())
    }

    fn estimate_text_size<T: BackendTextStyle>(
        &self,
        text: &str,
        style: &T,
    ) -> Result<(u32, u32), DrawingErrorKind<Infallible>> {
        let size = style.size().clamp(1.0, 1e4);
        Ok(((super::text_width(text) * size) as u32, size as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plotters::prelude::*;

    #[test]
    fn colours_become_classes_and_equal_shapes_one_element() {
        let mut out = String::new();
        let area = Svg::new(&mut out, 10.0, 10.0).into_drawing_area();
        for x in 0..3 {
            area.draw(&Circle::new((10 * x + 5, 20), 15, Ink::Series(1).rgb().filled())).unwrap();
        }
        let dashed = ShapeStyle::from(Ink::Dashed(7).rgb()).stroke_width(15);
        area.draw(&PathElement::new(vec![(0, 0), (0, 0), (25, 5)], dashed)).unwrap();
        area.draw(&Rectangle::new([(0, 0), (10, 10)], Ink::Outlined(2).rgb().filled())).unwrap();
        area.present().unwrap();
        drop(area);
        assert_eq!(
            out,
            "<path class=\"p c1\" stroke-width=\"3\" d=\"M0.5 2h0M1.5 2h0M2.5 2h0\"/>\
             <path class=\"l c1 d\" stroke-width=\"1.5\" d=\"M0 0l2.5 0.5\"/>\
             <path class=\"f c2 o\" d=\"M0 0h1v1h-1z\"/>"
        );
    }

    #[test]
    fn a_text_is_escaped() {
        let mut out = String::new();
        let area = Svg::new(&mut out, 10.0, 10.0).into_drawing_area();
        let muted = Ink::Muted.rgb();
        let style = TextStyle::from(("sans-serif", 100).into_font()).color(&muted);
        area.draw(&Text::new("<b>&", (0, 0), style)).unwrap();
        drop(area);
        assert_eq!(out, "<text class=\"t cm\" font-size=\"10\" x=\"0\" y=\"7.8\">&lt;b&gt;&amp;</text>");
    }
}
