//! The result of an evaluation as data: the source of `eval.json`, the tables and the report.
//!
//! Where in the flow: `measure` and `compare` fill it, `cli` prints and stores it, `report` draws it.
//!
//! **Invariant:** every estimate has a confidence interval.
//! **Invariant:** it depends only on suite, models, adapters, settings and seed; it contains no times.

use serde::{Deserialize, Serialize};

/// A number with its 95 % confidence interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The point estimate.
    pub value: f64,
    /// The lower end of the interval.
    pub low: f64,
    /// The upper end of the interval.
    pub high: f64,
    /// The number of prompts, constraints, pairs or records that it was computed from.
    pub n: usize,
}

/// The result of a whole evaluation: the content of `eval.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The version of evol.
    pub evol_version: String,
    /// The suite.
    pub suite: SuiteInfo,
    /// The seed of sampling and of the bootstrap.
    pub seed: u64,
    /// Maximum number of tokens of a response.
    pub max_tokens: usize,
    /// The sampling temperature; 0 is greedy.
    pub temperature: f32,
    /// SHA-256 of the model file.
    pub model_sha256: String,
    /// The scores of all contestants, the base first.
    pub contestants: Vec<Contestant>,
    /// The comparison of every contestant with every earlier one.
    pub comparisons: Vec<Comparison>,
    /// The model that judged responses, if there was one.
    pub judge: Option<Judge>,
    /// Comparisons of variants over several trainings that differ only in their seed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pooled: Vec<Pooled>,
}

/// Comparison of two variants that were each trained several times. The result on an item is the mean over
/// the trainings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pooled {
    /// The name of the variant.
    pub name: String,
    /// The name of the variant that it is compared with.
    pub against: String,
    /// For each training of the variant, the share of items whose constraints are all met, strictly.
    pub by_training: Vec<f64>,
    /// The mean of these shares; the interval is over items.
    pub value: Estimate,
    /// The difference of the means of both variants.
    pub difference: Estimate,
    /// Number of items where the mean of the variant is higher.
    pub wins: usize,
    /// Number of items where it is lower.
    pub losses: usize,
    /// The p-value of the exact two-sided sign test of wins against losses.
    pub p_value: f64,
}

/// The items of an evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SuiteInfo {
    /// `built-in`, or the file.
    pub name: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Number of items in the evaluation.
    pub items: usize,
    /// Number of items with constraints that code checks.
    pub verifiable: usize,
    /// Number of constraints of all items.
    pub constraints: usize,
    /// Number of items with a single right answer.
    pub exact: usize,
    /// Number of multiple-choice items.
    pub choice: usize,
    /// Number of items left out because they overlap with a seed of the run.
    pub contaminated: usize,
}

/// The scores of a model with or without an adapter. A score is `None` if no item of the suite has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Contestant {
    /// `base`, `seeds`, `evolved`, or the file of the adapter.
    pub name: String,
    /// SHA-256 of the adapter file; `None` for the base.
    pub adapter_sha256: Option<String>,
    /// Shares of items and constraints that are met.
    pub constraints: Option<ConstraintRates>,
    /// Share of the items with a single right answer that were answered right.
    pub exact_match: Option<Estimate>,
    /// Share of the multiple-choice items whose right choice is the likeliest.
    pub choice_accuracy: Option<Estimate>,
    /// The loss on the held-out split.
    pub held_out: Option<HeldOut>,
    /// Mean number of words of a response.
    pub words: Option<Estimate>,
    /// Share of responses that were cut off at `max_tokens`.
    pub truncated: Option<Estimate>,
    /// Scores by skill, in alphabetical order.
    pub by_skill: Vec<Slice>,
    /// Scores by difficulty, in ascending order.
    pub by_difficulty: Vec<Slice>,
    /// Shares of constraints that are met strictly, by kind or `IFEval` instruction id, in alphabetical
    /// order.
    #[serde(default)]
    pub by_constraint: Vec<Slice>,
}

/// Shares of constraints that are met. "Strict" checks the unchanged response; "loose" also accepts it
/// without its first or last line or without asterisks (`IFEval`).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ConstraintRates {
    /// Share of items that meet all their constraints, strictly.
    pub prompt_strict: Estimate,
    /// Share of items that meet all their constraints, loosely.
    pub prompt_loose: Estimate,
    /// Share of constraints that are met strictly.
    pub constraint_strict: Estimate,
    /// Share of constraints that are met loosely.
    pub constraint_loose: Estimate,
}

/// The loss on the answers of held-out records.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HeldOut {
    /// Number of records.
    pub records: usize,
    /// Number of tokens of their answers.
    pub tokens: usize,
    /// Cross-entropy in nats per token; the interval is over records.
    pub loss: Estimate,
    /// e to the power of the loss.
    pub perplexity: Estimate,
}

/// The score on the items of one skill or difficulty, or on the constraints of one kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// The skill, the difficulty (`1` to `10`), or the kind of constraint.
    pub name: String,
    /// Share of its scored items that were right, or of its constraints that were met strictly.
    pub correct: Estimate,
}

