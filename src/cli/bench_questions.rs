//! `evol bench questions`: how well a model answers wordings of a judge's question.

use super::args::BenchQuestionsArgs;
use super::session::Session;
use crate::evolve::{self, Calibration, JudgeConfig, LabelledTask, QuestionWording};
use crate::llm::{self, Determinism, Engine};
use crate::run::{Error, Host as _, Result, resolve_model};
use serde::Serialize;
use std::fmt::Write as _;
use std::path::Path;

/// What a wording achieved.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Row {
    wording: String,
    #[serde(flatten)]
    calibration: Calibration,
    /// Tasks that do not fit the model's context, and were left out.
    too_long: usize,
    /// Margin of each labelled task, in the order of the file.
    margins: Vec<Option<f64>>,
}

/// Runs the command.
///
/// # Errors
/// Model, wordings or labelled tasks are unusable, llama.cpp fails, or the command was interrupted.
pub(super) fn run(args: &BenchQuestionsArgs, session: &Session) -> Result<()> {
    let model = resolve_model(&args.model)?;
    let tasks = read_labelled(&args.labelled)?;
    let mut wordings = Vec::new();
    for path in &args.wordings {
        let source = read(path)?;
        let wording =
            QuestionWording::parse(&source).map_err(|error| Error::Prompt { path: path.clone(), error })?;
        wordings.push((path.file_stem().unwrap_or_default().to_string_lossy().into_owned(), wording));
    }
    let mut options = session.context().engine_options(&model);
    options.determinism = Determinism::Exact.resolve(&model, 0)?.0;
    let mut engine = Engine::load(options)?;
    let mut rows = Vec::new();
    for (at, (name, wording)) in wordings.into_iter().enumerate() {
        session.report_progress("wordings", at as u64, args.wordings.len() as u64, &name);
        let margins = match wording.ask(&mut engine, &tasks) {
            Err(evolve::Error::Llm(llm::Error::Interrupted)) => return Err(Error::Interrupted),
            other => other?,
        };
        let calibration = evolve::calibration_of(&tasks, &margins, JudgeConfig::default());
        let too_long = margins.iter().filter(|margin| margin.is_none()).count();
        rows.push(Row { wording: name, calibration, too_long, margins });
    }
    session.progress_done();
    if session.output.is_json() { session.output.document(&rows) } else { session.output.data(&table(&rows)) }
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })
}

fn read_labelled(path: &Path) -> Result<Vec<LabelledTask>> {
    let text = read(path)?;
    let error = |line, problem| Error::Labelled { path: path.to_owned(), line, problem };
    let parse = |(at, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|source| error(at + 1, source.to_string()))
    };
    let tasks = text.lines().enumerate().map(parse).collect::<Result<Vec<LabelledTask>>>()?;
    for label in [true, false] {
        if tasks.iter().all(|task| task.label != label) {
            return Err(error(1, format!("no task in the file has the label {label}")));
        }
    }
    Ok(tasks)
}

fn table(rows: &[Row]) -> String {
    let mut text = format!("{:<24}{:>7}{:>7}{:>9}{:>10}\n", "wording", "tasks", "auc", "found", "too long");
    for Row { wording, calibration, too_long, .. } in rows {
        let Calibration { pairs, auc, true_elimination: found, .. } = calibration;
        let found = 100.0 * found;
        let _ = writeln!(text, "{wording:<24}{pairs:>7}{auc:>7.3}{found:>7.0} %{too_long:>10}");
    }
    text
}
