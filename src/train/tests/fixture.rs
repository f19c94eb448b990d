//! A tiny LLaMA, samples for it, and a run that can be stopped or killed at a chosen moment.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::device::CpuPool;
use crate::gguf::{GgmlType, Gguf, NewTensor, Value, write};
use crate::lora::LoraWeights;
use crate::model::Llama;
use crate::rng;
use crate::train::{
    Backend, Encoded, Error, Event, Host, Job, Outcome, Sample, Schedule, TrainConfig, train,
};

const HIDDEN: usize = 16;
const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const HEAD_DIM: usize = 4;
const FFN: usize = 24;
const LAYERS: usize = 2;
pub(super) const VOCAB: usize = 29;
pub(super) const CONTEXT: usize = 64;

/// Writes the tiny model and loads it.
pub(super) fn tiny_model(folder: &Path) -> Llama {
    let count = |key: &str, value: usize| (format!("llama.{key}"), Value::U32(value as u32));
    let metadata = [
        ("general.architecture".to_owned(), Value::String("llama".to_owned())),
        count("block_count", LAYERS),
        count("context_length", CONTEXT),
        count("embedding_length", HIDDEN),
        count("feed_forward_length", FFN),
        count("attention.head_count", HEADS),
        count("attention.head_count_kv", KV_HEADS),
        ("llama.attention.layer_norm_rms_epsilon".to_owned(), Value::F32(1e-5)),
    ];
    let (q, kv) = (HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM);
    let mut shapes = vec![
        ("token_embd.weight".to_owned(), vec![VOCAB, HIDDEN]),
        ("output_norm.weight".to_owned(), vec![HIDDEN]),
    ];
    for layer in 0..LAYERS {
        let parts = [
            ("attn_norm", vec![HIDDEN]),
            ("attn_q", vec![q, HIDDEN]),
            ("attn_k", vec![kv, HIDDEN]),
            ("attn_v", vec![kv, HIDDEN]),
            ("attn_output", vec![HIDDEN, q]),
            ("ffn_norm", vec![HIDDEN]),
            ("ffn_gate", vec![FFN, HIDDEN]),
            ("ffn_up", vec![FFN, HIDDEN]),
            ("ffn_down", vec![HIDDEN, FFN]),
        ];
        shapes.extend(parts.map(|(part, shape)| (format!("blk.{layer}.{part}.weight"), shape)));
    }
    let tensors: Vec<NewTensor<'_>> =
        shapes.into_iter().enumerate().map(|(i, (name, shape))| noise(i as u64, name, shape)).collect();
    let path = folder.join("tiny.gguf");
    write(&path, &metadata, &tensors).unwrap();
    Llama::load(Arc::new(Gguf::open(&path).unwrap())).unwrap()
}

/// f32 noise in ±0.5, about 1 for norms; embeddings in ±2, because they are the head too, and smaller logits
/// could not become sure of a token.
fn noise(key: u64, name: String, shape: Vec<usize>) -> NewTensor<'static> {
    let centre = if shape.len() == 1 { 1.0 } else { 0.0 };
    let width = if name == "token_embd.weight" { 4.0 } else { 1.0 };
    let numbers = (0..shape.iter().product::<usize>() as u64)
        .flat_map(|i| ((centre + width * (rng::uniform(key, i, 0) - 0.5)) as f32).to_le_bytes());
    NewTensor { name, ggml_type: GgmlType::F32, data: Cow::Owned(numbers.collect()), shape }
}

/// A sample of random tokens: `prompt` without loss, then `answer` with it.
pub(super) fn sample(key: u64, prompt: usize, answer: usize) -> Sample {
    let tokens = (0..(prompt + answer) as u64).map(|i| (rng::uniform(key, i, 1) * VOCAB as f64) as u32);
    let has_loss = (0..prompt + answer).map(|t| t >= prompt);
    Sample::new(tokens.collect(), has_loss.collect())
}

pub(super) fn encoded(samples: Vec<Sample>) -> Encoded {
    Encoded { samples, ..Encoded::default() }
}

/// A model, data and a folder for outputs.
pub(super) struct Fixture {
    pub(super) model: Llama,
    pub(super) pool: CpuPool,
    pub(super) train: Encoded,
    pub(super) validation: Encoded,
    pub(super) config: TrainConfig,
    pub(super) init_adapter: Option<LoraWeights>,
    folder: tempfile::TempDir,
}

