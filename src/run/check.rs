//! The sixth stage: runs the adapter in llama.cpp.
//!
//! Where in the flow: after the evaluation. The base answers a few held-out instructions without and with the
//! adapter. This shows that the adapter file works in llama.cpp, and what it changed.
//!
//! **Invariant:** the answers depend only on model, adapter and instructions: sampling is greedy, in one
//! batch.

use super::error::{ErrorContext as _, Result};
use super::host::Context;
use super::summary::CheckedAnswer;
use crate::dataset::{self, Record};
use crate::llm::{Engine, Generate as _, Message, Request, Restriction, Sampling};
use crate::train;
use std::path::Path;

/// Maximum tokens of an answer: enough for an impression.
const MAX_TOKENS: usize = 96;

/// Answers the instructions of `held_out` with the base and with the adapter.
///
/// # Errors
/// llama.cpp cannot load or run the model or the adapter, or the run was interrupted.
pub(super) fn run(
    model: &Path,
    adapter: &Path,
    held_out: &[Record],
    context: Context<'_>,
) -> Result<Vec<CheckedAnswer>> {
    let user_turn = |record: &Record| dataset::user_turn(&record.instruction, &record.input);
    let instructions: Vec<String> = held_out.iter().map(user_turn).collect();
    let base = answer(model, None, &instructions, context)?;
    let adapted = answer(model, Some(adapter), &instructions, context)
        .context(|| format!("llama.cpp cannot run the adapter `{}`", adapter.display()))?;
    Ok(instructions
        .into_iter()
        .zip(base.into_iter().zip(adapted))
        .map(|(instruction, (base, adapted))| CheckedAnswer { instruction, base, adapted })
        .collect())
}

fn answer(
    model: &Path,
    adapter: Option<&Path>,
    instructions: &[String],
    context: Context<'_>,
) -> Result<Vec<String>> {
    // With two sequences, several threads would mostly wait for each other.
    let mut options = Context { threads: 1, ..context }.engine_options(model);
    options.adapter = adapter.map(|path| (path, 1.0));
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
