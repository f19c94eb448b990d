//! `evol eval`: a base and its adapters on a suite, and what may be concluded.
//!
//! - `stage`: all of it, from `settings` over `ask` (one contestant) and `judging` to the result; `table`:
//!   the result for a reader
//!
//! **Invariant:** what is kept of an evaluation was computed with the settings in its folder; a folder with
//! other settings is refused.

mod ask;
mod judging;
mod settings;
mod stage;
mod table;

pub(crate) use ask::read_generations;
pub(crate) use stage::{read, stage};
pub(crate) use table::{comparison_table, estimates_table, table};

use super::args::EvalArgs;
use super::error::{Error, Result};
use super::plan::{self, Session};
use super::run_dir::RunDir;
use crate::eval::{ResponseOptions, Suite};
use crate::train::TrainConfig;
use std::path::PathBuf;

/// Name of the base among contestants.
pub(crate) const BASE: &str = "base";

/// Who compares responses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum JudgeChoice {
    /// Nobody.
    Never,
    /// The base.
    Base,
    /// Another model.
    Model(PathBuf),
}

/// An evaluation: everything checked that can be without a model.
#[derive(Debug)]
pub(crate) struct EvalPlan {
    /// The base.
    pub(crate) model: PathBuf,
    /// Adapters by name, the base left out.
    pub(crate) adapters: Vec<(String, PathBuf)>,
    /// What is asked.
    pub(crate) suite: Suite,
    /// Which of it, ascending.
    pub(crate) items: Vec<usize>,
    /// Items that are left out because they repeat what was trained on.
    pub(crate) contaminated: usize,
    /// Held-out data.
    pub(crate) validation: Option<PathBuf>,
    /// Longest record of it, in tokens.
    pub(crate) max_seq_len: usize,
    /// Who compares responses.
    pub(crate) judge: JudgeChoice,
    /// How responses are drawn.
    pub(crate) options: ResponseOptions,
    /// Contestants that differ by the seed of their training only, by kind; the base is one by itself.
    pub(crate) kinds: Vec<(String, Vec<String>)>,
    /// Folder of the results.
    pub(crate) out: PathBuf,
}

impl EvalPlan {
    fn new(args: &EvalArgs, session: &Session) -> Result<Self> {
        check_options(args.max_tokens, args.temperature, args.limit)?;
        let names: Vec<&String> = args.adapter.iter().map(|(name, _)| name).collect();
        if let Some(twice) = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
            let found = format!("`{}` twice", twice.1);
            return Err(Error::Flag {
                flag: "--adapter",
                found,
                expected: "a different name for each: NAME=FILE",
            });
        }
        let suite = args.suite.as_deref().map(Suite::read).transpose()?.unwrap_or_else(Suite::builtin);
        let judge = match &args.judge_model {
            _ if args.no_judge => JudgeChoice::Never,
            None => JudgeChoice::Base,
            Some(model) => JudgeChoice::Model(plan::model(model)?),
        };
        Ok(Self {
            model: plan::model(&args.base)?,
            adapters: args.adapter.clone(),
            items: spread(suite.items.len(), args.limit),
            contaminated: 0,
            suite,
            validation: args.validation.clone(),
            max_seq_len: TrainConfig::default().max_seq_len,
            judge,
            options: ResponseOptions {
                seed: session.seed.unwrap_or(0),
                max_tokens: args.max_tokens,
                temperature: args.temperature,
            },
            kinds: Vec::new(),
            out: args.out.clone(),
        })
    }
}

/// Ranges of what `evol eval` and the section `[eval]` have in common.
///
/// # Errors
/// [`Error::Flag`].
pub(crate) fn check_options(max_tokens: usize, temperature: f32, limit: Option<usize>) -> Result<(), Error> {
    let refuse = |flag, found: String, expected| Err(Error::Flag { flag, found, expected });
    if max_tokens == 0 {
        return refuse("--max-tokens", max_tokens.to_string(), "at least 1");
    }
    if !(temperature.is_finite() && temperature >= 0.0) {
        return refuse("--temperature", temperature.to_string(), "a finite number, 0 or more");
    }
    if limit == Some(0) {
        return refuse("--limit", "0".to_owned(), "at least 1 item");
    }
    Ok(())
}

/// `limit` places of `len`, spread evenly: the built-in suite is ordered by skill and difficulty.
pub(crate) fn spread(len: usize, limit: Option<usize>) -> Vec<usize> {
    let count = limit.map_or(len, |limit| limit.min(len));
    (0..count).map(|at| at * len / count).collect()
}

/// Runs the command.
///
/// # Errors
/// The suite, a model or an adapter is unusable, the folder is another evaluation's, or the command was
/// interrupted.
pub(crate) fn run(args: &EvalArgs, session: &Session) -> Result<()> {
    let plan = EvalPlan::new(args, session)?;
    plan::writable_directory(&plan.out, settings::SETTINGS)?;
    let dir = RunDir::claim(&plan.out)?;
    let evaluation = stage(&plan, &dir, session, &mut || ())?;
    if session.output.is_json() {
        return session.output.document(&evaluation);
    }
    session.output.data(&table(&evaluation))?;
    session.output.note(&format!("\nResponses and numbers: {}", dir.path().display()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_suite_is_spread_over_skills_and_difficulties() {
        assert_eq!(spread(5, None), [0, 1, 2, 3, 4]);
        assert_eq!(spread(5, Some(9)).len(), 5);
        let part = spread(290, Some(60));
        assert_eq!(part.len(), 60);
        let skills: std::collections::BTreeSet<usize> = part.iter().map(|at| at / 10).collect();
        let bands: std::collections::BTreeSet<usize> = part.iter().map(|at| at % 10).collect();
        assert_eq!((skills.len(), bands.len()), (29, 10));
    }
}
