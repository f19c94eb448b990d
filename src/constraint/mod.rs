//! Constraints on an answer that code can check: at most 60 words, three bullet points, no commas.
//!
//! Where in the flow: `evolve` adds them to instructions, whose answers are then checked instead of trusted,
//! and an evaluation counts how many a model follows. A constraint is a value of [`Constraint`], stored as
//! JSON beside the instruction that it was added to.
//!
//! - [`Constraint::text`] says it, in wordings of our own.
//! - [`Constraint::check`] checks a response and says what was found; [`Constraint::check_loose`] forgives an
//!   opening line, a closing line and emphasis.
//! - [`draw()`] chooses constraints that suit a request; [`derive()`] finds some that a response meets
//!   already; [`impose()`] gives a response the form that some ask for.
//! - [`suits()`] says whether one goes with a request; [`without()`] takes constraints out of a request
//!   again.
//! - [`conflict()`] says why two cannot be asked together.
//!
//! Each kind of constraint has one home, a file of [`kinds`], which also has the list of all; every function
//! above goes through that list. From low to high: how texts are read (`text`, `sentence`, `language`), what
//! a kind can be (`rule`, `fact`), requests and responses as kinds see them (`request`, `response`, `body`),
//! the kinds, and what is done with all of them.
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

mod body;
mod bound;
mod conflict;
mod derive;
mod draw;
mod error;
mod fact;
mod fields;
mod impose;
mod instance;
pub mod kinds;
mod language;
mod named;
mod pick;
mod request;
mod response;
mod rule;
mod sentence;
mod suit;
mod text;
mod wording;

pub use bound::Bound;
pub use conflict::{all_compatible, conflict};
pub use derive::derive;
pub use draw::draw;
pub use error::Error;
pub use impose::{impose, whole_sentences};
pub use kinds::{Constraint, Kind};
pub use language::Language;
pub use request::{Shape, language_of_request};
pub use rule::Check;
pub use suit::{suits, without};

#[cfg(test)]
mod tests;
