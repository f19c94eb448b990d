//! Tests of the model: `cuda` (passes on a GPU against those on the CPU), `gradients` (central differences
//! over the whole of it), `passes` (relations between runs that must give the same), `loading` (files that
//! are refused). `tiny` makes the model they use.

mod cuda;
mod gradients;
mod loading;
mod passes;
mod tiny;
