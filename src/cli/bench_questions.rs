//! `evol bench questions`: how well a model answers wordings of a judge's question.

use super::args::BenchQuestionsArgs;
use super::session::Session;
use crate::evolve::{LabelledTask, QuestionWording, Separation, separation};
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
    separation: Separation,
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
            Err(crate::evolve::Error::Llm(llm::Error::Interrupted)) => return Err(Error::Interrupted),
            other => other?,
        };
        rows.push(Row { wording: name, separation: separation(&tasks, &margins), margins });
    }
    session.progress_done();
    if session.output.is_json() { session.output.document(&rows) } else { session.output.data(&table(&rows)) }
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })
}

fn read_labelled(path: &Path) -> Result<Vec<LabelledTask>> {
    let text = read(path)?;
    let parse = |(at, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|error| Error::Labelled {
            path: path.to_owned(),
            line: at + 1,
            problem: error.to_string(),
        })
    };
    text.lines().enumerate().map(parse).collect()
}

fn table(rows: &[Row]) -> String {
    let mut text = format!("{:<24}{:>7}{:>9}{:>12}\n", "wording", "auc", "found", "threshold");
    for Row { wording, separation: Separation { auc, found, threshold }, .. } in rows {
        let _ = writeln!(text, "{wording:<24}{auc:>7.3}{:>7.0} %{threshold:>12.2}", 100.0 * found);
    }
    text
}
