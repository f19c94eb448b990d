//! Guards: what must not be in the data, each with a name, a limit and the evidence for the limit.
//!
//! In the flow: `eliminate` applies them to children and answers; `evol check` applies them again to an
//! export. [`GUARDS`] is the table, a row for each guard; `child`, `answer` and `request` hold the functions
//! of the rows, `measure` what these count.
//!
//! Small models break evolution in known ways: they answer the task instead of rewriting it, lose its
//! numbers, change the subject, repeat themselves. A guard finds one of these faults without a model.
//! The limits were set on real children of `SmolLM2-135M-Instruct`, read one by one
//! (`tests/data/children.jsonl`, where precision and recall are measured by a test), and on seeds, which must
//! pass.
//!
//! **Invariant:** a guard is a function of the texts, the operator and the constraints: what passed in a run
//! passes again on its export.

mod answer;
mod child;
pub(super) mod measure;
mod request;
#[cfg(test)]
mod tests;
mod words;

pub(super) use request::asks;
pub(super) use words::Words;

use super::{Operator, Reason};
use crate::constraint::Constraint;
use serde_json::Value;

/// An instruction and the material that belongs to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Task<'t> {
    pub(super) instruction: &'t str,
    pub(super) input: &'t str,
}

/// The texts that a guard looks at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case<'t> {
    pub(super) words: &'t Words,
    /// What made the child; `None` for a seed, which only answer guards look at.
    pub(super) operator: Option<Operator>,
    pub(super) parent: Task<'t>,
    pub(super) child: Task<'t>,
    /// The child's constraints, its parent's included.
    pub(super) constraints: &'t [Constraint],
    /// Empty for guards on children.
    pub(super) answer: &'t str,
}

/// Which texts a guard is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum On {
    /// The child beside its parent, whoever made it.
    Any,
    /// The child of an operator that has a model rewrite. What code adds to a parent has none of a model's
    /// faults, and the child is not blamed for those of its parent.
    Child,
    /// As [`On::Child`], of an operator in depth.
    Depth,
    /// As [`On::Child`], of an operator in breadth.
    Breadth,
    /// The answer beside its instruction.
    Answer,
}

impl On {
    /// Whether the guard looks at what that operator made; `None` for a seed.
    fn concerns(self, operator: Option<Operator>) -> bool {
        let rewritten = operator.filter(|operator| !operator.is_by_code());
        match self {
            Self::Any | Self::Answer => true,
            Self::Child => rewritten.is_some(),
            Self::Depth => rewritten.is_some_and(|operator| !operator.is_in_breadth()),
            Self::Breadth => rewritten.is_some_and(Operator::is_in_breadth),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Any => "any child",
            Self::Child => "rewritten child",
            Self::Depth => "rewritten in depth",
            Self::Breadth => "rewritten in breadth",
            Self::Answer => "answer",
        }
    }
}

