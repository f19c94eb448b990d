//! The operators: the ways to evolve an instruction.
//!
//! In the flow: everything that differs from one operator to another is read from its row in the table
//! below. A new operator is a row; one that has the model rewrite also needs a prompt file for each style.
//!
//! Source of the first six: `WizardLM` (Xu et al. 2023, arXiv:2304.12244), section 3: five in-depth operators
//! and one in-breadth. The other three are our own: they add constraints that code can check, and need no
//! model to rewrite (see [`crate::constraint`]).
//!
//! **Invariant:** the order of the rows is the order in which weights are drawn (`weights`), so a new row
//! goes last.

use serde::de::{Deserialize, Deserializer, Error as _};

/// What is known about an operator.
struct Facts {
    /// The name in the journal, in configurations and on the command line.
    name: &'static str,
    method: Method,
    /// Whether the child is a new task instead of a harder version of its parent.
    in_breadth: bool,
    /// Whether the child has to come with data to work on.
    adds_data: bool,
    /// Weight in the profile `wizardlm`.
    wizardlm: f64,
    /// Weight in the profile `verified`, from which `auto` starts.
    verified: f64,
    /// Parameters that a model needs for the profile `auto` to use the operator.
    min_params: u64,
}

/// How a child is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// The model rewrites the parent.
    Rewrite(RewritePrompts),
    /// Code draws constraints that suit the task, and answers are sampled until one meets them.
    Draw,
    /// The parent is answered, and code states constraints that the answer meets.
    Derive,
    /// The parent is answered, and code draws constraints and gives the answer the form that they ask for.
    Impose,
}

/// The prompt files of an operator, by style.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RewritePrompts {
    pub(super) chat: &'static str,
    pub(super) completion: &'static str,
}

/// Parameters from which a model is trusted with further questions that code puts behind the task, and from
/// which with requirements, cases and data of its own. A trial of the model has the last word.
///
/// A 135M model answers or drifts: of 96 of its children in depth that were read, 7 were a harder version of
/// their parent (`tests/data/children.jsonl`). Of 14 additions of a 1.5B model 9 and 6 are good with the two
/// operators of the first kind, 3 and 2 with two of the second (docs/evolution.md).
const QUESTIONS: u64 = 400_000_000;
const SPECIFIC: u64 = 2_000_000_000;

/// Makes the enum and its table from the rows. A row's doc comment is also what `--help` says.
macro_rules! operators {
    ($(#[doc = $about:literal] $operator:ident = $facts:expr;)*) => {
        /// An evolution operator.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Operator {
            $(#[doc = $about] $operator,)*
        }

        impl Operator {
            /// All operators, in the order in which weights are drawn.
            pub const ALL: [Self; [$(stringify!($operator)),*].len()] = [$(Self::$operator),*];

            const NAMES: &[&str] = &[$($facts.name),*];

            fn facts(self) -> &'static Facts {
                match self {
                    $(Self::$operator => const { &$facts },)*
                }
            }

            /// What it does, in a sentence.
            pub fn about(self) -> &'static str {
                match self {
                    $(Self::$operator => $about.trim_ascii(),)*
                }
            }
        }
    };
}

/// The prompt files of a rewriting operator: `prompts/STYLE/NAME.txt`.
macro_rules! rewrite {
    ($name:literal) => {
        Method::Rewrite(RewritePrompts {
            chat: include_str!(concat!("prompts/chat/", $name, ".txt")),
            completion: include_str!(concat!("prompts/completion/", $name, ".txt")),
        })
    };
}

