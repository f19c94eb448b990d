//! `evol stats`: shows statistics of a run, round by round.

use super::args::StatsArgs;
use super::session::Session;
use crate::dataset::{self, RoundStats};
use crate::run::{Result, resolve_model, vectors};
use crate::store::Store;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Runs the command.
///
/// # Errors
/// The run does not exist, or the model for the clusters is unusable.
pub(crate) fn run(args: &StatsArgs, session: &Session) -> Result<()> {
    let model = args.clusters.as_deref().map(resolve_model).transpose()?;
    let store = Store::open(&args.run)?;
    let (records, rejected) = (dataset::records(&store)?, dataset::rejected(&store)?);
    let vectors = match model {
        Some(model) => vectors(&model, &records, session.context())?,
        None => BTreeMap::new(),
    };
    let stats = dataset::round_stats(&records, &rejected, &vectors, session.seed.unwrap_or(0));
    if session.output.is_json() {
        return session.output.document(&json!({ "rounds": stats }));
    }
    session.output.data(&table(&stats))
}

/// A name, and how to format the figure.
type Figure<'a> = (&'a str, Box<dyn Fn(&RoundStats) -> String + 'a>);

/// A line for each figure, a column for each round.
fn table(stats: &[RoundStats]) -> String {
    let maybe = |number: Option<f64>| number.map_or("-".to_owned(), |number| format!("{number:.2}"));
    let figures: [Figure<'_>; 15] = [
        ("kept", Box::new(|s| s.kept.to_string())),
        ("rejected", Box::new(|s| s.rejected.to_string())),
        ("words", Box::new(|s| format!("{:.1}", s.words))),
        ("words added in depth", Box::new(move |s| maybe(s.words_added))),
        ("distinct-1", Box::new(|s| format!("{:.3}", s.distinct_1))),
        ("distinct-2", Box::new(|s| format!("{:.3}", s.distinct_2))),
        ("distinct-3", Box::new(|s| format!("{:.3}", s.distinct_3))),
        ("with constraints", Box::new(|s| format!("{:.0} %", 100.0 * s.constrained))),
        ("difficulty", Box::new(move |s| maybe(s.difficulty))),
        ("harder than parent", Box::new(move |s| maybe(s.harder))),
        ("repeats among attempts", Box::new(|s| format!("{:.1} %", 100.0 * s.duplicates))),
        ("most frequent opening", Box::new(|s| format!("{:.1} %", 100.0 * s.same_opening))),
        ("clusters of 20", Box::new(|s| s.clusters.map_or("-".to_owned(), |count| count.to_string()))),
        ("cluster entropy", Box::new(move |s| maybe(s.cluster_entropy))),
        (
            "yield",
            Box::new(|s| format!("{:.0} %", 100.0 * s.kept as f64 / (s.kept + s.rejected).max(1) as f64)),
        ),
    ];
    let mut text = format!("{:<24}", "");
    for round in stats {
        let name = if round.round == 0 { "seeds".to_owned() } else { format!("round {}", round.round) };
        let _ = write!(text, "{name:>10}");
    }
    text.push('\n');
    for (name, figure) in figures {
        let _ = write!(text, "{name:<24}");
        for round in stats {
            let _ = write!(text, "{:>10}", figure(round));
        }
        text.push('\n');
    }
    text
}