/// One guard.
pub(super) struct Guard {
    /// The reason that it gives; its name is the guard's.
    pub(super) reason: Reason,
    pub(super) on: On,
    /// What it objects to, where `{}` is the limit.
    pub(super) objects_to: &'static str,
    pub(super) limit: f64,
    /// Where the limit comes from.
    pub(super) evidence: &'static str,
    /// Returns what it found, if it objects.
    pub(super) look: fn(&Case<'_>, f64) -> Option<Value>,
}

/// All guards, in the order in which they apply.
pub(super) const GUARDS: &[Guard] = &[
    Guard {
        reason: Reason::Boilerplate,
        on: On::Child,
        objects_to: "a phrase with which models talk about themselves or refuse, which the parent does not \
                     have",
        limit: 0.0,
        evidence: "ports of WizardLM reject `as an ai`; none of 436 seeds has one of the phrases",
        look: child::boilerplate,
    },
    Guard {
        reason: Reason::Looping,
        on: On::Child,
        objects_to: "more than {} of the words in rows of three that stood in the text before, or a row of \
                     five twice, or a word with a meaning three times in 30 words, where the parent does \
                     not repeat them",
        limit: 0.4,
        evidence: "of 436 seeds none is above 0.22; the other two limits catch loops that were read and \
                   trip no seed",
        look: child::looping,
    },
    Guard {
        reason: Reason::NotARequest,
        on: On::Child,
        objects_to: "no question, no verb that asks for something, though the parent has one; or a question \
                     that ends as a statement does",
        limit: 0.0,
        evidence: "the commonest fault of a 135M model: it answers or goes on; 98 % of the built-in seeds \
                   are recognised",
        look: child::not_a_request,
    },
    Guard {
        reason: Reason::AnswerInInstruction,
        on: On::Child,
        objects_to: "an answer behind the request: a label such as `Answer:` with text, or statements after \
                     a question",
        limit: 0.0,
        evidence: "WizardLM issue 8; none of 436 seeds has such a label",
        look: child::answer_in_instruction,
    },
    Guard {
        reason: Reason::CosmeticEdit,
        on: On::Child,
        objects_to: "fewer than {} words with a meaning, or numbers, that the parent does not have",
        limit: 2.0,
        evidence: "all but 3 of the children below it that were read are the same task with a slip",
        look: child::cosmetic_edit,
    },
    Guard {
        reason: Reason::WrongLanguage,
        on: On::Depth,
        objects_to: "a child in another language than its parent, where it has at least {} letters",
        limit: 40.0,
        evidence: "chosen, not measured: a detector of languages needs some words",
        look: child::wrong_language,
    },
    Guard {
        reason: Reason::LostContent,
        on: On::Depth,
        objects_to: "a number, a name, a quotation, a code span or material of the parent is missing",
        limit: 0.0,
        evidence: "WizardLM's own rewriting rules demand that nothing of it goes; a harder task about other \
                   data is another",
        look: child::lost_content,
    },
    Guard {
        reason: Reason::Drifted,
        on: On::Depth,
        objects_to: "less than {} of the parent's words with a meaning are left",
        limit: 0.8,
        evidence: "of all the children in depth below it that were read, one is a harder version of its \
                   parent",
        look: child::drifted,
    },
    Guard {
        reason: Reason::NotNew,
        on: On::Breadth,
        objects_to: "more than {} of the words with a meaning, taken together, are common to parent and \
                     child",
        limit: 0.5,
        evidence: "no good child above it was read",
        look: child::not_new,
    },
    Guard {
        reason: Reason::OverEscalated,
        on: On::Any,
        objects_to: "more than {} words added, more than 3 times as long as a parent of 15 words, or over 4 \
                     constraints",
        limit: 60.0,
        evidence: "the operators ask for 10 to 20 words; a code prompt grew from 14 to 325 tokens in 4 \
                   rounds elsewhere",
        look: child::over_escalated,
    },
    Guard {
        reason: Reason::MissingContext,
        on: On::Child,
        objects_to: "points at a text, a list or a table that is not there, where the parent does not",
        limit: 0.0,
        evidence: "breadth drops the material: 23 of 128 of its children still spoke of `the sentence`",
        look: child::missing_context,
    },
    Guard {
        reason: Reason::Unanswerable,
        on: On::Child,
        objects_to: "asks the reader for what happened to him or what he likes, where the parent does not",
        limit: 0.0,
        evidence: "a model has no life to tell of; 15 of 224 rewritten children asked for one",
        look: child::unanswerable,
    },
    Guard {
        reason: Reason::Contradictory,
        on: On::Any,
        objects_to: "a least number above the greatest of the same thing, or constraints that conflict",
        limit: 0.0,
        evidence: "no response meets both; the table of conflicts is in `constraint::conflict`",
        look: child::contradictory,
    },
    Guard {
        reason: Reason::Unsuited,
        on: On::Any,
        objects_to: "a constraint that does not go with the task: a fixed reply, code, or something that \
                     the task decides",
        limit: 0.0,
        evidence: "15 of 112 children with constraints that were read: three numbers or two paragraphs \
                   where the task was `output true or false`, a translation or a query",
        look: child::unsuited,
    },
    Guard {
        reason: Reason::AnswerBoilerplate,
        on: On::Answer,
        objects_to: "a phrase with which models talk about themselves or refuse, which the instruction does \
                     not have",
        limit: 0.0,
        evidence: "as for children",
        look: answer::boilerplate,
    },
    Guard {
        reason: Reason::AsksBack,
        on: On::Answer,
        objects_to: "asks for what the instruction should have had",
        limit: 0.0,
        evidence: "Auto Evol-Instruct takes `please provide` for a sign that the instruction lost something",
        look: answer::asks_back,
    },
    Guard {
        reason: Reason::AnswerLooping,
        on: On::Answer,
        objects_to: "more than {} of the words in rows of six that stood in the text before",
        limit: 0.4,
        evidence: "of 1,212 answers of two runs 6 are above it, none above 0.5; of 175 answers that people \
                   wrote none is above 0.18",
        look: answer::looping,
    },
    Guard {
        reason: Reason::AnswerEchoes,
        on: On::Answer,
        objects_to: "more than {} of the answer's words stand in the instruction in this order, and it is \
                     as long as it",
        limit: 0.8,
        evidence: "a small model repeats the task; honest short answers that quote it are shorter than it",
        look: answer::echoes,
    },
    Guard {
        reason: Reason::AnswerWrongLanguage,
        on: On::Answer,
        objects_to: "an answer in another language than an instruction that names none, where it has at \
                     least {} letters",
        limit: 40.0,
        evidence: "as for children",
        look: answer::wrong_language,
    },
    Guard {
        reason: Reason::ConstraintFailed,
        on: On::Answer,
        objects_to: "one of the constraints does not hold",
        limit: 0.0,
        evidence: "checked by code, see docs/constraints.md",
        look: answer::constraint_failed,
    },
];

impl Guard {
    /// What the guard objects to; `None`: nothing, or it is not for children of this operator.
    pub(super) fn ask(&self, case: &Case<'_>) -> Option<Value> {
        if self.on.concerns(case.operator) { (self.look)(case, self.limit) } else { None }
    }

