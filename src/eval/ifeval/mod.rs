//! The instructions of `IFEval`, with the verdicts of its reference implementation.
//!
//! `IFEval` (Zhou et al. 2023, arXiv:2311.07911) measures whether a model follows instructions that code can
//! check. Scores are comparable only if the checks are the same. These checks therefore differ from the
//! project's own constraints (`crate::constraint`, which read an instruction as a person would) and reproduce
//! the implementation that published scores come from, `lm_eval/tasks/ifeval`, including its oddities. The
//! behaviour was measured against lm-eval 0.4.13 with NLTK 3.10.4 and langdetect 1.0.9;
//! `tests/oracle/ifeval_cases.py` generated the test cases.
//!
//! In reading order: `arguments` reads the arguments of an instruction and `registry` turns it into a rule of
//! one of the families `length`, `keywords`, `format`, `content`, `case` and `language`. These rely on ports
//! of what the reference uses from Python and its packages: `python`, `pattern`, `json`, `punkt`, `treebank`.
//!
//! **Invariant:** all checks are pure functions of row and response, and no response makes any of them panic.

mod arguments;
mod case;
mod content;
mod error;
mod format;
mod json;
mod keywords;
mod language;
mod length;
mod pattern;
mod punkt;
mod python;
mod registry;
mod treebank;

#[cfg(test)]
mod tests;

pub use error::Error;

use serde_json::{Map, Value};

/// One instruction of a row: a check of the response.
#[derive(Debug, Clone)]
pub struct IfevalInstruction {
    id: &'static str,
    rule: registry::Rule,
}

impl IfevalInstruction {
    /// Parses one entry of `instruction_id_list` with its entry of `kwargs`. Arguments that are null, zero or
    /// empty count as absent, as in the reference.
    ///
    /// # Errors
    ///
    /// The id is not registered, or an argument is absent, unknown or unusable. The reference draws a random
    /// value for an absent argument, so a verdict on such a row would not be reproducible.
    pub fn parse(id: &str, kwargs: &Map<String, Value>) -> Result<Self, Error> {
        registry::parse(id, kwargs).map(|(id, rule)| Self { id, rule })
    }

    /// The id, such as `punctuation:no_comma`.
    pub fn id(&self) -> &'static str {
        self.id
    }

    /// Whether the unchanged response follows the instruction (`strict`). A blank response follows none.
    pub fn follows(&self, response: &str) -> bool {
        !python::strip(response).is_empty() && self.rule.follows(response)
    }

    /// Whether the response or a variant of it follows the instruction (`loose`). The variants leave out the
    /// first line, the last line or both, which are often a phrase such as "Sure, here it is", and the
    /// asterisks.
    pub fn follows_loosely(&self, response: &str) -> bool {
        variants(response).iter().any(|variant| self.follows(variant))
    }
}

/// The eight texts that the loose rule tries. As in the reference, only the whole response keeps surrounding
/// white space.
fn variants(response: &str) -> Vec<String> {
    let lines: Vec<&str> = response.split('\n').collect();
    let last = lines.len() - 1;
    let part = |range: std::ops::Range<usize>| {
        let kept = lines.get(range).unwrap_or_default().join("\n");
        python::strip(&kept).to_owned()
    };
    let whole = [response.to_owned(), part(1..lines.len()), part(0..last), part(1..last)];
    let bare: Vec<String> = whole.iter().map(|text| text.replace('*', "")).collect();
    whole.into_iter().chain(bare).collect()
}
