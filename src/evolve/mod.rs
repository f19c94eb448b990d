//! Evolving: seeds become harder and other instructions, bad ones are eliminated, the rest is answered.
//!
//! In the flow: after `dataset` (seeds), before `dataset` (export) and `train`; the model comes as
//! [`Generate`], every result goes to the [`Store`]. Source of the method: `WizardLM` (Xu et al. 2023,
//! arXiv:2304.12244).
//!
//! A run:
//!
//! 1. The judge is calibrated ([`Calibration`]), and how to evolve is settled ([`Policy`]). The seeds are
//!    answered, by the same model and under the same rules as everything else, so that the whole set speaks
//!    with one voice. A seed whose answer fails stays in the pool, but is not exported.
//! 2. In each round every root's newest kept instruction gets one [`Operator`], drawn from the run's seed.
//!    The child meets the rules and guards that need no model, then the judge, then it is answered, then the
//!    answer meets the rules, its guards and its constraints. A child that passes is *kept*: the next round
//!    evolves it. Where it fails, its parent is tried again with another operator, as often as the policy
//!    says, and then in the next round. An answer that reaches its limit of tokens is asked for again, more
//!    briefly. Where that is cut too, the child is not exported, but the next round evolves it all the same.
//!
//! Each stage of a round works on a list that depends on the journal alone, cut into chunks of a fixed size;
//! a chunk is generated in one call and committed in one transaction. Resuming makes the same lists and
//! skips what is done. Lists are read chunk by chunk, so that memory does not grow with the run.
//!
//! - `config`: what can be chosen; `operator`, `reason`: the vocabulary; `weights`: drawing an operator
//! - `prompt`, `library`: prompt files, and those that are embedded
//! - `policy`, `trial`: what is done with which model
//! - `eliminate`, `guard`, `judge`, `text`: the rules; `recheck`: the rules on an export
//! - `constrain`, `coded`: constraints that code adds, and the children that it makes
//! - `limits`: how long an answer may be, and which seeds are too long
//! - `requests`: the requests to the model; `verify`: replaying them, and comparing
//! - `shard`, `merge`: parts of a run, and joining them
//! - `tryout`, `question`: wordings of prompts and of questions beside each other, outside runs
//! - `rounds`: the order of a run; `evolving`, `judging`, `answering`: its stages, which work on `state`
//! - `tally`: counts of a round; `journal`: what a run notes about itself; `identity`: what decides its
//!   rows; `times`: how long it took
//!
//! **Invariant:** the journal is a function of (model, prompts, configuration, seeds): an interrupted and
//! resumed run ends with the same rows as an uninterrupted one.
//! **Invariant:** no child of an eliminated instruction, but of a seed and of one of which the answer alone
//! was too long ([`Reason::AnswerTruncated`]); no answer to one that failed before answering.
//! **Invariant:** this module decides, and owns no file and no terminal; no clock decides anything.

mod answering;
mod coded;
mod config;
mod constrain;
mod eliminate;
mod error;
mod evolving;
mod guard;
#[cfg(test)]
mod guarded_tests;
mod identity;
mod journal;
mod judge;
mod judging;
mod library;
mod limits;
#[cfg(test)]
mod limits_tests;
mod material;
mod merge;
mod operator;
mod policy;
mod prompt;
mod question;
mod reason;
mod recheck;
mod requests;
mod rounds;
#[cfg(test)]
mod scripted;
mod shard;
#[cfg(test)]
mod shard_tests;
mod state;
mod tally;
#[cfg(test)]
mod tests;
mod text;
mod times;
mod trial;
mod tryout;
mod verify;
mod weights;

pub use config::{EvolveConfig, JudgeConfig, MaxTokens, Profile, Style};
pub use error::Error;
pub use identity::{check, is_other_version};
pub use journal::{calibration, is_finished, policy};
pub use judge::{Calibration, JudgedPair};
pub use limits::{LongSeeds, TooLong, long_seeds};
pub use merge::merge;
pub use operator::Operator;
pub use policy::Policy;
pub use prompt::PromptError;
pub use question::{LabelledTask, QuestionWording, calibration_of};
pub use reason::{Reason, Stage};
pub use recheck::{Finding, Recheck, recheck};
pub use shard::{Roots, Shard};
pub use times::Times;
pub use tryout::{TaskText, TriedChild, Wording, try_wording};
pub use verify::{Difference, Field, Selection, Verification, verify};
pub use weights::OperatorWeights;

use crate::identity::Identity;
use crate::llm::Generate;
use crate::store::{Status, Store, TokenTotals};
use std::collections::BTreeMap;

/// The model that evolves, judges and answers.
pub struct Model<'a> {
    /// What generates.
    pub generate: &'a mut dyn Generate,
    /// SHA-256 of the model file, in lower-case hexadecimal: part of the run's identity.
    pub sha256: String,
    /// What else about generating decides the bytes: part of the identity as well.
    pub recipe: Identity,
    /// Its number of parameters, which decides what [`Style::Auto`] means; `None` if unknown.
    pub n_params: Option<u64>,
    /// Another model that judges; its hash and its recipe belong in `recipe`.
    pub judge: Option<JudgeModel<'a>>,
}

