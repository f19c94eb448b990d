//! Formats an evaluation: the contestants side by side, then the comparisons between them.
//!
//! **Invariant:** every estimate is printed with its interval, and every comparison with its p-value.

use crate::eval::result::{
    Comparison, Contestant, Estimate, Evaluation, Judge, NamedOutcomes, Pooled, Preference,
};
use std::fmt::Write as _;

/// All tables of an evaluation.
pub(crate) fn evaluation_table(evaluation: &Evaluation) -> String {
    let mut text = heading(evaluation);
    let columns: Vec<(&str, &Contestant)> =
        evaluation.contestants.iter().map(|contestant| (contestant.name.as_str(), contestant)).collect();
    text.push_str(&estimates_table(&columns));
    for comparison in &evaluation.comparisons {
        text.push_str(&comparison_table(comparison));
    }
    for pooled in &evaluation.pooled {
        text.push_str(&over_trainings(pooled));
    }
    if let Some(judge) = &evaluation.judge {
        text.push_str(&judge_line(judge));
    }
    text
}

/// Contestants side by side, under the given names.
pub(crate) fn estimates_table(columns: &[(&str, &Contestant)]) -> String {
    let mut text = String::new();
    let names = row(columns.iter().map(|(name, _)| (*name).to_owned()));
    let _ = writeln!(text, "{:<26}{}", "", names.trim_end());
    let mut line = |name: &str, of: &dyn Fn(&Contestant) -> Option<String>| {
        let cells: Vec<String> =
            columns.iter().map(|(_, contestant)| of(contestant).unwrap_or_else(|| "–".to_owned())).collect();
        if cells.iter().any(|cell| cell != "–") {
            let cells = row(cells.into_iter());
            let _ = writeln!(text, "{name:<26}{}", cells.trim_end());
        }
    };
    let rates = |contestant: &Contestant| contestant.constraints;
    line("all constraints met", &|c| Some(percent(rates(c)?.prompt_strict)));
    line("  loosely", &|c| Some(percent(rates(c)?.prompt_loose)));
    line("constraints met", &|c| Some(percent(rates(c)?.constraint_strict)));
    line("  loosely", &|c| Some(percent(rates(c)?.constraint_loose)));
    line("  kinds ever met", &kinds_met);
    line("right answers", &|c| c.exact_match.map(percent));
    line("right choices", &|c| c.choice_accuracy.map(percent));
    line("held-out loss", &|c| Some(number(c.held_out?.loss, 4)));
    line("held-out perplexity", &|c| Some(number(c.held_out?.perplexity, 2)));
    line("words in a response", &|c| c.words.map(|words| number(words, 1)));
    line("responses cut off", &|c| c.truncated.map(percent));
    text
}

/// Number of constraint kinds that were met at least once. A model can only learn from its own answers what
/// it does sometimes.
fn kinds_met(contestant: &Contestant) -> Option<String> {
    let kinds = &contestant.by_constraint;
    let met = kinds.iter().filter(|kind| kind.correct.value > 0.0).count();
    (!kinds.is_empty()).then(|| format!("{met} of {}", kinds.len()))
}

/// Pads the cells of a line so that columns align.
fn row(cells: impl Iterator<Item = String>) -> String {
    cells.fold(String::new(), |mut text, cell| {
        let _ = write!(text, "  {cell:<22}");
        text
    })
}

