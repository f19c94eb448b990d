//! llama.cpp behind types that cannot make it abort: the only file that names `llama_cpp_2`.
//!
//! Where in the flow: the rest of `llm` is built on [`Model`] and [`Context`].
//!
//! llama.cpp ends the process on a broken contract (`GGML_ASSERT`), so every contract that it asserts, or
//! reports only as "invalid batch", is checked or made impossible here:
//! - a model file is validated in Rust before llama.cpp sees it ([`Gguf::check_for_llama_cpp`]);
//! - rows per batch ≤ `n_batch`, one sequence id per row, below the number of sequences;
//! - callers give no positions: a row goes to the end of its sequence, so positions are consecutive;
//! - a sequence never grows past its share of the context;
//! - caches are copied whole between sequences and then truncated, the only way with separate streams;
//! - token ids are checked against the vocabulary.
//!
//! Each sequence has its own stream of the cache (`kv_unified = false`), so that results do not depend on
//! which cells other sequences occupy.
//!
//! **Invariant:** no unsafe code; a violated contract is an `assert!` with both values on our side.

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::OnceLock;

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::{KvCacheType, LlamaContextParams, LlamaPoolingType};
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::model::{LlamaLoraAdapter, LlamaModel};
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::{LlamaStateSeqFlags, LogOptions, SeqState, send_logs_to_tracing};

use super::Error;
use super::model_info::ModelInfo;
use crate::gguf::Gguf;

/// Sequences of one context, `LLAMA_MAX_SEQ`.
pub(super) const MAX_SEQUENCES: usize = 256;

/// llama.cpp pads the cells of a sequence to this.
const CELL_PADDING: usize = 256;

/// Limit on a text in bytes, far beyond any context: llama.cpp takes lengths as `i32`.
const MAX_TEXT_BYTES: usize = 1 << 28;

/// Starts llama.cpp once for the process and sends its log to `tracing`.
fn backend() -> Result<&'static LlamaBackend, Error> {
    static BACKEND: OnceLock<Result<LlamaBackend, String>> = OnceLock::new();
    let start = || {
        // Before the start, which itself logs, by default to stderr.
        send_logs_to_tracing(LogOptions::default());
        LlamaBackend::init().map_err(|error| error.to_string())
    };
    BACKEND.get_or_init(start).as_ref().map_err(|reason| Error::Backend { reason: reason.clone() })
}

/// What to load of a model file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contents {
    /// Weights and vocabulary, with this many layers on a GPU.
    Everything { gpu_layers: u32 },
    /// The vocabulary only.
    Vocabulary,
}

/// A loaded model.
#[derive(Debug)]
pub(super) struct Model {
    llama: LlamaModel,
    gguf: Gguf,
    info: ModelInfo,
}

impl Model {
    /// Validates the file in Rust, then has llama.cpp load it.
    pub(super) fn load(path: &Path, contents: Contents) -> Result<Self, Error> {
        let gguf = Gguf::open(path)?;
        gguf.check_for_llama_cpp()?;
        let info = ModelInfo::read(&gguf)?;
        let complete = contents != Contents::Vocabulary;
        if complete {
            info.check_generative(path)?;
        }
        let usable = path.to_str().is_some_and(|text| !text.contains('\0'));
        if !usable {
            return Err(Error::Path { path: path.to_owned() });
        }
        let gpu_layers = if let Contents::Everything { gpu_layers } = contents { gpu_layers } else { 0 };
        let params = LlamaModelParams::default().with_vocab_only(!complete).with_n_gpu_layers(gpu_layers);
        let llama = LlamaModel::load_from_file(backend()?, path, &params).map_err(|_| Error::load(path))?;
        if complete && (llama.is_recurrent() || llama.is_hybrid()) {
            let reason = "its state cannot be truncated to a prefix";
            return Err(Error::NotGenerative { path: path.to_owned(), reason });
        }
        Ok(Self { llama, gguf, info })
    }

    pub(super) fn gguf(&self) -> &Gguf {
        &self.gguf
    }

