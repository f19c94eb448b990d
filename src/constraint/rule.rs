//! What a file in `kinds` has to say about its kind.
//!
//! A kind is a struct with the parameters of one constraint. It has a [`Definition`] (what holds for every
//! constraint of the kind), implements [`Rule`] (what one constraint does) and [`Origin`] (how one is read
//! from JSON, drawn for a request, derived from a response). Only `kinds/mod.rs`
//! lists the kinds.
//!
//! **Invariant:** this file names no kind.

use super::body::{Body, Stage};
use super::bound::{Bound, Noun, TIMES};
use super::error::Error;
use super::fact::Fact;
use super::fields::Fields;
use super::request::Request;
use super::response::Response;
use rand::Rng;

/// What holds for every constraint of a kind.
pub(super) struct Definition {
    /// The name in JSON. Stored data: it never changes.
    pub(super) name: &'static str,
    /// What a constraint of this kind counts, if it counts.
    pub(super) noun: Noun,
    /// Sentences with a slot for each parameter, see `wording`. Three or more.
    pub(super) wordings: &'static [&'static str],
    /// What other kinds, and requests, need to know about this kind.
    pub(super) facts: &'static [Fact],
    /// Whether the request itself already decides what a constraint of this kind would decide.
    pub(super) decided: fn(&Request<'_>) -> bool,
    /// The position in the list of kinds that is shuffled for a request; `None`: not in the list. It decides
    /// what a seed draws, so it never changes; a new kind takes a new rank at the end.
    pub(super) rank: fn(&Request<'_>) -> Option<u8>,
    /// The position among the kinds that are derived from a response. It never changes either.
    pub(super) derive_rank: u8,
    /// The stages at which code gives a response the form that the kind asks for. Empty: it cannot.
    pub(super) stages: &'static [Stage],
}

impl Definition {
    /// A kind that counts nothing, is not drawn and has no facts. Name and wordings have to be filled in.
    pub(super) const BASE: Self = Self {
        name: "",
        noun: TIMES,
        wordings: &[],
        facts: &[],
        decided: |_| false,
        rank: |_| None,
        derive_rank: u8::MAX,
        stages: &[],
    };

    /// Whether a constraint of this kind can be added to the request: it fits the answer that is wanted, and
    /// the request does not decide the same thing itself.
    pub(super) fn suits(&self, request: &Request<'_>) -> bool {
        request.allows(self.facts) && !(self.decided)(request)
    }
}

/// What one constraint of a kind asks for, and what it does.
pub(super) trait Rule {
    /// Whether the response, which is not blank, meets it, and what was found.
    fn check(&self, response: &str) -> Check;

    /// The limit, if it is one on a count.
    fn bound(&self) -> Option<Bound> {
        None
    }

    /// How many of what it counts a response has; `None` if it counts nothing.
    fn count(&self, _response: &str) -> Option<usize> {
        None
    }

    /// The values of the slots in its wordings, besides `amount`, which is the bound in words.
    fn slots(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// Whether its parameters, besides the bound, ask for something that a text can have.
    ///
    /// # Errors
    ///
    /// The first parameter that does not.
    fn validate(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Whether these parameters make an exception to a fact of the kind.
    fn is_exempt(&self, _fact: Fact) -> bool {
        false
    }

    /// The word, letter, mark or unit that it is about, for kinds of which several constraints may be asked
    /// together if they are about different ones.
    fn subject(&self) -> Option<String> {
        None
    }

    /// Words that a response which meets it has at least: rough, and on the low side.
    fn least_words(&self) -> usize {
        0
    }

    /// Words that a response which meets it has at most.
    fn most_words(&self) -> usize {
        usize::MAX
    }

    /// Sentences that a response which meets it has at most.
    fn most_sentences(&self) -> usize {
        usize::MAX
    }

    /// The words that must stand in a response as they are.
    fn fixed_texts(&self) -> Vec<&str> {
        Vec::new()
    }

    /// Why `other` cannot be asked together with this one, for a reason that belongs to this kind. Reasons
    /// that follow from [`Fact`]s stand in `conflict`.
    fn rules_out(&self, _other: AnyRule<'_>) -> Option<&'static str> {
        None
    }

    /// Whether a phrase that it quotes is more than a fragment of a sentence.
    fn is_whole(&self) -> bool {
        true
    }

    /// Does what one of the stages of its kind has to do. `None`: the form cannot be given.
    fn impose(&self, _stage: Stage, _body: &mut Body<'_>) -> Option<()> {
        None
    }
}

/// Where constraints of a kind come from.
pub(super) trait Origin: Rule + Sized {
    /// What holds for all constraints of the kind.
    const KIND: Definition;

    /// Takes the parameters out of a JSON object.
    ///
    /// # Errors
    ///
    /// The first field that is missing or of the wrong type.
    fn read(fields: &mut Fields) -> Result<Self, Error>;

    /// A constraint with parameters that a small model can meet in a short text; `None` if the request has
    /// nothing to make it from.
    fn draw(request: &Request<'_>, rng: &mut dyn Rng) -> Option<Self>;

    /// What could be said about a response. What does not hold, or conflicts, is dropped by the caller, so a
    /// rule here may be rough.
    fn derive(_response: &Response<'_>, _rng: &mut dyn Rng) -> Option<Self> {
        None
    }

    /// As [`Origin::derive`], for kinds that may say several things about one response.
    fn derive_all(response: &Response<'_>, rng: &mut dyn Rng) -> Vec<Self> {
        Self::derive(response, rng).into_iter().collect()
    }
}

/// A constraint of any kind, with the definition of its kind.
#[derive(Clone, Copy)]
pub(super) struct AnyRule<'a> {
    pub(super) kind: &'static Definition,
    pub(super) rule: &'a dyn Rule,
}

impl AnyRule<'_> {
    pub(super) fn has(&self, fact: Fact) -> bool {
        self.kind.facts.contains(&fact) && !self.rule.is_exempt(fact)
    }

    pub(super) fn is<R: Origin>(&self) -> bool {
        self.kind.name == R::KIND.name
    }
}

/// The verdict on a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Whether the response meets the constraint.
    pub passed: bool,
    /// What was found, and what was expected where that is not the same.
    pub found: String,
}

impl Check {
    pub(super) fn new(passed: bool, found: impl Into<String>) -> Self {
        Self { passed, found: found.into() }
    }

    /// The verdict on a count.
    pub(super) fn counted(count: usize, bound: Bound, noun: Noun) -> Self {
        let found = noun.amount(count as u64);
        Self::new(bound.holds(count), format!("found {found}, expected {}", bound.in_words(0, noun)))
    }
}

/// Characters of a passage that a message shows.
pub(super) const SHOWN: usize = 60;

/// A passage as a message shows it.
pub(super) fn show(passage: &str) -> String {
    let line = passage.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SHOWN) {
        None => format!("`{line}`"),
        Some((at, _)) => format!("`{}…`", &line[..at]),
    }
}
