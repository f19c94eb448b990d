//! `evol eval` as typed.

use clap::Args;
use std::path::PathBuf;

/// Measure a base and its adapters on a suite of instructions, with intervals and tests
///
/// Every contestant answers the same instructions: constraints are checked by code (strictly, and loosely as
/// `IFEval` does), single right answers are compared, choices are scored by log-probability, and a local
/// judge compares responses in both orders, if it can tell good from bad on pairs with a known answer.
/// Held-out data gives loss and perplexity. Every number has a 95 % interval; contestants are compared item
/// by item with exact tests.
///
/// The built-in suite has 290 instructions over 29 skills, ten difficulties each: 174 with constraints, 51
/// with one right answer. `--suite` takes others, one JSON object a line:
/// `{"instruction", "skill", "difficulty"}` with `constraints` or `answer` or neither (`WizardLM`'s test set
/// is read as it is), `IFEval`'s `{"prompt", "instruction_id_list", "kwargs"}`, `GSM8k`'s
/// `{"question", "answer": "… #### 42"}`, and multiple choice as in MMLU or ARC.
///
/// The folder gets `eval.json` and every response in `generations-NAME.jsonl`. The same command goes on with
/// what is not there yet.
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
    /// An adapter (GGUF) on it, with a name for the tables; can be given several times [default name: the
    /// file's]
    #[arg(long, value_name = "[NAME=]FILE", value_parser = parse_adapter)]
    pub(crate) adapter: Vec<(String, PathBuf)>,
    /// What to ask, one JSON object a line [default: the built-in suite]
    #[arg(long, value_name = "FILE")]
    pub(crate) suite: Option<PathBuf>,
    /// Ask that many of the suite's items, spread evenly over it [default: all]
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Held-out data (JSONL) for loss and perplexity
    #[arg(long, value_name = "FILE")]
    pub(crate) validation: Option<PathBuf>,
    /// Most tokens of a response
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub(crate) max_tokens: usize,
    /// 0 takes the likeliest token, 1 draws from the model's own distribution
    #[arg(long, value_name = "X", default_value_t = 0.0)]
    pub(crate) temperature: f32,
    /// Another model that compares responses: a GGUF file, or the name of a fetched model [default: the base]
    #[arg(long, value_name = "MODEL", conflicts_with = "no_judge")]
    pub(crate) judge_model: Option<String>,
    /// Compare no responses by a judge
    #[arg(long)]
    pub(crate) no_judge: bool,
    /// Folder for the results; new, or made by an earlier `evol eval` with the same settings
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}

/// `NAME=FILE`, or a file that is named after itself. A name becomes part of a file name.
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
            "the name `{name}` is not made of letters, digits, `-`, `_` and `.`: give another as NAME=FILE"
        ));
    }
    if name == crate::run::eval::BASE {
        return Err("the name `base` stands for the base model: give another as NAME=FILE".to_owned());
    }
    Ok((name, PathBuf::from(file)))
}
