//! Constraints on an answer that code can check: at most 60 words, three bullet points, no commas.
//!
//! Where in the flow: `evolve` adds them to instructions, whose answers are then checked instead of trusted,
//! and an evaluation counts how many a model follows. A constraint is a value of [`Constraint`], stored as
//! JSON beside the instruction that it was added to.
//!
//! - [`Constraint::text`] says it, in wordings of our own.
//! - [`Constraint::check`] looks at a response and says what it found; [`Constraint::check_loose`] forgives
//!   an opening line, a closing line and emphasis.
//! - [`draw()`] chooses constraints that suit a request; [`derive()`] finds some that a response meets
//!   already; [`impose()`] gives a response the form that some ask for.
//! - [`suits()`] says whether one goes with a request; [`without()`] takes constraints out of a request
//!   again.
//! - [`conflict()`] says why two cannot be asked together.
//!
//! Source of the idea and of 26 of the kinds: `IFEval` (Zhou et al. 2023, arXiv:2311.07911).
//! `docs/constraints.md` lists where our reading differs from its code, and why.
//!
//! **Invariant:** everything here is a function of its arguments; no clock, no files, no model.
//!
//! **Invariant:** no response and no request makes any of it panic.
//!
//! **Invariant:** a [`Constraint`] that was read from JSON is valid, and what [`draw()`], [`derive()`] and
//! [`impose()`] return is valid and free of conflicts.

mod bound;
mod check;
mod conflict;
mod derive;
mod draw;
mod error;
mod impose;
mod kind;
mod named;
mod parent;
mod parse;
mod sentence;
mod suit;
mod text;
mod vocabulary;
mod wording;

pub use bound::Bound;
pub use check::Check;
pub use conflict::{all_compatible, conflict};
pub use derive::derive;
pub use draw::draw;
pub use error::Error;
pub use impose::{impose, whole_sentences};
pub use kind::{Constraint, Kind};
pub use suit::{suits, without};
pub use vocabulary::{Language, Mark, Postscript, Unit};

#[cfg(test)]
mod impose_tests;
#[cfg(test)]
mod tests;
