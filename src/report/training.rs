//! The sections on speed, memory and training.
//!
//! Where in the flow: rendered from the measurements of the trainer and the generator.
//!
//! **Invariant:** an adapter has the same colour and marker in all charts.

use super::chart::{Caption, Look, Mark, Row, RowChart, Series, XyChart, missing};
use super::data::{ReportData, StepPoint, TrainingCurve};
use super::table::Table;
use super::text::{bytes, count, escape, fixed, scientific};

const MIB: f64 = 1_048_576.0;

/// Speed of generation and training, and memory.
pub(super) fn speed(data: &ReportData) -> String {
    let points = data.speed.iter().map(|point| (point.seconds / 60.0, point.tokens_per_second)).collect();
    let generating = Series { name: "generating".to_owned(), index: 0, look: Look::Line, points };
    let caption = Caption {
        id: "fig-speed",
        title: "Generation speed.".to_owned(),
        note: "Tokens generated per second, all sequences together.".to_owned(),
        description: format!("{} measurements over the course of the run.", data.speed.len()),
    };
    let axis = "minutes".to_owned();
    let generating = XyChart { caption, series: vec![generating], axis, from_zero: true, bare: false }
        .html("speed over time was not recorded");
    let training = per_step(
        data,
        "fig-train-speed",
        ["Training speed.", "Tokens trained on per second.", "tokens per second"],
        true,
        |step| Some(step.tokens_per_second),
    );
    let memory = per_step(
        data,
        "fig-peak",
        ["Training memory.", "Peak memory of the process so far in MiB.", "MiB"],
        true,
        |step| step.peak_memory_bytes.map(|bytes| bytes as f64 / MIB),
    );
    format!("<div class=\"charts\">{generating}{training}{memory}{}</div>\n", memory_by_purpose(data))
}

fn memory_by_purpose(data: &ReportData) -> String {
    let row = |(name, number): (&str, u64)| Row {
        label: name.to_owned(),
        marks: vec![Mark::Bar { from: 0.0, to: number as f64 / MIB, series: 0, outlined: false }],
        value: bytes(number),
    };
    let descriptions: Vec<String> =
        data.memory.iter().map(|figure| format!("{}: {}", figure.name, bytes(figure.bytes))).collect();
    let caption = Caption {
        id: "fig-memory",
        title: "Memory by purpose.".to_owned(),
        note: String::new(),
        description: descriptions.join("; "),
    };
    let rows = data.memory.iter().map(|figure| row((figure.name.as_str(), figure.bytes))).collect();
    RowChart { caption, rows, axis: "MiB".to_owned(), axis_includes: vec![0.0], ..RowChart::default() }
        .html("memory was not recorded")
}

/// Loss, learning rate and gradient norm over training.
pub(super) fn training(data: &ReportData) -> String {
    if data.training.is_empty() {
        return missing("Training.", "nothing was trained in this run");
    }
    let rate = ["Learning rate.", "Per optimiser step.", "learning rate"];
    let norm = ["Gradient norm.", "Before clipping.", "norm"];
    format!(
        "{}<div class=\"charts\">{}{}{}</div>\n",
        table(&data.training),
        loss(data),
        per_step(data, "fig-rate", rate, true, |step| Some(step.learning_rate)),
        per_step(data, "fig-norm", norm, true, |step| Some(step.grad_norm)),
    )
}

fn table(curves: &[TrainingCurve]) -> String {
    let columns = ["adapter", "steps", "last training loss", "first validation loss", "last", "lowest"];
    let mut table = Table::new("Loss in nats per token", &columns);
    for curve in curves {
        let losses = || curve.validation.iter().map(|point| point.loss);
        let lowest = losses().filter(|loss| loss.is_finite()).reduce(f64::min);
        let show = |loss: Option<f64>| loss.map_or(String::new(), |loss| fixed(loss, 4));
        table.row(vec![
            escape(&curve.name),
            count(curve.steps.last().map_or(0, |step| step.step)),
            show(curve.steps.last().map(|step| step.loss)),
            show(losses().next()),
            show(losses().next_back()),
            show(lowest),
        ]);
    }
    table.html()
}

/// The index of an adapter's colour and marker: its position among the contestants of the evaluation, so that
/// both sections use the same, or one after them if it is not a contestant.
fn series_index(data: &ReportData, index: usize, name: &str) -> usize {
    let contestants = data.evaluation.as_ref().map_or(&[][..], |evaluation| &evaluation.contestants);
    contestants.iter().position(|contestant| contestant.name == name).unwrap_or(contestants.len() + index)
}

fn loss(data: &ReportData) -> String {
    let mut series = Vec::new();
    let mut descriptions = Vec::new();
    for (index, curve) in data.training.iter().enumerate() {
        let index = series_index(data, index, &curve.name);
        let steps = curve.steps.iter().map(|step| (step.step as f64, step.loss)).collect();
        let held: Vec<(f64, f64)> =
            curve.validation.iter().map(|point| (point.step as f64, point.loss)).collect();
        if let (Some(first), Some(last)) = (held.first(), held.last()) {
            descriptions.push(format!(
                "{}: validation {} to {}",
                curve.name,
                fixed(first.1, 3),
                fixed(last.1, 3)
            ));
        }
        let named = |name: &str, look, points| Series {
            name: format!("{}, {name}", curve.name),
            index,
            look,
            points,
        };
        series.push(named("training", Look::Pale, steps));
        series.push(named("validation", Look::Dashed, held));
    }
    let caption = Caption {
        id: "fig-loss",
        title: "Loss.".to_owned(),
        note: "Nats per token; the validation loss is on held-out answers.".to_owned(),
        description: descriptions.join("; "),
    };
    XyChart { caption, series, axis: "optimiser step".to_owned(), ..XyChart::default() }
        .html("no losses were recorded")
}

/// A chart of one measurement of all adapters over optimiser steps, with its title, note and unit.
fn per_step(
    data: &ReportData,
    id: &'static str,
    [title, note, unit]: [&str; 3],
    from_zero: bool,
    number: impl Fn(&StepPoint) -> Option<f64>,
) -> String {
    let mut descriptions = Vec::new();
    let mut series = Vec::new();
    for (index, curve) in data.training.iter().enumerate() {
        let index = series_index(data, index, &curve.name);
        let points: Vec<(f64, f64)> =
            curve.steps.iter().filter_map(|step| Some((step.step as f64, number(step)?))).collect();
        if let Some((step, last)) = points.last() {
            descriptions.push(format!("{}: {} {unit} at step {step}", curve.name, scientific(*last)));
        }
        series.push(Series { name: curve.name.clone(), index, look: Look::Line, points });
    }
    let caption =
        Caption { id, title: title.to_owned(), note: note.to_owned(), description: descriptions.join("; ") };
    XyChart { caption, series, axis: "optimiser step".to_owned(), from_zero, bare: false }
        .html("it was not recorded")
}
