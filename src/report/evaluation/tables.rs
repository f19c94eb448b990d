//! Tables of the evaluation.
//!
//! Where in the flow: part of the evaluation section.
//!
//! **Invariant:** every estimate has its interval, and a missing value is a dash, not a zero.

use super::charts::{Grouping, shares};
use crate::eval::result::{Contestant, Estimate, Evaluation, HeldOut, NamedOutcomes};
use crate::report::summary::ALPHA;
use crate::report::table::Table;
use crate::report::text::{count, escape, fixed, p_value, signed, words};

/// Formats an estimate with its interval; empty if there is none.
fn cell(estimate: Option<&Estimate>, factor: f64, decimals: usize, unit: &str) -> String {
    estimate.map_or(String::new(), |e| {
        let [value, low, high] = [e.value, e.low, e.high].map(|number| fixed(number * factor, decimals));
        format!("{value}{unit} <span class=\"ci\">[{low}, {high}]</span>")
    })
}

fn share(estimate: Option<&Estimate>) -> String {
    cell(estimate, 100.0, 1, " %")
}

/// Formats a difference with its interval, all with signs; empty if there is none.
fn difference(estimate: Option<&Estimate>, factor: f64, decimals: usize) -> String {
    estimate.map_or(String::new(), |e| {
        let [value, low, high] = [e.value, e.low, e.high].map(|number| signed(number * factor, decimals));
        format!("{value} <span class=\"ci\">[{low}, {high}]</span>")
    })
}

/// Every measure of every contestant.
pub(super) fn rates(evaluation: &Evaluation) -> String {
    let contestants = &evaluation.contestants;
    let mut columns = vec!["measure"];
    columns.extend(contestants.iter().map(|contestant| contestant.name.as_str()));
    columns.push("n");
    let mut table = Table::new("All measures with their 95 % intervals", &columns);
    let mut row = |name: &str, measure: &dyn Fn(&Contestant) -> Option<Estimate>, factor, decimals, unit| {
        let found: Vec<Option<Estimate>> = contestants.iter().map(measure).collect();
        let Some(n) = found.iter().flatten().map(|estimate| estimate.n).max() else { return };
        let mut cells = vec![escape(name)];
        cells.extend(found.iter().map(|estimate| cell(estimate.as_ref(), factor, decimals, unit)));
        cells.push(count(n as u64));
        table.row(cells);
    };
    let names = ["items, strict", "items, loose", "constraints, strict", "constraints, loose"];
    for (index, name) in names.into_iter().chain(["exact match", "multiple choice"]).enumerate() {
        row(name, &|contestant| shares(contestant)[index].1, 100.0, 1, " %");
    }
    let held = |number: fn(&HeldOut) -> Estimate| {
        move |contestant: &Contestant| contestant.held_out.as_ref().map(number)
    };
    row("held-out loss, nats per token", &held(|held| held.loss), 1.0, 4, "");
    row("held-out perplexity", &held(|held| held.perplexity), 1.0, 3, "");
    row("words per response", &|contestant| contestant.words, 1.0, 1, "");
    row("responses cut off at the limit", &|contestant| contestant.truncated, 100.0, 1, " %");
    table.html()
}

/// Every paired test.
pub(super) fn tests(evaluation: &Evaluation) -> String {
    let columns = [
        "comparison",
        "measure",
        "only first right",
        "only second right",
        "both",
        "neither",
        "difference, points",
        "p",
        "items needed",
    ];
    let mut table =
        Table::new("Paired tests (exact McNemar, two-sided, not corrected for multiple testing)", &columns);
    for comparison in &evaluation.comparisons {
        let pair = escape(&format!("{} against {}", comparison.name, comparison.against));
        for test in &comparison.paired {
            let verdict = if test.p_value.is_finite() && test.p_value < ALPHA {
                "significant"
            } else {
                "not significant"
            };
            table.row(vec![
                pair.clone(),
                escape(&words(&test.metric)),
                count(test.wins as u64),
                count(test.losses as u64),
                count(test.both as u64),
                count(test.neither as u64),
                difference(Some(&test.difference), 100.0, 1),
                format!("{} <span class=\"ci\">{verdict}</span>", escape(&p_value(test.p_value))),
                test.needed.map_or(String::new(), count),
            ]);
        }
        let untested = |name: &str, difference: String| {
            let mut cells = vec![pair.clone(), name.to_owned()];
            cells.resize(6, String::new());
            cells.push(difference);
            cells
        };
        if let Some(met) = &comparison.constraints {
            table.row(untested("constraints, strict", difference(Some(met), 100.0, 1)));
        }
        if let Some(loss) = &comparison.held_out_loss {
            let nats = format!("{} <span class=\"ci\">nats per token</span>", difference(Some(loss), 1.0, 4));
            table.row(untested("held-out loss (below 0 is better)", nats));
        }
    }
    table.html()
}

/// Wins, ties and losses by the checks, by difficulty and skill.
pub(super) fn outcomes(evaluation: &Evaluation) -> String {
    let columns = ["comparison", "slice", "wins", "ties", "losses"];
    let mut table = Table::new("wins, ties and losses by difficulty and skill", &columns);
    for comparison in &evaluation.comparisons {
        let pair = escape(&format!("{} against {}", comparison.name, comparison.against));
        add_slices(&mut table, &pair, &comparison.by_difficulty, &comparison.by_skill);
    }
    table.folded()
}

