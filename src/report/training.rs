//! Sections on computing: speed and memory, and how training went.
//!
//! Where in the flow: from what the trainer and the generator measured.
//!
//! **Invariant:** an adapter has one colour and one marker in all charts.

use super::chart::{Caption, Look, Mark, Plane, Row, Rows, Series, missing};
use super::data::{ReportData, StepPoint, TrainingCurve};
use super::table::Table;
use super::text::{bytes, count, escape, fixed, scientific};

const MIB: f64 = 1_048_576.0;

/// How fast texts were generated and trained on, and with how much memory.
pub(super) fn speed(data: &ReportData) -> String {
    let points = data.speed.iter().map(|point| (point.seconds / 60.0, point.tokens_per_second)).collect();
    let generating = Series { name: "generating".to_owned(), place: 0, look: Look::Line, points };
    let caption = Caption {
        id: "fig-speed",
        title: "Speed of generating.".to_owned(),
        note: "Tokens generated in a second, all sequences together.".to_owned(),
        description: format!("{} measurements over the time of the run.", data.speed.len()),
    };
    let axis = "minutes".to_owned();
    let generating = Plane { caption, series: vec![generating], axis, from_zero: true, bare: false }
        .html("the speed over time was not recorded");
    let training = per_step(
        data,
        "fig-train-speed",
        ["Speed of training.", "Tokens trained on in a second.", "tokens per second"],
        true,
        |step| Some(step.tokens_per_second),
    );
    let memory = per_step(
        data,
        "fig-peak",
        ["Memory while training.", "Largest memory of the process so far, in MiB.", "MiB"],
        true,
        |step| step.peak_memory_bytes.map(|bytes| bytes as f64 / MIB),
    );
    format!("<div class=\"charts\">{generating}{training}{memory}{}</div>\n", figures(data))
}

fn figures(data: &ReportData) -> String {
    let row = |(name, number): (&str, u64)| Row {
        label: name.to_owned(),
        marks: vec![Mark::Bar { from: 0.0, to: number as f64 / MIB, series: 0, outlined: false }],
        value: bytes(number),
    };
    let told: Vec<String> =
        data.memory.iter().map(|figure| format!("{}: {}", figure.name, bytes(figure.bytes))).collect();
    let caption = Caption {
        id: "fig-memory",
        title: "Memory by purpose.".to_owned(),
        note: String::new(),
        description: told.join("; "),
    };
    let rows = data.memory.iter().map(|figure| row((figure.name.as_str(), figure.bytes))).collect();
    Rows { caption, list: rows, axis: "MiB".to_owned(), include: vec![0.0], ..Rows::default() }
        .html("no memory figures were recorded")
}

/// Loss, learning rate and gradients.
pub(super) fn training(data: &ReportData) -> String {
    if data.training.is_empty() {
        return missing("Training.", "nothing was trained in this run");
    }
    let rate = ["Learning rate.", "Of each update.", "learning rate"];
    let norm = ["Norm of the gradient.", "Before clipping.", "norm"];
    format!(
        "{}<div class=\"charts\">{}{}{}</div>\n",
        table(&data.training),
        loss(data),
        per_step(data, "fig-rate", rate, true, |step| Some(step.learning_rate)),
        per_step(data, "fig-norm", norm, true, |step| Some(step.grad_norm)),
    )
}

fn table(curves: &[TrainingCurve]) -> String {
    let columns = ["adapter", "steps", "training loss, last", "validation loss, first", "last", "lowest"];
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

/// The adapter's place among the contestants of the evaluation, so that it has the same colour there; without
/// one, a place after them.
fn place(data: &ReportData, index: usize, name: &str) -> usize {
    let contestants = data.evaluation.as_ref().map_or(&[][..], |evaluation| &evaluation.contestants);
    contestants.iter().position(|contestant| contestant.name == name).unwrap_or(contestants.len() + index)
}

fn loss(data: &ReportData) -> String {
    let mut series = Vec::new();
    let mut told = Vec::new();
    for (index, curve) in data.training.iter().enumerate() {
        let place = place(data, index, &curve.name);
        let steps = curve.steps.iter().map(|step| (step.step as f64, step.loss)).collect();
        let held: Vec<(f64, f64)> =
            curve.validation.iter().map(|point| (point.step as f64, point.loss)).collect();
        if let (Some(first), Some(last)) = (held.first(), held.last()) {
            told.push(format!("{}: validation {} to {}", curve.name, fixed(first.1, 3), fixed(last.1, 3)));
        }
        let named = |name: &str, look, points| Series {
            name: format!("{}, {name}", curve.name),
            place,
            look,
            points,
        };
        series.push(named("training", Look::Pale, steps));
        series.push(named("validation", Look::Dashed, held));
    }
    let caption = Caption {
        id: "fig-loss",
        title: "Loss.".to_owned(),
        note: "Nats per token; validation is on held-out answers.".to_owned(),
        description: told.join("; "),
    };
    Plane { caption, series, axis: "optimiser step".to_owned(), ..Plane::default() }
        .html("no step has recorded its loss")
}

/// One measure of all adapters, over steps. `words`: title, note, what one number is.
fn per_step(
    data: &ReportData,
    id: &'static str,
    [title, note, unit]: [&str; 3],
    from_zero: bool,
    number: impl Fn(&StepPoint) -> Option<f64>,
) -> String {
    let mut told = Vec::new();
    let mut series = Vec::new();
    for (index, curve) in data.training.iter().enumerate() {
        let place = place(data, index, &curve.name);
        let points: Vec<(f64, f64)> =
            curve.steps.iter().filter_map(|step| Some((step.step as f64, number(step)?))).collect();
        if let Some((step, last)) = points.last() {
            told.push(format!("{}: {} {unit} at step {step}", curve.name, scientific(*last)));
        }
        series.push(Series { name: curve.name.clone(), place, look: Look::Line, points });
    }
    let caption =
        Caption { id, title: title.to_owned(), note: note.to_owned(), description: told.join("; ") };
    Plane { caption, series, axis: "optimiser step".to_owned(), from_zero, bare: false }
        .html("no optimiser step has recorded it")
}
