//! Tests of the model: `gradients` (central differences over the whole of it), `passes` (relations between
//! runs that must give the same), `loading` (files that are refused). `tiny` makes the model they use.

mod gradients;
mod loading;
mod passes;
mod tiny;
