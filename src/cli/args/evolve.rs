//! Arguments of `evol evolve`.

use crate::dataset::OnBadInput;
use crate::evolve::{EvolveConfig, Operator, OperatorWeights, Profile, Shard, Style};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Flags that conflict with `--config`: the experiment file has keys for them.
const FROM_CONFIG: [&str; 7] =
    ["model", "judge_model", "seeds", "on_bad_input", "limit", "EngineArgs", "EvolveSettings"];

/// Evolve seed instructions with a model, filter the results and answer them
///
/// In each round, every instruction in the pool is evolved by an operator drawn at random (see
/// `--operators`). In-depth operators make it harder, in-breadth operators write a rarer one of the same
/// kind, and others add constraints that code can check. A result that fails a rule or a guard is eliminated
/// with a reason, and its parent is tried again. Survivors are answered. An answer that is too long is asked
/// for again, to be briefer; if that is cut too, only this row is missing. Everything is recorded in
/// `RUN/run.db`. Rerun the same command to resume an unfinished run.
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Examples:
  evol evolve --model base.gguf --out runs/a                      the built-in seeds
  evol evolve --model base.gguf --seeds my.jsonl --out runs/b --rounds 3
  evol evolve --model base.gguf --out runs/c --limit 50 --operators deepening,mutation=2
  evol evolve --model base.gguf --out runs/d --profile wizardlm   as in the paper
  evol evolve --config my.toml --shard 3/8                        shard 3 of 8, in OUT/shards/3"
)]
pub(crate) struct EvolveArgs {
    /// Model that evolves, judges and answers: a GGUF file, or the name of a fetched model
    #[arg(long, value_name = "MODEL", required_unless_present = "config")]
    pub(crate) model: Option<String>,
    /// Read all settings from an experiment file, as `evol run` does, but only evolve
    #[arg(long, value_name = "CONFIG", conflicts_with_all = FROM_CONFIG)]
    pub(crate) config: Option<PathBuf>,
    /// Evolve only the seeds of shard I of N; `evol merge-runs` merges the shards into one run
    #[arg(long, value_name = "I/N")]
    pub(crate) shard: Option<Shard>,
    /// Model that judges: a GGUF file, or the name of a fetched model [default: the model itself]
    #[arg(long, value_name = "MODEL")]
    pub(crate) judge_model: Option<String>,
    /// Seed file: JSONL (alpaca, messages, {"prompt": …}), or plain text with one instruction per line
    /// [default: the built-in seeds]
    #[arg(long, value_name = "FILE")]
    pub(crate) seeds: Option<PathBuf>,
    /// Licence of the seed file, such as `cc-by-sa-3.0`; recorded in the manifest and in the export's card
    #[arg(long, value_name = "NAME", requires = "seeds")]
    pub(crate) seeds_licence: Option<String>,
    /// What to do with unusable lines of the seed file
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = OnBadInputArg::Fail)]
    pub(crate) on_bad_input: OnBadInputArg,
    /// Number of seeds to use, drawn at random [default: all]
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Run directory: new, or from an earlier `evol evolve` with the same settings [default with `--config`:
    /// the file's, or `shards/I` in it for a shard]
    #[arg(long, value_name = "RUN", required_unless_present = "config")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) engine: super::engine::EngineArgs,
    #[command(flatten)]
    pub(crate) settings: EvolveSettings,
}

/// Values of `--on-bad-input`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnBadInputArg {
    /// Warn about each, with its line number, and continue without it
    Skip,
    /// Report all of them, then stop
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

/// Values of `--style`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StyleArg {
    /// Chat for models with at least 3 billion parameters, completion for smaller ones
    Auto,
    /// One request in the model's chat template
    Chat,
    /// A few-shot prompt that the model continues
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

/// Values of `--profile`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProfileArg {
    /// As in the `WizardLM` paper: six operators in equal shares, four rounds, four rules
    Wizardlm,
    /// All operators but `imposed_constraints`, two rounds, three attempts, all guards
    Verified,
    /// As `verified`, adjusted to the model's size and to a short trial of the model
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

