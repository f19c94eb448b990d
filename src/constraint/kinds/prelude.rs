//! What nearly every file of a kind names.

pub(super) use super::plain_count::plain_count;
pub(super) use crate::constraint::answer::Answer;
pub(super) use crate::constraint::body::{Body, Stage};
pub(super) use crate::constraint::bound::{Bound, Noun};
pub(super) use crate::constraint::error::Error;
pub(super) use crate::constraint::fact::Fact;
pub(super) use crate::constraint::fields::Fields;
pub(super) use crate::constraint::request::{Request, Shape};
pub(super) use crate::constraint::rule::{AnyRule, Check, Definition, Origin, Rule, show};
pub(super) use crate::constraint::text;
pub(super) use rand::Rng;
