//! Arguments of `evol eval`.

use clap::Args;
use std::path::PathBuf;

/// Evaluate a base model and its adapters on a suite of instructions
///
/// The base and every adapter answer the same items. Code checks constraints (strictly, and loosely as
/// `IFEval` does), exact answers are compared, and multiple choice is scored by log-probability. A local
/// judge compares responses in both orders, if it passes a test on pairs whose better response is known.
/// Held-out data gives loss and perplexity. Every figure has a 95 % interval, and models are compared item by
/// item with exact tests.
///
/// The built-in suite has 290 items: 29 skills at ten difficulties, 174 with constraints and 51 with an exact
/// answer. `--suite` reads JSONL in other forms: `{"instruction", "skill", "difficulty"}` with `constraints`,
/// `answer` or neither (`WizardLM`'s test set works unchanged); `IFEval`'s
/// `{"prompt", "instruction_id_list", "kwargs"}`; `GSM8k`'s `{"question", "answer": "… #### 42"}`; and
/// multiple choice as in MMLU or ARC.
///
/// Writes `eval.json`, and every response to `generations-NAME.jsonl`. Rerun the same command to resume an
/// interrupted evaluation.
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Examples:
  evol eval --base base.gguf --adapter adapter/adapter.gguf --out eval
  evol eval --base base.gguf --adapter tuned=a.gguf --adapter seeds=b.gguf --validation \
    data/validation.jsonl --out eval
  evol eval --base base.gguf --suite ifeval.jsonl --out eval-ifeval --no-judge --json > ifeval.json"
)]
pub(crate) struct EvalArgs {
    /// Base model: a GGUF file, or the name of a fetched model
    #[arg(long, alias = "model", value_name = "MODEL")]
    pub(crate) base: String,
    /// Adapter (GGUF) to evaluate, with its name for the tables; can be repeated [default name: the file's]
    #[arg(long, value_name = "[NAME=]FILE", value_parser = parse_adapter)]
    pub(crate) adapter: Vec<(String, PathBuf)>,
    /// Suite to evaluate on, JSONL [default: the built-in suite]
    #[arg(long, value_name = "FILE")]
    pub(crate) suite: Option<PathBuf>,
    /// Number of items to use, spread evenly over the suite [default: all]
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Held-out data for loss and perplexity, JSONL
    #[arg(long, value_name = "FILE")]
    pub(crate) validation: Option<PathBuf>,
    /// Maximum length of a response, in tokens
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub(crate) max_tokens: usize,
    /// Sampling temperature; 0 is greedy
    #[arg(long, value_name = "X", default_value_t = 0.0)]
    pub(crate) temperature: f32,
    /// Model that compares responses: a GGUF file, or the name of a fetched model [default: the base]
    #[arg(long, value_name = "MODEL", conflicts_with = "no_judge")]
    pub(crate) judge_model: Option<String>,
    /// Do not compare responses with a judge
    #[arg(long)]
    pub(crate) no_judge: bool,
    /// Output folder: new, or from an earlier `evol eval` with the same settings
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}

/// Parses `NAME=FILE`, or `FILE`, which is named after its file stem. The name becomes part of file names.
fn parse_adapter(text: &str) -> Result<(String, PathBuf), String> {
    let (name, file) = match text.split_once('=') {
        Some((name, file)) if !name.contains('/') => (name.to_owned(), file),
        _ => {
            let stem = std::path::Path::new(text).file_stem().map(|stem| stem.to_string_lossy().into_owned());
            (stem.unwrap_or_default(), text)
        }
    };
    let allowed = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || !name.chars().all(allowed) {
        return Err(format!(
            "the name `{name}` may only have letters, digits, `-`, `_` and `.`: choose another with NAME=FILE"
        ));
    }
    if name == crate::run::eval::BASE {
        return Err(
            "the name `base` is reserved for the base model: choose another with NAME=FILE".to_owned()
        );
    }
    Ok((name, PathBuf::from(file)))
}
