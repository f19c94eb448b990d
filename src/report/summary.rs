//! The summary at the top of the page: title, headline numbers, and whether the model got better.
//!
//! Where in the flow: rendered from all data; every number here is also in a section below.
//!
//! **Invariant:** a difference is called significant only if a test says so, and an untested difference is
//! called untested.

use super::data::{NodeStatus, ReportData, RunManifest};
use super::text::{count, duration, escape, fixed, p_value, percent, share, signed, wilson, words};
use crate::eval::result::{Comparison, Contestant, Estimate, Evaluation, Paired, Pooled};
use std::fmt::Write as _;

/// The significance level: a difference with a lower p-value is called significant.
pub(super) const ALPHA: f64 = 0.05;

/// The title of the page.
pub(super) fn title(manifest: &RunManifest) -> String {
    let title = manifest.title.trim();
    if title.is_empty() { "An evol run".to_owned() } else { title.to_owned() }
}

/// The header above all sections.
pub(super) fn header(manifest: &RunManifest) -> String {
    let name = |text: &str, if_empty: &str| {
        if text.trim().is_empty() { if_empty.to_owned() } else { escape(text.trim()) }
    };
    format!(
        "<p class=\"kicker\">Report of an evol run</p>\n<h1>{}</h1>\n\
         <p class=\"byline\">{} · seed {} · evol {}</p>\n",
        escape(&title(manifest)),
        name(&manifest.model_name, "model not recorded"),
        manifest.seed,
        name(&manifest.evol_version, "(version not recorded)"),
    )
}

/// Renders the section.
pub(super) fn html(data: &ReportData) -> String {
    let numbers = headline(data);
    let mut html = String::new();
    if !numbers.is_empty() {
        html.push_str("<dl class=\"headline\">\n");
    }
    for Headline { name, value, note } in &numbers {
        let _ = writeln!(
            html,
            "<div><dt>{}</dt><dd>{}<small>{}</small></dd></div>",
            escape(name),
            escape(value),
            escape(note)
        );
    }
    if !numbers.is_empty() {
        html.push_str("</dl>\n");
    }
    for sentence in findings(data) {
        let _ = writeln!(html, "<p class=\"finding\">{}</p>", escape(&sentence));
    }
    html
}

/// A headline number.
struct Headline {
    name: String,
    value: String,
    /// What the number means, and its interval.
    note: String,
}

fn headline(data: &ReportData) -> Vec<Headline> {
    let mut out = Vec::new();
    let attempts = data.funnel.iter().filter(|cell| cell.round > 0);
    let (kept, all) = attempts.fold((0_u64, 0_u64), |(kept, all), cell| {
        (kept.saturating_add(cell.kept), all.saturating_add(cell.attempts))
    });
    if let Some(rate) = wilson(kept, all) {
        let note =
            format!("{} of {} attempts; 95\u{a0}% interval {}", count(kept), count(all), interval(&rate));
        out.push(Headline { name: "Kept".to_owned(), value: percent(rate.value), note });
    }
    let answered = data.nodes.iter().filter(|node| node.status == NodeStatus::Kept).count();
    if !data.nodes.is_empty() {
        let seeds = data.nodes.iter().filter(|node| node.parent_id.is_none()).count();
        let note = format!("instructions with answers, from {} seeds", count(seeds as u64));
        out.push(Headline { name: "Data set".to_owned(), value: count(answered as u64), note });
    }
    out.extend(losses(data));
    if let Some(evaluation) = &data.evaluation {
        for contestant in &evaluation.contestants {
            if let Some((measure, rate)) = main_rate(contestant) {
                let note = format!(
                    "{measure}; 95\u{a0}% interval {}, n\u{a0}=\u{a0}{}",
                    interval(&rate),
                    count(rate.n as u64)
                );
                let name = format!("Items right, {}", contestant.name);
                out.push(Headline { name, value: percent(rate.value), note });
            }
        }
    }
    let seconds = data.manifest.seconds.iter().map(|(_, seconds)| seconds).sum::<f64>();
    if !data.manifest.seconds.is_empty() {
        let note = "wall time of all stages".to_owned();
        out.push(Headline { name: "Time".to_owned(), value: duration(seconds), note });
    }
    out
}

