//! Tests of the pure parts, and of the loop on a tiny model whose token rows are made by hand.

#![expect(clippy::float_cmp, reason = "equality to the last bit is what is promised")]

mod cuda;
mod fixture;
mod options;
mod pure;
mod ranks;
mod resume;
mod steps;
