//! The command line as typed: what can be said, and the help that says it.
//!
//! Where in the flow: first. A command makes a plan of its arguments, calls it and prints the result.
//!
//! **Invariant:** no file is touched and nothing is decided here; defaults are the modules' own, never a
//! second copy of a number.

mod bench;
mod cluster;
mod engine;
mod eval;
mod evolve;
mod merge;
mod report;
mod train;
mod verify;

pub(crate) use bench::{BenchArgs, BenchCommand, BenchCompareArgs, BenchEvolveArgs, BenchTrainArgs};
pub(crate) use cluster::{MergeRunsArgs, SlurmArgs};
pub(crate) use engine::EngineArgs;
pub(crate) use eval::EvalArgs;
pub(crate) use evolve::{EvolveArgs, StyleArg};
pub(crate) use merge::MergeArgs;
pub(crate) use report::{CompareArgs, ReportArgs, StatusArgs};
pub(crate) use train::TrainArgs;
pub(crate) use verify::VerifyArgs;

use crate::dataset::Format;
use crate::evolve::Operator;
use crate::run::Stage;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Evolve instructions with a local model and fine-tune that model on the result, offline.
///
/// Seeds are rewritten into harder and rarer instructions by a local LLaMA (Evol-Instruct), bad ones are
/// eliminated, the rest is answered, and the model is fine-tuned on it with LoRA. Generation is llama.cpp's,
/// training is this program's own. Nothing ever goes over the network.
///
/// Data goes to stdout, everything else to stderr. Exit code: 0 done, 1 the run failed, 2 wrong usage,
/// configuration or input, 130 interrupted (the same command resumes).
#[derive(Debug, Parser)]
#[command(
    name = "evol",
    version,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true
)]
#[command(after_help = "Examples:
  evol run examples/quickstart.toml         the whole loop, resumable
  evol doctor --model base.gguf             what would go wrong, before it does
  evol evolve --help                        every flag of one command")]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// TOML's integers end here, and a run's seed is kept in TOML.
const SEED_MAX: u64 = i64::MAX as u64;

/// Flags that every command takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct GlobalArgs {
    /// Seed of everything random; equal seed, files and settings give equal results [default: 0; `export`:
    /// the run's; `run`: the file's]
    #[arg(long, global = true, value_name = "N", help_heading = "Global options",
          value_parser = clap::value_parser!(u64).range(..=SEED_MAX))]
    pub(crate) seed: Option<u64>,
    /// Where the trainer runs: `auto` (the CPU in this version), `cpu`, `cuda`, `cuda:N`, or on several GPUs:
    /// `cuda:0,1`
    #[arg(long, global = true, value_name = "DEVICE", default_value = "auto", value_parser = parse_device,
          help_heading = "Global options")]
    pub(crate) device: DeviceArg,
    /// Threads for generation and training [default: one per available core]
    #[arg(long, global = true, value_name = "N", help_heading = "Global options")]
    pub(crate) threads: Option<usize>,
    /// Machine-readable output: results as JSON on stdout, progress as JSON lines on stderr
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) json: bool,
    /// Say more on stderr: -v what is decided and llama.cpp's warnings, -vv all of llama.cpp's log
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Global options")]
    pub(crate) verbose: u8,
}

/// A device as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DeviceArg {
    /// The CPU.
    Cpu,
    /// GPUs, by their numbers: at least one, each once.
    Cuda(Vec<usize>),
}

impl DeviceArg {
    /// The GPUs; none for the CPU.
    pub(crate) fn ordinals(&self) -> &[usize] {
        match self {
            Self::Cpu => &[],
            Self::Cuda(ordinals) => ordinals,
        }
    }
}

/// As it is typed.
impl std::fmt::Display for DeviceArg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(ordinals) => {
                let numbers: Vec<String> = ordinals.iter().map(ToString::to_string).collect();
                write!(f, "cuda:{}", numbers.join(","))
            }
        }
    }
}

