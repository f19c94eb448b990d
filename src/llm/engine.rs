//! The engine: a loaded model that completes and scores lists of prompts.
//!
//! Where in the flow: `evolve` drives it through [`Generate`]; `generate.rs` and `score.rs` hold the two
//! loops over lists, `chat.rs` the interactive one.
//!
//! A context with its caches borrows the model, so it is not a field: each call makes contexts of just the
//! size that its list needs and drops them at the end. That costs some tens of milliseconds per call (calls
//! take lists, so it does not add up), needs neither unsafe code nor a self-referential struct, and no call
//! can see a cache that another one left.
//!
//! **Invariant:** the result of a call is a function of the model, the adapter, the options and the list.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::llama::{Adapter, Contents, ContextShape, MAX_SEQUENCES, Model, Recipe};
use super::perturb::Trace;
use super::prefix::Prefixes;
use super::{
    Answer, ChatTemplate, Completion, Determinism, DraftPolicy, Error, Message, ModelInfo, Part, Prompt,
    Question, Request, adapter, generate, prefill, score, tokenizer,
};
use crate::gguf::Gguf;

/// What the evolve stage needs of a model. The real one is [`Engine`]; tests of evolve use a scripted one.
pub trait Generate {
    /// Renders a conversation for generation (ends where the assistant's answer starts); `None`: the model
    /// has no chat template. `shared_messages` leading messages are shared among requests.
    fn chat_prompt(&self, messages: &[Message], shared_messages: usize) -> Option<Result<Prompt, Error>>;
    /// Completes every request. The result is in the order of `requests` and a function of that list alone.
    ///
    /// # Errors
    /// The model failed, or the run was interrupted; nothing is returned then.
    fn generate(&mut self, requests: &[Request]) -> Result<Vec<Completion>, Error>;
    /// Scores every question, in order.
    ///
    /// # Errors
    /// As `generate`.
    fn score(&mut self, questions: &[Question]) -> Result<Vec<Answer>, Error>;
}

/// What to load and how to run it.
#[derive(Debug, Clone)]
pub struct EngineOptions<'p> {
    /// The model, a GGUF file.
    pub model: &'p Path,
    /// A LoRA adapter (GGUF) and the factor on its effect, 1 as trained.
    pub adapter: Option<(&'p Path, f32)>,
    /// Threads of llama.cpp; the number of cores is best, more is much worse.
    pub threads: usize,
    /// Sequences that are decoded in one batch.
    pub n_seq: usize,
    /// Most tokens of a prompt with its completion; `None`: as many as the model was trained on.
    pub n_ctx_seq: Option<usize>,
    /// What decides the bytes of a completion.
    pub determinism: Determinism,
    /// Layers that a GPU computes; 0 without the feature `llama-cuda`.
    pub gpu_layers: u32,
    /// Most rows of one batch; a prompt is computed in pieces of this size.
    pub n_batch: usize,
    /// Whether tokens are guessed.
    pub drafts: DraftPolicy,
    /// When it becomes true, a running call ends with [`Error::Interrupted`] at the next batch.
    pub interrupt: Arc<AtomicBool>,
    /// Counts while a call runs.
    pub progress: Arc<Progress>,
}

impl<'p> EngineOptions<'p> {
    /// 32 sequences, the model's own context, no adapter.
    pub fn new(model: &'p Path, threads: usize) -> Self {
        Self {
            model,
            adapter: None,
            threads,
            n_seq: 32,
            n_ctx_seq: None,
            determinism: Determinism::Exact,
            gpu_layers: 0,
            n_batch: N_BATCH,
            drafts: DraftPolicy::default(),
            interrupt: Arc::default(),
            progress: Arc::default(),
        }
    }
}

/// Counters that grow while the engine works; anybody may read them at any time.
#[derive(Debug, Default)]
pub struct Progress {
    pub(super) generated_tokens: AtomicU64,
    pub(super) prompt_tokens: AtomicU64,
    pub(super) reused_prompt_tokens: AtomicU64,
    pub(super) decode_batches: AtomicU64,
    pub(super) drafted_tokens: AtomicU64,
    pub(super) accepted_tokens: AtomicU64,
    pub(super) finished: AtomicU64,
    pub(super) prefill_ns: AtomicU64,
    pub(super) decode_ns: AtomicU64,
    pub(super) sampling_ns: AtomicU64,
    pub(super) score_ns: AtomicU64,
    pub(super) worker_ns: AtomicU64,
}