/// Comparison of two contestants on the same items.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The name of the contestant.
    pub name: String,
    /// The name of the contestant that it is compared with.
    pub against: String,
    /// Paired tests: `prompt_strict`, `prompt_loose`, `exact_match`, `choice_accuracy`, and `correct` for all
    /// scored items.
    pub paired: Vec<Paired>,
    /// Difference of the shares of constraints that are met strictly; the interval is over items.
    #[serde(default)]
    pub constraints: Option<Estimate>,
    /// Difference of the held-out losses in nats per token; below 0 is better.
    pub held_out_loss: Option<Estimate>,
    /// Wins, ties and losses on scored items, by skill.
    #[serde(default)]
    pub by_skill: Vec<NamedOutcomes>,
    /// Wins, ties and losses on scored items, by difficulty.
    #[serde(default)]
    pub by_difficulty: Vec<NamedOutcomes>,
    /// The score as a percentage of the other's, as in `WizardLM`.
    pub relative_score: Option<RelativeScore>,
    /// The preferences of the judge.
    pub preference: Option<Preference>,
}

/// Paired verdicts of two contestants by one metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Paired {
    /// The name of the metric.
    pub metric: String,
    /// Number of items that both got right.
    pub both: usize,
    /// Number of items that only the first contestant got right.
    pub wins: usize,
    /// Number of items that only the second contestant got right.
    pub losses: usize,
    /// Number of items that neither got right.
    pub neither: usize,
    /// Difference of the shares of right items.
    pub difference: Estimate,
    /// The p-value of the exact two-sided `McNemar` test.
    pub p_value: f64,
    /// Number of items at which a difference of this size reaches p < 0.05 with a power of 0.8; `None` if
    /// there is no difference.
    pub needed: Option<u64>,
}

/// The share of right items as a percentage of the other contestant's share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RelativeScore {
    /// Over all scored items.
    pub overall: Option<Estimate>,
    /// By skill. Skills are left out if the other contestant has nothing right there, or so little that the
    /// ratio has no interval.
    pub by_skill: Vec<Slice>,
}

/// Preferences of a judge between two contestants. A pair is a win or a loss only if both orders agree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Preference {
    /// Counts over all judged pairs.
    pub total: Outcomes,
    /// Share of wins, with ties counting half.
    pub win_rate: Estimate,
    /// The win rate that responses of equal length would have.
    pub length_controlled: Option<Estimate>,
    /// Share of pairs where the order of the responses decided.
    pub flip_rate: Estimate,
    /// The p-value of the exact two-sided sign test of wins against losses.
    pub p_value: f64,
    /// As [`Paired::needed`].
    pub needed: Option<u64>,
    /// Counts by skill.
    pub by_skill: Vec<NamedOutcomes>,
    /// Counts by difficulty.
    pub by_difficulty: Vec<NamedOutcomes>,
}

/// Counts of wins, ties and losses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcomes {
    /// Only the first contestant is right, or the judge preferred it in both orders.
    pub wins: usize,
    /// Both are right or neither is, or the judge's preference depended on the order.
    pub ties: usize,
    /// Only the second contestant is right, or the judge preferred it in both orders.
    pub losses: usize,
}

/// Counts of one skill or difficulty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedOutcomes {
    /// The skill or difficulty.
    pub name: String,
    /// Its counts.
    #[serde(flatten)]
    pub outcomes: Outcomes,
}

/// The model that judged responses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judge {
    /// SHA-256 of the model file.
    pub model_sha256: String,
    /// Whether it is the contestants' base or of the same family; it may then prefer its own style.
    pub same_family: bool,
    /// Number of calibration pairs.
    pub calibration_pairs: usize,
    /// Share of calibration pairs that it got right in both orders.
    pub calibration_accuracy: Estimate,
    /// Share of calibration pairs where the order of the responses decided.
    pub calibration_flip_rate: Estimate,
    /// Whether it passed the calibration; otherwise it was not used.
    pub trusted: bool,
}

/// The response of a contestant to one item: a line of `generations-NAME.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Generation {
    /// The index of the item in the suite, from 0.
    pub item: usize,
    /// The text of the user's turn.
    pub instruction: String,
    /// The skill of the item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skill: Option<String>,
    /// The difficulty of the item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difficulty: Option<u8>,
    /// Whether it is a multiple-choice item.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub choice: bool,
    /// The response; for a multiple-choice item the text of the likeliest choice.
    pub response: String,
    /// Number of tokens of the response.
    pub tokens: usize,
    /// Whether the model ended the response itself, before `max_tokens`.
    pub ended: bool,
    /// Verdicts on the constraints of the item; empty if it has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Checked>,
    /// Whether the response is the right answer or choice; `None` if the item has neither.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub right: Option<bool>,
}

/// The verdict on one constraint of an item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// The kind of the constraint, or `IFEval`'s instruction id.
    pub name: String,
    /// Whether the unchanged response meets it.
    pub strict: bool,
    /// Whether the response meets it loosely (see [`ConstraintRates`]).
    pub loose: bool,
    /// What the check found.
    pub found: String,
}
