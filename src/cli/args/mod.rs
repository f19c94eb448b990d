//! The grammar of the command line: commands, flags, and their help.
//!
//! Where in the flow: first. A command turns its arguments into a plan, runs it and prints the result.
//!
//! **Invariant:** nothing here touches a file or makes a decision. Defaults are read from the modules that
//! own them, never repeated.

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
/// A local LLaMA rewrites seed instructions into harder and rarer ones (Evol-Instruct), bad ones are filtered
/// out, the rest are answered, and the model is fine-tuned on them with LoRA. llama.cpp generates; training
/// is built in. Nothing is ever sent over the network.
///
/// Results go to stdout, everything else to stderr. Exit codes: 0 success; 1 the run failed; 2 wrong usage,
/// configuration or input; 130 interrupted (rerun the same command to resume).
#[derive(Debug, Parser)]
#[command(
    name = "evol",
    version,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true
)]
#[command(after_help = "Examples:
  evol run examples/quickstart.toml         run the whole loop
  evol doctor --model base.gguf             check the machine and a model
  evol evolve --help                        show all flags of a command")]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The largest integer in TOML, where a run records its seed.
const SEED_MAX: u64 = i64::MAX as u64;

/// Flags of every command.
#[derive(Debug, Clone, Args)]
pub(crate) struct GlobalArgs {
    /// Random seed; the same seed, files and settings give the same results [default: 0; the run's for
    /// `export`; the file's for `run`]
    #[arg(long, global = true, value_name = "N", help_heading = "Global options",
          value_parser = clap::value_parser!(u64).range(..=SEED_MAX))]
    pub(crate) seed: Option<u64>,
    /// Device to train on: `auto` (currently the CPU), `cpu`, `cuda`, `cuda:N`, or several GPUs: `cuda:0,1`
    #[arg(long, global = true, value_name = "DEVICE", default_value = "auto", value_parser = parse_device,
          help_heading = "Global options")]
    pub(crate) device: DeviceArg,
    /// Number of threads for generation and training [default: one per available core]
    #[arg(long, global = true, value_name = "N", help_heading = "Global options")]
    pub(crate) threads: Option<usize>,
    /// Print results as JSON on stdout, and progress as JSON lines on stderr
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) json: bool,
    /// Print more on stderr: -v decisions and llama.cpp's warnings, -vv all of llama.cpp's log
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Global options")]
    pub(crate) verbose: u8,
}

/// The value of `--device`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DeviceArg {
    Cpu,
    /// GPU numbers: at least one, no duplicates.
    Cuda(Vec<usize>),
}

impl DeviceArg {
    /// GPU numbers; empty for the CPU.
    pub(crate) fn ordinals(&self) -> &[usize] {
        match self {
            Self::Cpu => &[],
            Self::Cuda(ordinals) => ordinals,
        }
    }
}

/// As the user writes it.
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

/// The commands; the help of each is on its `Args`.
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

/// Run the whole loop from a TOML file: evolve, export, train, evaluate
///
/// Every stage can be resumed: after an interruption, rerun the same command to resume after the last
/// committed unit of work. Rerunning a finished run does nothing. The adapter is evaluated against the base
/// and against an adapter trained for as many tokens on the seeds alone.
///
/// The run directory contains `run.db` (the journal of everything that happened), `config.toml` (the resolved
/// configuration), `manifest.json` (hashes of model, seeds and prompts; versions; machine), `export/`,
/// `adapter/`, `baselines/`, `eval/`, `report.html` and `summary.json`.
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Paths in CONFIG are relative to CONFIG's own folder.

Examples:
  evol run examples/quickstart.toml
  evol run examples/quickstart.toml --model ~/models/base.gguf --out runs/base
  evol run my.toml --json > summary.json"
)]
pub(crate) struct RunArgs {
    /// Experiment file (TOML); `examples/quickstart.toml` shows every key
    #[arg(value_name = "CONFIG")]
    pub(crate) config: PathBuf,
    /// Model: a GGUF file, or the name of a fetched model [default: the one in CONFIG]
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
    /// Run directory, relative to the working directory [default: the one in CONFIG]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Train each adapter N times, with different seeds, and compare the means [default: the file's, or 1]
    #[arg(long, value_name = "N")]
    pub(crate) repeats: Option<u64>,
    /// Stop after this stage; rerun without this flag to resume
    #[arg(long, value_enum, value_name = "STAGE")]
    pub(crate) until: Option<UntilArg>,
}

/// Values of `--until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum UntilArg {
    /// Evolve and answer instructions
    Evolve,
    /// Write the training files
    Export,
    /// Train the adapter
    Train,
    /// Train the adapters to compare it with
    Baselines,
    /// Evaluate all adapters on the suite
    Eval,
}

