//! The ways to evolve an instruction, and which one is drawn.
//!
//! Source of the first six: `WizardLM` (Xu et al. 2023, arXiv:2304.12244), section 3: five in-depth operators
//! and one in-breadth, one of them drawn per instruction and round. The other three are ours: they add
//! constraints that code can check, without a model that rewrites (see [`crate::constraint`]).
//!
//! **Invariant:** the draw for a root depends on the run's seed, the root, round and attempt, and on whether
//! the parent has constraints.

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
    /// In depth: constraints that suit the task; of several answers one that meets them is kept.
    VerifiableConstraints,
    /// In depth: the task is answered first, then constraints are added that the answer meets.
    DerivedConstraints,
    /// In depth: the task is answered first, then constraints are added that code gives the answer the form
    /// for.
    ImposedConstraints,
}

impl Operator {
    /// All.
    pub const ALL: [Self; 9] = [
        Self::AddConstraints,
        Self::Deepening,
        Self::Concretizing,
        Self::IncreaseReasoning,
        Self::ComplicateInput,
        Self::Mutation,
        Self::VerifiableConstraints,
        Self::DerivedConstraints,
        Self::ImposedConstraints,
    ];

    /// Those of the paper, which have a model rewrite the instruction, each by a prompt of its own.
    pub const REWRITING: [Self; 6] = [
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
            Self::VerifiableConstraints => "verifiable_constraints",
            Self::DerivedConstraints => "derived_constraints",
            Self::ImposedConstraints => "imposed_constraints",
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

    /// Whether code makes the instruction, by adding constraints to its parent.
    pub fn is_by_code(self) -> bool {
        self == Self::VerifiableConstraints || self.answers_first()
    }

    /// Whether the parent is answered, and that answer decides the constraints.
    pub fn answers_first(self) -> bool {
        matches!(self, Self::DerivedConstraints | Self::ImposedConstraints)
    }

    /// Whether code makes a whole of an answer that ran into the limit of tokens.
    pub fn may_be_cut(self) -> bool {
        self == Self::ImposedConstraints
    }
}

/// How often each operator is drawn, relative to the others. The default are the paper's: its six in equal
/// shares.
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
    pub verifiable_constraints: f64,
    pub derived_constraints: f64,
    pub imposed_constraints: f64,
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
            verifiable_constraints: 0.0,
            derived_constraints: 0.0,
            imposed_constraints: 0.0,
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
        verifiable_constraints: 0.0,
        derived_constraints: 0.0,
        imposed_constraints: 0.0,
    };

    /// All in equal shares, those that add constraints by code twice: half of the steps are then verifiable.
    pub const EQUAL: Self = Self {
        add_constraints: 1.0,
        deepening: 1.0,
        concretizing: 1.0,
        increase_reasoning: 1.0,
        complicate_input: 1.0,
        mutation: 1.0,
        verifiable_constraints: 2.0,
        derived_constraints: 2.0,
        imposed_constraints: 0.0,
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
            Operator::VerifiableConstraints => self.verifiable_constraints,
            Operator::DerivedConstraints => self.derived_constraints,
            Operator::ImposedConstraints => self.imposed_constraints,
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
            Operator::VerifiableConstraints => &mut self.verifiable_constraints,
            Operator::DerivedConstraints => &mut self.derived_constraints,
            Operator::ImposedConstraints => &mut self.imposed_constraints,
        } = weight;
    }

    /// Whether something can be drawn: every weight finite and not negative, one positive.
    pub(super) fn is_drawable(&self) -> bool {
        let weights = Operator::ALL.map(|operator| self.get(operator));
        weights.iter().all(|w| w.is_finite() && *w >= 0.0) && weights.iter().any(|w| *w > 0.0)
    }

    /// The operator for the seed `root_id` in `round` at `attempt`: one that was not tried in this round
    /// before, as long as there is one. A parent with constraints gets more of them, or none of its sentences
    /// would be safe.
    pub(super) fn draw(
        &self,
        seed: u64,
        root_id: u64,
        round: u32,
        attempt: u32,
        constrained: bool,
    ) -> Operator {
        assert!(self.is_drawable(), "weights {self:?} were checked with the configuration");
        let drawable = |operator: &Operator| self.get(*operator) > 0.0;
        let mut allowed: Vec<Operator> = Operator::ALL.into_iter().filter(drawable).collect();
        if constrained && allowed.iter().any(|operator| operator.is_by_code()) {
            allowed.retain(|operator| operator.is_by_code());
        }
        let mut left = allowed.clone();
        let mut drawn = allowed[0];
        for attempt in 0..=attempt {
            if left.is_empty() {
                left.clone_from(&allowed);
            }
            let ids = [root_id, u64::from(round), u64::from(attempt)];
            let total: f64 = left.iter().map(|&operator| self.get(operator)).sum();
            let mut point = rng::stream(seed, "evolve.operator", &ids).random::<f64>() * total;
            // The last one also takes what rounding leaves over.
            let place = left.iter().position(|&operator| {
                point -= self.get(operator);
                point < 0.0
            });
            drawn = left.remove(place.unwrap_or(left.len() - 1));
        }
        drawn
    }
}
