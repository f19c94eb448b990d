//! The last stage: llama.cpp runs the result.
//!
//! Loads the base alone and then with the adapter, and has both answer the same held-out instructions, so
//! that a reader sees that the adapter file works where it will be used, and what it changed.
//!
//! **Invariant:** greedy and in one batch: the texts are a function of model, adapter and instructions.

use super::Experiment;
use super::summary::CheckedAnswer;
use crate::cli::error::{Context as _, Result};
use crate::dataset;
use crate::llm::{Engine, EngineOptions, Generate as _, Message, Request, Restriction, Sampling};
use crate::store::Store;
use crate::train::{self, TrainSummary};
use std::path::Path;
use std::sync::Arc;

/// Instructions that are answered.
const INSTRUCTIONS: usize = 2;

/// Enough to see what an answer is like.
const MAX_TOKENS: usize = 96;

/// Answers held-out instructions with the base and with the adapter.
///
/// # Errors
/// llama.cpp cannot load or run the model or the adapter, or the run was interrupted.
pub(super) fn run(
    experiment: &Experiment<'_>,
    store: &Store,
    trained: &TrainSummary,
) -> Result<Vec<CheckedAnswer>> {
    let records = experiment.held_out(store)?;
    let instructions: Vec<String> = records
        .iter()
        .take(INSTRUCTIONS)
        .map(|record| dataset::user_turn(&record.instruction, &record.input))
        .collect();
    let base = answer(experiment, None, &instructions)?;
    let adapted = answer(experiment, Some(&trained.adapter_gguf), &instructions)
        .context(|| format!("llama.cpp cannot run the adapter `{}`", trained.adapter_gguf.display()))?;
    let pairs = base.into_iter().zip(adapted);
    Ok(instructions
        .into_iter()
        .zip(pairs)
        .map(|(instruction, (base, adapted))| CheckedAnswer { instruction, base, adapted })
        .collect())
}

fn answer(
    experiment: &Experiment<'_>,
    adapter: Option<&Path>,
    instructions: &[String],
) -> Result<Vec<String>> {
    // Two sequences are too few for a core each, and several threads on one batch wait for each other
    // whenever another program takes a core.
    let mut options = EngineOptions::new(&experiment.model, 1);
    options.adapter = adapter.map(|path| (path, 1.0));
    options.interrupt = Arc::clone(experiment.session.interrupt.flag());
    let mut engine = Engine::load(options)?;
    let mut requests = Vec::new();
    for (id, instruction) in instructions.iter().enumerate() {
        let turn = Message { role: "user".to_owned(), content: instruction.clone() };
        let prompt = engine.chat_prompt(&[turn], 0).ok_or(train::Error::NoTemplate)??;
        requests.push(Request {
            id: id as u64,
            prompt,
            sampling: GREEDY,
            stop: Vec::new(),
            max_tokens: MAX_TOKENS,
            key: 0,
            sample: 0,
            restriction: Restriction::None,
        });
    }
    Ok(engine.generate(&requests)?.into_iter().map(|completion| completion.text.trim().to_owned()).collect())
}

const GREEDY: Sampling = Sampling {
    temperature: 0.0,
    top_k: 0,
    top_p: 1.0,
    min_p: 0.0,
    repetition_penalty: 1.0,
    frequency_penalty: 0.0,
    presence_penalty: 0.0,
};
