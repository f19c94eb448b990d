//! The section on the evaluation, as charts and tables.
//!
//! Where in the flow: rendered from the evaluation alone; the responses are in the examples.
//!
//! **Invariant:** an estimate is never shown without its interval, in tables or charts.
//! **Invariant:** a contestant has the same colour and marker in all charts.

mod charts;
mod tables;

use super::chart::missing;
use super::data::ReportData;
use super::table::facts;
use super::text::{count, escape};
use crate::eval::result::Evaluation;

/// Renders the section.
pub(super) fn html(data: &ReportData) -> String {
    let Some(evaluation) = &data.evaluation else {
        return missing("Evaluation.", "none was run");
    };
    if evaluation.contestants.is_empty() {
        return missing("Evaluation.", "it has no contestants");
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
            charts::slices(evaluation, charts::Grouping::Difficulty),
            charts::slices(evaluation, charts::Grouping::Constraint),
            charts::slices(evaluation, charts::Grouping::Skill)
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
        pair("with a single right answer", number(suite.exact)),
        pair("multiple choice", number(suite.choice)),
        pair("left out (overlap with a seed)", number(suite.contaminated)),
        pair("generation", format!("{sampling}, at most {} tokens", number(evaluation.max_tokens))),
        pair("seed", evaluation.seed.to_string()),
        pair("suite SHA-256", format!("<code>{}</code>", escape(&suite.sha256))),
        pair("model SHA-256", format!("<code>{}</code>", escape(&evaluation.model_sha256))),
    ])
}
