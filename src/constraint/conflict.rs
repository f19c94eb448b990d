//! Which constraints cannot be asked together, and why.
//!
//! A pair conflicts if no sensible response meets both, if the two checks would disagree about what they look
//! at (sentences in a list), or if they ask for one thing twice. [`RULES`] has the reasons that follow from
//! the facts of the two kinds; a reason that belongs to one kind alone stands in its file
//! ([`Rule::rules_out`](super::rule::Rule::rules_out)). Each is tried both ways round.
//!
//! **Invariant:** symmetric: `conflict(a, b) == conflict(b, a)`.

use super::fact::Fact;
use super::kinds::Constraint;
use super::rule::AnyRule;

/// Why `a` and `b` cannot be asked together, if they cannot.
pub fn conflict(a: &Constraint, b: &Constraint) -> Option<&'static str> {
    let (a, b) = (a.erased(), b.erased());
    let shared = RULES.iter().find(|row| (row.applies)(a, b) || (row.applies)(b, a)).map(|row| row.why);
    shared.or_else(|| a.rule.rules_out(b)).or_else(|| b.rule.rules_out(a))
}

/// Whether `one` can be added to `others`.
pub(super) fn fits<'a>(one: &Constraint, others: impl IntoIterator<Item = &'a Constraint>) -> bool {
    others.into_iter().all(|other| conflict(one, other).is_none())
}

/// Whether no two of them conflict.
pub fn all_compatible(constraints: &[Constraint]) -> bool {
    constraints.iter().enumerate().all(|(at, one)| fits(one, &constraints[..at]))
}

/// A reason that follows from facts.
struct Row {
    why: &'static str,
    applies: fn(AnyRule<'_>, AnyRule<'_>) -> bool,
}

/// In the order in which they are tried: the first that applies is the reason that is given.
const RULES: &[Row] = &[
    Row { why: "both ask for the same kind of thing", applies: repeats },
    Row {
        why: "a JSON response has no room for it",
        applies: |a, b| a.has(Fact::Json) && !b.has(Fact::FitsJson),
    },
    Row { why: "a fixed reply has no room for it", applies: |a, _| a.has(Fact::WholeReply) },
    Row {
        why: "it is unclear whether it holds for each of two answers or for both together",
        applies: |a, b| a.has(Fact::TwoAnswers) && !b.has(Fact::FitsTwoAnswers),
    },
    Row {
        why: "the repeated request counts as part of the response",
        applies: |a, b| a.has(Fact::RepeatsRequest) && !fits_repeated_request(b),
    },
    Row {
        why: "it needs more words than are allowed",
        applies: |a, b| a.rule.least_words() > b.rule.most_words(),
    },
    Row {
        why: "sentences are not well defined in it",
        applies: |a, b| a.has(Fact::Sentences) && b.has(Fact::BreaksProse),
    },
    Row {
        why: "paragraphs are not well defined in it",
        // Another way to count paragraphs breaks the first.
        applies: |a, b| a.has(Fact::Paragraphs) && (b.has(Fact::BreaksProse) || b.has(Fact::Paragraphs)),
    },
    Row { why: "both decide the layout", applies: |a, b| both(a, b, Fact::Layout) },
    Row { why: "both decide how the response begins", applies: |a, b| both(a, b, Fact::DecidesStart) },
    Row { why: "both decide how the response ends", applies: |a, b| both(a, b, Fact::DecidesEnd) },
    Row {
        why: "one is in English and the other is not",
        applies: |a, b| a.has(Fact::Foreign) && b.has(Fact::English),
    },
    Row {
        why: "code has letters of both cases",
        applies: |a, b| a.has(Fact::Code) && b.has(Fact::LetterCase),
    },
];

fn both(a: AnyRule<'_>, b: AnyRule<'_>, fact: Fact) -> bool {
    a.has(fact) && b.has(fact)
}

/// Two of one kind, unless they are about different words, letters, marks or units.
fn repeats(a: AnyRule<'_>, b: AnyRule<'_>) -> bool {
    let differ = matches!((a.rule.subject(), b.rule.subject()), (Some(a), Some(b)) if a != b);
    a.kind.name == b.kind.name && !differ
}

/// Whether the text of a request cannot break it.
fn fits_repeated_request(one: AnyRule<'_>) -> bool {
    let has_no_upper_end = one.rule.bound().is_some_and(|bound| bound.most() == u32::MAX);
    has_no_upper_end || one.has(Fact::FitsRepeatedRequest)
}
