//! The rules that need no model: on children (rule 4, copies, broken output) and on answers (rules 2 and 3),
//! and then the guards.
//!
//! In the flow: `evolving` applies the rules on children, `answering` those on answers; `trial`, `recheck`
//! and `coded` use them too.
//!
//! Source: `WizardLM` (arXiv:2304.12244), section 3, "elimination evolving"; rule 1 is in `judge.rs`. The
//! rules beyond the four catch what local models do in addition: output that is cut off, broken or repeated;
//! `guard` catches the rest.
//!
//! **Invariant:** rules apply in a fixed order, and the first that fails is the node's reason and its
//! verdict. Rules that pass leave no verdict: with thirty rules and a million nodes the journal would be
//! mostly verdicts.

use super::guard::{self, Case, Task, Words};
use super::material::{self, Parts};
use super::prompt::Output;
use super::text::{self, Phrases};
use super::{Error, Operator, Reason, constrain, library};
use crate::constraint::Constraint;
use crate::llm::FinishReason;
use crate::store::{Node, Verdict};
use serde_json::{Value, json};
use std::collections::HashSet;

/// Words below which an apology makes an answer a refusal (rule 2).
const REFUSAL_WORDS: usize = 80;

/// The line between the instruction and the data in the output of `complicate_input`.
const DATA_LINE: &str = "\nData:";

/// What a stage decided about one node.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Outcome {
    pub(super) verdicts: Vec<Verdict>,
    /// Why the node is eliminated; `None`: it is not.
    pub(super) reason: Option<Reason>,
}

impl Outcome {
    /// No verdict, no objection.
    pub(super) fn new() -> Self {
        Self { verdicts: Vec::new(), reason: None }
    }

    /// Applies a rule unless one has failed. `look` returns what the rule objects to.
    fn ask(&mut self, rule: Reason, look: impl FnOnce() -> Option<Value>) {
        if self.reason.is_none()
            && let Some(objection) = look()
        {
            self.record(rule, false, objection);
        }
    }

    /// Applies the guards on children, or those on answers, unless a rule has failed.
    fn ask_guards(&mut self, case: &Case<'_>, on_answers: bool) {
        if self.reason.is_none()
            && let Some((rule, objection)) = guard::first_objection(case, on_answers)
        {
            self.record(rule, false, objection);
        }
    }

    fn record(&mut self, rule: Reason, passed: bool, detail: Value) {
        self.verdicts.push(Verdict { rule: rule.name().to_owned(), passed, detail });
        if !passed {
            self.reason = Some(rule);
        }
    }

    /// The outcome of one rule.
    pub(super) fn of(rule: Reason, passed: bool, detail: Value) -> Self {
        let mut outcome = Self::new();
        outcome.record(rule, passed, detail);
        outcome
    }
}

/// A new instruction and its material.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Child {
    pub(super) instruction: String,
    pub(super) input: String,
    /// The operator asked for data and the model gave none.
    pub(super) lacks_data: bool,
    /// What its answer has to meet, its parent's constraints included.
    pub(super) constraints: Vec<Constraint>,
}

/// Reads the output of an operator on `parent`. In depth, what the model was not to change is carried over
/// verbatim; in breadth, nothing is.
pub(super) fn read_child(
    operator: Operator,
    form: Output,
    parent: &Node,
    parts: Parts<'_>,
    output: &str,
) -> Child {
    let (head, data) = match output.split_once(DATA_LINE) {
        Some((head, data)) if operator.adds_data() => (head.trim(), data.trim_matches('\n').trim_end()),
        _ => (output.trim(), ""),
    };
    if operator.is_in_breadth() {
        return Child {
            instruction: head.to_owned(),
            input: String::new(),
            lacks_data: false,
            constraints: Vec::new(),
        };
    }
    let instruction = match form {
        _ if head.is_empty() => String::new(),
        Output::Rewrite => parts.with_request(head),
        Output::Addition => parts.with_addition(head),
    };
    Child {
        instruction,
        input: material::join([&parent.input, data]),
        lacks_data: operator.adds_data() && data.is_empty(),
        constraints: Vec::new(),
    }
}

/// The rules on children, with what they compare with.
#[derive(Debug)]
pub(super) struct ChildRules {
    scaffold: Vec<String>,
    /// For each operator that rewrites, the rows of words in its prompt.
    phrases: Vec<(Operator, Phrases)>,
    /// (root, instruction): the normalised instructions that lineages already have. Only the export compares
    /// lineages with each other. Here none may depend on another, or shards would have to communicate.
    known: HashSet<(u64, String)>,
    pub(super) words: Words,
    /// Whether the guards apply.
    guards: bool,
}

