//! Section: what the evaluation found, as charts and tables.
//!
//! Where in the flow: from `eval.json` alone; the responses behind it are in the examples.
//!
//! **Invariant:** an estimate is never shown without its interval, in a table or in a chart.
//! **Invariant:** a contestant has one colour and one marker in all charts.

mod charts;
mod tables;

use super::chart::missing;
use super::data::ReportData;
use super::table::facts;
use super::text::{count, escape};
use crate::eval::result::Evaluation;

/// The section.
pub(super) fn html(data: &ReportData) -> String {
    let Some(evaluation) = &data.evaluation else {
        return missing("The evaluation.", "none was run");
    };
    if evaluation.contestants.is_empty() {
        return missing("The evaluation.", "it has no contestants");
    }
    [
        suite(evaluation),
        format!(
            "<div class=\"charts\"><div class=\"stack\">{}{}</div>{}</div>\n",
            charts::rates(evaluation),
            charts::outcomes(evaluation),
            charts::differences(evaluation)
        ),
        tables::rates(evaluation),
        tables::tests(evaluation),
        tables::preferences(evaluation),
        tables::judge(evaluation),
        "<h3>By difficulty, skill and kind of constraint</h3>\n".to_owned(),
        format!(
            "<div class=\"charts\"><div class=\"stack\">{}{}</div>{}</div>\n",
            charts::slices(evaluation, charts::Kind::Difficulty),
            charts::slices(evaluation, charts::Kind::Constraint),
            charts::slices(evaluation, charts::Kind::Skill)
        ),
        tables::slices(evaluation),
        tables::outcomes(evaluation),
        tables::relative(evaluation),
    ]
    .concat()
}

fn suite(evaluation: &Evaluation) -> String {
    let suite = &evaluation.suite;
    let number = |n: usize| count(n as u64);
    let pair = |name: &str, value: String| (name.to_owned(), value);
    let sampling = if evaluation.temperature == 0.0 {
        "greedy".to_owned()
    } else {
        format!("temperature {}", evaluation.temperature)
    };
    facts(&[
        pair("suite", escape(&suite.name)),
        pair("items", number(suite.items)),
        pair(
            "with constraints",
            format!("{} ({} constraints)", number(suite.verifiable), number(suite.constraints)),
        ),
        pair("with one right answer", number(suite.exact)),
        pair("with choices", number(suite.choice)),
        pair("left out, as they repeat a seed", number(suite.contaminated)),
        pair("generation", format!("{sampling}, at most {} tokens", number(evaluation.max_tokens))),
        pair("seed", evaluation.seed.to_string()),
        pair("suite, SHA-256", format!("<code>{}</code>", escape(&suite.sha256))),
        pair("model, SHA-256", format!("<code>{}</code>", escape(&evaluation.model_sha256))),
    ])
}