/// Held-out losses from the evaluation, which have intervals; without an evaluation, the trainer's validation
/// losses, which have none.
fn losses(data: &ReportData) -> Vec<Headline> {
    let mut out = Vec::new();
    for contestant in data.evaluation.iter().flat_map(|evaluation| &evaluation.contestants) {
        if let Some(held) = &contestant.held_out {
            let Estimate { value, low, high, n } = held.loss;
            let note = format!(
                "nats per token; 95\u{a0}% interval {} to {}, n\u{a0}=\u{a0}{}",
                fixed(low, 3),
                fixed(high, 3),
                count(n as u64)
            );
            let name = format!("Held-out loss, {}", contestant.name);
            out.push(Headline { name, value: fixed(value, 3), note });
        }
    }
    if !out.is_empty() {
        return out;
    }
    for curve in &data.training {
        if let (Some(first), Some(last)) = (curve.validation.first(), curve.validation.last()) {
            let start = fixed(first.loss, 3);
            let note = format!("nats per token, from {start} before training; no interval was computed");
            let name = format!("Validation loss, {}", curve.name);
            out.push(Headline { name, value: fixed(last.loss, 3), note });
        }
    }
    out
}

fn interval(rate: &Estimate) -> String {
    format!("{} to {}", fixed(100.0 * rate.low, 1), fixed(100.0 * rate.high, 1))
}

/// The main measure of a contestant, with its description.
fn main_rate(contestant: &Contestant) -> Option<(&'static str, Estimate)> {
    let constraints =
        contestant.constraints.map(|rates| ("items with all constraints met", rates.prompt_strict));
    let exact = contestant.exact_match.map(|rate| ("right answers", rate));
    let choice = contestant.choice_accuracy.map(|rate| ("right choices", rate));
    constraints.or(exact).or(choice)
}

/// The test that summarises a comparison: the one on all scored items, if there is one.
fn main_test(comparison: &Comparison) -> Option<&Paired> {
    let named = |name: &str| comparison.paired.iter().find(|test| test.metric == name);
    ["correct", "prompt_strict", "exact_match", "choice_accuracy"]
        .into_iter()
        .find_map(named)
        .or_else(|| comparison.paired.first())
}

/// The findings of the evaluation in sentences.
fn findings(data: &ReportData) -> Vec<String> {
    let Some(evaluation) = &data.evaluation else {
        return vec![
            "No evaluation was run, so this page cannot tell whether training made the model better. A \
             falling validation loss only shows that it fits this data better."
                .to_owned(),
        ];
    };
    // First the comparison that the run was made for: its last contestant against the base.
    let (base, last) = (evaluation.contestants.first(), evaluation.contestants.last());
    let leads =
        |c: &&Comparison| base.is_some_and(|b| b.name == c.against) && last.is_some_and(|l| l.name == c.name);
    let mut comparisons: Vec<&Comparison> = evaluation.comparisons.iter().collect();
    comparisons.sort_by_key(|comparison| !leads(comparison));
    // Comparisons over several trainings come first, because a single training may be luck.
    let mut out: Vec<String> = evaluation.pooled.iter().rev().map(over_trainings).collect();
    out.extend(comparisons.into_iter().map(finding));
    if out.is_empty() {
        out.push("There is no comparison: the evaluation has fewer than two contestants.".to_owned());
    }
    let tests = evaluation.comparisons.iter().map(|c| c.paired.len()).sum::<usize>();
    if tests > 1 {
        out.push(format!(
            "This page has {tests} such tests, and their p-values are not corrected for multiple testing: \
             without any real difference, one in twenty tests would be significant on average."
        ));
    }
    out.extend(caveats(evaluation));
    out
}