impl Fixture {
    /// Eleven samples of different lengths in rows of up to 24 positions, dropout on, six steps in three
    /// epochs.
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let train: Vec<Sample> = (0..11).map(|i| sample(i, 2 + i as usize % 4, 3 + i as usize % 5)).collect();
        let validation = (0..3).map(|i| sample(100 + i, 4, 6)).collect();
        let config = TrainConfig {
            r: 4,
            lora_alpha: 8.0,
            lora_dropout: 0.1,
            learning_rate: 5e-3,
            num_train_epochs: 3,
            gradient_accumulation_steps: 2,
            max_seq_len: 24,
            warmup_ratio: 0.2,
            lr_scheduler_type: Schedule::Cosine,
            weight_decay: 0.01,
            seed: 7,
            save_steps: 2,
            eval_steps: Some(3),
            ..TrainConfig::default()
        };
        Self {
            model: tiny_model(folder.path()),
            pool: CpuPool::new(1).unwrap(),
            train: encoded(train),
            validation: encoded(validation),
            config,
            init_adapter: None,
            folder,
        }
    }

    /// A folder for a run's output, not made yet.
    pub(super) fn out(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The run into `out`.
    pub(super) fn job<'a>(&'a self, out: &'a Path) -> Job<'a> {
        Job {
            model: &self.model,
            model_sha256: "00ff",
            model_name: Some("tiny"),
            backend: Backend::Cpu(&self.pool),
            config: &self.config,
            init_adapter: self.init_adapter.as_ref(),
            train: &self.train,
            validation: &self.validation,
            out,
            tensorboard: true,
        }
    }

    /// Runs with a handler of events, which may set the flag it is given.
    pub(super) fn run_with(
        &self,
        out: &Path,
        on_event: impl FnMut(&Event<'_>, &AtomicBool),
    ) -> Result<Outcome, Error> {
        Self::run_job(&self.job(out), on_event)
    }

    /// The same of a job that was changed.
    pub(super) fn run_job(
        job: &Job<'_>,
        mut on_event: impl FnMut(&Event<'_>, &AtomicBool),
    ) -> Result<Outcome, Error> {
        let interrupt = AtomicBool::new(false);
        // Every look at the clock is a second later: times are as reproducible as the rest.
        let seconds = Cell::new(0);
        let clock = || {
            seconds.set(seconds.get() + 1);
            Duration::from_secs(seconds.get())
        };
        let mut on_event = |event: &Event<'_>| on_event(event, &interrupt);
        let mut host = Host {
            clock: &clock,
            peak_memory: &|| Some(123),
            interrupt: &interrupt,
            on_event: &mut on_event,
        };
        train(job, &mut host)
    }

    /// Runs to the end.
    pub(super) fn run(&self, out: &Path) -> Result<Outcome, Error> {
        self.run_with(out, |_, _| ())
    }

    /// Runs until optimiser step `step` is done, then interrupts as Ctrl-C does.
    pub(super) fn run_until(&self, out: &Path, step: u64) -> Result<Outcome, Error> {
        self.run_with(out, |event, interrupt| {
            if matches!(event, Event::Step { metrics, .. } if metrics.step == step) {
                interrupt.store(true, Ordering::Relaxed);
            }
        })
    }

    /// Runs until event number `event` (from 0) and panics there, which leaves on disk what a kill would.
    /// `false`: the run ended before.
    pub(super) fn run_and_kill(&self, out: &Path, event: usize) -> bool {
        let mut count = 0;
        let run = || {
            self.run_with(out, |_, _| {
                if count == event {
                    // Without the panic hook's message: this one is meant.
                    resume_unwind(Box::new("killed"));
                }
                count += 1;
            })
        };
        catch_unwind(AssertUnwindSafe(run)).is_err()
    }
}

/// All files of a finished run by name, as bytes.
pub(super) fn files(out: &Path) -> BTreeMap<String, Vec<u8>> {
    let names = [
        "metrics.jsonl",
        "tensorboard/events.out.tfevents.0.evol",
        "checkpoint.safetensors",
        "adapter.gguf",
        "peft/adapter_config.json",
        "peft/adapter_model.safetensors",
    ];
    names.map(|name| (name.to_owned(), std::fs::read(out.join(name)).unwrap())).into()
}