/// [`Progress`] at one moment, counted since the engine was loaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct EngineStats {
    /// Tokens drawn.
    pub generated_tokens: u64,
    /// Tokens of prompts that were computed.
    pub prompt_tokens: u64,
    /// Tokens of prompts that were copied from a shared prefix instead.
    pub reused_prompt_tokens: u64,
    /// Batches that the generated tokens were decoded in.
    pub decode_batches: u64,
    /// Tokens that were guessed, and decoded on that guess.
    pub drafted_tokens: u64,
    /// Of these the ones that were drawn: each saved a batch.
    pub accepted_tokens: u64,
    /// Requests completed and questions scored.
    pub finished: u64,
    /// Nanoseconds in llama.cpp on prompts, summed over workers; those of questions included.
    pub prefill_ns: u64,
    /// Nanoseconds in llama.cpp on generated tokens, summed over workers.
    pub decode_ns: u64,
    /// Nanoseconds of drawing tokens and looking for stop strings, summed over workers.
    pub sampling_ns: u64,
    /// Nanoseconds of scoring questions, prompts included, summed over workers.
    pub score_ns: u64,
    /// Nanoseconds that workers had work, summed. A prefix that all prompts share is computed before, and is
    /// in `prefill_ns` only; what else is missing to the wall time is the making of caches and waiting for
    /// the last one.
    pub worker_ns: u64,
}

impl Progress {
    /// The counters now.
    pub fn stats(&self) -> EngineStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        EngineStats {
            generated_tokens: read(&self.generated_tokens),
            prompt_tokens: read(&self.prompt_tokens),
            reused_prompt_tokens: read(&self.reused_prompt_tokens),
            decode_batches: read(&self.decode_batches),
            drafted_tokens: read(&self.drafted_tokens),
            accepted_tokens: read(&self.accepted_tokens),
            finished: read(&self.finished),
            prefill_ns: read(&self.prefill_ns),
            decode_ns: read(&self.decode_ns),
            sampling_ns: read(&self.sampling_ns),
            score_ns: read(&self.score_ns),
            worker_ns: read(&self.worker_ns),
        }
    }

    pub(super) fn add(counter: &AtomicU64, count: usize) {
        counter.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Adds the time that `work` takes to a counter of nanoseconds.
    pub(super) fn time<T>(counter: &AtomicU64, work: impl FnOnce() -> T) -> T {
        Self::timed(counter, work).0
    }

    /// As [`Progress::time`]; says how long it took, too.
    pub(super) fn timed<T>(counter: &AtomicU64, work: impl FnOnce() -> T) -> (T, Duration) {
        let started = Instant::now();
        let result = work();
        let taken = started.elapsed();
        counter.fetch_add(taken.as_nanos() as u64, Ordering::Relaxed);
        (result, taken)
    }
}

/// A model that is ready to run.
#[derive(Debug)]
pub struct Engine {
    pub(super) model: Model,
    pub(super) adapter: Option<Adapter>,
    pub(super) template: Option<ChatTemplate>,
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
}

/// Threads beyond this are a mistake; llama.cpp refuses more than 512.
const MAX_THREADS: usize = 512;

/// Most rows of one batch.
const N_BATCH: usize = 256;

