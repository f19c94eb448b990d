//! Lines and points over two axes of numbers.
//!
//! Where in the flow: loss, learning rate, speed and memory over time, and the map of instructions.
//!
//! **Invariant:** a line has at most [`MOST`] points, whatever was measured: the least and the greatest of
//! every stretch stay.

use super::{Caption, Drawn, Ends, Ink, Key, KeyLook, Marker, SCALE, figure, letters, missing, plottable};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

/// Points of a line: about one for each unit of its width.
const MOST: usize = 400;
/// Markers on a line.
const MARKERS: usize = 7;
/// Units to the left of the plot for tick labels.
const GUTTER: f64 = 48.0;
/// Units below it for ticks and the name of the axis.
const FOOT: f64 = 40.0;
/// Units of the plot's height.
const HEIGHT: f64 = 195.0;

/// How a series is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::report) enum Look {
    /// A line, with its marker here and there.
    Line,
    /// The same, thin and half transparent: for what is noisy.
    Pale,
    /// A dashed line with its marker at every point.
    Dashed,
    /// Small markers alone.
    Points,
}

/// Numbers with a name.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::report) struct Series {
    /// In the legend.
    pub(in crate::report) name: String,
    /// Which colour and marker.
    pub(in crate::report) place: usize,
    /// How it is drawn.
    pub(in crate::report) look: Look,
    /// (x, y).
    pub(in crate::report) points: Vec<(f64, f64)>,
}

/// The whole chart.
#[derive(Debug, Clone, Default)]
pub(in crate::report) struct Plane {
    /// What stands around it.
    pub(in crate::report) caption: Caption,
    /// Drawn in this order.
    pub(in crate::report) series: Vec<Series>,
    /// Name of the horizontal axis.
    pub(in crate::report) axis: String,
    /// Whether the vertical axis begins at zero.
    pub(in crate::report) from_zero: bool,
    /// Without axes: for places that mean nothing but near and far.
    pub(in crate::report) bare: bool,
}

impl Plane {
    /// The figure, or the sentence that `why` there is none.
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
            let note = format!(" {left_out} points are no finite numbers and are left out.");
            self.caption.note.push_str(&note);
        }
        let look = |look: Look| match look {
            Look::Line => KeyLook::Line,
            Look::Pale => KeyLook::Pale,
            Look::Dashed => KeyLook::Dashed,
            Look::Points => KeyLook::Marker,
        };
        let keys: Vec<Key<'_>> =
            self.series.iter().map(|s| Key { name: &s.name, series: s.place, look: look(s.look) }).collect();
        let height = if self.bare { 345.0 } else { HEIGHT + FOOT };
        figure(&self.caption, &keys, height, |area| self.draw(area, x, y))
    }

    fn draw(&self, area: &super::Area<'_>, x: Ends, y: Ends) -> Drawn {
        let (left, foot) = if self.bare { (0.0, 0.0) } else { (GUTTER, FOOT) };
        let mut chart = ChartBuilder::on(area)
            .margin_right(if self.bare { 0.0 } else { 14.0 * SCALE })
            .margin_top(if self.bare { 0.0 } else { 8.0 * SCALE })
            .set_label_area_size(LabelAreaPosition::Left, left * SCALE)
            .set_label_area_size(LabelAreaPosition::Bottom, foot * SCALE)
            .build_cartesian_2d(x.0..x.1, y.0..y.1)?;
        if !self.bare {
            chart
                .configure_mesh()
                .disable_x_mesh()
                .x_labels(6)
                .y_labels(5)
                .max_light_lines(0)
                .set_all_tick_mark_size(4.0 * SCALE)
                .axis_style(Ink::Muted.rgb().stroke_width(10))
                .bold_line_style(Ink::Grid.rgb().stroke_width(10))
                .label_style(letters(Ink::Muted, HPos::Left, VPos::Top, false))
                .axis_desc_style(letters(Ink::Muted, HPos::Left, VPos::Top, false))
                .x_label_formatter(&|number| x.label(*number))
                .y_label_formatter(&|number| y.label(*number))
                .x_desc(&self.axis)
                .draw()?;
        }
        for series in &self.series {
            let ink = match series.look {
                Look::Line => Some((Ink::Series(series.place), 16)),
                Look::Pale => Some((Ink::Pale(series.place), 12)),
                Look::Dashed => Some((Ink::Dashed(series.place), 20)),
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
            let markers = self.marked(series).map(|at| Marker::new(at, series.place, radius));
            chart.draw_series(markers)?;
        }
        Ok(())
    }
}

impl Plane {
    /// Where a series has markers: on a line at a few places, which differ between lines that lie on each
    /// other.
    fn marked<'a>(&self, series: &'a Series) -> impl Iterator<Item = (f64, f64)> + 'a {
        let sparse = matches!(series.look, Look::Line | Look::Pale);
        let alone = sparse && self.series.len() == 1 && series.points.len() > 1;
        let every = if sparse { (series.points.len() / MARKERS).max(1) } else { 1 };
        let first = if sparse { every * (2 * (series.place % 3) + 1) / 6 } else { 0 };
        let skip = if alone { usize::MAX } else { first };
        series.points.iter().skip(skip).step_by(every).copied()
    }
}

/// At most [`MOST`] of the points: of each stretch the least and the greatest, in their order.
fn thin(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if points.len() <= MOST {
        return points.to_vec();
    }
    let stretch = points.len().div_ceil(MOST / 2);
    let mut kept = Vec::with_capacity(MOST);
    for part in points.chunks(stretch) {
        let by = |a: &usize, b: &usize| part[*a].1.total_cmp(&part[*b].1);
        let least = (0..part.len()).min_by(by).unwrap_or(0);
        let greatest = (0..part.len()).max_by(by).unwrap_or(0);
        kept.push(part[least.min(greatest)]);
        if least != greatest {
            kept.push(part[least.max(greatest)]);
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
        assert!(thinned.len() <= MOST && thinned.contains(&(4321.0, 50.0)));
        assert!(thinned.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn a_line_of_nan_is_a_sentence_and_half_of_it_a_chart() {
        let series =
            |points: Vec<(f64, f64)>| Series { name: "a".into(), place: 0, look: Look::Line, points };
        let plane = |points| Plane { series: vec![series(points)], ..Plane::default() };
        let none = plane(vec![(0.0, f64::NAN), (1.0, f64::INFINITY)]).html("nothing was measured");
        assert!(none.contains("nothing was measured") && !none.contains("<svg"));
        let half = plane(vec![(0.0, f64::NAN), (1.0, 2.0), (2.0, 1e300)]).html("");
        assert!(
            half.contains("<svg") && half.contains("2 points are no finite numbers") && !half.contains("NaN")
        );
    }
}
