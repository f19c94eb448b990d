//! What an evaluation found, as data: `eval.json`, the tables and the report are made from this.
//!
//! Where in the flow: `measure` and `compare` fill it, `cli` prints and stores it, `report` draws it.
//!
//! **Invariant:** no number that is an estimate stands without its interval.
//! **Invariant:** a function of suite, models, adapters, settings and seed; no clock is in it.

use serde::{Deserialize, Serialize};

/// A number with the interval that it lies in with 95 % confidence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The number.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// What it was computed from: prompts, constraints, pairs, records.
    pub n: usize,
}

/// A whole evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Version of the program.
    pub evol_version: String,
    /// The suite.
    pub suite: SuiteInfo,
    /// Decides sampling and the bootstrap.
    pub seed: u64,
    /// Most tokens of a response.
    pub max_tokens: usize,
    /// 0 is greedy.
    pub temperature: f32,
    /// SHA-256 of the model file.
    pub model_sha256: String,
    /// What was measured, the base first.
    pub contestants: Vec<Contestant>,
    /// Every later contestant against every earlier one.
    pub comparisons: Vec<Comparison>,
    /// The model that compared responses, if one was asked.
    pub judge: Option<Judge>,
    /// Comparisons over several trainings that differ by their seed only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pooled: Vec<Pooled>,
}

/// Two kinds of contestants, each trained several times: item by item, the mean over the trainings counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pooled {
    /// The kind that is asked about.
    pub name: String,
    /// The kind that it is compared with.
    pub against: String,
    /// Share of items whose constraints are all met, strictly, in each training of the first kind.
    pub by_training: Vec<f64>,
    /// Their mean; the interval is over items.
    pub value: Estimate,
    /// Difference of the means.
    pub difference: Estimate,
    /// Items where the first kind is better, on the mean.
    pub wins: usize,
    /// Items where it is worse.
    pub losses: usize,
    /// Exact sign test of these, two-sided.
    pub p_value: f64,
}

/// What was asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SuiteInfo {
    /// `built-in`, or the file.
    pub name: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// Items that were asked.
    pub items: usize,
    /// Items with constraints that code checks.
    pub verifiable: usize,
    /// Constraints of all items.
    pub constraints: usize,
    /// Items with one right answer.
    pub exact: usize,
    /// Items with choices.
    pub choice: usize,
    /// Items left out because they repeat a seed of the run.
    pub contaminated: usize,
}

/// A model, with an adapter or without.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Contestant {
    /// `base`, `seeds`, `evolved`, or the adapter's file.
    pub name: String,
    /// SHA-256 of the adapter file; `None`: the base.
    pub adapter_sha256: Option<String>,
    /// Share of verifiable items whose constraints are all met; of constraints that are met. `None`: the
    /// suite has none.
    pub constraints: Option<ConstraintRates>,
    /// Share of items with one right answer that got it.
    pub exact_match: Option<Estimate>,
    /// Share of items with choices whose right one is likeliest.
    pub choice_accuracy: Option<Estimate>,
    /// On the held-out split, if there is one.
    pub held_out: Option<HeldOut>,
    /// Mean words of a response.
    pub words: Option<Estimate>,
    /// Share of responses that were cut at `max_tokens`.
    pub truncated: Option<Estimate>,
    /// By skill, in alphabetical order.
    pub by_skill: Vec<Slice>,
    /// By difficulty, ascending.
    pub by_difficulty: Vec<Slice>,
    /// Constraints that are met, strictly, by kind (or `IFEval`'s instruction id), in alphabetical order.
    #[serde(default)]
    pub by_constraint: Vec<Slice>,
}

/// Verified constraints. Strict: the response as it stands. Loose: without first or last line, without
/// asterisks (`IFEval`).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ConstraintRates {
    /// Items that meet all, strictly.
    pub prompt_strict: Estimate,
    /// Items that meet all, loosely.
    pub prompt_loose: Estimate,
    /// Constraints that are met, strictly.
    pub constraint_strict: Estimate,
    /// Constraints that are met, loosely.
    pub constraint_loose: Estimate,
}

/// The answers of records that nothing was trained on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HeldOut {
    /// Records.
    pub records: usize,
    /// Tokens of their answers.
    pub tokens: usize,
    /// Nats per token; the interval is over records.
    pub loss: Estimate,
    /// e to the loss.
    pub perplexity: Estimate,
}

/// Items that share a skill or a difficulty, or constraints of a kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// The skill, the difficulty (`1` to `10`), or the kind of constraint.
    pub name: String,
    /// Share of its scored items (constraints, one right answer, choices) that were right, or of its
    /// constraints that were met, strictly.
    pub correct: Estimate,
}