fn heading(evaluation: &Evaluation) -> String {
    let suite = &evaluation.suite;
    let mut parts = vec![format!("{} items", suite.items)];
    for (count, what) in [
        (suite.verifiable, format!("with constraints checked by code ({} constraints)", suite.constraints)),
        (suite.exact, "with one right answer".to_owned()),
        (suite.choice, "with choices".to_owned()),
        (suite.contaminated, "left out because they overlap with a seed".to_owned()),
    ] {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    format!("suite {}: {}\n95 % intervals in brackets\n\n", suite.name, parts.join(", "))
}

fn percent(estimate: Estimate) -> String {
    let Estimate { value, low, high, .. } = estimate;
    format!("{:.1} % [{:.1}, {:.1}]", 100.0 * value, 100.0 * low, 100.0 * high)
}

fn number(estimate: Estimate, digits: usize) -> String {
    let Estimate { value, low, high, .. } = estimate;
    format!("{value:.digits$} [{low:.digits$}, {high:.digits$}]")
}

/// The differences between two contestants, with intervals and p-values.
pub(crate) fn comparison_table(comparison: &Comparison) -> String {
    let mut text = format!("\n{} against {}\n", comparison.name, comparison.against);
    for paired in &comparison.paired {
        let name = match paired.metric.as_str() {
            "prompt_strict" => "all constraints met",
            "prompt_loose" => "  loosely",
            "exact_match" => "right answers",
            "choice_accuracy" => "right choices",
            _ => "all scored items",
        };
        let Estimate { value, low, high, .. } = paired.difference;
        let _ = writeln!(
            text,
            "  {name:<24}{:+.1} points [{:+.1}, {:+.1}]; won {}, lost {}; p = {}{}",
            100.0 * value,
            100.0 * low,
            100.0 * high,
            paired.wins,
            paired.losses,
            p_value(paired.p_value),
            needed(paired.p_value, paired.needed),
        );
    }
    if let Some(Estimate { value, low, high, .. }) = comparison.constraints {
        let [value, low, high] = [value, low, high].map(|share| 100.0 * share);
        let _ = writeln!(text, "  {:<24}{value:+.1} points [{low:+.1}, {high:+.1}]", "constraints met");
    }
    if !comparison.by_difficulty.is_empty() {
        let _ = writeln!(text, "  {:<24}{}", "won/tied/lost by level", by_level(&comparison.by_difficulty));
    }
    if let Some(Estimate { value, low, high, .. }) = comparison.held_out_loss {
        let _ = writeln!(text, "  {:<24}{value:+.4} nats per token [{low:+.4}, {high:+.4}]", "held-out loss");
    }
    if let Some(overall) = comparison.relative_score.as_ref().and_then(|score| score.overall) {
        let _ = writeln!(
            text,
            "  {:<24}{:.0} % of the other's score [{:.0}, {:.0}]",
            "relative score", overall.value, overall.low, overall.high
        );
    }
    if let Some(preference) = &comparison.preference {
        text.push_str(&preferred(preference));
    }
    text
}

/// `1: 3/9/1, 2: …`. Skills are not shown: there are too many for a terminal.
fn by_level(levels: &[NamedOutcomes]) -> String {
    let level = |NamedOutcomes { name, outcomes }: &NamedOutcomes| {
        format!("{name}: {}/{}/{}", outcomes.wins, outcomes.ties, outcomes.losses)
    };
    levels.iter().map(level).collect::<Vec<_>>().join(", ")
}

fn preferred(preference: &Preference) -> String {
    let total = preference.total;
    let mut text = format!(
        "  {:<24}won {}, tied {}, lost {}; win rate {}; p = {}{}\n",
        "the judge",
        total.wins,
        total.ties,
        total.losses,
        percent(preference.win_rate),
        p_value(preference.p_value),
        needed(preference.p_value, preference.needed),
    );
    if let Some(controlled) = preference.length_controlled {
        let _ = writeln!(text, "  {:<24}win rate {}", "  at equal length", percent(controlled));
    }
    let _ = writeln!(text, "  {:<24}{}", "  order decided", percent(preference.flip_rate));
    text
}

fn p_value(p: f64) -> String {
    if p < 0.001 { "below 0.001".to_owned() } else { format!("{p:.3}") }
}

/// The number of items needed for significance, if the difference is not significant.
fn needed(p: f64, items: Option<u64>) -> String {
    match items {
        Some(items) if p >= 0.05 => format!(" (a difference like this needs {items} items)"),
        _ => String::new(),
    }
}

fn over_trainings(pooled: &Pooled) -> String {
    let each: Vec<String> = pooled.by_training.iter().map(|share| format!("{:.1}", 100.0 * share)).collect();
    let Estimate { value, low, high, .. } = pooled.difference;
    format!(
        "\n{} against {}, mean of {} training runs ({} %); the interval is over items\n  {:<24}{:+.1} \
         points [{:+.1}, {:+.1}]; better on {} items, worse on {}; p = {}\n",
        pooled.name,
        pooled.against,
        pooled.by_training.len(),
        each.join(", "),
        "all constraints met",
        100.0 * value,
        100.0 * low,
        100.0 * high,
        pooled.wins,
        pooled.losses,
        p_value(pooled.p_value),
    )
}

fn judge_line(judge: &Judge) -> String {
    let family = if judge.same_family { "; it is from the same model family as the contestants" } else { "" };
    let verdict =
        if judge.trusted { "used" } else { "not used: it cannot tell a better response from a worse one" };
    format!(
        "\njudge: {verdict}. Of {} pairs with a known better response, it got {} right in both orders; the \
         order decided {}{family}\n",
        judge.calibration_pairs,
        percent(judge.calibration_accuracy),
        percent(judge.calibration_flip_rate),
    )
}