fn parse_device(text: &str) -> Result<DeviceArg, String> {
    let expected = || "expected `auto`, `cpu`, `cuda`, `cuda:N`, or several: `cuda:0,1`".to_owned();
    match text {
        "auto" | "cpu" => return Ok(DeviceArg::Cpu),
        "cuda" => return Ok(DeviceArg::Cuda(vec![0])),
        _ => {}
    }
    let mut ordinals = Vec::new();
    for number in text.strip_prefix("cuda:").ok_or_else(expected)?.split(',') {
        let ordinal = number.parse().map_err(|_| expected())?;
        if ordinals.contains(&ordinal) {
            return Err(format!("GPU {ordinal} is listed twice"));
        }
        ordinals.push(ordinal);
    }
    Ok(DeviceArg::Cuda(ordinals))
}

/// The commands. Each says in its `Args` what it does.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(RunArgs),
    Evolve(EvolveArgs),
    Export(ExportArgs),
    Train(Box<TrainArgs>),
    Merge(MergeArgs),
    Eval(EvalArgs),
    Report(ReportArgs),
    Status(StatusArgs),
    Compare(CompareArgs),
    MergeRuns(MergeRunsArgs),
    Slurm(Box<SlurmArgs>),
    Chat(ChatArgs),
    Tree(TreeArgs),
    Stats(StatsArgs),
    Check(CheckArgs),
    Verify(VerifyArgs),
    Calibrate(CalibrateArgs),
    Doctor(DoctorArgs),
    Bench(BenchArgs),
}

/// The whole loop from a TOML file: evolve, export, train, evaluate; resumable
///
/// Every stage resumes: run the same command again after an interruption and it goes on where the last
/// committed unit of work ended. A finished run says so and does nothing. The adapter is measured on a suite
/// beside the base and beside an adapter that was trained on the seeds alone with as many tokens.
///
/// The run directory gets `run.db` (everything that happened), `config.toml` (as resolved), `manifest.json`
/// (hashes of model, seeds, prompts; versions; machine), `export/`, `adapter/`, `baselines/`, `eval/` and
/// `summary.json`.
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Paths in CONFIG are relative to the folder that CONFIG is in.

Examples:
  evol run examples/quickstart.toml
  evol run examples/quickstart.toml --model ~/models/base.gguf --out runs/base
  evol run my.toml --json > summary.json"
)]
pub(crate) struct RunArgs {
    /// The experiment, a TOML file; see `examples/quickstart.toml` for every key
    #[arg(value_name = "CONFIG")]
    pub(crate) config: PathBuf,
    /// Model to use instead of the one in CONFIG: a GGUF file, or the name of a fetched model
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
    /// Run directory to use instead of the one in CONFIG (relative to where you are)
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Train each adapter that many times, with other seeds, and compare the means [default: the file's, or
    /// 1]
    #[arg(long, value_name = "N")]
    pub(crate) repeats: Option<u64>,
    /// Stop after this stage; the same command without it goes on from there
    #[arg(long, value_enum, value_name = "STAGE")]
    pub(crate) until: Option<UntilArg>,
}

/// A stage of `evol run`, as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum UntilArg {
    /// Instructions and answers are in the journal
    Evolve,
    /// The training files are written
    Export,
    /// The adapter is trained
    Train,
    /// So are those that it is compared with
    Baselines,
    /// The suite is answered and judged
    Eval,
}