operators! {
    /// In depth: one more requirement.
    AddConstraints = Facts {
        name: "add_constraints",
        method: rewrite!("add_constraints"),
        in_breadth: false,
        adds_data: false,
        wizardlm: 1.0,
        verified: 1.0,
        min_params: SPECIFIC,
    };
    /// In depth: the same issue, asked more deeply and more broadly.
    Deepening = Facts {
        name: "deepening",
        method: rewrite!("deepening"),
        in_breadth: false,
        adds_data: false,
        wizardlm: 1.0,
        verified: 1.0,
        min_params: QUESTIONS,
    };
    /// In depth: specific concepts instead of general ones.
    Concretizing = Facts {
        name: "concretizing",
        method: rewrite!("concretizing"),
        in_breadth: false,
        adds_data: false,
        wizardlm: 1.0,
        verified: 1.0,
        min_params: SPECIFIC,
    };
    /// In depth: several steps of reasoning instead of one.
    IncreaseReasoning = Facts {
        name: "increase_reasoning",
        method: rewrite!("increase_reasoning"),
        in_breadth: false,
        adds_data: false,
        wizardlm: 1.0,
        verified: 1.0,
        min_params: QUESTIONS,
    };
    /// In depth: structured data to work on.
    ComplicateInput = Facts {
        name: "complicate_input",
        method: rewrite!("complicate_input"),
        in_breadth: false,
        adds_data: true,
        wizardlm: 1.0,
        verified: 1.0,
        min_params: SPECIFIC,
    };
    /// In breadth: another, rarer task of the same field.
    Mutation = Facts {
        name: "mutation",
        method: rewrite!("mutation"),
        in_breadth: true,
        adds_data: false,
        wizardlm: 1.0,
        verified: 1.0,
        min_params: 0,
    };
    /// By code: constraints that suit the task; answers are sampled until one meets them.
    VerifiableConstraints = Facts {
        name: "verifiable_constraints",
        method: Method::Draw,
        in_breadth: false,
        adds_data: false,
        wizardlm: 0.0,
        verified: 2.0,
        min_params: 0,
    };
    /// By code: the task is answered first, then constraints are stated that the answer meets.
    DerivedConstraints = Facts {
        name: "derived_constraints",
        method: Method::Derive,
        in_breadth: false,
        adds_data: false,
        wizardlm: 0.0,
        verified: 2.0,
        min_params: 0,
    };
    /// By code: the task is answered first, then code gives the answer the form that new constraints ask for.
    ImposedConstraints = Facts {
        name: "imposed_constraints",
        method: Method::Impose,
        in_breadth: false,
        adds_data: false,
        wizardlm: 0.0,
        verified: 0.0,
        min_params: 0,
    };
}

impl Operator {
    /// The operators that have the model rewrite the instruction.
    pub(super) fn rewriting() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|operator| !operator.is_by_code())
    }

    /// Its name in the journal, in configurations and as the stem of its prompt files.
    pub fn name(self) -> &'static str {
        self.facts().name
    }

    /// The operator of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operator| operator.name() == name)
    }

    pub(super) fn method(self) -> Method {
        self.facts().method
    }

    /// Its prompt files; `None` if the model does not rewrite.
    pub(super) fn prompts(self) -> Option<RewritePrompts> {
        match self.method() {
            Method::Rewrite(prompts) => Some(prompts),
            Method::Draw | Method::Derive | Method::Impose => None,
        }
    }

    /// Whether the child is a new task instead of a harder version of its parent.
    pub fn is_in_breadth(self) -> bool {
        self.facts().in_breadth
    }

    /// Whether the child has to come with data to work on.
    pub(super) fn adds_data(self) -> bool {
        self.facts().adds_data
    }

    /// Whether code makes the instruction, by adding constraints to its parent.
    pub fn is_by_code(self) -> bool {
        self.prompts().is_none()
    }

    /// Whether the parent is answered, and that answer decides the constraints.
    pub fn answers_first(self) -> bool {
        matches!(self.method(), Method::Derive | Method::Impose)
    }

    /// Whether an answer that ran into the token limit can be used: code cuts it after its last whole
    /// sentence.
    pub(super) fn may_be_cut(self) -> bool {
        self.method() == Method::Impose
    }

    /// Weight in the profile `wizardlm`.
    pub(super) fn wizardlm_weight(self) -> f64 {
        self.facts().wizardlm
    }

    /// Weight in the profile `verified`.
    pub(super) fn verified_weight(self) -> f64 {
        self.facts().verified
    }

    /// Parameters that a model needs for the profile `auto` to use the operator.
    pub(super) fn min_params(self) -> u64 {
        self.facts().min_params
    }
}

impl<'de> Deserialize<'de> for Operator {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::parse(&name).ok_or_else(|| D::Error::unknown_field(&name, Self::NAMES))
    }
}