/// Two contestants on the same items.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Name of the one that is asked about.
    pub name: String,
    /// Name of the one that it is compared with.
    pub against: String,
    /// Paired tests: `prompt_strict`, `prompt_loose`, `exact_match`, `choice_accuracy`, `correct` (all scored
    /// items).
    pub paired: Vec<Paired>,
    /// Difference of the shares of constraints that are met, strictly; the interval is over items.
    #[serde(default)]
    pub constraints: Option<Estimate>,
    /// Difference of the held-out losses, nats per token; below 0 is better.
    pub held_out_loss: Option<Estimate>,
    /// Scored items (constraints, one right answer, choices) that only the first got right, both or neither,
    /// only the other: by skill.
    #[serde(default)]
    pub by_skill: Vec<NamedOutcomes>,
    /// The same by difficulty.
    #[serde(default)]
    pub by_difficulty: Vec<NamedOutcomes>,
    /// The paper's view: score in per cent of the other's, all items and by skill.
    pub relative_score: Option<RelativeScore>,
    /// What the judge preferred.
    pub preference: Option<Preference>,
}

/// A yes or no of each item, for both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Paired {
    /// Name of the measure.
    pub metric: String,
    /// Items that both got right.
    pub both: usize,
    /// Items that only the first got right.
    pub wins: usize,
    /// Items that only the other got right.
    pub losses: usize,
    /// Items that neither got right.
    pub neither: usize,
    /// Difference of the shares.
    pub difference: Estimate,
    /// Exact `McNemar` test, two-sided.
    pub p_value: f64,
    /// Items that a difference of this size needs for p < 0.05 with a power of 0.8; `None`: there is no
    /// difference.
    pub needed: Option<u64>,
}

/// Share of right items in per cent of the other's share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RelativeScore {
    /// Over all scored items.
    pub overall: Option<Estimate>,
    /// By skill; skills where the other has nothing right, or so little that the ratio has no interval, are
    /// left out.
    pub by_skill: Vec<Slice>,
}

/// Wins, ties and losses of responses, both orders asked; a win only if both agree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Preference {
    /// All items.
    pub total: Outcomes,
    /// Wins, and half of the ties, as a share.
    pub win_rate: Estimate,
    /// The same as it would be with responses of equal length.
    pub length_controlled: Option<Estimate>,
    /// Share of pairs where the order decided.
    pub flip_rate: Estimate,
    /// Exact sign test of wins against losses, two-sided.
    pub p_value: f64,
    /// Items that this takes for p < 0.05 with a power of 0.8.
    pub needed: Option<u64>,
    /// By skill.
    pub by_skill: Vec<NamedOutcomes>,
    /// By difficulty.
    pub by_difficulty: Vec<NamedOutcomes>,
}

/// Counts of wins, ties and losses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcomes {
    /// Of verdicts: only the first is right. Of a judge: both orders preferred the first.
    pub wins: usize,
    /// Both are right, or neither. The orders did not agree.
    pub ties: usize,
    /// Only the other is right. Both orders preferred the other.
    pub losses: usize,
}

/// Counts of a skill or difficulty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedOutcomes {
    /// Which.
    pub name: String,
    /// Its counts.
    #[serde(flatten)]
    pub outcomes: Outcomes,
}

/// The model that compared responses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judge {
    /// SHA-256 of its file.
    pub model_sha256: String,
    /// Whether it is the contestants' own model or of their family: it may prefer what it would say itself.
    pub same_family: bool,
    /// Pairs of a better and a worse response that it was tried on.
    pub calibration_pairs: usize,
    /// Share of them that it got right in both orders.
    pub calibration_accuracy: Estimate,
    /// Share of them where the order decided.
    pub calibration_flip_rate: Estimate,
    /// Whether it passed; one that did not is not asked.
    pub trusted: bool,
}

/// A response, as kept in `generations-NAME.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Generation {
    /// Number of the item in the suite, from 0.
    pub item: usize,
    /// What was asked.
    pub instruction: String,
    /// Of the item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skill: Option<String>,
    /// Of the item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difficulty: Option<u8>,
    /// Whether it was asked by choices.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub choice: bool,
    /// What the contestant said; of choices the text of the likeliest.
    pub response: String,
    /// Tokens of the response.
    pub tokens: usize,
    /// Whether it ended by itself.
    pub ended: bool,
    /// Verdicts on its constraints, empty if it has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Checked>,
    /// Whether the one right answer or choice was given; `None`: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub right: Option<bool>,
}

/// A verdict on one constraint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// Kind of the constraint, or `IFEval`'s instruction id.
    pub name: String,
    /// Whether the response meets it as it stands.
    pub strict: bool,
    /// Whether it does loosely.
    pub loose: bool,
    /// What was found.
    pub found: String,
}