impl ChildRules {
    pub(super) fn new(prompts: &library::Prompts, guards: bool) -> Self {
        let phrases = prompts.rewriting().map(|(operator, prompt)| {
            let phrases = Phrases::of(&prompt.fixed_text());
            (operator, phrases)
        });
        Self {
            scaffold: library::scaffold_phrases(),
            phrases: phrases.collect(),
            known: HashSet::new(),
            words: Words::load(),
            guards,
        }
    }

    /// Forgets the instructions that are known.
    pub(super) fn clear(&mut self) {
        self.known.clear();
    }

    /// Adds an instruction of the lineage `root_id` that its later children must not repeat.
    pub(super) fn learn(&mut self, root_id: u64, instruction: &str, input: &str) {
        self.known.insert((root_id, identity(instruction, input)));
    }

    /// Checks a child against every rule.
    pub(super) fn check(
        &self,
        operator: Operator,
        parent: &Node,
        child: &Child,
        finish: FinishReason,
    ) -> Outcome {
        let whole = format!("{}\n{}", child.instruction, child.input);
        let parent_whole = format!("{}\n{}", parent.instruction, parent.input);
        let own = identity(&child.instruction, &child.input);
        let mut outcome = Outcome::new();
        let simply = |fails: bool| fails.then_some(Value::Null);
        let parent_has = parent.constraints.len();
        outcome.ask(Reason::NoConstraint, || {
            simply(operator.is_by_code() && child.constraints.len() <= parent_has)
        });
        outcome.ask(Reason::PromptTooLong, || simply(finish == FinishReason::PromptTooLong));
        outcome.ask(Reason::Truncated, || simply(finish == FinishReason::Length));
        outcome.ask(Reason::Empty, || simply(text::words(&child.instruction).is_empty()));
        outcome.ask(Reason::Garbled, || simply(text::is_garbled(&whole)));
        outcome.ask(Reason::NoData, || simply(child.lacks_data));
        outcome.ask(Reason::ScaffoldLeak, || self.leak(operator, &whole, &parent_whole));
        outcome.ask(Reason::Copied, || simply(own == identity(&parent.instruction, &parent.input)));
        if self.guards {
            outcome.ask_guards(&self.case(operator, parent, child), false);
        }
        outcome.ask(Reason::Duplicate, || simply(self.known.contains(&(parent.root_id, own))));
        outcome
    }

    /// What guards look at: the child beside its parent.
    pub(super) fn case<'t>(&'t self, operator: Operator, parent: &'t Node, child: &'t Child) -> Case<'t> {
        Case {
            words: &self.words,
            operator: Some(operator),
            parent: Task { instruction: &parent.instruction, input: &parent.input },
            child: Task { instruction: &child.instruction, input: &child.input },
            constraints: &child.constraints,
            answer: "",
        }
    }

    /// Rule 4: a scaffold phrase, or a row of words of the prompt and its examples. A child may have what its
    /// parent has.
    fn leak(&self, operator: Operator, child: &str, parent: &str) -> Option<Value> {
        let (low_child, low_parent) = (child.to_lowercase(), parent.to_lowercase());
        let leaks =
            |phrase: &&String| text::has_phrase(&low_child, phrase) && !text::has_phrase(&low_parent, phrase);
        let scaffold = self.scaffold.iter().find(leaks);
        // What code adds comes from no prompt, so it has no phrases to leak.
        let phrases = || self.phrases.iter().find(|(other, _)| *other == operator);
        let leak = scaffold.cloned().or_else(|| phrases()?.1.leaked(child, parent))?;
        Some(json!({ "leak": leak }))
    }
}

/// Equal for instructions that are the same up to case, spacing and punctuation.
fn identity(instruction: &str, input: &str) -> String {
    format!("{}\n{}", text::normalise(instruction), text::normalise(input))
}

