//! The local model behind llama.cpp: loading, chat template, batch engine, sampling, label scores.
//!
//! Where in the flow: `evolve` generates and judges through [`Generate`], which [`Engine`] implements;
//! `train` takes tokens and the chat template from [`Tokenizer`]; `cli` loads both and shows [`ModelInfo`]
//! and [`system_info()`].
//!
//! - `request`: requests, questions and their results
//! - `llama`: llama.cpp behind types that cannot make it abort; only it names the bindings
//! - `model_info`, `adapter`, `system_info`: metadata of a model file, whether an adapter fits it, and how
//!   llama.cpp was compiled
//! - `tokenizer`, `template`: text to tokens; conversations to text
//! - `engine`: loading and options; `settings`, `progress`: what each call runs under, and what it counts
//! - `prefill`, `workers`, `generate`, `score`: prompts into caches, lists onto cores, the two loops over
//!   lists
//! - `prefix`: which prefixes are computed once; `draft`: guessed tokens; `embed`: texts as vectors
//! - `determinism`: the levels of reproducibility; `perturb`, `trace`: measuring that they hold
//! - `chat`: one conversation, streamed
//! - `compute_format`, `quantize`, `measure`: converting weights to another format, and measuring speeds
//! - `sampling`, `text`: logits to tokens, tokens to text
//! - `likelihood`: log-likelihoods of given texts; `reference`: logits for comparison with the trainer
//!
//! **Invariant:** text from users, seeds and models never becomes a control token, and no file and no prompt
//! makes llama.cpp abort the process.

mod adapter;
mod chat;
mod compute_format;
mod determinism;
mod draft;
mod embed;
mod engine;
mod error;
mod generate;
mod likelihood;
mod llama;
mod measure;
mod model_info;
mod perturb;
mod prefill;
mod prefix;
mod progress;
mod quantize;
mod reference;
mod request;
mod sampling;
mod score;
mod settings;
mod system_info;
mod template;
#[cfg(test)]
mod tests;
mod text;
mod tokenizer;
mod trace;
mod workers;

pub use chat::Conversation;
pub use compute_format::{ComputeFile, ComputeFormat, ConversionCache, ConversionStep};
pub use determinism::Determinism;
pub use draft::DraftPolicy;
pub use engine::{Engine, EngineOptions, Generate};
pub use error::Error;
pub use likelihood::ScoredTokens;
pub use measure::{Candidate, Choice, MeasureOptions, Rates, choose, choose_width, measure};
pub use model_info::ModelInfo;
pub use perturb::{Extent, Perturbed, perturb};
pub use prefix::work_order;
pub use progress::{EngineStats, Progress};
pub use quantize::FileType;
pub use reference::{log_likelihood, reference_logits};
pub use request::{
    Answer, Completion, FinishReason, Message, Part, Prompt, Question, Request, Restriction, Sampling,
};
pub use sampling::Sampler;
pub use system_info::{BINDINGS, system_info};
pub use template::ChatTemplate;
pub use tokenizer::Tokenizer;