impl Engine {
    /// Validates and loads the model and the adapter.
    ///
    /// # Errors
    /// Says which file is unusable and why, or which option is out of range.
    pub fn load(options: EngineOptions<'_>) -> Result<Self, Error> {
        let max = MAX_SEQUENCES - prefill::EXTRA_SEQUENCES;
        if !(1..=max).contains(&options.n_seq) {
            return Err(Error::BatchWidth { found: options.n_seq, max });
        }
        if !(1..=MAX_THREADS).contains(&options.threads) {
            return Err(Error::Threads { found: options.threads, max: MAX_THREADS });
        }
        if options.determinism == Determinism::Exact && options.gpu_layers > 0 {
            return Err(Error::ExactOnGpu { gpu_layers: options.gpu_layers });
        }
        let mut model = Model::load(options.model, Contents::Everything { gpu_layers: options.gpu_layers })?;
        let adapter =
            options.adapter.map(|(path, scale)| load_adapter(&mut model, path, scale)).transpose()?;
        let template = tokenizer::chat_template(&model)?;
        let trained = model.info().n_ctx_train;
        let pad_single_rows = options.determinism.pads_single_rows(model.gguf());
        let settings = Settings {
            threads: options.threads,
            n_seq: options.n_seq,
            max_tokens: options.n_ctx_seq.map_or(trained, |wanted| wanted.min(trained)),
            determinism: options.determinism,
            on_gpu: options.gpu_layers > 0,
            n_batch: options.n_batch.max(2),
            pad_single_rows,
            drafts: options.drafts,
            share_prefixes: true,
            trace: None,
            prefixes: Arc::default(),
            interrupt: options.interrupt,
            failed: Arc::default(),
            progress: options.progress,
        };
        Ok(Self { model, adapter, template, settings })
    }

    /// Exchanges the adapter (GGUF, with the factor on its effect): what is asked from here on is answered
    /// with it. What was computed for prefixes is the old one's and is forgotten.
    ///
    /// # Errors
    /// The file is unusable or does not fit the model; the old adapter is gone then.
    pub fn set_adapter(&mut self, adapter: Option<(&Path, f32)>) -> Result<(), Error> {
        self.adapter = None;
        self.settings.prefixes = Arc::default();
        self.adapter = adapter.map(|(path, scale)| load_adapter(&mut self.model, path, scale)).transpose()?;
        Ok(())
    }

    /// What the model file says about itself.
    pub fn info(&self) -> &ModelInfo {
        self.model.info()
    }

    /// Counters that grow while a call runs, for whoever shows them.
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.settings.progress)
    }

    /// Work done since loading.
    pub fn stats(&self) -> EngineStats {
        self.settings.progress.stats()
    }

    /// Tokens of a prompt, shared ones included: what [`Completion::prompt_tokens`] will say.
    ///
    /// # Errors
    /// A part cannot be tokenised.
    pub fn count_tokens(&self, parts: &[Part]) -> Result<usize, Error> {
        Ok(tokenizer::encode(&self.model, parts)?.len())
    }
}

impl Settings {
    /// A context's size for running lists and conversations. Its batches have room for a row of every
    /// sequence, or llama.cpp aborts; how many of a prompt go into one is decided where it is fed.
    pub(super) fn shape(&self, sequences: usize, tokens: usize, threads: usize) -> ContextShape {
        let recipe = if self.on_gpu { Recipe::Gpu } else { Recipe::Cpu };
        ContextShape { sequences, tokens, n_batch: self.n_batch.max(sequences), threads, recipe }
    }
}

/// Checks an adapter against the model and loads it.
pub(super) fn load_adapter(model: &mut Model, path: &Path, scale: f32) -> Result<Adapter, Error> {
    adapter::check(&Gguf::open(path)?, model.gguf())?;
    model.load_adapter(path, scale)
}

/// See [`Generate::chat_prompt`].
pub(super) fn chat_prompt(
    template: Option<&ChatTemplate>,
    messages: &[Message],
    shared_messages: usize,
) -> Option<Result<Prompt, Error>> {
    let prompt = template?.render_sourced(messages, true).map(|parts| {
        // All before the first content that is not shared; what the template writes between two messages
        // depends on their roles only.
        let own = |source: &Option<usize>| source.is_some_and(|message| message >= shared_messages);
        let shared = parts.iter().position(|(_, source)| own(source)).unwrap_or(parts.len());
        Prompt { parts: parts.into_iter().map(|(part, _)| part).collect(), shared }
    });
    Some(prompt)
}

impl Generate for Engine {
    fn chat_prompt(&self, messages: &[Message], shared_messages: usize) -> Option<Result<Prompt, Error>> {
        chat_prompt(self.template.as_ref(), messages, shared_messages)
    }

    fn generate(&mut self, requests: &[Request]) -> Result<Vec<Completion>, Error> {
        generate::run(self, requests)
    }

    fn score(&mut self, questions: &[Question]) -> Result<Vec<Answer>, Error> {
        score::run(self, questions)
    }
}