    /// Whether it looks at answers.
    pub(super) fn is_on_answers(&self) -> bool {
        self.on == On::Answer
    }
}

/// The first guard on children, or on answers, that objects, and what it found.
pub(super) fn first_objection(case: &Case<'_>, on_answers: bool) -> Option<(Reason, Value)> {
    let mut asked = GUARDS.iter().filter(|guard| guard.is_on_answers() == on_answers);
    asked.find_map(|guard| Some((guard.reason, guard.ask(case)?)))
}

/// Whether the child asks for nothing new, by its words: what rule 1 falls back on where no judge can be
/// trusted.
pub(super) fn lexical_gain(case: &Case<'_>) -> Option<Value> {
    GUARDS.iter().find(|guard| guard.reason == Reason::CosmeticEdit).and_then(|guard| guard.ask(case))
}

/// BLAKE3 over names and limits, 32 hexadecimal digits. It is part of a run's identity, because other guards
/// keep other rows.
pub(super) fn hash() -> String {
    let mut hasher = blake3::Hasher::new();
    for guard in GUARDS {
        hasher.update(format!("{} {} {}\n", guard.reason.name(), guard.on.name(), guard.limit).as_bytes());
    }
    hasher.finalize().to_hex()[..32].to_owned()
}

/// The table as text, for the documentation: name, what it looks at, objection, evidence.
pub(super) fn table() -> impl Iterator<Item = [String; 4]> {
    let row = |guard: &Guard| {
        let objection = guard.objects_to.replace("{}", &guard.limit.to_string());
        [guard.reason.name().to_owned(), guard.on.name().to_owned(), objection, guard.evidence.to_owned()]
    };
    GUARDS.iter().map(row)
}
