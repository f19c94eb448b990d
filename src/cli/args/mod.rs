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
mod export;
mod inspect;
mod merge;
mod report;
mod train;
mod verify;

pub(crate) use bench::{
    BenchArgs, BenchCommand, BenchCompareArgs, BenchEvolveArgs, BenchPromptsArgs, BenchQuestionsArgs,
    BenchTrainArgs,
};
pub(crate) use cluster::{MergeRunsArgs, SlurmArgs};
pub(crate) use eval::EvalArgs;
pub(crate) use evolve::EvolveArgs;
pub(crate) use export::ExportArgs;
pub(crate) use inspect::{CalibrateArgs, CheckArgs, DoctorArgs, StatsArgs, TreeArgs};
pub(crate) use merge::MergeArgs;
pub(crate) use report::{CompareArgs, ReportArgs, StatusArgs};
pub(crate) use train::TrainArgs;
pub(crate) use verify::VerifyArgs;

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
