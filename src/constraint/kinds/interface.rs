//! What a kind is written against: the types and traits that nearly every file of a kind names.
//!
//! Where in the flow: imported by each file of this folder.
//!
//! **Invariant:** names only; nothing is defined here.

pub(super) use super::plain_count::plain_count;
pub(super) use crate::constraint::body::{Body, Stage};
pub(super) use crate::constraint::bound::{Bound, Noun};
pub(super) use crate::constraint::error::Error;
pub(super) use crate::constraint::fact::Fact;
pub(super) use crate::constraint::fields::Fields;
pub(super) use crate::constraint::request::{Request, Shape};
pub(super) use crate::constraint::response::Response;
pub(super) use crate::constraint::rule::{AnyRule, Check, Definition, Origin, Rule, show};
pub(super) use crate::constraint::text;
pub(super) use rand::Rng;
