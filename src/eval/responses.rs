//! Generates a contestant's responses to the items of a suite.
//!
//! Where in the flow: between the suite and `measure`. For multiple-choice items no text is generated: the
//! response is the choice with the highest log-likelihood per byte (`acc_norm` of lm-evaluation-harness).
//!
//! **Invariant:** all contestants get the same prompts and the same sampling noise, so they differ only by
//! their weights.
//! **Invariant:** under `Determinism::Exact` a response depends only on model, adapter, item and settings,
//! not on the other items of the batch.

use super::result::Generation;
use super::suite::{Item, Suite, Task};
use super::{Error, measure};
use crate::llm::{
    Completion, Engine, FinishReason, Generate, Message, Part, Prompt, Request, Restriction, Sampling,
    ScoredTokens,
};
use crate::rng;

/// Settings for sampling responses.
#[derive(Debug, Clone, PartialEq)]
pub struct ResponseOptions {
    /// The seed of the sampling noise.
    pub seed: u64,
    /// Maximum number of tokens of a response.
    pub max_tokens: usize,
    /// The sampling temperature; 0 is greedy.
    pub temperature: f32,
}

/// Responds to the items of `suite` with the indices `items`, with the adapter that is loaded in `engine`.
/// Returns one response per item, ordered by index.
///
/// # Errors
/// The model has no chat template, it failed, or the call was interrupted.
pub fn respond(
    engine: &mut Engine,
    suite: &Suite,
    items: &[usize],
    options: &ResponseOptions,
) -> Result<Vec<Generation>, Error> {
    let is_choice = |at: &&usize| matches!(suite.items[**at].task, Task::Choice { .. });
    let (choices, texts): (Vec<usize>, Vec<usize>) = items.iter().partition(is_choice);
    let mut responses = generate(engine, suite, &texts, options)?;
    responses.extend(score_choices(engine, suite, &choices)?);
    responses.sort_by_key(|response| response.item);
    Ok(responses)
}

fn generate(
    engine: &mut Engine,
    suite: &Suite,
    items: &[usize],
    options: &ResponseOptions,
) -> Result<Vec<Generation>, Error> {
    let requests = items
        .iter()
        .map(|&at| {
            Ok(Request {
                id: at as u64,
                prompt: chat_prompt(engine, &suite.items[at].question())?,
                sampling: Sampling { temperature: options.temperature, ..Sampling::default() },
                stop: Vec::new(),
                max_tokens: options.max_tokens,
                key: rng::key(options.seed, "eval.response", &[at as u64]),
                sample: 0,
                restriction: Restriction::None,
            })
        })
        .collect::<Result<Vec<_>, Error>>()?;
    let completions = engine.generate(&requests)?;
    Ok(items
        .iter()
        .zip(completions)
        .map(|(&at, completion)| to_generation(&suite.items[at], at, &completion))
        .collect())
}

fn to_generation(item: &Item, at: usize, completion: &Completion) -> Generation {
    let response = completion.text.trim().to_owned();
    Generation {
        item: at,
        instruction: item.question(),
        skill: item.skill.clone(),
        difficulty: item.difficulty,
        choice: false,
        checks: measure::checks(&item.task, &response),
        right: measure::is_right(&item.task, &response),
        response,
        tokens: completion.completion_tokens,
        ended: matches!(completion.finish_reason, FinishReason::EndOfText | FinishReason::Stop),
    }
}

/// Renders the conversation up to the point where the answer starts.
pub(super) fn chat_prompt(engine: &dyn Generate, instruction: &str) -> Result<Prompt, Error> {
    let turn = Message { role: "user".to_owned(), content: instruction.to_owned() };
    Ok(engine.chat_prompt(&[turn], 0).ok_or(Error::NoChatTemplate)??)
}

/// Responds to multiple-choice items by the log-likelihood of each choice.
fn score_choices(engine: &mut Engine, suite: &Suite, items: &[usize]) -> Result<Vec<Generation>, Error> {
    let mut sequences = Vec::new();
    let mut bytes = Vec::new();
    for &at in items {
        let Task::Choice { choices, .. } = &suite.items[at].task else { continue };
        let mut parts = chat_prompt(engine, &suite.items[at].question())?.parts;
        let prompt_tokens = engine.tokenize(&parts)?.len();
        for choice in choices {
            parts.push(Part { text: choice.clone(), special: false });
            let tokens = engine.tokenize(&parts)?;
            parts.pop();
            let counts = (0..tokens.len()).map(|token| token >= prompt_tokens).collect();
            sequences.push(ScoredTokens { tokens, counts });
            bytes.push(choice.len());
        }
    }
    let mut sums = engine.log_likelihoods(&sequences)?.into_iter().zip(bytes);
    let mut responses = Vec::new();
    for &at in items {
        let item = &suite.items[at];
        let Task::Choice { choices, right } = &item.task else { continue };
        let scores: Vec<f64> = (&mut sums)
            .take(choices.len())
            .map(|(sum, bytes)| sum.map_or(f64::NEG_INFINITY, |sum| sum / bytes as f64))
            .collect();
        // If a choice does not fit in the context, the comparison is incomplete and the item counts as wrong.
        let complete = scores.iter().all(|score| score.is_finite());
        let candidates = if complete { 0..scores.len() } else { 0..0 };
        // Of equal scores, the first choice is taken.
        let taken = candidates.max_by(|&a, &b| scores[a].total_cmp(&scores[b]).then(b.cmp(&a)));
        responses.push(Generation {
            item: at,
            instruction: item.question(),
            skill: item.skill.clone(),
            difficulty: item.difficulty,
            choice: true,
            response: taken.map(|taken| choices[taken].clone()).unwrap_or_default(),
            tokens: 0,
            ended: true,
            checks: Vec::new(),
            right: Some(taken == Some(*right)),
        });
    }
    Ok(responses)
}
