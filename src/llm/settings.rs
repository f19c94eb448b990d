//! The settings of an engine, and everything that a call runs on besides its list.
//!
//! Where in the flow: `engine.rs` makes [`Settings`] from its options when it loads a model, and a [`Call`]
//! for each list; `workers.rs`, `prefill.rs`, `generate.rs` and `score.rs` know these two, but not the
//! engine.
//!
//! **Invariant:** settings do not change while a call runs, except through `interrupt` and `failed`.

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
    /// Whether common prefixes are computed once; off only to measure what that changes (nothing).
    pub(super) share_prefixes: bool,
    /// Where to note hashes of logits, if they are to be compared.
    pub(super) trace: Option<Arc<Trace>>,
    /// Caches of prefixes from earlier calls.
    pub(super) prefixes: Arc<Prefixes>,
    pub(super) interrupt: Arc<AtomicBool>,
    /// Within one call: a worker failed, so the others stop.
    pub(super) failed: Arc<AtomicBool>,
    pub(super) progress: Arc<Progress>,
}

impl Settings {
    pub(super) fn for_one_call(&self) -> Self {
        Self { failed: Arc::default(), ..self.clone() }
    }

    /// Checked between batches: fails after an interrupt or the failure of another worker.
    pub(super) fn check_interrupt(&self) -> Result<(), Error> {
        let stop = self.interrupt.load(Ordering::Relaxed) || self.failed.load(Ordering::Relaxed);
        if stop { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// The shape of a context for lists and conversations. Its batches have room for a row of every sequence,
    /// without which llama.cpp aborts; prompts are fed in pieces of `n_batch`.
    pub(super) fn shape(&self, sequences: usize, tokens: usize, threads: usize) -> ContextShape {
        let recipe = if self.on_gpu { Recipe::Gpu } else { Recipe::Cpu };
        ContextShape { sequences, tokens, n_batch: self.n_batch.max(sequences), threads, recipe }
    }
}
