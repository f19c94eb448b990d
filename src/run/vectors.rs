//! Embeds instructions with the hidden states of a model.
//!
//! Where in the flow: for the clusters of `evol stats` and the map of the report.
//!
//! **Invariant:** a vector depends only on its instruction and the model.

use super::error::Result;
use super::host::Context;
use crate::dataset::{self, Record};
use crate::llm::{Engine, Part, Prompt};
use std::collections::BTreeMap;
use std::path::Path;

/// The vectors of `records` by id. An instruction that does not fit into the model's context has none.
///
/// # Errors
/// The model is unusable, or the command was interrupted.
pub fn vectors(model: &Path, records: &[Record], context: Context<'_>) -> Result<BTreeMap<u64, Vec<f32>>> {
    let mut engine = Engine::load(context.engine_options(model))?;
    let prompt = |record: &Record| {
        let text = dataset::user_turn(&record.instruction, &record.input);
        Prompt { parts: vec![Part { text, special: false }], shared: 0 }
    };
    let prompts: Vec<Prompt> = records.iter().map(prompt).collect();
    let vectors = engine.embed(&prompts)?;
    let ids = records.iter().map(|record| record.id);
    Ok(ids.zip(vectors).filter_map(|(id, vector)| Some((id, vector?))).collect())
}