/// Training files (JSONL) from a run directory, split into train and validation by seed
///
/// Seeds and all rounds are merged and shuffled by the seed. A seed and all its descendants land on the same
/// side of the split, so that nothing in validation is a rewording of something in training.
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Examples:
  evol export runs/quickstart --out data
  evol export runs/quickstart --out data --format sharegpt --validation-fraction 0.05"
)]
pub(crate) struct ExportArgs {
    /// Run directory that `evol evolve` or `evol run` made
    #[arg(value_name = "RUN")]
    pub(crate) run: PathBuf,
    /// Folder for `train.jsonl` and `validation.jsonl`; new, or made by an earlier export
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// How a line looks
    #[arg(long, value_enum, default_value_t = FormatArg::Messages)]
    pub(crate) format: FormatArg,
    /// Share of the seeds whose families go to validation, at least 0 and below 1 [default: the run's, 0.1
    /// for one that `evol evolve` made]
    #[arg(long, value_name = "SHARE")]
    pub(crate) validation_fraction: Option<f64>,
    /// Leave out what repeats a test set in one of these files (JSONL of any form, or text): 13 words in a
    /// row, or half of an item's rows of 8 words [default: the run's]
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(crate) decontaminate: Vec<PathBuf>,
    /// Rows in all, drawn by the seed [default: the run's, or all]
    #[arg(long, value_name = "N")]
    pub(crate) sample: Option<usize>,
    /// Rows that descend from one seed, itself included [default: the run's, or all]
    #[arg(long, value_name = "N")]
    pub(crate) max_per_root: Option<usize>,
    /// Greatest shares, as GROUP=SHARE, separated by commas; a GROUP is `seeds`, `round.N` or an operator
    /// [default: the run's, or none]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = parse_share)]
    pub(crate) shares: Vec<(String, f64)>,
}

/// `mutation=0.2`.
fn parse_share(text: &str) -> Result<(String, f64), String> {
    let (group, share) =
        text.split_once('=').ok_or_else(|| format!("`{text}` is not of the form GROUP=SHARE"))?;
    let is_round = group.strip_prefix("round.").is_some_and(|round| round.parse::<u32>().is_ok());
    if group != "seeds" && !is_round && Operator::parse(group).is_none() {
        let names = Operator::ALL.map(Operator::name).join(", ");
        return Err(format!("unknown group `{group}`, expected `seeds`, `round.N` or one of: {names}"));
    }
    let share: f64 = share.parse().map_err(|_| format!("the share `{share}` is not a number"))?;
    Ok((group.to_owned(), share))
}

impl From<UntilArg> for Stage {
    fn from(typed: UntilArg) -> Self {
        match typed {
            UntilArg::Evolve => Self::Evolve,
            UntilArg::Export => Self::Export,
            UntilArg::Train => Self::Train,
            UntilArg::Baselines => Self::Baselines,
            UntilArg::Eval => Self::Eval,
        }
    }
}

/// An export format as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatArg {
    /// `{"instruction", "input", "output"}`
    Alpaca,
    /// `{"conversations": [{"from": "human", "value"}, {"from": "gpt", "value"}]}`
    Sharegpt,
    /// `{"messages": [{"role", "content"}]}`
    Messages,
}

impl From<FormatArg> for Format {
    fn from(typed: FormatArg) -> Self {
        match typed {
            FormatArg::Alpaca => Self::Alpaca,
            FormatArg::Sharegpt => Self::Sharegpt,
            FormatArg::Messages => Self::Messages,
        }
    }
}

/// Talk to a model in the terminal, with or without an adapter
///
/// A line on stdin is a turn, the answer streams to stdout. In a terminal this is a conversation that ends
/// with Ctrl-D. With stdin from a pipe every line is a turn and only the answers are printed, one after the
/// other.
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Examples:
  evol chat --model base.gguf
  evol chat --model base.gguf --adapter runs/quickstart/adapter/adapter.gguf
  echo 'Name three rivers.' | evol chat --model smollm2-135m-instruct --temperature 0"
)]
pub(crate) struct ChatArgs {
    /// Base model: a GGUF file, or the name of a fetched model
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: String,
    /// LoRA adapter (GGUF) to use with it
    #[arg(long, value_name = "FILE")]
    pub(crate) adapter: Option<PathBuf>,
    /// System message [default: what the model's template puts there]
    #[arg(long, value_name = "TEXT")]
    pub(crate) system: Option<String>,
    /// Randomness of the answers; 0 always takes the likeliest token
    #[arg(long, value_name = "T", default_value_t = 0.7)]
    pub(crate) temperature: f32,
    /// Longest answer, in tokens
    #[arg(long, value_name = "N", default_value_t = 512)]
    pub(crate) max_tokens: usize,
    /// Tokens of conversation that the model sees
    #[arg(long, value_name = "N", default_value_t = 2048)]
    pub(crate) context: usize,
}

