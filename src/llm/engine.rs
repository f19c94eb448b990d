//! The engine: a loaded model that completes and scores lists of prompts.
//!
//! Where in the flow: `evolve` drives it through [`Generate`]; `generate.rs` and `score.rs` have the two
//! loops over lists, `chat.rs` the interactive one.
//!
//! A context with its caches borrows the model, so it is not a field: each call makes contexts of the size
//! that its list needs, and drops them at the end. That costs some tens of milliseconds per call, which does
//! not add up because calls take lists. It needs neither unsafe code nor a self-referential struct, and no
//! call can see the caches of another.
//!
//! **Invariant:** the result of a call is a function of the model, the adapter, the options and the list.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::llama::{Adapter, Contents, MAX_SEQUENCES, Model};
use super::progress::{EngineStats, Progress};
use super::settings::{Call, Settings};
use super::{
    Answer, ChatTemplate, Completion, Determinism, DraftPolicy, Error, Message, ModelInfo, Part, Prompt,
    Question, Request, adapter, generate, prefill, score, tokenizer,
};
use crate::gguf::Gguf;

/// A model that completes and scores prompts. The real one is [`Engine`]; tests of `evolve` script one.
pub trait Generate {
    /// Renders a conversation up to where the assistant's answer starts; `None`: the model has no chat
    /// template. The first `shared_messages` messages are shared by many requests.
    fn chat_prompt(&self, messages: &[Message], shared_messages: usize) -> Option<Result<Prompt, Error>>;
    /// How many tokens a text has, as part of a prompt.
    ///
    /// # Errors
    /// The text cannot be tokenised.
    fn text_tokens(&self, text: &str) -> Result<usize, Error>;
    /// How many tokens a prompt has. A script may count its parts one by one.
    ///
    /// # Errors
    /// As `text_tokens`.
    fn prompt_tokens(&self, prompt: &Prompt) -> Result<usize, Error> {
        prompt.parts.iter().map(|part| self.text_tokens(&part.text)).sum()
    }
    /// The most tokens that a prompt and its completion may have together.
    fn context_tokens(&self) -> usize;
    /// Completes every request. The result is in the order of `requests` and a function of that list alone.
    ///
    /// # Errors
    /// The model failed, or the call was interrupted; there are no partial results.
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
    /// Threads of llama.cpp. The number of cores is best; more are much slower.
    pub threads: usize,
    /// Sequences that are decoded in one batch.
    pub n_seq: usize,
    /// Most tokens of a prompt and its completion; `None`: the context that the model was trained with.
    pub n_ctx_seq: Option<usize>,
    /// What the bytes of a completion may depend on.
    pub determinism: Determinism,
    /// Layers that a GPU computes; 0 without the feature `llama-cuda`.
    pub gpu_layers: u32,
    /// Most rows of a batch; longer prompts are computed in pieces.
    pub n_batch: usize,
    /// Whether tokens are drafted.
    pub drafts: DraftPolicy,
    /// Once true, a running call ends with [`Error::Interrupted`] before its next batch.
    pub interrupt: Arc<AtomicBool>,
    /// Counters that grow while a call runs.
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

/// A model that is ready to run.
#[derive(Debug)]
pub struct Engine {
    pub(super) model: Model,
    pub(super) adapter: Option<Adapter>,
    pub(super) template: Option<ChatTemplate>,
    pub(super) settings: Settings,
}

/// llama.cpp refuses more threads than this.
const MAX_THREADS: usize = 512;

/// Default of [`EngineOptions::n_batch`].
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

    /// Replaces the adapter (a GGUF file, and the factor on its effect) for all later calls, and drops the
    /// caches of prefixes, which the old one computed.
    ///
    /// # Errors
    /// The file is unusable or does not fit the model. The engine has no adapter then.
    pub fn set_adapter(&mut self, adapter: Option<(&Path, f32)>) -> Result<(), Error> {
        self.adapter = None;
        self.settings.prefixes = Arc::default();
        self.adapter = adapter.map(|(path, scale)| load_adapter(&mut self.model, path, scale)).transpose()?;
        Ok(())
    }

    /// Everything that one call runs on.
    pub(super) fn call(&mut self) -> Call<'_> {
        let Self { model, adapter, settings, .. } = self;
        Call { model, adapter: adapter.as_mut(), settings: settings.for_one_call() }
    }

    /// Facts from the metadata of the model file.
    pub fn info(&self) -> &ModelInfo {
        self.model.info()
    }

    /// Counters that grow while a call runs; other threads may read them.
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.settings.progress)
    }

    /// Work done since loading.
    pub fn stats(&self) -> EngineStats {
        self.settings.progress.stats()
    }

    /// Number of tokens of a prompt, as in [`Completion::prompt_tokens`].
    ///
    /// # Errors
    /// A part cannot be tokenised.
    pub fn count_tokens(&self, parts: &[Part]) -> Result<usize, Error> {
        Ok(tokenizer::encode(&self.model, parts)?.len())
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
        // Everything before the first content that is not shared: what the template writes between two
        // messages depends only on their roles.
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

    fn text_tokens(&self, text: &str) -> Result<usize, Error> {
        Ok(self.model.tokenize(text, false)?.len())
    }

    fn prompt_tokens(&self, prompt: &Prompt) -> Result<usize, Error> {
        self.count_tokens(&prompt.parts)
    }

    fn context_tokens(&self) -> usize {
        self.settings.max_tokens
    }

    fn generate(&mut self, requests: &[Request]) -> Result<Vec<Completion>, Error> {
        generate::run(self.call(), requests)
    }

    fn score(&mut self, questions: &[Question]) -> Result<Vec<Answer>, Error> {
        score::run(self.call(), questions)
    }
}
