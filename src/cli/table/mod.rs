//! Formats runs as tables for a terminal.
//!
//! - `evaluation`: an evaluation; this file: the funnel and the summary of a run
//!
//! Where in the flow: commands print these tables when `--json` is not given.

mod evaluation;

pub(crate) use evaluation::{comparison_table, estimates_table, evaluation_table};

use crate::report::FunnelCell;
use crate::run::{STAGES, Summary, duration, shell};
use std::fmt::Write as _;
use std::path::Path;

/// Attempts, kept instructions and reasons of elimination: a line for each round and operator.
pub(crate) fn funnel_table(cells: &[FunnelCell]) -> String {
    let mut text = format!("{:<7}{:<22}{:>8}{:>6}  eliminated\n", "round", "operator", "attempts", "kept");
    for cell in cells {
        let reasons: Vec<String> =
            cell.eliminated.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        let _ = writeln!(
            text,
            "{:<7}{:<22}{:>8}{:>6}  {}",
            cell.round,
            cell.operator.as_deref().unwrap_or("(seeds)"),
            cell.attempts,
            cell.kept,
            reasons.join(", ")
        );
    }
    text
}

/// Formats the summary of a finished run.
pub(crate) fn summary_table(summary: &Summary) -> String {
    let mut text = funnel_table(&summary.funnel);
    let loss = match (summary.validation_loss_before, summary.validation_loss_after) {
        (Some(before), Some(after)) => format!("{before:.4} → {after:.4} nats per token"),
        _ => "not measured: no data was held out".to_owned(),
    };
    let seconds: Vec<String> = STAGES
        .iter()
        .filter_map(|stage| Some(format!("{stage} {}", duration(*summary.seconds.get(*stage)?))))
        .collect();
    let _ = write!(
        text,
        "\n{:<17}{} of {} attempts, from {} seeds; {} instructions with answers\n\
         {:<17}{} rows to train on, {} held out\n\
         {:<17}{} steps, {} tokens ({:.0} per second)\n\
         {:<17}{loss}\n{:<17}{} tokens\n{:<17}{}\n{:<17}{}\n",
        "kept",
        summary.kept,
        summary.attempts,
        summary.seeds,
        summary.answers,
        "exported",
        summary.train_records,
        summary.validation_records,
        "trained",
        summary.train_steps,
        summary.train_tokens,
        summary.train_tokens_per_second,
        "validation loss",
        "generated",
        summary.generated_tokens,
        "time",
        seconds.join(", "),
        "adapter",
        summary.adapter.display(),
    );
    if let Some(report) = &summary.report {
        let _ = writeln!(text, "{:<17}{}", "report", report.display());
    }
    for checked in &summary.check {
        let _ = write!(
            text,
            "\nheld out: {}\n{}{}",
            one_line(&checked.instruction),
            indented("base", &checked.base),
            indented("adapted", &checked.adapted),
        );
    }
    text
}

/// Commands that the user can try with the result.
pub(crate) fn next_steps(summary: &Summary, run: &Path) -> String {
    let [run, model, adapter] = [run, &summary.model, &summary.adapter].map(shell::word);
    let chat = shell::evol(&["chat", "--model", &model, "--adapter", &adapter]);
    let tree = shell::evol(&["tree", &run]);
    let export = shell::evol(&["export", &run, "--format", "sharegpt", "--out", "data"]);
    format!(
        "\nWhat to try next:\n  {chat}\n  \
         {tree} | less              # every attempt, and why it was kept or eliminated\n  {export}\n"
    )
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `  label: text`, with the text's other lines indented to match.
fn indented(label: &str, text: &str) -> String {
    let margin = format!("\n{:11}", "");
    format!("  {:<9}{}\n", format!("{label}:"), text.trim().replace('\n', &margin))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_funnel_has_a_line_for_each_round_and_operator() {
        let cell = |round, operator: Option<&str>, eliminated: &[(&str, u64)]| FunnelCell {
            round,
            operator: operator.map(str::to_owned),
            attempts: 6,
            kept: 3,
            eliminated: eliminated
                .iter()
                .map(|(reason, n)| ((*reason).to_owned(), *n))
                .collect::<BTreeMap<_, _>>(),
        };
        let table =
            funnel_table(&[cell(0, None, &[]), cell(1, Some("deepening"), &[("copied", 1), ("equal", 2)])]);
        let words = |line: usize| table.lines().nth(line).unwrap().split_whitespace().collect::<Vec<_>>();
        assert_eq!(table.lines().count(), 3);
        assert_eq!(words(1), ["0", "(seeds)", "6", "3"]);
        assert_eq!(words(2), ["1", "deepening", "6", "3", "1", "copied,", "2", "equal"]);
    }
}
