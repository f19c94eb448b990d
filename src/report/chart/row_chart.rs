//! A chart of labelled rows, each with bars or with points and their intervals.
//!
//! Where in the flow: used for the funnel, reasons, lengths, times, memory, scores, differences and outcomes.
//!
//! **Invariant:** a label and its marks are on the same line, for any number of rows.

use super::{
    AXIS_HEIGHT, Area, Caption, Drawn, Ends, FONT, Ink, Key, KeyLook, Marker, SCALE, Svg, WIDTH, figure, fit,
    missing, plottable, style_axes, text_style, text_width,
};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

/// Maximum width of the labels on the left, in units.
const MAX_LABELS: f64 = 164.0;
/// Maximum width of the values on the right, in units.
const MAX_VALUES: f64 = 122.0;
/// Distance between points that share a row, in units.
const DOT_DISTANCE: f64 = 9.0;

/// The part of a drawing between the labels. The x axis is in the unit of the data, the y axis in units of
/// the drawing.
type Plot<'a, 'b> = ChartContext<'a, Svg<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// A mark in a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::report) enum Mark {
    /// A bar from one number to another.
    Bar {
        /// The start of the bar.
        from: f64,
        /// The end of the bar.
        to: f64,
        /// The series, which decides its colour.
        series: usize,
        /// Whether it is an outline with a light fill instead of a solid bar.
        outlined: bool,
    },
    /// A point with its interval.
    Dot {
        /// The value.
        value: f64,
        /// The ends of the interval.
        ends: (f64, f64),
        /// The ends of a thicker inner interval, such as quartiles.
        inner: Option<(f64, f64)>,
        /// The series, which decides its colour and marker.
        series: usize,
    },
}

impl Mark {
    fn numbers(self) -> [f64; 3] {
        match self {
            Self::Bar { from, to, .. } => [from, to, to],
            Self::Dot { value, ends, .. } => [value, ends.0, ends.1],
        }
    }

    fn drawable(self) -> bool {
        self.numbers().into_iter().all(plottable)
    }
}

/// A row of the chart; without marks it is a heading.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::report) struct Row {
    /// The text on the left.
    pub(in crate::report) label: String,
    /// The marks in the middle.
    pub(in crate::report) marks: Vec<Mark>,
    /// The text on the right; may be empty.
    pub(in crate::report) value: String,
}

impl Row {
    fn height(&self) -> f64 {
        let dots = self.marks.iter().filter(|mark| matches!(mark, Mark::Dot { .. })).count();
        if self.marks.is_empty() { 24.0 } else { 22.0_f64.max(dots as f64 * DOT_DISTANCE + 9.0) }
    }
}

/// The whole chart.
#[derive(Debug, Clone, Default)]
pub(in crate::report) struct RowChart {
    /// The texts around the drawing.
    pub(in crate::report) caption: Caption,
    /// The rows from top to bottom.
    pub(in crate::report) rows: Vec<Row>,
    /// The series numbers and names; a single one is not shown.
    pub(in crate::report) legend: Vec<(usize, String)>,
    /// The name of the x axis.
    pub(in crate::report) axis: String,
    /// Numbers that the x axis must include.
    pub(in crate::report) axis_includes: Vec<f64>,
    /// Whether to draw a line at zero, for differences.
    pub(in crate::report) zero_line: bool,
}

impl RowChart {
    /// Renders the figure, or a sentence with the reason `why` it is missing.
    pub(in crate::report) fn html(mut self, why: &str) -> String {
        let all = self.rows.iter().map(|row| row.marks.len()).sum::<usize>();
        for row in &mut self.rows {
            row.marks.retain(|mark| mark.drawable());
        }
        let drawn = self.rows.iter().map(|row| row.marks.len()).sum::<usize>();
        let numbers = self.rows.iter().flat_map(|row| &row.marks).flat_map(|mark| mark.numbers());
        let Some(mut ends) = Ends::around(numbers, 0.04) else {
            return missing(&self.caption.title, why);
        };
        // Bars start at zero, so the axis starts there too, without a margin.
        let bars = self.rows.iter().flat_map(|row| &row.marks).any(|mark| matches!(mark, Mark::Bar { .. }));
        if bars && ends.0 > -ends.1 * 0.05 {
            ends.0 = 0.0;
        }
        for number in self.axis_includes.iter().copied().filter(|n| plottable(*n)) {
            ends = ends.with(number);
        }
        if all > drawn {
            let note = format!(" {} marks without a finite number are left out.", all - drawn);
            self.caption.note.push_str(&note);
        }
        // The legend shows a series as its first bar, or as a marker if it has no bars.
        let marks = || self.rows.iter().flat_map(|row| &row.marks);
        let look = |wanted: usize| {
            let first_bar = marks().find_map(|mark| match mark {
                Mark::Bar { series, outlined, .. } if *series == wanted => Some(*outlined),
                _ => None,
            });
            match first_bar {
                Some(true) => KeyLook::Outlined,
                Some(false) => KeyLook::Solid,
                None => KeyLook::Marker,
            }
        };
        let keys: Vec<Key<'_>> = self
            .legend
            .iter()
            .map(|(series, name)| Key { name, series: *series, look: look(*series) })
            .collect();
        let height = self.rows.iter().map(Row::height).sum::<f64>();
        figure(&self.caption, &keys, height + AXIS_HEIGHT + 4.0, |area| self.draw(area, ends, height))
    }

