//! `evol merge`: merges an adapter into its base, and measures what that costs in perplexity.

use super::args::MergeArgs;
use super::output::Output;
use super::session::Session;
use crate::dataset;
use crate::device::CpuPool;
use crate::gguf::Gguf;
use crate::llm::{self, FileType, Part, Tokenizer};
use crate::lora::LoraWeights;
use crate::merge;
use crate::model::Llama;
use crate::run::{Error, ErrorContext as _, Result, resolve_model, shell};
use serde::Serialize;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// Tokens in each piece of text that perplexity is measured on.
const PIECE: usize = 512;

/// The result, as printed with `--json`.
#[derive(Debug, Serialize)]
struct Merged<'a> {
    out: &'a Path,
    #[serde(rename = "type")]
    file_type: &'static str,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    perplexity: Option<Perplexity>,
}

/// e to the mean negative log-likelihood of every token but the first of each piece.
#[derive(Debug, Serialize)]
struct Perplexity {
    tokens: usize,
    base: f64,
    base_with_adapter: f64,
    merged: f64,
}

/// Runs the command.
///
/// # Errors
/// A file is unusable, the output exists or cannot be written, or llama.cpp refuses.
pub(crate) fn run(args: &MergeArgs, session: &Session) -> Result<()> {
    let path = resolve_model(&args.base)?;
    let gguf = Arc::new(Gguf::open(&path)?);
    let file_type = file_type(args, &gguf)?;
    if args.out.exists() && !args.force {
        return Err(Error::Exists { path: args.out.clone() });
    }
    // The adapter belongs to the base, and perplexity is measured on it after the merge.
    if args.out.canonicalize().is_ok_and(|out| path.canonicalize().is_ok_and(|base| base == out)) {
        return Err(Error::OverBase { path: args.out.clone() });
    }
    let shape = Llama::load(Arc::clone(&gguf))?.config().base_shape();
    let weights = LoraWeights::read(&args.adapter, &shape)
        .context(|| format!("cannot merge `{}`", args.adapter.display()))?;
    // Read before the merge, so that an error here costs no time.
    let text = pieces(args, &path)?;
    session.context().check_interrupt()?;
    session.output.note(&format!("merging into `{}` as {}", args.out.display(), file_type.name()));
    merge::merge(&gguf, &weights, &CpuPool::new(session.threads)?, file_type, &args.out)?;
    // The merge is complete, so an interruption now only skips the measurement.
    let measured = !text.is_empty() && !session.interrupt.is_requested();
    let perplexity =
        measured.then(|| perplexity(args, &path, &weights, &text, session.output)).transpose()?;
    let bytes =
        fs::metadata(&args.out).map_err(Error::io(format!("cannot read `{}`", args.out.display())))?.len();
    let merged = Merged { out: &args.out, file_type: file_type.name(), bytes, perplexity };
    if session.output.is_json() {
        return session.output.document(&merged);
    }
    session.output.data(&describe(&merged))?;
    let next = shell::evol(&["chat", "--model", &shell::word(&args.out)]);
    session.output.note(&format!("\nTry it: {next}"));
    Ok(())
}

/// The type of `--type`, or the base's.
fn file_type(args: &MergeArgs, base: &Gguf) -> Result<FileType, Error> {
    let known = || FileType::ALL.iter().map(|file_type| file_type.name()).collect::<Vec<_>>().join(", ");
    match &args.file_type {
        Some(typed) => FileType::parse(typed)
            .ok_or_else(|| Error::FileType { found: format!("file type `{typed}`"), known: known() }),
        None => merge::file_type(base).ok_or_else(|| Error::FileType {
            found: format!("the file type of `{}`", base.path().display()),
            known: known(),
        }),
    }
}

/// The tokens to measure perplexity on, in pieces of [`PIECE`].
fn pieces(args: &MergeArgs, model: &Path) -> Result<Vec<Vec<u32>>> {
    if args.perplexity_tokens == 0 {
        return Ok(Vec::new());
    }
    let tokenizer = Tokenizer::load(model)?;
    let mut tokens = Vec::new();
    for parts in texts(args, &tokenizer)? {
        tokens.extend(tokenizer.tokenize(&parts)?);
        if tokens.len() >= args.perplexity_tokens {
            break;
        }
    }
    tokens.truncate(args.perplexity_tokens);
    Ok(tokens.chunks(PIECE).filter(|piece| piece.len() > 1).map(<[u32]>::to_vec).collect())
}

/// The texts to measure on, rendered with the model's template if it has one.
fn texts(args: &MergeArgs, tokenizer: &Tokenizer) -> Result<Vec<Vec<Part>>> {
    let plain = |text: String| vec![Part { text, special: false }];
    let Some(path) = &args.data else {
        let seeds = dataset::builtin_seeds();
        return Ok(seeds.into_iter().map(|seed| plain(seed.instruction + "\n\n")).collect());
    };
    if !path.extension().is_some_and(|extension| extension == "jsonl" || extension == "json") {
        let text =
            fs::read_to_string(path).map_err(Error::io(format!("cannot read `{}`", path.display())))?;
        return Ok(vec![plain(text)]);
    }
    let template = tokenizer.chat_template()?;
    let examples = dataset::read_examples(path)?.examples;
    let render = |example: dataset::Example| match &template {
        Some(template) => Ok(template.render(&example.messages, false)?),
        None => Ok(example.messages.into_iter().flat_map(|m| plain(m.content + "\n")).collect()),
    };
    examples.into_iter().map(render).collect()
}

fn perplexity(
    args: &MergeArgs,
    base: &Path,
    weights: &LoraWeights,
    text: &[Vec<u32>],
    output: Output,
) -> Result<Perplexity> {
    let tokens = text.iter().map(Vec::len).sum();
    output.note(&format!("measuring perplexity on {tokens} tokens"));
    // llama.cpp only reads GGUF adapters.
    let folder =
        tempfile::tempdir().map_err(Error::io("cannot create a temporary directory for the adapter"))?;
    let adapter = folder.path().join("adapter.gguf");
    weights.write_gguf(&adapter, "adapter")?;
    let measure = |model: &Path, adapter: Option<&Path>| -> Result<f64> {
        Ok((-llm::log_likelihood(model, adapter, text)?).exp())
    };
    Ok(Perplexity {
        tokens,
        base: measure(base, None)?,
        base_with_adapter: measure(base, Some(&adapter))?,
        merged: measure(&args.out, None)?,
    })
}

fn describe(merged: &Merged<'_>) -> String {
    let mib = merged.bytes as f64 / f64::from(1 << 20);
    let mut text = format!("{} ({}, {mib:.1} MiB)\n", merged.out.display(), merged.file_type);
    if let Some(Perplexity { tokens, base, base_with_adapter, merged }) = &merged.perplexity {
        let _ = writeln!(
            text,
            "perplexity on {tokens} tokens\n  base            {base:.4}\n  with adapter    \
             {base_with_adapter:.4}\n  merged          {merged:.4} ({:+.2} %)",
            (merged / base_with_adapter - 1.0) * 100.0
        );
    }
    text
}