/// What became of one instruction: its seed, every attempt at evolving it, every verdict
///
/// Without an id all families are shown. With --json every node is one JSON object with all that is known of
/// it.
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Examples:
  evol tree runs/quickstart 420100          the family of node 420100
  evol tree runs/quickstart --json          one JSON object per node, all families"
)]
pub(crate) struct TreeArgs {
    /// Run directory that `evol evolve` or `evol run` made
    #[arg(value_name = "RUN")]
    pub(crate) run: PathBuf,
    /// Id of any node of the family, as in `run.db` [default: every family]
    #[arg(value_name = "ID")]
    pub(crate) id: Option<u64>,
}

/// Figures on a run, round by round: length, variety, difficulty, repetition
///
/// How evolution changes the instructions: words, words added in depth, distinct n-grams, the share with
/// checked constraints, judged difficulty, repeats, the most frequent opening. With `--clusters` also over
/// how many of 20 groups a round spreads, by the vectors that a model gives to instructions.
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Examples:
  evol stats runs/quickstart
  evol stats runs/quickstart --clusters smollm2-135m-instruct --json"
)]
pub(crate) struct StatsArgs {
    /// Run directory that `evol evolve` or `evol run` made
    #[arg(value_name = "RUN")]
    pub(crate) run: PathBuf,
    /// Model for the vectors: a GGUF file, or the name of a fetched model [default: no clusters]
    #[arg(long, value_name = "MODEL")]
    pub(crate) clusters: Option<String>,
}

/// Check exported data again: every constraint, every guard, every duplicate
///
/// Reads an export (a folder, or one of its files), without a model, and asks all that needs none: whether
/// answers meet the constraints of their rows, whether a row trips a guard beside its parent, whether two
/// rows are nearly the same. Exit code 1 if anything is found. What a run with the profiles `auto` and
/// `verified` kept has no findings.
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Examples:
  evol check runs/quickstart/export
  evol check data/train.jsonl --json | jq .findings"
)]
pub(crate) struct CheckArgs {
    /// Folder of an export, or one of its JSONL files
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,
}

/// How well a model can judge: whether it tells the same instruction from a different one
///
/// Asks it about 262 labelled pairs, in both orders, and prints the area under the ROC curve (0.5 is chance),
/// the calibration error, the threshold that a run would use, and which kinds of difference it sees. Below an
/// area of 0.75 runs do not use the judge; then words decide.
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Examples:
  evol calibrate --model smollm2-135m-instruct
  evol calibrate --model judge.gguf --json"
)]
pub(crate) struct CalibrateArgs {
    /// Model that judges: a GGUF file, or the name of a fetched model
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: String,
    /// Which prompts
    #[arg(long, value_enum, default_value_t = StyleArg::Auto)]
    pub(crate) style: StyleArg,
}

/// Check the machine and a model file: what would go wrong, before it does
///
/// Exit code 1 if something would go wrong. Prints the instruction sets of the CPU beside those that
/// llama.cpp was built with, threads, memory, and for a model: whether the file is sound, its architecture,
/// chat template and tensor formats, the memory that generation and training would take, and a measured
/// generation speed.
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Examples:
  evol doctor
  evol doctor --model base.gguf
  evol doctor --model base.gguf --determinism
  evol doctor --model smollm2-135m-instruct --json"
)]
pub(crate) struct DoctorArgs {
    /// Model to check: a GGUF file, or the name of a fetched model
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
    /// Also generate the same again and again with everything changed that must not matter (threads, batch
    /// width, order, neighbours, restarts, …) and compare bits; minutes for a small model
    #[arg(long, requires = "model")]
    pub(crate) determinism: bool,
}
