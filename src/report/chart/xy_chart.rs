//! A chart of lines and points over two numeric axes.
//!
//! Where in the flow: used for loss, learning rate, speed and memory over time, and the map of instructions.
//!
//! **Invariant:** a line has at most [`MAX_POINTS`] points, however many were measured. Thinning keeps the
//! lowest and the highest point of every section, so no spike disappears.

use super::{
    AXIS_HEIGHT, Caption, Drawn, Ends, Ink, Key, KeyLook, Marker, SCALE, figure, missing, plottable,
    style_axes,
};
use plotters::prelude::*;

/// Maximum number of points of a line, about one per unit of its width.
const MAX_POINTS: usize = 400;
/// Number of markers on a line.
const MARKERS: usize = 7;
/// Width of the tick labels left of the plot, in units.
const Y_LABELS: f64 = 48.0;
/// Height of the plot, in units.
const HEIGHT: f64 = 195.0;

/// How a series is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::report) enum Look {
    /// A line with a few markers.
    Line,
    /// A thin, half-transparent line with a few markers, for noisy data.
    Pale,
    /// A dashed line with a marker at every point.
    Dashed,
    /// Small markers without a line.
    Points,
}

/// A named series of points.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::report) struct Series {
    /// The name in the legend.
    pub(in crate::report) name: String,
    /// The index of its colour and marker.
    pub(in crate::report) index: usize,
    /// How it is drawn.
    pub(in crate::report) look: Look,
    /// The points as (x, y).
    pub(in crate::report) points: Vec<(f64, f64)>,
}

/// The whole chart.
#[derive(Debug, Clone, Default)]
pub(in crate::report) struct XyChart {
    /// The texts around the drawing.
    pub(in crate::report) caption: Caption,
    /// The series in drawing order.
    pub(in crate::report) series: Vec<Series>,
    /// The name of the x axis.
    pub(in crate::report) axis: String,
    /// Whether the y axis starts at zero.
    pub(in crate::report) from_zero: bool,
    /// Whether to omit the axes, for a map where only distances have a meaning.
    pub(in crate::report) bare: bool,
}

impl XyChart {
    /// Renders the figure, or a sentence with the reason `why` it is missing.
    pub(in crate::report) fn html(mut self, why: &str) -> String {
        let drawable = |(x, y): &(f64, f64)| plottable(*x) && plottable(*y);
        let mut left_out = 0;
        for series in &mut self.series {
            let before = series.points.len();
            series.points.retain(drawable);
            left_out += before - series.points.len();
            if series.look != Look::Points {
                series.points = thin(&series.points);
            }
        }
        self.series.retain(|series| !series.points.is_empty());
        let points = || self.series.iter().flat_map(|series| &series.points);
        let margin = if self.bare { 0.04 } else { 0.0 };
        let ends = Ends::around(points().map(|p| p.0), margin);
        let Some((x, mut y)) = ends.zip(Ends::around(points().map(|p| p.1), 0.06)) else {
            return missing(&self.caption.title, why);
        };
        if self.from_zero {
            y = Ends(0.0_f64.min(y.0 + (y.1 - y.0) * 0.06), y.1);
        }
        if left_out > 0 {
            let note = format!(" {left_out} points without finite numbers are left out.");
            self.caption.note.push_str(&note);
        }
        let look = |look: Look| match look {
            Look::Line => KeyLook::Line,
            Look::Pale => KeyLook::Pale,
            Look::Dashed => KeyLook::Dashed,
            Look::Points => KeyLook::Marker,
        };
        let keys: Vec<Key<'_>> =
            self.series.iter().map(|s| Key { name: &s.name, series: s.index, look: look(s.look) }).collect();
        let height = if self.bare { 345.0 } else { HEIGHT + AXIS_HEIGHT };
        figure(&self.caption, &keys, height, |area| self.draw(area, x, y))
    }

