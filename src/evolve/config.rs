//! What a user can choose about evolving, with the defaults and their reasons.
//!
//! **Invariant:** every field but `min_yield` and `max_errors` decides rows of the journal, and is part of
//! its identity.

use super::constrain;
use super::weights;
use super::{Error, Operator, OperatorWeights};
use crate::identity::Identity;
use crate::llm::Sampling;
use crate::store;

/// One more than the answers that one instruction may get: beyond that nothing is gained.
const MAX_SAMPLES: u32 = 65;

/// Labelled pairs below which an area under a curve means nothing.
const MIN_PAIRS: usize = 10;

/// Which prompts are used for rewriting and judging.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Style {
    /// [`Style::Chat`] for a model that is large enough and has a chat template, else
    /// [`Style::Completion`]: see [`Style::resolve`].
    #[default]
    Auto,
    /// An instruction in the model's chat template; the result stands between tags.
    Chat,
    /// A few pairs of tasks which the model continues.
    Completion,
}

/// Parameters from which a model gets requests. A 135M model answers the task or repeats the request; it only
/// continues a pattern of pairs. A 1.5B model writes additions of which half are good (docs/evolution.md).
const CHAT_MIN_PARAMS: u64 = 400_000_000;

impl Style {
    /// The style in use: what `Auto` means for this model, or the style that was chosen.
    pub(super) fn resolve(self, n_params: Option<u64>, has_chat_template: bool) -> Result<Self, Error> {
        match self {
            Self::Auto if has_chat_template && n_params.is_some_and(|n| n >= CHAT_MIN_PARAMS) => {
                Ok(Self::Chat)
            }
            Self::Auto => Ok(Self::Completion),
            Self::Chat if !has_chat_template => Err(Error::NoChatTemplate),
            chosen => Ok(chosen),
        }
    }

    /// The word in configurations and the folder of its prompts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Chat => "chat",
            Self::Completion => "completion",
        }
    }
}

/// A named set of choices.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// The paper, faithfully.
    Wizardlm,
    /// All guards, and constraints that code checks.
    Verified,
    /// [`Profile::Verified`], fitted to the model.
    #[default]
    Auto,
}

impl Profile {
    /// All profiles.
    pub const ALL: [Self; 3] = [Self::Wizardlm, Self::Verified, Self::Auto];

    /// Its name on the command line and in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Wizardlm => "wizardlm",
            Self::Verified => "verified",
            Self::Auto => "auto",
        }
    }
}

/// Limits on generated tokens. Those on instructions come on top of the tokens of the parent's own request,
/// which a rewritten one repeats, so a long parent has as much room for what is new as a short one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MaxTokens {
    /// A rewritten instruction, beyond its parent's request: prompts ask for 10 to 20 words, which are 30
    /// tokens, and there is room for three times as many.
    pub instruction: usize,
    /// The same for an operator that adds data (`complicate_input`): room for a table of some twenty rows.
    pub instruction_with_data: usize,
    /// An answer. One that reaches the limit is asked for again more briefly. `None`: by the model's size and
    /// context (see [`crate::evolve::Policy::max_answer_tokens`]).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<usize>,
}

impl Default for MaxTokens {
    fn default() -> Self {
        Self { instruction: 96, instruction_with_data: 384, answer: None }
    }
}

/// When the judge of equality may eliminate (see `judge.rs`).
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JudgeConfig {
    /// Share of labelled *different* pairs that the threshold may wrongly call the same.
    pub max_false_elimination: f64,
    /// Area under the ROC curve on the labelled pairs below which the judge is not trusted.
    pub min_auc: f64,
    /// Labelled pairs that it is calibrated on, half of them the same; at most all of them. Fewer take less
    /// time, which matters for a large model on a few cores, but are less certain: with 40 the area is known
    /// to about ± 0.1.
    pub pairs: usize,
}

impl Default for JudgeConfig {
    fn default() -> Self {
        Self { max_false_elimination: 0.05, min_auc: 0.75, pairs: 262 }
    }
}