    pub(super) fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// Loads an adapter that was checked against this model (`super::adapter`). It belongs to the model and
    /// is freed with it.
    pub(super) fn load_adapter(&mut self, path: &Path, scale: f32) -> Result<Adapter, Error> {
        let failed = |_| Error::AdapterLoad { path: path.to_owned() };
        let llama = self.llama.lora_adapter_init(path).map_err(failed)?;
        Ok(Adapter { llama, scale })
    }

    pub(super) fn n_vocab(&self) -> usize {
        usize::try_from(self.llama.n_vocab()).expect("a loaded model has a vocabulary")
    }

    /// Tokens of one piece of text, without BOS.
    pub(super) fn tokenize(&self, text: &str, special: bool) -> Result<Vec<u32>, Error> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(Error::TextTooLong { bytes: text.len(), max: MAX_TEXT_BYTES });
        }
        let tokens = self.llama.vocab().tokenize(text.as_bytes(), false, special);
        Ok(tokens.into_iter().map(|LlamaToken(id)| id as u32).collect())
    }

    /// The bytes of a token; control tokens are empty unless `special`.
    pub(super) fn piece(&self, token: u32, special: bool) -> Vec<u8> {
        self.llama.vocab().token_to_piece(self.known(token), special, None)
    }

    /// Whether generation ends with this token.
    pub(super) fn is_end(&self, token: u32) -> bool {
        self.llama.vocab().is_eog(self.known(token))
    }

    /// Whether it is a control token (`<s>`, `<|im_start|>`), not text.
    pub(super) fn is_control(&self, token: u32) -> bool {
        self.llama.vocab().is_control(self.known(token))
    }

    /// The token that the model expects in front of every prompt, if any.
    pub(super) fn bos_to_add(&self) -> Option<u32> {
        let vocab = self.llama.vocab();
        vocab.should_add_bos().then(|| u32::try_from(vocab.bos().0).ok()).flatten()
    }

    /// The beginning-of-sequence token, if the vocabulary has one.
    pub(super) fn bos(&self) -> Option<u32> {
        u32::try_from(self.llama.vocab().bos().0).ok()
    }

    /// The end-of-sequence token, if the vocabulary has one.
    pub(super) fn eos(&self) -> Option<u32> {
        u32::try_from(self.llama.vocab().eos().0).ok()
    }

    fn known(&self, token: u32) -> LlamaToken {
        assert!((token as usize) < self.n_vocab(), "token {token} of {}", self.n_vocab());
        LlamaToken(token as i32)
    }
}

/// A LoRA adapter in llama.cpp. It must be used with the [`Model`] that loaded it.
#[derive(Debug)]
pub(super) struct Adapter {
    llama: LlamaLoraAdapter,
    scale: f32,
}

/// How attention and its cache are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recipe {
    /// Flash attention over a `q8_0` cache (`f16` if a head is no whole number of blocks). For each row, keys
    /// are visited one after the other, whatever else is in the batch. It is also the fastest on CPUs: over
    /// an `f16` cache, 64 requests after 768 tokens took 4.7 times as long (default model, two cores with
    /// AVX-512 and AMX).
    Cpu,
    /// Flash attention over an `f16` cache, which GPUs have kernels for.
    Gpu,
    /// As `Cpu`, and also gives the last hidden states.
    Embedding,
    /// The textbook computation with an `f32` cache, for comparison with the trainer.
    Reference,
}

/// The size of a [`Context`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ContextShape {
    /// Sequences, numbered from 0.
    pub(super) sequences: usize,
    /// Tokens that one sequence must be able to hold.
    pub(super) tokens: usize,
    /// Most rows of one batch.
    pub(super) n_batch: usize,
    /// Threads of llama.cpp.
    pub(super) threads: usize,
    /// Attention and cache.
    pub(super) recipe: Recipe,
}

/// One token to be run at the end of its sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) token: u32,
    pub(super) sequence: usize,
    /// Whether [`Context::logits`] of this row will be read.
    pub(super) logits: bool,
}