    fn draw(&self, area: &Area<'_>, ends: Ends, height: f64) -> Drawn {
        let widest = |texts: &mut dyn Iterator<Item = &String>| {
            texts.map(|text| text_width(text) * FONT).fold(0.0, f64::max)
        };
        let marked = || self.rows.iter().filter(|row| !row.marks.is_empty());
        let left = (widest(&mut marked().map(|row| &row.label)) + 10.0).clamp(24.0, MAX_LABELS);
        let right = widest(&mut self.rows.iter().map(|row| &row.value)).min(MAX_VALUES);
        let margin = if right > 0.0 { right + 10.0 } else { 14.0 };
        let mut chart = ChartBuilder::on(area)
            .margin_right(margin * SCALE)
            .margin_top(4.0 * SCALE)
            .set_label_area_size(LabelAreaPosition::Left, left * SCALE)
            .set_label_area_size(LabelAreaPosition::Bottom, AXIS_HEIGHT * SCALE)
            .build_cartesian_2d(ends.0..ends.1, -height..0.0)?;
        let x_label = |number: &f64| ends.label(*number);
        let mut mesh = chart.configure_mesh();
        mesh.disable_y_mesh().disable_y_axis().y_labels(0).x_labels(5);
        style_axes(&mut mesh).x_label_formatter(&x_label).x_desc(&self.axis).draw()?;
        if self.zero_line {
            let line = vec![(0.0, 0.0), (0.0, -height)];
            chart.draw_series([PathElement::new(line, Ink::Text.rgb().stroke_width(10))])?;
        }
        let mut top = 0.0;
        for row in &self.rows {
            let middle = top - row.height() / 2.0;
            draw_texts(area, row, chart.backend_coord(&(ends.0, middle)), left)?;
            draw_marks(&mut chart, row, middle, ends)?;
            top -= row.height();
        }
        Ok(())
    }
}

/// Draws the label and the value of a row. `(x, y)` is the left end of its line in the plot in backend
/// pixels, `left` the width of the label area in units.
fn draw_texts(area: &Area<'_>, row: &Row, (x, y): (i32, i32), left: f64) -> Drawn {
    if row.marks.is_empty() {
        let style = text_style(Ink::Text, HPos::Left, VPos::Center, true);
        area.draw(&Text::new(fit(&row.label, WIDTH), (0, y + 20), style))?;
    } else {
        let style = text_style(Ink::Text, HPos::Right, VPos::Center, false);
        area.draw(&Text::new(fit(&row.label, left - 8.0), (x - (7.0 * SCALE) as i32, y), style))?;
    }
    if row.value.is_empty() {
        return Ok(());
    }
    let style = text_style(Ink::Muted, HPos::Right, VPos::Center, false);
    area.draw(&Text::new(fit(&row.value, MAX_VALUES), ((WIDTH * SCALE) as i32, y), style))
}

/// Draws the bars and points of a row with its centre at the y coordinate `middle`.
fn draw_marks(chart: &mut Plot<'_, '_>, row: &Row, middle: f64, ends: Ends) -> Drawn {
    let dots = row.marks.iter().filter(|mark| matches!(mark, Mark::Dot { .. })).count();
    let mut at = middle + dots.saturating_sub(1) as f64 / 2.0 * DOT_DISTANCE;
    for mark in &row.marks {
        match *mark {
            Mark::Bar { from, to, series, outlined } => {
                let ink = if outlined { Ink::Outlined(series) } else { Ink::Series(series) };
                let corners = [(from, middle + 7.0), (to, middle - 7.0)];
                chart.draw_series([Rectangle::new(corners, ink.rgb().filled())])?;
            }
            Mark::Dot { value, ends: (low, high), inner, series } => {
                let line = |low: f64, high: f64, width: u32| {
                    let ink = Ink::Series(series).rgb().stroke_width(width);
                    PathElement::new(vec![(ends.clamp(low), at), (ends.clamp(high), at)], ink)
                };
                chart.draw_series([line(low, high, 16)])?;
                let inner = inner.filter(|(low, high)| plottable(*low) && plottable(*high));
                chart.draw_series(inner.map(|(low, high)| line(low, high, 50)))?;
                chart.draw_series([Marker::new((value, at), series, 4.0)])?;
                at -= DOT_DISTANCE;
            }
        }
    }
    Ok(())
}