fn add_slices(table: &mut Table, pair: &str, by_difficulty: &[NamedOutcomes], by_skill: &[NamedOutcomes]) {
    let difficulty = by_difficulty.iter().map(|slice| (format!("difficulty {}", slice.name), slice));
    let skill = by_skill.iter().map(|slice| (words(&slice.name), slice));
    for (name, NamedOutcomes { outcomes, .. }) in difficulty.chain(skill) {
        let counts = [outcomes.wins, outcomes.ties, outcomes.losses].map(|n| count(n as u64));
        let mut cells = vec![pair.to_owned(), escape(&name)];
        cells.extend(counts);
        table.row(cells);
    }
}

/// The judge's preferences.
pub(super) fn preferences(evaluation: &Evaluation) -> String {
    let columns = [
        "comparison",
        "wins",
        "ties",
        "losses",
        "win rate",
        "at equal length",
        "order decided",
        "p",
        "items needed",
    ];
    let mut table = Table::new("Preferences of the judge (exact sign test, two-sided)", &columns);
    let mut slices = Table::new(
        "preferences of the judge by difficulty and skill",
        &["comparison", "slice", "wins", "ties", "losses"],
    );
    for comparison in &evaluation.comparisons {
        let Some(preference) = &comparison.preference else { continue };
        let pair = escape(&format!("{} against {}", comparison.name, comparison.against));
        let number = |n: usize| count(n as u64);
        table.row(vec![
            pair.clone(),
            number(preference.total.wins),
            number(preference.total.ties),
            number(preference.total.losses),
            share(Some(&preference.win_rate)),
            share(preference.length_controlled.as_ref()),
            share(Some(&preference.flip_rate)),
            escape(&p_value(preference.p_value)),
            preference.needed.map_or(String::new(), count),
        ]);
        add_slices(&mut slices, &pair, &preference.by_difficulty, &preference.by_skill);
    }
    if table.is_empty() {
        return crate::report::chart::missing("Preferences.", "no judge compared the responses");
    }
    table.html() + &slices.folded()
}

/// The judge and its calibration.
pub(super) fn judge(evaluation: &Evaluation) -> String {
    let Some(judge) = &evaluation.judge else { return String::new() };
    let mut table = Table::new("The judge", &["property", "value"]);
    let family = if judge.same_family { "yes: it may prefer its own style" } else { "no" };
    let passed = if judge.trusted { "yes" } else { "no: it was not used" };
    let pairs = [
        ("model SHA-256", format!("<code>{}</code>", escape(&judge.model_sha256))),
        ("same family as the contestants", family.to_owned()),
        ("calibration pairs", count(judge.calibration_pairs as u64)),
        ("right in both orders", share(Some(&judge.calibration_accuracy))),
        ("decided by the order", share(Some(&judge.calibration_flip_rate))),
        ("passed calibration", passed.to_owned()),
    ];
    for (name, value) in pairs {
        table.row(vec![name.to_owned(), value]);
    }
    table.html()
}

/// Scores by difficulty, skill and kind of constraint.
pub(super) fn slices(evaluation: &Evaluation) -> String {
    let mut out = String::new();
    for grouping in [Grouping::Difficulty, Grouping::Skill, Grouping::Constraint] {
        let mut columns = vec![grouping.name()];
        columns.extend(evaluation.contestants.iter().map(|contestant| contestant.name.as_str()));
        columns.push("n");
        let caption = match grouping {
            Grouping::Constraint => "share of met constraints by kind".to_owned(),
            _ => format!("share of right items by {}", grouping.name()),
        };
        let mut table = Table::new(&caption, &columns);
        for name in grouping.names(evaluation) {
            let score = |contestant: &Contestant| {
                grouping.slices(contestant).iter().find(|slice| slice.name == name).map(|slice| slice.correct)
            };
            let found: Vec<Option<Estimate>> = evaluation.contestants.iter().map(score).collect();
            let mut cells = vec![escape(&words(&name))];
            cells.extend(found.iter().map(|estimate| share(estimate.as_ref())));
            cells.push(found.iter().flatten().map(|e| e.n).max().map_or(String::new(), |n| count(n as u64)));
            table.row(cells);
        }
        out.push_str(&table.folded());
    }
    out
}

/// One contestant's score as a percentage of another's, as in `WizardLM`.
pub(super) fn relative(evaluation: &Evaluation) -> String {
    let mut table = Table::new("relative score", &["comparison", "items", "score as % of the other’s", "n"]);
    for comparison in &evaluation.comparisons {
        let Some(relative) = &comparison.relative_score else { continue };
        let pair = escape(&format!("{} against {}", comparison.name, comparison.against));
        let all = relative.overall.iter().map(|estimate| ("all".to_owned(), estimate));
        let skills = relative.by_skill.iter().map(|slice| (words(&slice.name), &slice.correct));
        for (name, estimate) in all.chain(skills) {
            let score = cell(Some(estimate), 1.0, 1, " %");
            table.row(vec![pair.clone(), escape(&name), score, count(estimate.n as u64)]);
        }
    }
    table.folded()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_has_its_interval_and_a_missing_value_is_empty() {
        let estimate = Estimate { value: 0.312, low: 0.274, high: 0.352, n: 541 };
        assert_eq!(share(Some(&estimate)), "31.2 % <span class=\"ci\">[27.4, 35.2]</span>");
        assert_eq!(share(None), "");
        let nan = Estimate { value: f64::NAN, low: f64::NAN, high: 1.0, n: 0 };
        assert_eq!(difference(Some(&nan), 100.0, 1), "n/a <span class=\"ci\">[n/a, +100.0]</span>");
    }
}