/// Everything that can be chosen about evolving. A field that is `None` is decided by the profile.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvolveConfig {
    /// Decides the fields that are not set here.
    pub profile: Profile,
    /// Rounds of evolution. The paper has 4 and a model of 175B; small evolvers over-escalate from the
    /// third round on, so 2 in the other profiles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rounds: Option<u32>,
    /// Attempts at an instruction within a round, each with another operator and a higher temperature. The
    /// paper has 1: what failed waits for the next round.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// The most answers to an instruction: the first that passes every rule is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer_samples: Option<u32>,
    /// The most constraints that code adds in one step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_constraints: Option<usize>,
    /// Seed of every random choice of the run.
    pub seed: u64,
    /// How often each operator is drawn, relative to the others. An operator that is not named has weight 0;
    /// if none is named, the profile decides.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "weights::deserialize_named")]
    pub operators: Option<OperatorWeights>,
    /// Which prompt files are used.
    pub style: Style,
    /// How tokens of instructions are sampled: hot, for variety.
    pub sampling: Sampling,
    /// How tokens of answers are sampled: cooler, for correctness; the penalty keeps small models from loops.
    pub answer_sampling: Sampling,
    /// Limits on generated tokens.
    pub max_tokens: MaxTokens,
    /// The judge of equality.
    pub judge: JudgeConfig,
    /// Generations that are made and committed together. With more, batches are fuller; with fewer, less is
    /// lost when the process is killed.
    pub chunk_size: usize,
    /// The run gives up when, after 50 attempts of a round, a smaller share than this is still alive.
    pub min_yield: f64,
    /// The run gives up when, after 50 attempts of a round, a larger share than this is empty, cut or broken.
    /// Cut answers do not count: their lineages continue.
    pub max_errors: f64,
}

impl Default for EvolveConfig {
    fn default() -> Self {
        Self {
            profile: Profile::default(),
            rounds: None,
            attempts: None,
            answer_samples: None,
            max_constraints: None,
            seed: 0,
            operators: None,
            style: Style::Auto,
            sampling: Sampling {
                temperature: 0.7,
                top_k: 0,
                top_p: 0.95,
                min_p: 0.05,
                repetition_penalty: 1.0,
                ..Sampling::default()
            },
            answer_sampling: Sampling {
                temperature: 0.3,
                top_k: 0,
                top_p: 0.95,
                min_p: 0.05,
                repetition_penalty: 1.1,
                ..Sampling::default()
            },
            max_tokens: MaxTokens::default(),
            judge: JudgeConfig::default(),
            chunk_size: 64,
            min_yield: 0.1,
            max_errors: 0.5,
        }
    }
}

impl EvolveConfig {
    /// Names of the settings that do not affect a row, so that they may differ when a run resumes: they give
    /// up earlier or later.
    pub const DECIDES_NOTHING: [&str; 2] = ["min_yield", "max_errors"];

    /// Checks every range.
    ///
    /// # Errors
    /// [`Error::Config`] names the field, what it is and what it may be.
    pub fn validate(&self) -> Result<(), Error> {
        let check = |ok: bool, field: &'static str, found: String, expected: String| {
            if ok { Ok(()) } else { Err(Error::Config { field, found, expected }) }
        };
        let below = |field, value: u32, limit: u32| {
            let expected = format!("1 to {}", limit - 1);
            check(value >= 1 && value < limit, field, value.to_string(), expected)
        };
        let positive = |field, value: usize| check(value >= 1, field, value.to_string(), "at least 1".into());
        let share = |field, value: f64| {
            check((0.0..=1.0).contains(&value), field, value.to_string(), "0 to 1".into())
        };
        below("rounds", self.rounds.unwrap_or(1), store::MAX_ROUNDS)?;
        below("attempts", self.attempts.unwrap_or(1), store::MAX_ATTEMPTS)?;
        below("answer_samples", self.answer_samples.unwrap_or(1), MAX_SAMPLES)?;
        below("max_constraints", self.max_constraints.unwrap_or(1) as u32, constrain::MOST as u32 + 1)?;
        positive("chunk_size", self.chunk_size)?;
        positive("max_tokens.instruction", self.max_tokens.instruction)?;
        positive("max_tokens.instruction_with_data", self.max_tokens.instruction_with_data)?;
        positive("max_tokens.answer", self.max_tokens.answer.unwrap_or(1))?;
        share("judge.max_false_elimination", self.judge.max_false_elimination)?;
        share("judge.min_auc", self.judge.min_auc)?;
        let pairs = self.judge.pairs;
        check(pairs >= MIN_PAIRS, "judge.pairs", pairs.to_string(), format!("at least {MIN_PAIRS}"))?;
        share("min_yield", self.min_yield)?;
        share("max_errors", self.max_errors)?;
        if let Some(operators) = &self.operators {
            let expected = "finite weights, none negative, one positive".to_owned();
            let named = Operator::ALL.into_iter().filter(|&operator| operators.get(operator) != 0.0);
            let named = named.map(|operator| format!("{} = {}", operator.name(), operators.get(operator)));
            let named: Vec<String> = named.collect();
            let found = if named.is_empty() { "all 0".to_owned() } else { named.join(", ") };
            check(operators.is_drawable(), "operators", found, expected)?;
        }
        check_sampling(&self.sampling, ["sampling.temperature", "sampling.top_p", "sampling.min_p"])?;
        check_sampling(
            &self.answer_sampling,
            ["answer_sampling.temperature", "answer_sampling.top_p", "answer_sampling.min_p"],
        )?;
        for (field, sampling) in [("sampling", &self.sampling), ("answer_sampling", &self.answer_sampling)] {
            let Sampling { repetition_penalty, frequency_penalty, presence_penalty, .. } = *sampling;
            let finite = frequency_penalty.is_finite() && presence_penalty.is_finite();
            let ok = repetition_penalty > 0.0 && repetition_penalty.is_finite() && finite;
            let found = format!("{repetition_penalty}, {frequency_penalty}, {presence_penalty}");
            let expected =
                "a repetition_penalty above 0, a frequency_penalty and a presence_penalty, all finite";
            check(ok, field, found, expected.to_owned())?;
        }
        Ok(())
    }

    /// The configuration's part of a run's identity: `config.operators.mutation` = `1.0`.
    pub(super) fn identity(&self) -> Identity {
        Identity::of(self).without(&Self::DECIDES_NOTHING).below(SECTION)
    }

    /// The configuration in an identity; a value that is not recorded has its default.
    pub(super) fn from_identity(identity: &Identity) -> Result<Self, Error> {
        let config: Self =
            identity.section(SECTION).map_err(|error| Error::BadIdentity { reason: error.to_string() })?;
        config.validate()?;
        Ok(config)
    }
}