/// A model with caches for a fixed number of sequences.
pub(super) struct Context<'m> {
    llama: LlamaContext<'m>,
    batch: LlamaBatch<'static>,
    /// Tokens in each sequence.
    lengths: Vec<usize>,
    /// Which rows of the last batch have logits.
    has_logits: Vec<bool>,
    shape: ContextShape,
    n_vocab: usize,
}

impl<'m> Context<'m> {
    /// Allocates the caches of all sequences at their full length.
    pub(super) fn new(
        model: &'m Model,
        adapter: Option<&mut Adapter>,
        shape: ContextShape,
    ) -> Result<Self, Error> {
        assert!((1..=MAX_SEQUENCES).contains(&shape.sequences), "{} sequences", shape.sequences);
        assert!(shape.n_batch >= 1 && shape.threads >= 1, "{shape:?}");
        let padded = shape.tokens.max(1).next_multiple_of(CELL_PADDING);
        let failed = || Error::Context { sequences: shape.sequences, tokens: padded };
        let n_ctx = u32::try_from(padded * shape.sequences).map_err(|_| failed())?;
        let params = params(model, shape, n_ctx);
        let mut llama = model.llama.new_context(backend()?, params).map_err(|_| failed())?;
        if let Some(adapter) = adapter {
            llama.lora_adapter_set(&mut adapter.llama, adapter.scale).map_err(|_| failed())?;
        }
        let batch = LlamaBatch::new(shape.n_batch, 1);
        let lengths = vec![0; shape.sequences];
        let shape = ContextShape { tokens: padded, ..shape };
        Ok(Self { llama, batch, lengths, has_logits: Vec::new(), shape, n_vocab: model.n_vocab() })
    }

    pub(super) fn shape(&self) -> ContextShape {
        self.shape
    }

    /// Tokens in `sequence`.
    pub(super) fn tokens(&self, sequence: usize) -> usize {
        self.lengths[sequence]
    }

    /// Runs rows, each at the end of its sequence, in the order given.
    pub(super) fn decode(&mut self, rows: &[Row]) -> Result<(), Error> {
        assert!(
            (1..=self.shape.n_batch).contains(&rows.len()),
            "{} rows of {}",
            rows.len(),
            self.shape.n_batch
        );
        self.batch.clear();
        self.has_logits.clear();
        for row in rows {
            assert!(
                row.sequence < self.shape.sequences,
                "sequence {} of {}",
                row.sequence,
                self.shape.sequences
            );
            assert!((row.token as usize) < self.n_vocab, "token {} of {}", row.token, self.n_vocab);
            let length = &mut self.lengths[row.sequence];
            assert!(*length < self.shape.tokens, "sequence {} is full: {length}", row.sequence);
            self.batch
                .add(LlamaToken(row.token as i32), *length as i32, &[row.sequence as i32], row.logits)
                .expect("the batch was allocated for `n_batch` rows");
            *length += 1;
            self.has_logits.push(row.logits);
        }
        let failed =
            |error: llama_cpp_2::DecodeError| Error::Decode { rows: rows.len(), reason: error.to_string() };
        self.llama.decode(&mut self.batch).map_err(failed)
    }

    /// Logits (V) after row `row` of the last batch.
    pub(super) fn logits(&self, row: usize) -> &[f32] {
        assert!(self.has_logits[row], "row {row} of {} was run without logits", self.has_logits.len());
        self.llama.get_logits_ith(row as i32)
    }

    /// The last hidden state (E) of row `row` of the last batch, under [`Recipe::Embedding`].
    pub(super) fn hidden_state(&self, row: usize) -> Result<&[f32], Error> {
        assert!(self.shape.recipe == Recipe::Embedding, "a context for {:?}", self.shape.recipe);
        assert!(self.has_logits[row], "row {row} of {} was run without output", self.has_logits.len());
        self.llama.embeddings_ith(row as i32).map_err(|_| Error::Embedding)
    }