    fn draw(&self, area: &super::Area<'_>, x: Ends, y: Ends) -> Drawn {
        let (left, bottom) = if self.bare { (0.0, 0.0) } else { (Y_LABELS, AXIS_HEIGHT) };
        let mut chart = ChartBuilder::on(area)
            .margin_right(if self.bare { 0.0 } else { 14.0 * SCALE })
            .margin_top(if self.bare { 0.0 } else { 8.0 * SCALE })
            .set_label_area_size(LabelAreaPosition::Left, left * SCALE)
            .set_label_area_size(LabelAreaPosition::Bottom, bottom * SCALE)
            .build_cartesian_2d(x.0..x.1, y.0..y.1)?;
        if !self.bare {
            let (x_label, y_label) = (|number: &f64| x.label(*number), |number: &f64| y.label(*number));
            let mut mesh = chart.configure_mesh();
            mesh.disable_x_mesh().x_labels(6).y_labels(5);
            style_axes(&mut mesh).x_label_formatter(&x_label).y_label_formatter(&y_label);
            mesh.x_desc(&self.axis).draw()?;
        }
        for series in &self.series {
            let ink = match series.look {
                Look::Line => Some((Ink::Series(series.index), 16)),
                Look::Pale => Some((Ink::Pale(series.index), 12)),
                Look::Dashed => Some((Ink::Dashed(series.index), 20)),
                Look::Points => None,
            };
            let line = ink
                .map(|(ink, width)| PathElement::new(series.points.clone(), ink.rgb().stroke_width(width)));
            chart.draw_series(line)?;
        }
        for series in &self.series {
            let radius = match series.look {
                Look::Points | Look::Pale => 2.6,
                Look::Line => 3.4,
                Look::Dashed => 4.0,
            };
            let markers = self.marked(series).map(|at| Marker::new(at, series.index, radius));
            chart.draw_series(markers)?;
        }
        Ok(())
    }
}

impl XyChart {
    /// The points of a series that get a marker. A line has a few, at different points for different series,
    /// so that lines on top of each other can be descriptions apart; a single line has none.
    fn marked<'a>(&self, series: &'a Series) -> impl Iterator<Item = (f64, f64)> + 'a {
        let sparse = matches!(series.look, Look::Line | Look::Pale);
        let alone = sparse && self.series.len() == 1 && series.points.len() > 1;
        let every = if sparse { (series.points.len() / MARKERS).max(1) } else { 1 };
        let first = if sparse { every * (2 * (series.index % 3) + 1) / 6 } else { 0 };
        let skip = if alone { usize::MAX } else { first };
        series.points.iter().skip(skip).step_by(every).copied()
    }
}

/// Thins points to at most [`MAX_POINTS`]: of each section the lowest and the highest, in their order.
fn thin(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if points.len() <= MAX_POINTS {
        return points.to_vec();
    }
    let section_length = points.len().div_ceil(MAX_POINTS / 2);
    let mut kept = Vec::with_capacity(MAX_POINTS);
    for section in points.chunks(section_length) {
        let by_y = |a: &usize, b: &usize| section[*a].1.total_cmp(&section[*b].1);
        let lowest = (0..section.len()).min_by(by_y).unwrap_or(0);
        let highest = (0..section.len()).max_by(by_y).unwrap_or(0);
        kept.push(section[lowest.min(highest)]);
        if lowest != highest {
            kept.push(section[lowest.max(highest)]);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_spikes() {
        let mut points: Vec<(f64, f64)> = (0..10_000).map(|n| (f64::from(n), 1.0)).collect();
        points[4321].1 = 50.0;
        let thinned = thin(&points);
        assert!(thinned.len() <= MAX_POINTS && thinned.contains(&(4321.0, 50.0)));
        assert!(thinned.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn a_line_of_nan_becomes_a_sentence_and_a_partial_one_a_chart() {
        let series =
            |points: Vec<(f64, f64)>| Series { name: "a".into(), index: 0, look: Look::Line, points };
        let chart = |points| XyChart { series: vec![series(points)], ..XyChart::default() };
        let none = chart(vec![(0.0, f64::NAN), (1.0, f64::INFINITY)]).html("nothing was measured");
        assert!(none.contains("nothing was measured") && !none.contains("<svg"));
        let half = chart(vec![(0.0, f64::NAN), (1.0, 2.0), (2.0, 1e300)]).html("");
        assert!(
            half.contains("<svg")
                && half.contains("2 points without finite numbers")
                && !half.contains("NaN")
        );
    }
}
