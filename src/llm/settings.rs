//! The settings that every call of the engine runs under, and what one call needs beside its list.
//!
//! Where in the flow: `engine.rs` makes [`Settings`] of its options when it loads a model, and a [`Call`] for
//! each list; `workers.rs`, `prefill.rs`, `generate.rs` and `score.rs` know these two and not the engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::llama::{Adapter, ContextShape, Model, Recipe};
use super::prefix::Prefixes;
use super::progress::Progress;
use super::trace::Trace;
use super::{Determinism, DraftPolicy, Error};

/// What one call of the engine runs on.
pub(super) struct Call<'e> {
    pub(super) model: &'e Model,
    pub(super) adapter: Option<&'e mut Adapter>,
    pub(super) settings: Settings,
}

/// The options that outlive loading.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) threads: usize,
    pub(super) n_seq: usize,
    /// Tokens that one sequence may have.
    pub(super) max_tokens: usize,
    pub(super) determinism: Determinism,
    /// Whether a GPU computes layers.
    pub(super) on_gpu: bool,
    pub(super) n_batch: usize,
    /// Whether a row that is alone in a batch is decoded with a copy of itself.
    pub(super) pad_single_rows: bool,
    pub(super) drafts: DraftPolicy,
    /// Whether what prompts share is computed once; off only to find out what that changes (nothing).
    pub(super) share_prefixes: bool,
    /// Hashes of logits, where somebody compares them.
    pub(super) trace: Option<Arc<Trace>>,
    /// What was computed for prefixes in earlier calls.
    pub(super) prefixes: Arc<Prefixes>,
    pub(super) interrupt: Arc<AtomicBool>,
    /// Within one call: a worker failed, so the others need not go on.
    pub(super) failed: Arc<AtomicBool>,
    pub(super) progress: Arc<Progress>,
}

impl Settings {
    pub(super) fn for_one_call(&self) -> Self {
        Self { failed: Arc::default(), ..self.clone() }
    }

    /// Called between batches.
    pub(super) fn check_interrupt(&self) -> Result<(), Error> {
        let stop = self.interrupt.load(Ordering::Relaxed) || self.failed.load(Ordering::Relaxed);
        if stop { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// A context's size for running lists and conversations. Its batches have room for a row of every
    /// sequence, or llama.cpp aborts; how many of a prompt go into one is decided where it is fed.
    pub(super) fn shape(&self, sequences: usize, tokens: usize, threads: usize) -> ContextShape {
        let recipe = if self.on_gpu { Recipe::Gpu } else { Recipe::Cpu };
        ContextShape { sequences, tokens, n_batch: self.n_batch.max(sequences), threads, recipe }
    }
}
