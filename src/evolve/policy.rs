//! The policy of a run: a named profile, completed by what is known and measured about the model.
//!
//! In the flow: `rounds` makes the [`Policy`] once per run, after the judge's calibration, and keeps it in
//! the journal; everything after that follows the policy, not the configuration.
//!
//! - `wizardlm`: the paper (Xu et al. 2023, arXiv:2304.12244).
//! - `verified`: recommended where a model can rewrite: two rounds, all guards, constraints that code checks.
//! - `auto`: as `verified`, with operators, attempts, samples and limits that follow from the model's size
//!   and from a trial of it.
//!
//! **Invariant:** a policy is a function of the configuration, the model and its replies; what the user set
//! stays as it was set.

use super::operator::Method;
use super::trial::Trial;
use super::{EvolveConfig, Operator, OperatorWeights, Profile, Style, limits};

/// How a run evolves.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// The profile that it follows.
    pub profile: Profile,
    /// Never [`Style::Auto`].
    pub style: Style,
    /// Rounds of evolution.
    pub rounds: u32,
    /// Attempts at an instruction within a round.
    pub attempts: u32,
    /// The most answers to an instruction: the first that passes is kept.
    pub answer_samples: u32,
    /// The most constraints that one step adds.
    pub max_constraints: usize,
    /// The most tokens of an answer: as set, or else by the model's size, but at most half of its context.
    pub max_answer_tokens: usize,
    /// Relative frequencies of the operators.
    pub operators: OperatorWeights,
    /// Whether all guards apply, or only the paper's four rules.
    pub guards: bool,
    /// The reasons for what was chosen, a sentence each.
    pub why: Vec<String>,
    /// How it differs from what the paper did; empty but for [`Profile::Wizardlm`].
    pub differences: Vec<String>,
}

/// Parameters from which a step may add three constraints.
const THREE_CONSTRAINTS: u64 = 2_000_000_000;

/// What remains of the weight of constraints by code where the model can write harder versions itself: about
/// a quarter of the children of a model of 0.4 to 2 billion weights, fewer with more operators.
const BESIDE_WRITING: f64 = 0.25;

/// Share of a trial's children that must pass the guards for an operator to be used.
const WORTH_TRYING: f64 = 0.25;

/// Share of instructions with constraints that should get an answer which meets them.
const ANSWERED: f64 = 0.8;
/// Beyond this many samples the rest is cheaper to give up: with 8 instead of 4 a run of a model of which 1
/// in 12 first answers meets its constraints took twice as long.
const MOST_SAMPLES: u32 = 4;

/// Attempts in profiles whose guards reject much, each with another operator and a higher temperature.
const RETRIES: u32 = 3;

/// Where even [`Profile::Wizardlm`] differs from the paper's code and text.
const DIFFERENCES: [&str; 7] = [
    "The evolver, the judge and the answerer are one local model, not ChatGPT.",
    "The wording of every prompt is our own.",
    "In chat style, operators in depth write a sentence that code puts behind the task, instead of writing \
     the task anew.",
    "Cut, broken and empty output is eliminated, and so are repetitions of another instruction of the \
     lineage.",
    "Decoding is at temperature 0.7 with min-p 0.05 for instructions and 0.3 for answers, not at \
     temperature 1.",
    "Rule 1 reads label probabilities in both orders; where calibration says that the judge cannot tell, \
     words decide.",
    "Seeds are answered anew by the same model as everything else.",
];

impl Policy {
    /// The policy of `wizardlm` and `verified`, and the one that `auto` starts from.
    /// `context`: the tokens of the model's context.
    pub(super) fn new(config: &EvolveConfig, style: Style, n_params: Option<u64>, context: usize) -> Self {
        let paper = config.profile == Profile::Wizardlm;
        let (max_answer_tokens, because) = match config.max_tokens.answer {
            Some(set) => (set, "as set".to_owned()),
            None => limits::answer_tokens(n_params, context),
        };
        let mut policy = Self {
            profile: config.profile,
            style,
            rounds: if paper { 4 } else { 2 },
            attempts: if paper { 1 } else { RETRIES },
            answer_samples: if paper { 1 } else { 4 },
            max_constraints: 2,
            max_answer_tokens,
            operators: if paper { OperatorWeights::wizardlm() } else { OperatorWeights::verified() },
            guards: !paper,
            why: vec![format!("{max_answer_tokens} tokens of an answer at most: {because}")],
            differences: Vec::new(),
        };
        if paper {
            policy.differences = DIFFERENCES.map(str::to_owned).to_vec();
        }
        if config.profile == Profile::Auto {
            policy.choose_by_size(n_params);
        }
        policy.rounds = config.rounds.unwrap_or(policy.rounds);
        policy.attempts = config.attempts.unwrap_or(policy.attempts);
        policy.answer_samples = config.answer_samples.unwrap_or(policy.answer_samples);
        policy.max_constraints = config.max_constraints.unwrap_or(policy.max_constraints);
        policy.operators = config.operators.unwrap_or(policy.operators);
        policy
    }

