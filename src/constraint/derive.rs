//! Finding constraints that a response already meets.
//!
//! A small model meets few of the constraints it is given, but every response meets many that nobody asked
//! for. Stating some of them gives an instruction with a right answer by construction. They are measured,
//! then worded as a request: a range around the real length, words that occur, marks that do not.
//!
//! **Invariant:** everything that is returned passes `check` on the response and conflicts with nothing.

use super::conflict::fits;
use super::kinds::{Constraint, Kind};
use super::request::Request;
use super::response::Response;
use crate::rng;
use rand::Rng;
use rand::seq::SliceRandom;

/// Up to `count` constraints that `response` to `request` meets; fewer if it meets no more. `have` are
/// those that the request states already, `ids` say what they are derived for.
pub fn derive(
    seed: u64,
    ids: &[u64],
    request: &str,
    response: &str,
    have: &[Constraint],
    count: usize,
) -> Vec<Constraint> {
    let request = &Request::new(request);
    let mut rng = rng::stream(seed, "constraint.derive", ids);
    let mut candidates = candidates(&Response::new(request, response), &mut rng);
    candidates.shuffle(&mut rng);
    let mut derived: Vec<Constraint> = Vec::new();
    for candidate in candidates {
        if derived.len() == count {
            break;
        }
        if candidate.erased().kind.suits(request)
            && fits(&candidate, have.iter().chain(&derived))
            && candidate.validate().is_ok()
            && candidate.check(response).passed
        {
            derived.push(candidate);
        }
    }
    derived
}

/// What the kinds say about a response, by rank. What does not hold, or conflicts, is dropped by the caller.
fn candidates(response: &Response<'_>, rng: &mut dyn Rng) -> Vec<Constraint> {
    let mut kinds = Kind::ALL.to_vec();
    kinds.sort_by_key(|kind| kind.definition().derive_rank);
    kinds.into_iter().flat_map(|kind| kind.derive(response, rng)).collect()
}
