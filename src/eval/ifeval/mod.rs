//! `IFEval`'s instructions, with the verdicts of the reference implementation.
//!
//! `IFEval` (Zhou et al. 2023, arXiv:2311.07911) asks a model to follow instructions that code can check.
//! What a number means depends on the checks, so these are not the project's own constraints
//! (`crate::constraint`, which read an instruction as a person would) but those whose numbers are published:
//! `lm_eval/tasks/ifeval`. Behaviour was measured against lm-eval 0.4.13 with NLTK 3.10.4 and langdetect
//! 1.0.9, oddities included; `tests/oracle/ifeval_cases.py` made the cases that the tests demand agreement
//! on.
//!
//! In reading order: `arguments` reads what a row says, `registry` turns it into a rule of one of the
//! families (`length`, `keywords`, `format`, `content`, `case`, `language`), which stand on what the
//! reference takes from Python and its packages (`python`, `pattern`, `json`, `punkt`, `treebank`).
//!
//! **Invariant:** pure functions of row and response: no clock, no random draw; no response makes any of them
//! panic.

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

/// One instruction of a row: what is asked of the response.
#[derive(Debug, Clone)]
pub struct IfevalInstruction {
    id: &'static str,
    rule: registry::Rule,
}

impl IfevalInstruction {
    /// Reads one entry of `instruction_id_list` with its entry of `kwargs`. Arguments that are null, zero or
    /// empty count as absent, as in the reference.
    ///
    /// # Errors
    ///
    /// Where the id is not registered, and where an argument is absent, unknown or of no use. The reference
    /// draws a random value in place of an absent one, so no verdict on such a row could be repeated.
    pub fn parse(id: &str, kwargs: &Map<String, Value>) -> Result<Self, Error> {
        registry::parse(id, kwargs).map(|(id, rule)| Self { id, rule })
    }

    /// The id, such as `punctuation:no_comma`.
    pub fn id(&self) -> &'static str {
        self.id
    }

    /// Whether the response follows the instruction to the letter (`strict`). A blank one follows none.
    pub fn follows(&self, response: &str) -> bool {
        !python::strip(response).is_empty() && self.rule.follows(response)
    }

    /// Whether the response or a variant of it follows the instruction (`loose`): without its first line, its
    /// last or both, which are often "Sure, here it is" and the like, and each of these without asterisks.
    pub fn follows_loosely(&self, response: &str) -> bool {
        variants(response).iter().any(|variant| self.follows(variant))
    }
}

/// The eight texts that the loose rule tries. The whole response keeps the blanks around it, the others lose
/// them.
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
