//! The six ways to evolve an instruction, and which one is drawn.
//!
//! Source: `WizardLM` (Xu et al. 2023, arXiv:2304.12244), section 3: five in-depth operators and one
//! in-breadth, one of them drawn per instruction and round.
//!
//! **Invariant:** the draw for a root in a round depends on the run's seed and those two alone.

use crate::rng;
use rand::RngExt;

/// An evolution operator, in the order in which weights are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operator {
    /// In depth: one more requirement.
    AddConstraints,
    /// In depth: the same issue, asked more deeply and more broadly.
    Deepening,
    /// In depth: specific notions instead of general ones.
    Concretizing,
    /// In depth: several steps of thought instead of one.
    IncreaseReasoning,
    /// In depth: structured data to work on.
    ComplicateInput,
    /// In breadth: another, rarer task of the same field.
    Mutation,
}

impl Operator {
    /// All six.
    pub const ALL: [Self; 6] = [
        Self::AddConstraints,
        Self::Deepening,
        Self::Concretizing,
        Self::IncreaseReasoning,
        Self::ComplicateInput,
        Self::Mutation,
    ];

    /// Its name in the journal, in configurations and as the stem of its prompt files.
    pub fn name(self) -> &'static str {
        match self {
            Self::AddConstraints => "add_constraints",
            Self::Deepening => "deepening",
            Self::Concretizing => "concretizing",
            Self::IncreaseReasoning => "increase_reasoning",
            Self::ComplicateInput => "complicate_input",
            Self::Mutation => "mutation",
        }
    }

    /// The operator of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operator| operator.name() == name)
    }

    /// Whether the child is a new task instead of a harder version of its parent.
    pub fn is_in_breadth(self) -> bool {
        self == Self::Mutation
    }
}

/// How often each operator is drawn, relative to the others. All 1: the paper's equal shares.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "named as the operators")]
pub struct OperatorWeights {
    pub add_constraints: f64,
    pub deepening: f64,
    pub concretizing: f64,
    pub increase_reasoning: f64,
    pub complicate_input: f64,
    pub mutation: f64,
}

impl Default for OperatorWeights {
    fn default() -> Self {
        Self {
            add_constraints: 1.0,
            deepening: 1.0,
            concretizing: 1.0,
            increase_reasoning: 1.0,
            complicate_input: 1.0,
            mutation: 1.0,
        }
    }
}

impl OperatorWeights {
    /// No operator at all: a start for those who name the few that they want.
    pub const NONE: Self = Self {
        add_constraints: 0.0,
        deepening: 0.0,
        concretizing: 0.0,
        increase_reasoning: 0.0,
        complicate_input: 0.0,
        mutation: 0.0,
    };

    /// The weight of one operator.
    pub fn get(&self, operator: Operator) -> f64 {
        match operator {
            Operator::AddConstraints => self.add_constraints,
            Operator::Deepening => self.deepening,
            Operator::Concretizing => self.concretizing,
            Operator::IncreaseReasoning => self.increase_reasoning,
            Operator::ComplicateInput => self.complicate_input,
            Operator::Mutation => self.mutation,
        }
    }

    /// Sets the weight of one operator.
    pub fn set(&mut self, operator: Operator, weight: f64) {
        *match operator {
            Operator::AddConstraints => &mut self.add_constraints,
            Operator::Deepening => &mut self.deepening,
            Operator::Concretizing => &mut self.concretizing,
            Operator::IncreaseReasoning => &mut self.increase_reasoning,
            Operator::ComplicateInput => &mut self.complicate_input,
            Operator::Mutation => &mut self.mutation,
        } = weight;
    }

    /// Whether something can be drawn: every weight finite and not negative, one positive.
    pub(super) fn is_drawable(&self) -> bool {
        let weights = Operator::ALL.map(|operator| self.get(operator));
        weights.iter().all(|w| w.is_finite() && *w >= 0.0) && weights.iter().any(|w| *w > 0.0)
    }

    /// The operator for the seed `root_id` in `round` at `attempt`.
    pub(super) fn draw(&self, seed: u64, root_id: u64, round: u32, attempt: u32) -> Operator {
        assert!(self.is_drawable(), "weights {self:?} were checked with the configuration");
        let ids = [root_id, u64::from(round), u64::from(attempt)];
        let total: f64 = Operator::ALL.iter().map(|&operator| self.get(operator)).sum();
        let mut point = rng::stream(seed, "evolve.operator", &ids).random::<f64>() * total;
        let mut drawn = None;
        for operator in Operator::ALL.into_iter().filter(|&operator| self.get(operator) > 0.0) {
            // The last operator with a weight also takes what rounding leaves over.
            drawn = Some(operator);
            point -= self.get(operator);
            if point < 0.0 {
                break;
            }
        }
        drawn.expect("one weight is positive")
    }
}