fn over_trainings(pooled: &Pooled) -> String {
    let Pooled { name, against, by_training, difference, wins, losses, p_value: p, .. } = pooled;
    let verdict = if *p < ALPHA { "significant" } else { "not significant" };
    let each: Vec<String> = by_training.iter().map(|&share| percent(share)).collect();
    format!(
        "“{name}” against “{against}” over {} trainings ({}; items with all constraints met): {} points [{}, \
         {}]; better on {wins} items, worse on {losses}. The difference is {verdict} (exact sign test over \
         items, {}).",
        by_training.len(),
        each.join(", "),
        signed(100.0 * difference.value, 1),
        signed(100.0 * difference.low, 1),
        signed(100.0 * difference.high, 1),
        p_value(*p)
    )
}

fn finding(comparison: &Comparison) -> String {
    let Comparison { name, against, .. } = comparison;
    let Some(test) = main_test(comparison) else {
        return format!("There is no test of “{name}” against “{against}”.");
    };
    let Paired { metric, both, wins, losses, neither, difference, p_value: p, needed } = test;
    let items = both.saturating_add(*wins).saturating_add(*losses).saturating_add(*neither);
    let measured = match metric.as_str() {
        "correct" => "scored items".to_owned(),
        metric => format!("items ({})", words(metric)),
    };
    let points = format!(
        "{} points [{}, {}]",
        signed(100.0 * difference.value, 1),
        signed(100.0 * difference.low, 1),
        signed(100.0 * difference.high, 1)
    );
    let p_text = p_value(*p);
    let start = format!(
        "“{name}” against “{against}” on {} {measured}: {points}; {} right only by the first, {} only by the \
         second.",
        count(items as u64),
        count(*wins as u64),
        count(*losses as u64)
    );
    let better = if difference.value > 0.0 { name } else { against };
    let end = if !p.is_finite() {
        "Whether that is more than chance was not tested.".to_owned()
    } else if *p < ALPHA {
        format!("The difference is significant (exact McNemar test, {p_text}): “{better}” is better here.")
    } else {
        let needed = needed.map_or(String::new(), |n| {
            format!(" Showing a difference of this size would take about {} items.", count(n))
        });
        format!(
            "The difference is not significant (exact McNemar test, {p_text}): this evaluation cannot tell \
             the two apart.{needed}"
        )
    };
    format!("{start} {end}")
}

/// Caveats to the numbers above.
fn caveats(evaluation: &Evaluation) -> Vec<String> {
    let mut out = Vec::new();
    if evaluation.suite.contaminated > 0 {
        out.push(format!(
            "{} items were left out because they overlap with a seed of the run.",
            count(evaluation.suite.contaminated as u64)
        ));
    }
    match &evaluation.judge {
        Some(judge) if !judge.trusted => out.push(format!(
            "The judge got only {} of its calibration pairs right in both orders and was not used.",
            share(&judge.calibration_accuracy)
        )),
        Some(judge) if judge.same_family => out.push(format!(
            "The judge is of the same model family as the contestants and may prefer its own style; it got \
             {} of its calibration pairs right in both orders.",
            share(&judge.calibration_accuracy)
        )),
        _ => {}
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comparison(p: f64, needed: Option<u64>) -> Comparison {
        let difference = Estimate { value: 0.05, low: -0.01, high: 0.11, n: 100 };
        let test = Paired {
            metric: "correct".into(),
            both: 40,
            wins: 15,
            losses: 10,
            neither: 35,
            difference,
            p_value: p,
            needed,
        };
        Comparison {
            name: "evolved".into(),
            against: "base".into(),
            paired: vec![test],
            constraints: None,
            held_out_loss: None,
            by_skill: Vec::new(),
            by_difficulty: Vec::new(),
            relative_score: None,
            preference: None,
        }
    }

    #[test]
    fn only_a_test_makes_a_difference_significant() {
        let yes = finding(&comparison(0.01, None));
        assert!(yes.contains("is significant") && yes.contains("“evolved” is better"), "{yes}");
        let no = finding(&comparison(0.4, Some(1234)));
        assert!(no.contains("is not significant") && no.contains("about 1,234 items"), "{no}");
        let unknown = finding(&comparison(f64::NAN, None));
        assert!(unknown.contains("not tested"), "{unknown}");
        assert!(findings(&ReportData::default())[0].contains("No evaluation"));
    }
}