    fn choose_by_size(&mut self, n_params: Option<u64>) {
        let billions =
            n_params.map_or("an unknown number of".to_owned(), |n| format!("{:.2} billion", n as f64 / 1e9));
        let n_params = n_params.unwrap_or(0);
        let mut weights = OperatorWeights::verified();
        let (trusted, dropped): (Vec<Operator>, Vec<Operator>) =
            Operator::rewriting().partition(|operator| n_params >= operator.min_params());
        for &operator in &dropped {
            weights.set(operator, 0.0);
        }
        if trusted.iter().any(|operator| !operator.is_in_breadth()) {
            for operator in Operator::ALL.into_iter().filter(|operator| operator.is_by_code()) {
                weights.set(operator, weights.get(operator) * BESIDE_WRITING);
            }
        }
        let why = if dropped.is_empty() {
            "it is trusted with every operator".to_owned()
        } else if trusted.iter().all(|operator| operator.is_in_breadth()) {
            "it is not trusted to rewrite: code adds constraints, and the model invents new tasks".to_owned()
        } else {
            let names: Vec<&str> = trusted.into_iter().map(Operator::name).collect();
            format!("it is trusted with {}; code adds constraints", names.join(", "))
        };
        self.operators = weights;
        self.max_constraints = if n_params >= THREE_CONSTRAINTS { 3 } else { 2 };
        self.why.push(format!("the model has {billions} parameters: {why}"));
    }

    /// The operators in use that need a trial: those that draw constraints, and those that rewrite, unless
    /// the user chose them.
    pub(super) fn to_try(&self, config: &EvolveConfig) -> Vec<Operator> {
        let chosen = self.profile != Profile::Auto || config.operators.is_some();
        let needs_trial = |operator: Operator| match operator.method() {
            Method::Rewrite(_) => !chosen,
            Method::Draw => true,
            Method::Derive | Method::Impose => false,
        };
        let in_use = Operator::ALL.into_iter().filter(|&operator| self.operators.get(operator) > 0.0);
        in_use.filter(|&operator| needs_trial(operator)).collect()
    }

    /// Fits `auto` to what the model did in a trial.
    pub(super) fn fit(&mut self, config: &EvolveConfig, trial: &Trial) {
        for tried in &trial.operators {
            let share = tried.passed as f64 / tried.asked.max(1) as f64;
            let (passed, asked, name) = (tried.passed, tried.asked, tried.operator.name());
            // A trial that asked nothing has share 0, which drops the operator too.
            if share >= WORTH_TRYING {
                self.operators.set(tried.operator, share);
                self.why.push(format!("{name}: {passed} of {asked} children of a trial passed the guards"));
            } else {
                self.operators.set(tried.operator, 0.0);
                self.why
                    .push(format!("no {name}: {passed} of {asked} children of a trial passed the guards"));
            }
        }
        let (met, asked) = (trial.constraints_met, trial.constraints_asked);
        if asked == 0 {
            return;
        }
        let share = met as f64 / asked as f64;
        if config.answer_samples.is_none() {
            self.answer_samples = samples(share);
        }
        let samples = self.answer_samples;
        if config.operators.is_none() {
            // One more, because none of twelve does not mean never.
            let share = (met + 1) as f64 / (asked + 2) as f64;
            let answered = 1.0 - (1.0 - share).powi(samples as i32);
            for operator in Operator::ALL.into_iter().filter(|&op| op.method() == Method::Draw) {
                self.operators.set(operator, self.operators.get(operator) * answered);
            }
        }
        self.why.push(format!(
            "{samples} answers to an instruction at most: {met} of {asked} first ones met their constraints"
        ));
    }
}

/// How many samples it takes until a share of [`ANSWERED`] of all instructions has a good one, if a sample is
/// good with probability `share`.
fn samples(share: f64) -> u32 {
    if share >= ANSWERED {
        return 2;
    }
    let needed = ((1.0 - ANSWERED).ln() / (1.0 - share).ln()).ceil();
    if share > 0.0 && needed <= f64::from(MOST_SAMPLES) { (needed as u32).max(2) } else { MOST_SAMPLES }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "small fractions, exact in binary")]
mod tests {
    use super::super::trial::Tried;
    use super::*;

    fn config(profile: Profile) -> EvolveConfig {
        EvolveConfig { profile, ..EvolveConfig::default() }
    }

