//! What can be done with one constraint of any kind: read it, say it, check a response against it.
//!
//! **Invariant:** a [`Constraint`] that was read from JSON is valid.
//!
//! **Invariant:** a blank response meets no constraint.

use super::bound::Bound;
use super::error::Error;
use super::fields::{Fields, describe};
use super::kinds::{Constraint, Kind};
use super::rule::Check;
use super::wording::fill;
use serde_json::{Map, Value};

impl TryFrom<Map<String, Value>> for Constraint {
    type Error = Error;

    fn try_from(mut left: Map<String, Value>) -> Result<Self, Error> {
        let name = left.remove("kind").unwrap_or(Value::Null);
        let kind = name.as_str().and_then(Kind::parse);
        let kind = kind.ok_or_else(|| Error::Kind { found: describe(&name), expected: known_kinds() })?;
        let mut fields = Fields::new(kind.name(), left);
        let constraint = kind.read(&mut fields)?;
        fields.finish()?;
        constraint.validate()?;
        Ok(constraint)
    }
}

fn known_kinds() -> String {
    let names: Vec<String> = Kind::ALL.iter().map(|kind| format!("`{}`", kind.name())).collect();
    names.join(", ")
}

impl Constraint {
    /// Whether its parameters make sense: it asks for something, and for something that a text can have.
    ///
    /// # Errors
    ///
    /// The first parameter that does not.
    pub fn validate(&self) -> Result<(), Error> {
        let any = self.erased();
        if let Some(bound) = self.bound() {
            bound.validate(any.kind.name)?;
        }
        any.rule.validate()
    }

    /// The limit, if it is one on a count.
    pub fn bound(&self) -> Option<Bound> {
        self.erased().rule.bound()
    }

    /// The requirement as a sentence (or two) to add to a request. There are as many wordings as
    /// [`Constraint::wordings`] says; a larger index starts again from the first.
    pub fn text(&self, wording: usize) -> String {
        let templates = self.erased().kind.wordings;
        fill(templates[wording % templates.len()], &self.slots(wording))
    }

    /// How many wordings it has.
    pub fn wordings(&self) -> usize {
        self.erased().kind.wordings.len()
    }

    /// The values of the slots in its wordings.
    pub(super) fn slots(&self, wording: usize) -> Vec<(&'static str, String)> {
        let any = self.erased();
        let amount = self.bound().map(|bound| ("amount", bound.in_words(wording, any.kind.noun)));
        amount.into_iter().chain(any.rule.slots()).collect()
    }

    /// Whether the response meets the constraint, as it stands.
    pub fn check(&self, response: &str) -> Check {
        if response.trim().is_empty() {
            return Check::new(false, "found an empty response");
        }
        self.erased().rule.check(response)
    }

    /// Like [`Constraint::check`], but forgives what models put around an answer: also passes when the
    /// response does without its first line, its last line or both, and without asterisks, in every
    /// combination.
    ///
    /// Source: the loose accuracy of `IFEval`, section 2.2.
    pub fn check_loose(&self, response: &str) -> Check {
        let strict = self.check(response);
        if strict.passed {
            return strict;
        }
        for variant in variants(response) {
            let check = self.check(&variant);
            if check.passed {
                return Check::new(true, format!("{} (loosely)", check.found));
            }
        }
        strict
    }
}

/// The seven other forms of a response that the loose check accepts.
fn variants(response: &str) -> impl Iterator<Item = String> {
    let after_first = response.split_once('\n').map_or("", |(_, rest)| rest);
    let before_last = response.rsplit_once('\n').map_or("", |(rest, _)| rest);
    let middle = after_first.rsplit_once('\n').map_or("", |(rest, _)| rest);
    let shorter = [after_first, before_last, middle].map(str::trim);
    let plain = [response, shorter[0], shorter[1], shorter[2]].map(|variant| variant.replace('*', ""));
    shorter.map(str::to_owned).into_iter().chain(plain)
}