    /// Makes sequence `to` a copy of the first `tokens` tokens of `from`.
    pub(super) fn copy(&mut self, from: usize, to: usize, tokens: usize) {
        assert!(
            from != to && tokens <= self.lengths[from],
            "{tokens} of {} from {from} to {to}",
            self.lengths[from]
        );
        self.truncate(to, 0);
        self.llama
            .copy_kv_cache_seq(from as i32, to as i32, None, None)
            .expect("no positions were given that could be too large");
        self.lengths[to] = self.lengths[from];
        self.truncate(to, tokens);
    }

    /// Makes sequence `to` a copy of `from`.
    pub(super) fn copy_all(&mut self, from: usize, to: usize) {
        self.copy(from, to, self.lengths[from]);
    }

    /// The cache of `sequence`, which can be restored to any sequence of any context with the same model,
    /// adapter, recipe and number of sequences (llama.cpp compares the number of streams).
    pub(super) fn save(&self, sequence: usize) -> Option<Saved> {
        let state = self.llama.state_seq_get(sequence as i32, LlamaStateSeqFlags::empty()).ok()?;
        Some(Saved { state, tokens: self.lengths[sequence] })
    }

    /// Restores a saved cache to `sequence`. Returns false, and leaves the sequence empty, if llama.cpp
    /// refuses.
    pub(super) fn restore(&mut self, saved: &Saved, sequence: usize) -> bool {
        self.truncate(sequence, 0);
        if saved.tokens > self.shape.tokens
            || self.llama.state_seq_set(&saved.state, sequence as i32).is_err()
        {
            self.llama
                .clear_kv_cache_seq(Some(sequence as u32), None, None)
                .expect("no positions were given that could be too large");
            return false;
        }
        self.lengths[sequence] = saved.tokens;
        true
    }

    /// Truncates `sequence` to its first `tokens` tokens.
    pub(super) fn truncate(&mut self, sequence: usize, tokens: usize) {
        assert!(tokens <= self.lengths[sequence], "{tokens} of {}", self.lengths[sequence]);
        let removed = self
            .llama
            .clear_kv_cache_seq(Some(sequence as u32), Some(tokens as u32), None)
            .expect("a context has fewer than 2^31 tokens");
        assert!(removed, "the tail of an attention cache can always be removed");
        self.lengths[sequence] = tokens;
    }
}

/// The cache of one sequence, outside of any context.
#[derive(Debug)]
pub(super) struct Saved {
    state: SeqState,
    tokens: usize,
}

impl Saved {
    /// Memory of the cache.
    pub(super) fn bytes(&self) -> usize {
        self.state.byte_len()
    }
}

fn params(model: &Model, shape: ContextShape, n_ctx: u32) -> LlamaContextParams {
    let (attention, cache) = match shape.recipe {
        Recipe::Reference => (llama_cpp_sys_2::LLAMA_FLASH_ATTN_TYPE_DISABLED, KvCacheType::F32),
        Recipe::Cpu | Recipe::Embedding if model.info.head_dim.is_multiple_of(32) => {
            (llama_cpp_sys_2::LLAMA_FLASH_ATTN_TYPE_ENABLED, KvCacheType::Q8_0)
        }
        Recipe::Cpu | Recipe::Embedding | Recipe::Gpu => {
            (llama_cpp_sys_2::LLAMA_FLASH_ATTN_TYPE_ENABLED, KvCacheType::F16)
        }
    };
    LlamaContextParams::default()
        .with_embeddings(shape.recipe == Recipe::Embedding)
        // llama.cpp's own mean pooling fails an assertion for decoders, so it pools nothing.
        .with_pooling_type(LlamaPoolingType::None)
        .with_n_ctx(NonZeroU32::new(n_ctx))
        .with_n_batch(shape.n_batch as u32)
        .with_n_ubatch(shape.n_batch as u32)
        .with_n_seq_max(shape.sequences as u32)
        .with_n_threads(shape.threads as i32)
        .with_n_threads_batch(shape.threads as i32)
        // Otherwise a GPU computes large products, and only those, of a model that is in main memory.
        .with_op_offload(shape.recipe == Recipe::Gpu)
        .with_kv_unified(false)
        .with_swa_full(true)
        .with_flash_attention_policy(attention)
        .with_type_k(cache)
        .with_type_v(cache)
}