/// Checks an answer to `node` against every rule.
///
/// # Errors
/// [`Error::BadConstraint`].
pub(super) fn check_answer(
    lists: &Words,
    node: &Node,
    answer: &str,
    finish: FinishReason,
    guards: bool,
) -> Result<Outcome, Error> {
    let words = text::words(answer);
    let mut outcome = Outcome::new();
    let simply = |fails: bool| fails.then_some(Value::Null);
    // A seed has none.
    let operator = node.operator.as_deref().and_then(Operator::parse);
    let may_be_cut = operator.is_some_and(Operator::may_be_cut);
    outcome.ask(Reason::AnswerPromptTooLong, || simply(finish == FinishReason::PromptTooLong));
    outcome.ask(Reason::AnswerTruncated, || simply(finish == FinishReason::Length && !may_be_cut));
    outcome.ask(Reason::AnswerGarbled, || simply(text::is_garbled(answer)));
    outcome.ask(Reason::Refused, || {
        let sorry = answer.to_lowercase().contains("sorry");
        (sorry && words.len() < REFUSAL_WORDS).then(|| json!({ "words": words.len() }))
    });
    outcome.ask(Reason::AnswerEmpty, || simply(words.iter().all(|word| lists.is_stop_word(word))));
    if guards {
        let task = Task { instruction: &node.instruction, input: &node.input };
        let constraints = constrain::of(node)?;
        let case =
            Case { words: lists, operator, parent: task, child: task, constraints: &constraints, answer };
        outcome.ask_guards(&case, true);
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evolve::Style;
    use crate::store::Status;

    /// What a model wrote in completion style.
    fn read(operator: Operator, parent: &Node, output: &str) -> Child {
        read_child(operator, Output::Rewrite, parent, Parts::first_line(&parent.instruction), output)
    }

    fn parent(instruction: &str, input: &str) -> Node {
        Node {
            id: 10_000,
            parent_id: None,
            root_id: 10_000,
            round: 0,
            attempt: 0,
            operator: None,
            instruction: instruction.to_owned(),
            input: input.to_owned(),
            skill: None,
            difficulty: None,
            generation: None,
            status: Status::Evolved,
            reason: None,
            constraints: Vec::new(),
        }
    }

    fn reason_of(operator: Operator, parent: &Node, output: &str) -> Option<Reason> {
        let rules = ChildRules::new(&library::Prompts::new(Style::Completion, true), false);
        let child = read(operator, parent, output);
        rules.check(operator, parent, &child, FinishReason::Stop).reason
    }

    #[test]
    fn scaffold_words_and_examples_leak_unless_they_are_the_parents_own() {
        let plain = parent("Name a river.", "");
        let reason = |output| reason_of(Operator::AddConstraints, &plain, output);
        assert_eq!(reason("Name a river in Asia. #Rewritten Prompt#"), Some(Reason::ScaffoldLeak));
        assert_eq!(reason("Name a river. Stricter: name two."), Some(Reason::ScaffoldLeak));
        let example = "Plan a birthday dinner for six people that costs at most 60 euros.";
        assert_eq!(reason(example), Some(Reason::ScaffoldLeak));
        assert_eq!(reason("Name a river in Asia that is longer than 1000 km."), None);
        let about_prompts = parent("Improve the given prompt.", "");
        let child = "Improve the given prompt without making it longer.";
        assert_eq!(reason_of(Operator::AddConstraints, &about_prompts, child), None);
    }

    #[test]
    fn a_child_in_depth_carries_what_the_model_did_not_see() {
        let code = parent("Say what this prints:\nprint(1)", "Python 3");
        let read = |operator, output| read(operator, &code, output);
        let child = read(Operator::Deepening, " Say what this prints, and why: ");
        let expected = "Say what this prints, and why:\nprint(1)";
        assert_eq!((child.instruction.as_str(), child.input.as_str()), (expected, "Python 3"));
        let child = read(Operator::ComplicateInput, " Use the table.\nData:\n| a |\n| 1 |");
        assert_eq!(child.input, "Python 3\n\n| a |\n| 1 |");
        assert!(!child.lacks_data && read(Operator::ComplicateInput, " Use the table.").lacks_data);
        let child = read(Operator::Mutation, " Why is C fast? ");
        assert_eq!((child.instruction.as_str(), child.input.as_str()), ("Why is C fast?", ""));
        assert_eq!(reason_of(Operator::Deepening, &code, "  \n"), Some(Reason::Empty));
        assert_eq!(reason_of(Operator::Deepening, &code, "say what this prints"), Some(Reason::Copied));
    }

    #[test]
    fn rules_are_asked_in_order_and_the_first_objection_stands() {
        let rules = ChildRules::new(&library::Prompts::new(Style::Completion, true), false);
        let plain = parent("Name a river.", "");
        let child = read(Operator::Deepening, &plain, "Name a river\u{FFFD}");
        let outcome = rules.check(Operator::Deepening, &plain, &child, FinishReason::Length);
        assert_eq!(outcome.reason, Some(Reason::Truncated));
        assert_eq!(outcome.verdicts.len(), 1);
        let outcome = rules.check(Operator::Deepening, &plain, &child, FinishReason::Stop);
        assert_eq!(outcome.reason, Some(Reason::Garbled));
    }

    #[test]
    fn answers_are_eliminated_by_the_papers_rules() {
        let lists = Words::load();
        let node = parent("Name a river.", "");
        let check = |answer: &str, finish| check_answer(&lists, &node, answer, finish, false).unwrap().reason;
        let reason = |answer: &str| check(answer, FinishReason::EndOfText);
        assert_eq!(reason("I'm SORRY, but I cannot help."), Some(Reason::Refused));
        assert_eq!(reason(&format!("Sorry to be brief. {}", "word ".repeat(80))), None);
        assert_eq!(reason("The ... is, and?"), Some(Reason::AnswerEmpty));
        assert_eq!(reason(""), Some(Reason::AnswerEmpty));
        assert_eq!(reason("42"), None);
        let cut = check("A good answer so far", FinishReason::Length);
        assert_eq!(cut, Some(Reason::AnswerTruncated));
    }
}
