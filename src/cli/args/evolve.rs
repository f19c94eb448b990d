//! `evol evolve` as typed.

use crate::dataset::OnBadInput;
use crate::evolve::{EvolveConfig, Operator, OperatorWeights, Style};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// A run directory with evolved, filtered and answered instructions, from seeds and a model
///
/// In every round each instruction of the pool is rewritten by an operator drawn at random: five make it harder
/// (`add_constraints`, `deepening`, `concretizing`, `increase_reasoning`, `complicate_input`), one makes a rarer one of the
/// same kind (`mutation`). What fails a rule is eliminated, with its reason, and its parent is tried again in the
/// next round. Survivors are answered. Everything is in `RUN/run.db`; the same command goes on with an unfinished
/// run.
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Examples:
  evol evolve --model base.gguf --out runs/a                      the built-in seeds
  evol evolve --model base.gguf --seeds my.jsonl --out runs/b --rounds 3
  evol evolve --model base.gguf --out runs/c --limit 50 --operators deepening,mutation=2"
)]
pub(crate) struct EvolveArgs {
    /// Model that evolves, judges and answers: a GGUF file, or the name of a fetched model
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: String,
    /// Seeds: JSONL (alpaca, messages, {"prompt": …}) or plain text, one instruction a line [default: built-in]
    #[arg(long, value_name = "FILE")]
    pub(crate) seeds: Option<PathBuf>,
    /// What to do about a line of seeds that cannot be used
    #[arg(long, value_enum, default_value_t = OnBadInputArg::Fail)]
    pub(crate) on_bad_input: OnBadInputArg,
    /// Use that many seeds, drawn at random [default: all]
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Run directory; new, or made by an earlier `evol evolve` with the same settings
    #[arg(long, value_name = "RUN")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) engine: super::EngineArgs,
    #[command(flatten)]
    pub(crate) settings: EvolveSettings,
}

/// What to do about a bad line, as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnBadInputArg {
    /// Report it with its number and go on without it
    Skip,
    /// Report all of them and stop
    Fail,
}

impl From<OnBadInputArg> for OnBadInput {
    fn from(typed: OnBadInputArg) -> Self {
        match typed {
            OnBadInputArg::Skip => Self::Skip,
            OnBadInputArg::Fail => Self::Fail,
        }
    }
}

/// A prompt style as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StyleArg {
    /// Chat for models from 3 billion weights on, completion for smaller ones
    Auto,
    /// A request in the model's chat template
    Chat,
    /// A few pairs of tasks that the model continues
    Completion,
}

impl From<StyleArg> for Style {
    fn from(typed: StyleArg) -> Self {
        match typed {
            StyleArg::Auto => Self::Auto,
            StyleArg::Chat => Self::Chat,
            StyleArg::Completion => Self::Completion,
        }
    }
}

/// What shapes the result. Defaults are [`EvolveConfig`]'s.
#[derive(Debug, Clone, Args)]
pub(crate) struct EvolveSettings {
    /// Rounds of evolution
    #[arg(long, value_name = "N", default_value_t = EvolveConfig::default().rounds)]
    pub(crate) rounds: u32,
    /// Attempts at an instruction within a round, each with an operator drawn anew
    #[arg(long, value_name = "N", default_value_t = EvolveConfig::default().attempts)]
    pub(crate) attempts: u32,
    /// Operators to draw from, as NAME or NAME=WEIGHT, separated by commas [default: all six, equally]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = parse_weight)]
    pub(crate) operators: Vec<(Operator, f64)>,
    /// Which prompts
    #[arg(long, value_enum, default_value_t = StyleArg::Auto)]
    pub(crate) style: StyleArg,
    /// Randomness of rewriting; 0 always takes the likeliest token
    #[arg(long, value_name = "T", default_value_t = EvolveConfig::default().sampling.temperature)]
    pub(crate) temperature: f32,
    /// Randomness of answers
    #[arg(long, value_name = "T", default_value_t = EvolveConfig::default().answer_sampling.temperature)]
    pub(crate) answer_temperature: f32,
    /// Longest rewritten instruction, in tokens
    #[arg(long, value_name = "N", default_value_t = EvolveConfig::default().max_tokens.instruction)]
    pub(crate) max_instruction_tokens: usize,
    /// The same for `complicate_input`, whose instructions carry data, in tokens
    #[arg(long, value_name = "N", default_value_t = EvolveConfig::default().max_tokens.instruction_with_data)]
    pub(crate) max_data_tokens: usize,
    /// Longest answer, in tokens; one that reaches it is cut, and dropped
    #[arg(long, value_name = "N", default_value_t = EvolveConfig::default().max_tokens.answer)]
    pub(crate) max_answer_tokens: usize,
    /// Generations that are made and committed together
    #[arg(long, value_name = "N", default_value_t = EvolveConfig::default().chunk_size)]
    pub(crate) chunk_size: usize,
    /// Give up when, after 50 attempts of a round, a smaller share than this is still alive
    #[arg(long, value_name = "SHARE", default_value_t = EvolveConfig::default().min_yield)]
    pub(crate) min_yield: f64,
}

impl EvolveSettings {
    /// As evolve's configuration; ranges are evolve's to check.
    pub(crate) fn config(&self, seed: u64) -> EvolveConfig {
        let mut config = EvolveConfig {
            rounds: self.rounds,
            attempts: self.attempts,
            seed,
            style: self.style.into(),
            chunk_size: self.chunk_size,
            min_yield: self.min_yield,
            ..EvolveConfig::default()
        };
        if !self.operators.is_empty() {
            config.operators = OperatorWeights::NONE;
            for &(operator, weight) in &self.operators {
                config.operators.set(operator, weight);
            }
        }
        config.sampling.temperature = self.temperature;
        config.answer_sampling.temperature = self.answer_temperature;
        config.max_tokens.instruction = self.max_instruction_tokens;
        config.max_tokens.instruction_with_data = self.max_data_tokens;
        config.max_tokens.answer = self.max_answer_tokens;
        config
    }
}

/// `deepening` or `deepening=2`.
fn parse_weight(text: &str) -> Result<(Operator, f64), String> {
    let (name, weight) = text.split_once('=').unwrap_or((text, "1"));
    let names = || Operator::ALL.map(Operator::name).join(", ");
    let operator =
        Operator::parse(name).ok_or_else(|| format!("no operator `{name}`, expected one of: {}", names()))?;
    let weight: f64 = weight.parse().map_err(|_| format!("the weight `{weight}` is not a number"))?;
    Ok((operator, weight))
}