/// A model that judges only.
pub struct JudgeModel<'a> {
    /// What scores.
    pub generate: &'a mut dyn Generate,
    /// Its number of parameters; `None` if unknown.
    pub n_params: Option<u64>,
}

/// What a run reports while it works.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The journal is open and fits.
    Started {
        /// The style in use, never [`Style::Auto`].
        style: Style,
        /// Seeds of the run, or of the shard.
        seeds: usize,
        /// Which part of the run this is.
        shard: Shard,
        /// The most tokens of an answer.
        max_answer_tokens: usize,
    },
    /// Some seeds are too long for the model's context.
    LongSeeds(LongSeeds),
    /// The judge was calibrated, now or before the run was interrupted. If it is not
    /// [trusted](Calibration::trusted), the user should know.
    Calibrated(Calibration),
    /// How the run will evolve is settled, now or before it was interrupted.
    Settled(Policy),
    /// A chunk was committed, now or before the run was interrupted.
    Chunk(Chunk),
}

/// A committed chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The round; 0 for the answers to the seeds.
    pub round: u32,
    /// The attempt within it.
    pub attempt: u32,
    /// The stage.
    pub stage: Stage,
    /// Nodes of this stage that are done, this chunk included.
    pub done: usize,
    /// Nodes of this stage.
    pub total: usize,
    /// Whether it was found in the journal.
    pub replayed: bool,
}

/// The outcome of a run, as counted from its journal.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Summary {
    /// Seeds.
    pub seeds: u64,
    /// Seeds with a usable answer.
    pub seeds_kept: u64,
    /// Attempts at evolving: `kept + eliminated`, unless the run is unfinished.
    pub attempts: u64,
    /// Evolved instructions that were kept, each with its answer.
    pub kept: u64,
    /// Attempts that were eliminated, by the name of the [`Reason`].
    pub eliminated: BTreeMap<String, u64>,
    /// Answers that are exported: of seeds and of evolved instructions.
    pub answers: u64,
    /// Tokens that were read and generated.
    pub tokens: TokenTotals,
}

impl Summary {
    /// Counts what is in a journal, finished or not.
    ///
    /// # Errors
    /// [`Error::Store`] if it cannot be read.
    pub fn of(store: &Store) -> Result<Self, Error> {
        let mut summary = Self {
            seeds: 0,
            seeds_kept: 0,
            attempts: 0,
            kept: 0,
            eliminated: BTreeMap::new(),
            answers: 0,
            tokens: store.token_totals()?,
        };
        for row in store.funnel()? {
            let is_kept = row.status == Status::Kept;
            summary.answers += if is_kept { row.count } else { 0 };
            if row.round == 0 {
                summary.seeds += row.count;
                summary.seeds_kept += if is_kept { row.count } else { 0 };
                continue;
            }
            summary.attempts += row.count;
            summary.kept += if is_kept { row.count } else { 0 };
            if let Some(reason) = row.reason {
                *summary.eliminated.entry(reason).or_insert(0) += row.count;
            }
        }
        Ok(summary)
    }
}

/// Which part of a run a journal is; [`Shard::WHOLE`] if it is not divided, or not started.
///
/// # Errors
/// [`Error::BadIdentity`], [`Error::Store`].
pub fn shard_of(store: &Store) -> Result<Shard, Error> {
    identity::take_shard(&mut store.identity()?)
}

/// How well a model judges: its calibration, and what it says about each labelled pair.
///
/// # Errors
/// [`Error::Llm`].
pub fn calibrate(
    model: &mut dyn Generate,
    n_params: Option<u64>,
    style: Style,
    config: JudgeConfig,
) -> Result<(Calibration, Vec<JudgedPair>), Error> {
    let style = style.resolve(n_params, model.chat_prompt(&[], 0).is_some())?;
    let pairs = judge::judge_labelled(model, &library::JudgePrompts::new(style).same, config.pairs)?;
    Ok((judge::calibration(&pairs, config), pairs))
}

/// The guards as a table: name, what each looks at, what it objects to, and the evidence for its limit.
pub fn guard_table() -> Vec<[String; 4]> {
    guard::table().collect()
}

/// Runs all rounds, or as much of them as the journal lacks.
///
/// # Errors
/// [`Error::Llm`] with [`crate::llm::Error::Interrupted`] after Ctrl-C: the journal holds every finished
/// chunk, and the same call resumes from there. [`Error::Store`] with [`crate::store::Error::Changed`] if the
/// journal was started with another model, configuration, prompts or seeds. The others as their variants say.
pub fn run(
    model: Model<'_>,
    store: &mut Store,
    roots: Roots<'_>,
    config: &EvolveConfig,
    progress: &mut dyn FnMut(&Event),
) -> Result<Summary, Error> {
    run_timed(model, store, roots, config, progress).map(|(summary, _)| summary)
}

/// As [`run`], and returns how much time was spent outside the model.
///
/// # Errors
/// As [`run`].
pub fn run_timed(
    model: Model<'_>,
    store: &mut Store,
    roots: Roots<'_>,
    config: &EvolveConfig,
    progress: &mut dyn FnMut(&Event),
) -> Result<(Summary, Times), Error> {
    let times = rounds::run(model, store, roots, config, progress)?;
    Ok((Summary::of(store)?, times))
}
