//! `evol compare`: two runs side by side.
//!
//! **Invariant:** responses are compared only if both runs were evaluated on the same items of the same
//! suite.

use super::args::CompareArgs;
use super::session::Session;
use super::table::{comparison_table, estimates_table};
use crate::eval::result::{Comparison, Contestant};
use crate::eval::{self as evaluation, Evaluation, Side};
use crate::report::FunnelCell;
use crate::run::eval::{self, read_generations};
use crate::run::{EVOLVED, Result, Summary, config_of_run, duration, files, funnel_cells};
use crate::store::Store;
use serde::Serialize;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

#[derive(Debug, Serialize)]
struct Compared {
    a: Run,
    b: Run,
    /// Settings that differ, as `key: in A, in B`.
    settings: Vec<String>,
    /// B's evolved adapter against A's, item by item; absent if they were evaluated differently.
    responses: Option<Comparison>,
}

#[derive(Debug, Serialize)]
struct Run {
    dir: PathBuf,
    attempts: u64,
    kept: u64,
    funnel: Vec<FunnelCell>,
    summary: Option<Summary>,
    evaluation: Option<Evaluation>,
}

impl Run {
    fn read(dir: &Path) -> Result<Self> {
        let funnel = funnel_cells(&Store::open(dir)?.funnel()?);
        let evolved = || funnel.iter().filter(|cell| cell.round > 0);
        Ok(Self {
            dir: dir.to_owned(),
            attempts: evolved().map(|cell| cell.attempts).sum(),
            kept: evolved().map(|cell| cell.kept).sum(),
            summary: std::fs::read(dir.join(files::SUMMARY))
                .ok()
                .and_then(|text| serde_json::from_slice(&text).ok()),
            evaluation: eval::read(&dir.join(files::EVAL)),
            funnel,
        })
    }

    fn contestant(&self) -> Option<&Contestant> {
        self.evaluation.as_ref()?.contestants.iter().find(|contestant| contestant.name == EVOLVED)
    }
}

/// Runs the command.
///
/// # Errors
/// A directory is not a run.
pub(crate) fn run(args: &CompareArgs, session: &Session) -> Result<()> {
    let (a, b) = (Run::read(&args.a)?, Run::read(&args.b)?);
    let settings = match (config_of_run(&args.a)?, config_of_run(&args.b)?) {
        (Some(a), Some(b)) => b.differences(&a.to_toml()).iter().map(ToString::to_string).collect(),
        _ => Vec::new(),
    };
    let responses = responses(&a, &b)?;
    let compared = Compared { a, b, settings, responses };
    if session.output.is_json() {
        return session.output.document(&compared);
    }
    session.output.data(&table(&compared))
}

/// Compares `b`'s evolved adapter with `a`'s, if both were evaluated on the same items.
fn responses(a: &Run, b: &Run) -> Result<Option<Comparison>> {
    let (Some(eval_a), Some(eval_b)) = (&a.evaluation, &b.evaluation) else { return Ok(None) };
    let conditions = |evaluation: &Evaluation| {
        (evaluation.suite.sha256.clone(), evaluation.max_tokens, evaluation.temperature.to_bits())
    };
    if conditions(eval_a) != conditions(eval_b) || a.contestant().is_none() || b.contestant().is_none() {
        return Ok(None);
    }
    let generations = |run: &Run| read_generations(&run.dir.join(files::EVAL), EVOLVED);
    let (from_a, from_b) = (generations(a)?, generations(b)?);
    let same = !from_a.is_empty()
        && from_a.len() == from_b.len()
        && from_a
            .iter()
            .zip(&from_b)
            .all(|(one, other)| one.item == other.item && one.instruction == other.instruction);
    if !same {
        return Ok(None);
    }
    let side = |name, responses| Side { name, responses, held_out: &[] };
    let (name_b, name_a) = (format!("{} (B)", b.dir.display()), format!("{} (A)", a.dir.display()));
    let mut compared = evaluation::compare(side(&name_b, &from_b), side(&name_a, &from_a), 0);
    compared.relative_score = None;
    Ok(Some(compared))
}

fn table(compared: &Compared) -> String {
    let Compared { a, b, settings, responses } = compared;
    let mut text = format!("A  {}\nB  {}\n\n", a.dir.display(), b.dir.display());
    if !settings.is_empty() {
        let _ =
            writeln!(text, "settings that differ (`was` is A, `is now` is B)\n  {}\n", settings.join("\n  "));
    }
    let mut line = |name: &str, of: &dyn Fn(&Run) -> Option<String>| {
        let cell = |run| of(run).unwrap_or_else(|| "–".to_owned());
        let _ = writeln!(text, "{name:<22}{:<26}{}", cell(a), cell(b));
    };
    line("", &|run| Some(if std::ptr::eq(run, a) { "A" } else { "B" }.to_owned()));
    line("kept", &|run| Some(format!("{} of {} attempts", run.kept, run.attempts)));
    line("yield", &|run| Some(format!("{:.1} %", 100.0 * run.kept as f64 / run.attempts.max(1) as f64)));
    line("trained on", &|run| {
        let summary = run.summary.as_ref()?;
        Some(format!("{} rows, {} tokens", summary.train_records, summary.train_tokens))
    });
    line("validation loss", &|run| {
        let summary = run.summary.as_ref()?;
        Some(format!("{:.4} → {:.4}", summary.validation_loss_before?, summary.validation_loss_after?))
    });
    line("time", &|run| Some(duration(run.summary.as_ref()?.seconds.values().sum())));
    if let (Some(a), Some(b)) = (a.contestant(), b.contestant()) {
        let _ = write!(text, "\nthe evolved adapters\n{}", estimates_table(&[("A", a), ("B", b)]));
    }
    match responses {
        Some(comparison) => text.push_str(&comparison_table(comparison)),
        None => {
            text.push_str("\nresponses are not compared: the runs were not evaluated on the same items\n");
        }
    }
    text
}
