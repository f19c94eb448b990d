//! Prompts into caches: tokenised, grouped by what they share, computed once where shared.
//!
//! Where in the flow: `generate.rs` and `score.rs` prepare their prompts with `prepare` and run each into
//! a sequence with [`Prefill::run`].
//!
//! A prompt is computed in two steps whether anybody shares its prefix or not: the prefix, then the rest,
//! each alone in its batches and cut into pieces by a rule that looks at lengths only. So a prompt's cache
//! never depends on which prompts are its neighbours.
//!
//! **Invariant:** a piece has at least two rows unless the whole prompt has one token (llama.cpp computes
//! single rows with other kernels, which may round differently).

use std::collections::HashMap;

use super::engine::{Progress, Settings};
use super::llama::{Context, Model, Row};
use super::{Error, Prompt, tokenizer};

/// A tokenised prompt.
#[derive(Debug)]
pub(super) struct Tokens {
    pub(super) all: Vec<u32>,
    /// How many leading tokens are taken from the shared prefix.
    shared: usize,
}

/// Tokenises a prompt; `id` is for the error.
pub(super) fn tokenize(model: &Model, id: u64, prompt: &Prompt) -> Result<Tokens, Error> {
    let all = tokenizer::encode(model, &prompt.parts)?;
    if all.is_empty() {
        return Err(Error::EmptyPrompt { id });
    }
    let shared = tokenizer::encode(model, &prompt.parts[..prompt.shared.min(prompt.parts.len())])?.len();
    // The last rows are computed anew even if all is shared: their logits are needed, and one row alone
    // would be computed by other kernels.
    let shared = shared.min(all.len().saturating_sub(2));
    Ok(Tokens { all, shared })
}

/// Indices of `prompts` ordered so that equal prefixes follow each other: groups by first appearance, the
/// order of the list within a group.
pub(super) fn group<'t>(prompts: impl Iterator<Item = (usize, &'t Tokens)>) -> Vec<usize> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut by_prefix: HashMap<&[u32], usize> = HashMap::new();
    for (index, tokens) in prompts {
        let group = *by_prefix.entry(&tokens.all[..tokens.shared]).or_insert(groups.len());
        if group == groups.len() {
            groups.push(Vec::new());
        }
        groups[group].push(index);
    }
    groups.concat()
}

/// Runs prompts into sequences, keeping the last shared prefix in a sequence of its own.
pub(super) struct Prefill {
    /// The sequence that holds the prefix.
    holder: usize,
    /// What it holds.
    held: Vec<u32>,
}

impl Prefill {
    /// `holder` must not be used by anybody else.
    pub(super) fn new(holder: usize) -> Self {
        Self { holder, held: Vec::new() }
    }

    /// Fills `sequence` with a prompt. The logits after its last token are then those of the row returned.
    pub(super) fn run(
        &mut self,
        context: &mut Context<'_>,
        settings: &Settings,
        tokens: &Tokens,
        sequence: usize,
    ) -> Result<usize, Error> {
        let (prefix, rest) = tokens.all.split_at(tokens.shared);
        context.truncate(sequence, 0);
        if !prefix.is_empty() {
            if self.held == prefix {
                Progress::add(&settings.progress.reused_prompt_tokens, prefix.len());
            } else {
                self.held.clear();
                context.truncate(self.holder, 0);
                feed(context, settings, prefix, self.holder, false)?;
                self.held.extend_from_slice(prefix);
            }
            context.copy(self.holder, sequence, prefix.len());
        }
        feed(context, settings, rest, sequence, true)
    }
}

/// Appends tokens to a sequence in pieces of nearly equal length; returns the row of the last token in the
/// last piece.
pub(super) fn feed(
    context: &mut Context<'_>,
    settings: &Settings,
    tokens: &[u32],
    sequence: usize,
    logits: bool,
) -> Result<usize, Error> {
    let pieces = tokens.len().div_ceil(context.shape().n_batch);
    let mut last_row = 0;
    for piece in 0..pieces {
        settings.check_interrupt()?;
        let (start, end) = (tokens.len() * piece / pieces, tokens.len() * (piece + 1) / pieces);
        let rows: Vec<Row> = (start..end)
            .map(|i| Row { token: tokens[i], sequence, logits: logits && i + 1 == tokens.len() })
            .collect();
        context.decode(&rows)?;
        Progress::add(&settings.progress.prompt_tokens, rows.len());
        last_row = rows.len() - 1;
    }
    Ok(last_row)
}
