//! A list of labels, each with bars or with points and their intervals.
//!
//! Where in the flow: the funnel, the reasons, lengths by round, memory, pass rates, differences, wins and
//! losses.
//!
//! **Invariant:** a label and its marks are on one line, at any number of rows.

use super::{
    Area, Caption, Drawn, Ends, FONT, Ink, Key, KeyLook, Marker, SCALE, Svg, WIDTH, figure, fit, letters,
    missing,
};
use super::{plottable, text_width};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

/// Most units that labels take on the left.
const GUTTER: f64 = 164.0;
/// Units below the data for ticks and the name of the axis.
const FOOT: f64 = 40.0;
/// Most units that values take on the right.
const VALUES: f64 = 122.0;
/// Units between points that share a row.
const APART: f64 = 9.0;

/// The part of a drawing between the labels: numbers to the right, units downwards.
type Plot<'a, 'b> = ChartContext<'a, Svg<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// What stands on a line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::report) enum Mark {
    /// A bar from one number to another.
    Bar {
        /// Where it begins.
        from: f64,
        /// Where it ends.
        to: f64,
        /// Its colour.
        series: usize,
        /// An outline instead of a solid bar.
        outlined: bool,
    },
    /// A number and its interval.
    Dot {
        /// The number.
        value: f64,
        /// The ends of the interval.
        ends: (f64, f64),
        /// The ends of a thicker part of it, such as quartiles.
        inner: Option<(f64, f64)>,
        /// Its colour and marker.
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

/// A line; one without marks is a heading.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::report) struct Row {
    /// On the left.
    pub(in crate::report) label: String,
    /// In the middle.
    pub(in crate::report) marks: Vec<Mark>,
    /// On the right, may be empty.
    pub(in crate::report) value: String,
}

impl Row {
    fn height(&self) -> f64 {
        let dots = self.marks.iter().filter(|mark| matches!(mark, Mark::Dot { .. })).count();
        if self.marks.is_empty() { 24.0 } else { 22.0_f64.max(dots as f64 * APART + 9.0) }
    }
}

/// The whole chart.
#[derive(Debug, Clone, Default)]
pub(in crate::report) struct Rows {
    /// What stands around it.
    pub(in crate::report) caption: Caption,
    /// From top to bottom.
    pub(in crate::report) list: Vec<Row>,
    /// Series and their names; one name needs no legend.
    pub(in crate::report) legend: Vec<(usize, String)>,
    /// Name of the axis.
    pub(in crate::report) axis: String,
    /// Numbers that the axis must show.
    pub(in crate::report) include: Vec<f64>,
    /// Draws a line at zero, for differences.
    pub(in crate::report) zero: bool,
}

impl Rows {
    /// The figure, or the sentence that `why` there is none.
    pub(in crate::report) fn html(mut self, why: &str) -> String {
        let all = self.list.iter().map(|row| row.marks.len()).sum::<usize>();
        for row in &mut self.list {
            row.marks.retain(|mark| mark.drawable());
        }
        let drawn = self.list.iter().map(|row| row.marks.len()).sum::<usize>();
        let numbers = self.list.iter().flat_map(|row| &row.marks).flat_map(|mark| mark.numbers());
        let Some(mut ends) = Ends::around(numbers, 0.04) else {
            return missing(&self.caption.title, why);
        };
        // Bars begin at zero, so the axis does too, without a margin.
        let bars = self.list.iter().flat_map(|row| &row.marks).any(|mark| matches!(mark, Mark::Bar { .. }));
        if bars && ends.0 > -ends.1 * 0.05 {
            ends.0 = 0.0;
        }
        for number in self.include.iter().copied().filter(|n| plottable(*n)) {
            ends = ends.with(number);
        }
        if all > drawn {
            let left_out = format!(" {} marks are no finite numbers and are left out.", all - drawn);
            self.caption.note.push_str(&left_out);
        }
        let solid = self.list.iter().flat_map(|row| &row.marks).filter_map(|mark| match mark {
            Mark::Bar { series, outlined, .. } => Some((*series, *outlined)),
            Mark::Dot { .. } => None,
        });
        let outlined: Vec<(usize, bool)> = solid.collect();
        let look = |series: usize| match outlined.iter().find(|(of, _)| *of == series) {
            Some((_, true)) => KeyLook::Outlined,
            Some((_, false)) => KeyLook::Solid,
            None => KeyLook::Marker,
        };
        let keys: Vec<Key<'_>> = self
            .legend
            .iter()
            .map(|(series, name)| Key { name, series: *series, look: look(*series) })
            .collect();
        let height = self.list.iter().map(Row::height).sum::<f64>();
        figure(&self.caption, &keys, height + FOOT + 4.0, |area| self.draw(area, ends, height))
    }