/// Settings of an evolution. Defaults are [`EvolveConfig`]'s.
#[derive(Debug, Clone, Args)]
pub(crate) struct EvolveSettings {
    /// Defaults for the settings below
    #[arg(long, value_enum, default_value_t = ProfileArg::Auto)]
    pub(crate) profile: ProfileArg,
    /// Rounds of evolution [default: 4 for `wizardlm`, else 2]
    #[arg(long, value_name = "N")]
    pub(crate) rounds: Option<u32>,
    /// Maximum attempts per instruction and round, each with another operator and a higher temperature
    /// [default: 1 for `wizardlm`, else 3]
    #[arg(long, value_name = "N")]
    pub(crate) attempts: Option<u32>,
    /// Maximum answers to sample per instruction; the first that passes is kept [default: 1 for `wizardlm`,
    /// 4 for `verified`]
    #[arg(long, value_name = "K")]
    pub(crate) answer_samples: Option<u32>,
    /// Maximum constraints that one attempt adds [default: 2, or 3 for a large model]
    #[arg(long, value_name = "N")]
    pub(crate) max_constraints: Option<usize>,
    // The help lists the operators' table.
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = parse_weight)]
    #[arg(help = OPERATORS_HELP, long_help = operators_help())]
    pub(crate) operators: Vec<(Operator, f64)>,
    /// Prompt style
    #[arg(long, value_enum, default_value_t = StyleArg::Auto)]
    pub(crate) style: StyleArg,
    /// Sampling temperature for rewriting; 0 is greedy
    #[arg(long, value_name = "T", default_value_t = EvolveConfig::default().sampling.temperature)]
    pub(crate) temperature: f32,
    /// Sampling temperature for answers; 0 is greedy
    #[arg(long, value_name = "T", default_value_t = EvolveConfig::default().answer_sampling.temperature)]
    pub(crate) answer_temperature: f32,
    /// Maximum tokens that a rewritten instruction has beyond its parent's request
    #[arg(long, value_name = "N", default_value_t = EvolveConfig::default().max_tokens.instruction)]
    pub(crate) max_instruction_tokens: usize,
    /// Maximum tokens that an instruction from `complicate_input`, which includes data, has beyond its
    /// parent's request
    #[arg(long, value_name = "N", default_value_t = EvolveConfig::default().max_tokens.instruction_with_data)]
    pub(crate) max_data_tokens: usize,
    /// Maximum length of an answer, in tokens; an answer that reaches it is asked for once more, to be
    /// briefer, and left out if that is cut too [default: 1024 for a model with 1 billion parameters or
    /// more, 768 from 400 million on, else 256; never more than half of the model's context]
    #[arg(long, value_name = "N")]
    pub(crate) max_answer_tokens: Option<usize>,
    /// Labelled pairs to calibrate the judge on; fewer are faster but less reliable
    #[arg(long, value_name = "N", default_value_t = EvolveConfig::default().judge.pairs)]
    pub(crate) judge_pairs: usize,
    /// Number of generations that are committed together
    #[arg(long, value_name = "N", default_value_t = EvolveConfig::default().chunk_size)]
    pub(crate) chunk_size: usize,
    /// Stop if, after 50 attempts of a round, less than this share is still alive; an instruction whose
    /// answer was cut is not
    #[arg(long, value_name = "SHARE", default_value_t = EvolveConfig::default().min_yield)]
    pub(crate) min_yield: f64,
    /// Stop if, after 50 attempts of a round, more than this share is empty, cut off or broken; cut answers
    /// do not count
    #[arg(long, value_name = "SHARE", default_value_t = EvolveConfig::default().max_errors)]
    pub(crate) max_errors: f64,
}

impl EvolveSettings {
    /// Converts to evolve's configuration, which checks the ranges.
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

const OPERATORS_HELP: &str = "Operators to draw from: comma-separated NAME or NAME=WEIGHT; operators that \
                              are not listed have weight 0 [default: the profile's]";

/// The long help of `--operators`, which lists the operators from their table.
fn operators_help() -> String {
    let line = |operator: Operator| format!("\n- {}: {}", operator.name(), operator.about());
    format!("{OPERATORS_HELP}\n\nOperators:{}", Operator::ALL.map(line).concat())
}

/// Parses `deepening` or `deepening=2`.
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
        // The stored form reads back as the same configuration.
        assert_eq!(file(&toml::to_string(&flag).unwrap()), flag);
    }
}
