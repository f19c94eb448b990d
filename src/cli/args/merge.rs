//! Arguments of `evol merge`.

use clap::Args;
use std::path::PathBuf;

/// Merge an adapter into its base and write one GGUF
///
/// Merges in f32 and writes f32, f16, bf16, or a quantized format using llama.cpp's quantizer. Then measures
/// perplexity on the same text for the base, the base with the adapter, and the merged model, to show what
/// merging and quantizing cost.
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
    /// Adapter: a GGUF file, or a PEFT folder
    #[arg(long, value_name = "PATH")]
    pub(crate) adapter: PathBuf,
    /// Output file, GGUF
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// File type of the merged model, such as `f16`, `q8_0` or `q4_k_m` [default: the base's]
    #[arg(long = "type", value_name = "NAME")]
    pub(crate) file_type: Option<String>,
    /// Text to measure perplexity on: a data file (JSONL), or plain text [default: the built-in seeds]
    #[arg(long, value_name = "FILE")]
    pub(crate) data: Option<PathBuf>,
    /// Number of tokens to measure perplexity on; 0 disables it
    #[arg(long, value_name = "N", default_value_t = 2048)]
    pub(crate) perplexity_tokens: usize,
    /// Overwrite the output file if it exists
    #[arg(long)]
    pub(crate) force: bool,
}
