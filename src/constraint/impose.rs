//! Giving a response the form that constraints ask for.
//!
//! A small model never writes a table just because it is asked to. Sampling finds no answer with one, so
//! there is nothing to learn from. Code can still put what the model says into a table: the words stay the
//! model's. [`impose()`] chooses constraints whose form code can give, gives it, and keeps those that hold
//! afterwards.
//!
//! The stages follow a writer's order: which sentences are said, how they are laid out, what is emphasised,
//! how the text begins and ends, and what goes around all of it.
//!
//! **Invariant:** what is returned passes every constraint, including those that the request had.
//!
//! **Invariant:** words come from the response and the request, except JSON keys, table headers, markers, and
//! the phrases that a constraint spells out.
//!
//! **Invariant:** the answer is never lost: what a response says first, all of a list, and every line of a
//! calculation, a rewriting or a program.

use super::body::{Body, Stage};
use super::draw::{draw_from, suitable};
use super::fact::Fact;
use super::kinds::{Constraint, Kind};
use super::request::{Request, Shape};
use super::rule::AnyRule;
use super::{sentence, text};

/// Up to `count` constraints on the form of `response`, and the response in that form. `have` are those that
/// the request states already; they are imposed too where they do not hold. `None`: no form could be given.
pub fn impose(
    seed: u64,
    ids: &[u64],
    request: &str,
    response: &str,
    have: &[Constraint],
    count: usize,
) -> Option<(String, Vec<Constraint>)> {
    let mut wanted = have.to_vec();
    let mut formed = None;
    // One at a time: a form that cannot be given, or that breaks another, is left out.
    let drawn = draw_from(kinds, (seed, ids), request, have, count, |candidate, drawn| {
        wanted.truncate(have.len());
        wanted.extend_from_slice(drawn);
        wanted.push(candidate.clone());
        let with_it = form(request, response, &wanted);
        let fits = with_it.is_some();
        formed = with_it.or(formed.take());
        fits
    });
    Some((formed?, drawn))
}

/// The kinds that are tried. Some go with any answer that says several things, but only in some amounts, so
/// they are tried more often.
fn kinds(request: &Request<'_>) -> Vec<Kind> {
    let mut kinds = suitable(request);
    kinds.retain(|kind| !kind.definition().stages.is_empty());
    if !kinds.is_empty() && request.is_free() {
        let is_often = |kind: &Kind| kind.definition().facts.contains(&Fact::ImposedOften);
        let often: Vec<Kind> = Kind::ALL.iter().copied().filter(is_often).collect();
        kinds.extend(often.repeat(2));
    }
    kinds
}

/// The text up to the end of its last whole sentence: the usable part of a response that was cut off. Empty
/// if it was cut off within code.
pub fn whole_sentences(text: &str) -> &str {
    let end = sentence::last_end(text).unwrap_or(0);
    let whole = &text[..end];
    let fences = whole.lines().filter(|line| line.trim_start().starts_with("```")).count();
    if fences % 2 == 0 { whole } else { "" }
}

/// The response in the form that all `constraints` ask for, if code can give it.
pub(super) fn form(request: &str, response: &str, constraints: &[Constraint]) -> Option<String> {
    // A response without bullet points passes "at most three", but nobody would say that it has the form.
    let shows = |constraint: &Constraint, text: &str| {
        constraint.check(text).passed && constraint.erased().rule.count(text) != Some(0)
    };
    let holds = |text: &str| constraints.iter().all(|constraint| shows(constraint, text));
    let response = response.trim();
    text::words(response).next()?;
    if holds(response) {
        return Some(response.to_owned());
    }
    let lacks = constraints.iter().filter(|constraint| !shows(constraint, response));
    let lacks: Vec<AnyRule<'_>> = lacks.map(Constraint::erased).collect();
    let request = &Request::new(request);
    let mut body = Body::new(request, response);
    if let Some(reply) = lacks.iter().find(|one| one.kind.stages.contains(&Stage::Reply)) {
        reply.rule.impose(Stage::Reply, &mut body)?;
        return Some(body.text);
    }
    // The lines of a program stay as they are.
    let has_code = request.shape == Shape::Code || !text::Layout::of(response).code.is_empty();
    if has_code && !lacks.iter().all(|one| one.kind.stages == [Stage::Frame]) {
        return None;
    }
    for stage in [Stage::Select, Stage::LayOut, Stage::Emphasise, Stage::Frame, Stage::Wrap] {
        let mut due = lacks.iter().filter(|one| one.kind.stages.contains(&stage));
        due.try_for_each(|one| one.rule.impose(stage, &mut body))?;
    }
    // All of them are checked again: a form may have broken what held before.
    holds(&body.text).then_some(body.text)
}
