//! `evol evolve` as typed.

use crate::dataset::OnBadInput;
use crate::evolve::{EvolveConfig, Operator, OperatorWeights, Profile, Shard, Style};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// What an experiment file says itself.
const FROM_CONFIG: [&str; 7] =
    ["model", "judge_model", "seeds", "on_bad_input", "limit", "EngineArgs", "EvolveSettings"];

/// A run directory with evolved, filtered and answered instructions, from seeds and a model
///
/// In every round each instruction of the pool is evolved by an operator drawn at random (see `--operators`).
/// In depth, the model makes it harder; in breadth, it makes a rarer one of the same kind; by code,
/// constraints are added that code can check. What fails a rule or a guard is eliminated, with its reason,
/// and its parent is tried again. Survivors are answered. Everything is in `RUN/run.db`; the same command
/// resumes an unfinished run.
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Examples:
  evol evolve --model base.gguf --out runs/a                      the built-in seeds
  evol evolve --model base.gguf --seeds my.jsonl --out runs/b --rounds 3
  evol evolve --model base.gguf --out runs/c --limit 50 --operators deepening,mutation=2
  evol evolve --model base.gguf --out runs/d --profile wizardlm   as in the paper
  evol evolve --config my.toml --shard 3/8                        an eighth of it, into OUT/shards/3"
)]
pub(crate) struct EvolveArgs {
    /// Model that evolves, judges and answers: a GGUF file, or the name of a fetched model
    #[arg(long, value_name = "MODEL", required_unless_present = "config")]
    pub(crate) model: Option<String>,
    /// Take everything from an experiment file, as `evol run` does, and evolve only
    #[arg(long, value_name = "CONFIG", conflicts_with_all = FROM_CONFIG)]
    pub(crate) config: Option<PathBuf>,
    /// Evolve only the seeds that fall into part I of N; `evol merge-runs` joins the parts to what one run
    /// makes
    #[arg(long, value_name = "I/N")]
    pub(crate) shard: Option<Shard>,
    /// Another model that judges: a GGUF file, or the name of a fetched model [default: the model itself]
    #[arg(long, value_name = "MODEL")]
    pub(crate) judge_model: Option<String>,
    /// Seeds: JSONL (alpaca, messages, {"prompt": …}) or plain text, one instruction a line [default:
    /// built-in]
    #[arg(long, value_name = "FILE")]
    pub(crate) seeds: Option<PathBuf>,
    /// Licence of the seed file, for the manifest and the card of an export, such as `cc-by-sa-3.0`
    #[arg(long, value_name = "NAME", requires = "seeds")]
    pub(crate) seeds_licence: Option<String>,
    /// What to do about a line of seeds that cannot be used
    #[arg(long, value_enum, default_value_t = OnBadInputArg::Fail)]
    pub(crate) on_bad_input: OnBadInputArg,
    /// Use that many seeds, drawn at random [default: all]
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Run directory; new, or made by an earlier `evol evolve` with the same settings [default with
    /// `--config`: the file's, or `shards/I` in it]
    #[arg(long, value_name = "RUN", required_unless_present = "config")]
    pub(crate) out: Option<PathBuf>,
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

/// A profile as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProfileArg {
    /// The paper: six operators in equal shares, four rounds, its four rules
    Wizardlm,
    /// All operators but `imposed_constraints`, two rounds, three attempts, all guards
    Verified,
    /// As `verified`, with what the model's size and a short trial of it allow
    Auto,
}

impl From<ProfileArg> for Profile {
    fn from(typed: ProfileArg) -> Self {
        match typed {
            ProfileArg::Wizardlm => Self::Wizardlm,
            ProfileArg::Verified => Self::Verified,
            ProfileArg::Auto => Self::Auto,
        }
    }
}

/// What shapes the result. Defaults are [`EvolveConfig`]'s.
#[derive(Debug, Clone, Args)]
pub(crate) struct EvolveSettings {
    /// What decides the settings that are not given
    #[arg(long, value_enum, default_value_t = ProfileArg::Auto)]
    pub(crate) profile: ProfileArg,
    /// Rounds of evolution [default: 4 for `wizardlm`, else 2]
    #[arg(long, value_name = "N")]
    pub(crate) rounds: Option<u32>,
    /// Attempts at an instruction within a round, each with another operator and a higher temperature
    /// [default: 1 for `wizardlm`, else 3]
    #[arg(long, value_name = "N")]
    pub(crate) attempts: Option<u32>,
    /// Answers to an instruction, at most: the first that passes is kept [default: 1 for `wizardlm`, 4 for
    /// `verified`]
    #[arg(long, value_name = "K")]
    pub(crate) answer_samples: Option<u32>,
    /// Constraints that one step adds, at most [default: 2, or 3 for a large model]
    #[arg(long, value_name = "N")]
    pub(crate) max_constraints: Option<usize>,
    // What it says comes from the operators' table.
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = parse_weight)]
    #[arg(help = OPERATORS_HELP, long_help = operators_help())]
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
    /// Labelled pairs that the judge is calibrated on; fewer take less time and say less
    #[arg(long, value_name = "N", default_value_t = EvolveConfig::default().judge.pairs)]
    pub(crate) judge_pairs: usize,
    /// Generations that are made and committed together
    #[arg(long, value_name = "N", default_value_t = EvolveConfig::default().chunk_size)]
    pub(crate) chunk_size: usize,
    /// Give up when, after 50 attempts of a round, a smaller share than this is still alive
    #[arg(long, value_name = "SHARE", default_value_t = EvolveConfig::default().min_yield)]
    pub(crate) min_yield: f64,
    /// Give up when, after 50 attempts of a round, a larger share than this is empty, cut or broken
    #[arg(long, value_name = "SHARE", default_value_t = EvolveConfig::default().max_errors)]
    pub(crate) max_errors: f64,
}