    #[test]
    fn the_paper_has_six_operators_in_equal_shares_and_four_rounds() {
        let policy = Policy::new(&config(Profile::Wizardlm), Style::Chat, Some(8_000_000_000), 8192);
        assert_eq!((policy.rounds, policy.attempts, policy.answer_samples, policy.guards), (4, 1, 1, false));
        let six = [
            Operator::AddConstraints,
            Operator::Deepening,
            Operator::Concretizing,
            Operator::IncreaseReasoning,
            Operator::ComplicateInput,
            Operator::Mutation,
        ];
        assert_eq!(policy.operators, OperatorWeights::new(six.map(|operator| (operator, 1.0))));
        assert!(!policy.differences.is_empty());
    }

    #[test]
    fn a_small_model_is_not_trusted_to_rewrite_and_a_large_one_is() {
        let used = |n_params| {
            let policy = Policy::new(&config(Profile::Auto), Style::Completion, n_params, 2048);
            [Operator::Deepening, Operator::Concretizing, Operator::Mutation, Operator::DerivedConstraints]
                .map(|operator| policy.operators.get(operator) > 0.0)
        };
        for small in [None, Some(135_000_000)] {
            assert_eq!(used(small), [false, false, true, true], "{small:?}");
        }
        assert_eq!(used(Some(500_000_000)), [true, false, true, true]);
        assert_eq!(used(Some(3_000_000_000)), [true; 4]);
        // Constraints by code fill what the model's own additions leave.
        let weights = Policy::new(&config(Profile::Auto), Style::Chat, Some(1_500_000_000), 2048).operators;
        let by_code =
            [Operator::DerivedConstraints, Operator::VerifiableConstraints].map(|op| weights.get(op));
        assert_eq!(by_code, [0.5, 0.5]);
    }

    #[test]
    fn the_limit_on_answers_follows_the_model_and_is_explained() {
        let policy = |config: &EvolveConfig, n_params| {
            let policy = Policy::new(config, Style::Chat, Some(n_params), 32_768);
            (policy.max_answer_tokens, policy.why[0].clone())
        };
        for profile in Profile::ALL {
            let mut config = config(profile);
            let why = "1024 tokens of an answer at most: the model has 1.54 billion parameters";
            assert_eq!(policy(&config, 1_540_000_000), (1024, why.to_owned()));
            assert_eq!(policy(&config, 135_000_000).0, 256);
            config.max_tokens.answer = Some(30_000);
            let why = "30000 tokens of an answer at most: as set";
            assert_eq!(policy(&config, 135_000_000), (30_000, why.to_owned()));
        }
    }

    #[test]
    fn what_the_user_set_stays() {
        let weights = OperatorWeights::new([(Operator::Deepening, 2.0)]);
        let config = EvolveConfig {
            operators: Some(weights),
            rounds: Some(7),
            attempts: Some(5),
            answer_samples: Some(6),
            max_constraints: Some(1),
            ..config(Profile::Auto)
        };
        let mut policy = Policy::new(&config, Style::Completion, Some(135_000_000), 2048);
        assert_eq!(policy.to_try(&config), []);
        policy.fit(&config, &Trial { operators: Vec::new(), constraints_asked: 12, constraints_met: 0 });
        assert_eq!(
            (policy.rounds, policy.attempts, policy.answer_samples, policy.max_constraints),
            (7, 5, 6, 1)
        );
        assert_eq!(policy.operators, weights);
    }

    #[test]
    fn a_trial_drops_what_fails_and_says_why() {
        let config = config(Profile::Auto);
        let mut policy = Policy::new(&config, Style::Chat, Some(8_000_000_000), 8192);
        let answered_first = |operator: &Operator| operator.answers_first();
        let expected: Vec<Operator> = Operator::ALL.into_iter().filter(|one| !answered_first(one)).collect();
        assert_eq!(policy.to_try(&config), expected);
        let tried = |operator, passed| Tried { operator, asked: 12, passed };
        let operators = vec![tried(Operator::Deepening, 2), tried(Operator::Mutation, 6)];
        policy.fit(&config, &Trial { operators, constraints_asked: 10, constraints_met: 5 });
        assert_eq!(policy.operators.get(Operator::Deepening), 0.0);
        assert_eq!(policy.operators.get(Operator::Mutation), 0.5);
        assert_eq!(policy.answer_samples, 3);
        assert!(policy.why.iter().any(|why| why.contains("no deepening: 2 of 12")), "{:?}", policy.why);
        assert_eq!([samples(0.0), samples(0.1), samples(1.0), samples(0.5)], [4, 4, 2, 3]);
    }
}