    fn draw(&self, area: &Area<'_>, ends: Ends, height: f64) -> Drawn {
        let widest = |texts: &mut dyn Iterator<Item = &String>| {
            texts.map(|text| text_width(text) * FONT).fold(0.0, f64::max)
        };
        let marked = || self.list.iter().filter(|row| !row.marks.is_empty());
        let left = (widest(&mut marked().map(|row| &row.label)) + 10.0).clamp(24.0, GUTTER);
        let right = widest(&mut self.list.iter().map(|row| &row.value)).min(VALUES);
        let margin = if right > 0.0 { right + 10.0 } else { 14.0 };
        let mut chart = ChartBuilder::on(area)
            .margin_right(margin * SCALE)
            .margin_top(4.0 * SCALE)
            .set_label_area_size(LabelAreaPosition::Left, left * SCALE)
            .set_label_area_size(LabelAreaPosition::Bottom, FOOT * SCALE)
            .build_cartesian_2d(ends.0..ends.1, -height..0.0)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .y_labels(0)
            .x_labels(5)
            .max_light_lines(0)
            .set_all_tick_mark_size(4.0 * SCALE)
            .axis_style(Ink::Muted.rgb().stroke_width(10))
            .bold_line_style(Ink::Grid.rgb().stroke_width(10))
            .label_style(letters(Ink::Muted, HPos::Left, VPos::Top, false))
            .axis_desc_style(letters(Ink::Muted, HPos::Left, VPos::Top, false))
            .x_label_formatter(&|number| ends.label(*number))
            .x_desc(&self.axis)
            .draw()?;
        if self.zero {
            let line = vec![(0.0, 0.0), (0.0, -height)];
            chart.draw_series([PathElement::new(line, Ink::Text.rgb().stroke_width(10))])?;
        }
        let mut top = 0.0;
        for row in &self.list {
            let middle = top - row.height() / 2.0;
            names(area, row, chart.backend_coord(&(ends.0, middle)), left)?;
            marks(&mut chart, row, middle, ends)?;
            top -= row.height();
        }
        Ok(())
    }
}

/// Label and value of a row. `at` is where its line begins in the plot, `left` how wide labels may be.
fn names(area: &Area<'_>, row: &Row, (x, y): (i32, i32), left: f64) -> Drawn {
    if row.marks.is_empty() {
        let style = letters(Ink::Text, HPos::Left, VPos::Center, true);
        area.draw(&Text::new(fit(&row.label, WIDTH), (0, y + 20), style))?;
    } else {
        let style = letters(Ink::Text, HPos::Right, VPos::Center, false);
        area.draw(&Text::new(fit(&row.label, left - 8.0), (x - (7.0 * SCALE) as i32, y), style))?;
    }
    if row.value.is_empty() {
        return Ok(());
    }
    let style = letters(Ink::Muted, HPos::Right, VPos::Center, false);
    area.draw(&Text::new(fit(&row.value, VALUES), ((WIDTH * SCALE) as i32, y), style))
}

/// Bars and points of a row, whose middle is at `middle`.
fn marks(chart: &mut Plot<'_, '_>, row: &Row, middle: f64, ends: Ends) -> Drawn {
    let dots = row.marks.iter().filter(|mark| matches!(mark, Mark::Dot { .. })).count();
    let mut at = middle + dots.saturating_sub(1) as f64 / 2.0 * APART;
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
                at -= APART;
            }
        }
    }
    Ok(())
}