impl EvolveSettings {
    /// As evolve's configuration; ranges are evolve's to check.
    pub(crate) fn config(&self, seed: u64) -> EvolveConfig {
        let mut config = EvolveConfig {
            profile: self.profile.into(),
            rounds: self.rounds,
            attempts: self.attempts,
            answer_samples: self.answer_samples,
            max_constraints: self.max_constraints,
            seed,
            style: self.style.into(),
            chunk_size: self.chunk_size,
            min_yield: self.min_yield,
            max_errors: self.max_errors,
            ..EvolveConfig::default()
        };
        if !self.operators.is_empty() {
            config.operators = Some(OperatorWeights::new(self.operators.iter().copied()));
        }
        config.judge.pairs = self.judge_pairs;
        config.sampling.temperature = self.temperature;
        config.answer_sampling.temperature = self.answer_temperature;
        config.max_tokens.instruction = self.max_instruction_tokens;
        config.max_tokens.instruction_with_data = self.max_data_tokens;
        config.max_tokens.answer = self.max_answer_tokens;
        config
    }
}

const OPERATORS_HELP: &str = "Operators to draw from, as NAME or NAME=WEIGHT, separated by commas; one that \
                              is not named has weight 0 [default: the profile's]";

/// The long help of `--operators`, with the operators from their table.
fn operators_help() -> String {
    let line = |operator: Operator| format!("\n- {}: {}", operator.name(), operator.about());
    format!("{OPERATORS_HELP}\n\nOperators:{}", Operator::ALL.map(line).concat())
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        settings: EvolveSettings,
    }

    #[test]
    fn operators_mean_the_same_as_a_flag_and_in_a_file() {
        let typed = |arguments: &[&str]| {
            Typed::try_parse_from([&["evol"], arguments].concat()).unwrap().settings.config(0)
        };
        let file = |text: &str| toml::from_str::<EvolveConfig>(text).unwrap();
        let flag = typed(&["--operators", "mutation,deepening=2"]);
        assert_eq!(flag, file("operators = { mutation = 1, deepening = 2 }"));
        assert_eq!(flag, file("[operators]\ndeepening = 2.0\nmutation = 1.0\nconcretizing = 0"));
        assert_eq!(typed(&[]), file(""));
        // What is stored with a run means the same when it is read again.
        assert_eq!(file(&toml::to_string(&flag).unwrap()), flag);
    }
}