/// Checks temperature, `top_p` and `min_p`, whose fields have these names, in this order.
fn check_sampling(sampling: &Sampling, names: [&'static str; 3]) -> Result<(), Error> {
    let share = |x: f32| (0.0..=1.0).contains(&x);
    let Sampling { temperature, top_p, min_p, .. } = *sampling;
    let checks = [
        (temperature >= 0.0 && temperature.is_finite(), temperature, "a finite number, 0 or more"),
        (share(top_p), top_p, "0 to 1"),
        (share(min_p), min_p, "0 to 1"),
    ];
    match names.into_iter().zip(checks).find(|(_, (ok, ..))| !ok) {
        Some((field, (_, found, expected))) => {
            Err(Error::Config { field, found: found.to_string(), expected: expected.to_owned() })
        }
        None => Ok(()),
    }
}

/// The configuration's section in a run's identity.
const SECTION: &str = "config";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_gives_the_configuration_back() {
        let mut config =
            EvolveConfig { seed: u64::MAX, rounds: Some(7), style: Style::Chat, ..EvolveConfig::default() };
        config.sampling.temperature = 0.1;
        config.judge.min_auc = 1.0 / 3.0;
        config.max_tokens.answer = Some(33);
        config.operators = Some(OperatorWeights::new([(Operator::Mutation, 0.25)]));
        let mut identity = config.identity();
        identity.insert("model.sha256", "aa");
        assert_eq!(EvolveConfig::from_identity(&identity).unwrap(), config);

        let other = |name: &str, value: &str| {
            let mut identity = identity.clone();
            identity.insert(name, value);
            EvolveConfig::from_identity(&identity)
        };
        for (name, value) in [("config.rounds", "many"), ("config.color", "1"), ("config.style.x", "1")] {
            assert!(matches!(other(name, value), Err(Error::BadIdentity { .. })), "{name} = {value}");
        }
        assert!(matches!(other("config.rounds", "0"), Err(Error::Config { field: "rounds", .. })));
    }

    #[test]
    fn a_table_that_names_no_operator_leaves_the_weights_to_the_profile() {
        let read = |text: &str| serde_json::from_str::<EvolveConfig>(text).unwrap().operators;
        assert_eq!((read("{}"), read(r#"{"operators": {}}"#)), (None, None));
        let mutation = OperatorWeights::new([(Operator::Mutation, 1.0)]);
        assert_eq!(read(r#"{"operators": {"mutation": 1}}"#), Some(mutation));
    }

    #[test]
    fn weights_that_cannot_be_drawn_by_are_named() {
        let refused = |weights: OperatorWeights| {
            let config = EvolveConfig { operators: Some(weights), ..EvolveConfig::default() };
            config.validate().unwrap_err().to_string()
        };
        let negative = OperatorWeights::new([(Operator::Mutation, -1.0), (Operator::Deepening, 2.0)]);
        assert!(refused(negative).contains("`deepening = 2, mutation = -1`"), "{}", refused(negative));
        assert!(refused(OperatorWeights::new([])).contains("`all 0`"));
    }
}