/// Export a run as training and validation files (JSONL)
///
/// Merges the seeds and all rounds, and shuffles them with the run's seed. A seed and all its descendants are
/// on the same side of the split, so no validation row is a rewording of a training row.
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
    /// Output folder for `train.jsonl` and `validation.jsonl`: new, or from an earlier export
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Format of a row
    #[arg(long, value_enum, default_value_t = FormatArg::Messages)]
    pub(crate) format: FormatArg,
    /// Share of seeds that go to validation with their descendants, at least 0 and below 1 [default: the
    /// run's; 0.1 for a run made by `evol evolve`]
    #[arg(long, value_name = "SHARE")]
    pub(crate) validation_fraction: Option<f64>,
    /// Leave out rows that overlap with a test set in these files (JSONL of any form, or text): a common
    /// 13-gram of words, or half of a test item's 8-grams [default: the run's]
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(crate) decontaminate: Vec<PathBuf>,
    /// Number of rows to draw, with the seed [default: the run's, or all]
    #[arg(long, value_name = "N")]
    pub(crate) sample: Option<usize>,
    /// Maximum rows per seed, the seed's own included [default: the run's, or all]
    #[arg(long, value_name = "N")]
    pub(crate) max_per_root: Option<usize>,
    /// Maximum shares of groups of rows: comma-separated GROUP=SHARE, where GROUP is `seeds`, `round.N` or an
    /// operator [default: the run's, or none]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = parse_share)]
    pub(crate) shares: Vec<(String, f64)>,
}

/// Parses `mutation=0.2`.
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

/// Values of `--format`.
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

/// Chat with a model in the terminal, with or without an adapter
///
/// Each line of stdin is a turn; the answer streams to stdout. In a terminal, end the conversation with
/// Ctrl-D. If stdin is a pipe, only the answers are printed.
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
    /// LoRA adapter, GGUF
    #[arg(long, value_name = "FILE")]
    pub(crate) adapter: Option<PathBuf>,
    /// System message [default: the one in the model's chat template, if any]
    #[arg(long, value_name = "TEXT")]
    pub(crate) system: Option<String>,
    /// Sampling temperature; 0 is greedy
    #[arg(long, value_name = "T", default_value_t = 0.7)]
    pub(crate) temperature: f32,
    /// Maximum length of an answer, in tokens
    #[arg(long, value_name = "N", default_value_t = 512)]
    pub(crate) max_tokens: usize,
    /// Context length, in tokens: conversation and answer
    #[arg(long, value_name = "N", default_value_t = 2048)]
    pub(crate) context: usize,
}

/// Show how an instruction evolved: its seed, every attempt and every verdict
///
/// Without an id, shows all families. With --json, prints one JSON object per node, with everything that is
/// recorded about it.
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
    /// Id of any node in the family, as in `run.db` [default: all families]
    #[arg(value_name = "ID")]
    pub(crate) id: Option<u64>,
}

/// Show statistics of a run, round by round
///
/// Shows how evolution changes the instructions: words, words added by in-depth operators, distinct n-grams,
/// the share with checked constraints, judged difficulty, repeats, and the most frequent opening. With
/// `--clusters`, a model embeds the instructions, and each round also has the number of clusters (of 20) that
/// it covers.
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
    /// Model for the embeddings: a GGUF file, or the name of a fetched model [default: no clusters]
    #[arg(long, value_name = "MODEL")]
    pub(crate) clusters: Option<String>,
}

/// Rerun every check that needs no model on an export
///
/// Checks whether each answer meets its constraints, whether a row trips a guard when compared with its
/// parent, and whether rows are near duplicates. Exits with 1 if anything is found. Exports of runs with the
/// profiles `auto` and `verified` have no findings.
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Examples:
  evol check runs/quickstart/export
  evol check data/train.jsonl --json | jq .findings"
)]
pub(crate) struct CheckArgs {
    /// Folder of the export, or one of its JSONL files
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,
}

/// Measure how well a model can judge whether two instructions are the same
///
/// Asks about 262 labelled pairs, in both orders. Prints the area under the ROC curve (0.5 is chance), the
/// calibration error, the threshold that a run would use, and the results for each kind of difference. Runs
/// do not use a judge with an area below 0.75; they compare words instead.
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Examples:
  evol calibrate --model smollm2-135m-instruct
  evol calibrate --model judge.gguf --json"
)]
pub(crate) struct CalibrateArgs {
    /// Model to test: a GGUF file, or the name of a fetched model
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: String,
    /// Prompt style
    #[arg(long, value_enum, default_value_t = StyleArg::Auto)]
    pub(crate) style: StyleArg,
}

/// Check the machine and a model file for problems
///
/// Checks the CPU's instruction sets against those of this build, threads, memory and GPUs. For a model,
/// checks the file, its architecture and chat template, and whether training fits into memory, and measures
/// the generation speed. Exits with 1 if a check fails.
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
    /// Also generate repeatedly while changing threads, batch width, order, neighbours, restarts, …, and
    /// compare results bit by bit; takes minutes for a small model
    #[arg(long, requires = "model")]
    pub(crate) determinism: bool,
}
