//! `evol merge` as typed.

use clap::Args;
use std::path::PathBuf;

/// A base and its adapter as one model file
///
/// Every adapted weight becomes the base's plus the adapter's part, computed in f32. The result is f32, f16
/// or bf16, or is brought to a quantised format by llama.cpp's quantiser. The perplexity of the base, of the
/// base with the adapter beside it, and of the merged file is reported on the same text, so that what merging
/// and quantising cost is known.
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Examples:
  evol merge --base base.gguf --adapter adapter/adapter.gguf --out merged.gguf
  evol merge --base base.gguf --adapter adapter/peft --out merged.Q4_K_M.gguf --type q4_k_m --data \
    held-out.jsonl
  evol merge --base base.gguf --adapter adapter/adapter.gguf --out merged.gguf --type f16 \
    --perplexity-tokens 0"
)]
pub(crate) struct MergeArgs {
    /// Base model: a GGUF file, or the name of a fetched model
    #[arg(long, alias = "model", value_name = "MODEL")]
    pub(crate) base: String,
    /// The adapter: a GGUF file, or a PEFT folder
    #[arg(long, value_name = "PATH")]
    pub(crate) adapter: PathBuf,
    /// The merged model, GGUF
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Format of the merged model, such as f16, `q8_0` or `q4_k_m` [default: the base's]
    #[arg(long = "type", value_name = "NAME")]
    pub(crate) file_type: Option<String>,
    /// Text to measure perplexity on: training data (JSONL), or plain text [default: the built-in seeds]
    #[arg(long, value_name = "FILE")]
    pub(crate) data: Option<PathBuf>,
    /// Tokens to measure perplexity on; 0: do not measure
    #[arg(long, value_name = "N", default_value_t = 2048)]
    pub(crate) perplexity_tokens: usize,
    /// Replace the output file if it is there
    #[arg(long)]
    pub(crate) force: bool,
}
