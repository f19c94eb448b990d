//! Choosing constraints for a request.
//!
//! The shape of the request decides which kinds suit it; the stream for its key decides in which order they
//! are tried and with which parameters. A kind is left out if the request decides the same thing itself or if
//! it conflicts with a constraint that is already there.
//!
//! **Invariant:** a function of (seed, ids, request, constraints that it has, count).
//!
//! **Invariant:** what is drawn is valid and conflicts neither with itself nor with what the request has.

use super::conflict::fits;
use super::kinds::{Constraint, Kind};
use super::request::{Request, Shape};
use crate::rng;
use rand::seq::SliceRandom;

/// Up to `count` constraints that suit `request`, which has `have` already; fewer if no more fit. `ids` say
/// what they are drawn for: node, round, attempt.
pub fn draw(seed: u64, ids: &[u64], request: &str, have: &[Constraint], count: usize) -> Vec<Constraint> {
    draw_from(suitable, (seed, ids), request, have, count, |_, _| true)
}

/// Draws as [`draw`] does, but from `kinds` (a kind that is listed twice is twice as likely). Keeps a
/// candidate if `accept` is true of it and of what was drawn before it.
pub(super) fn draw_from(
    kinds: impl Fn(&Request<'_>) -> Vec<Kind>,
    (seed, ids): (u64, &[u64]),
    request: &str,
    have: &[Constraint],
    count: usize,
    mut accept: impl FnMut(&Constraint, &[Constraint]) -> bool,
) -> Vec<Constraint> {
    let request = &Request::new(request);
    let mut rng = rng::stream(seed, "constraint.draw", ids);
    let mut kinds = kinds(request);
    kinds.shuffle(&mut rng);
    let mut drawn: Vec<Constraint> = Vec::new();
    for kind in kinds {
        if drawn.len() == count {
            break;
        }
        if !kind.definition().suits(request) {
            continue;
        }
        let Some(constraint) = kind.draw(request, &mut rng) else { continue };
        let fits = constraint.validate().is_ok() && fits(&constraint, have.iter().chain(&drawn));
        if fits && accept(&constraint, &drawn) {
            drawn.push(constraint);
        }
    }
    drawn
}

/// The kinds that go with the answer that the request wants, by rank. None for a request that is not in
/// English: a sentence in another language would be a hint at the wrong one.
pub(super) fn suitable(request: &Request<'_>) -> Vec<Kind> {
    if request.is_foreign || request.shape == Shape::Fixed {
        return Vec::new();
    }
    let rank = |&kind: &Kind| Some(((kind.definition().rank)(request)?, kind));
    let mut ranked: Vec<(u8, Kind)> = Kind::ALL.iter().filter_map(rank).collect();
    ranked.sort_by_key(|&(rank, _)| rank);
    ranked.into_iter().map(|(_, kind)| kind).collect()
}
