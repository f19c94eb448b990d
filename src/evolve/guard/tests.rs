//! The guards on texts made for them, on seeds, and on real children that were read one by one.

use super::*;
use crate::constraint::kinds::{LowerCase, NoDigits, Title, TwoAnswers, UpperCase, WordCount};
use crate::constraint::{Bound, Constraint};
use crate::dataset::builtin_seeds;
use crate::evolve::eliminate::{Child, ChildRules};
use crate::evolve::library::Prompts;
use crate::evolve::trial::seed_node;
use crate::evolve::{Style, constrain};
use crate::llm::FinishReason;
use crate::store::Node;
use std::collections::BTreeMap;

fn task<'t>(instruction: &'t str, input: &'t str) -> Task<'t> {
    Task { instruction, input }
}

fn objection(operator: Operator, parent: Task<'_>, child: Task<'_>) -> Option<Reason> {
    let words = Words::load();
    let case = Case { words: &words, operator: Some(operator), parent, child, constraints: &[], answer: "" };
    first_objection(&case, false).map(|(reason, _)| reason)
}

fn in_depth(parent: &str, child: &str) -> Option<Reason> {
    objection(Operator::AddConstraints, task(parent, ""), task(child, ""))
}

fn in_breadth(parent: &str, child: &str) -> Option<Reason> {
    objection(Operator::Mutation, task(parent, ""), task(child, ""))
}

#[test]
fn good_children_pass() {
    for (parent, child) in [
        ("Name a river.", "Name a river in Asia that is longer than 1000 km."),
        ("Explain why the sky is blue.", "Explain why the sky is blue in four sentences, without a formula."),
        (
            "Sort the list 3, 1, 2.",
            "Sort the list 3, 1, 2 in descending order and name the algorithm you used.",
        ),
        (
            "Wie spät ist es in Tokio, wenn es in Berlin 12 Uhr ist?",
            "Wie spät ist es in Tokio und in Lima, wenn es in Berlin im Sommer 12 Uhr ist?",
        ),
    ] {
        assert_eq!(in_depth(parent, child), None, "{child}");
    }
    assert_eq!(in_breadth("Name a river.", "Which mountain passes connect Italy and Switzerland?"), None);
}

#[test]
fn each_fault_is_named() {
    let river = "Name three rivers of Asia.";
    for (child, expected) in [
        ("As an AI language model, name three rivers of Asia that are long.", Reason::Boilerplate),
        (
            "Name three rivers of Asia, and name three rivers of Asia, and name three rivers of Asia.",
            Reason::Looping,
        ),
        ("The three rivers of Asia are long and wide and beautiful.", Reason::NotARequest),
        (
            "Name three rivers of Asia that flow north. Answer: Ob, Lena, Yenisei.",
            Reason::AnswerInInstruction,
        ),
        (
            "Which three rivers of Asia flow north? They are the Ob, the Lena and the Yenisei.",
            Reason::AnswerInInstruction,
        ),
        ("Name three great rivers of Asia.", Reason::CosmeticEdit),
        ("Write a poem about winter in a small village of Asia near the sea.", Reason::Drifted),
        ("Name three rivers of Asia that makes you feel at home when autumn begins.", Reason::Unanswerable),
        ("Name three rivers of Asia. Is it possible to swim in deep water there.", Reason::NotARequest),
        ("Name three rivers of Asia, a bridge, a stone bridge, and one iron bridge.", Reason::Looping),
        (
            "Name three rivers of Asia, say why they are so long, and say why they are so long.",
            Reason::Looping,
        ),
        ("Name three long rivers of another continent.", Reason::LostContent),
        (
            "Name at least 5 rivers of Asia and at most 3 rivers of Asia, each with three cities.",
            Reason::Contradictory,
        ),
    ] {
        assert_eq!(in_depth(river, child), Some(expected), "{child}");
    }
    let long = format!("{river} {}", "Describe another province with many details. ".repeat(3));
    assert_eq!(in_depth(river, &format!("{long}{}", "x y z ".repeat(25))), Some(Reason::Looping));
    let numbers = (0..70).map(|n| format!("w{n}")).collect::<Vec<_>>().join(" ");
    assert_eq!(in_depth(river, &format!("{river} {numbers}")), Some(Reason::OverEscalated));
    let quoted = "Translate \"good morning\" and count to 10.";
    assert_eq!(
        in_depth(quoted, "Translate \"good evening\" to French and count to 10."),
        Some(Reason::LostContent)
    );
    assert_eq!(
        in_depth(quoted, "Translate \"good morning\" to French and count to 20."),
        Some(Reason::LostContent)
    );
    assert_eq!(
        in_depth("Use `x = 1` in a loop.", "Use a variable in a loop that prints squares."),
        Some(Reason::LostContent)
    );
    let lost = objection(
        Operator::Deepening,
        task("Sum up the text.", "Once upon a time."),
        task("Sum up the text in one sentence, with its moral.", ""),
    );
    assert_eq!(lost, Some(Reason::LostContent));
    assert_eq!(in_breadth(river, "Name three wide and old rivers of Asia."), Some(Reason::NotNew));
    assert_eq!(
        in_breadth(river, "Correct the grammar of the following paragraph."),
        Some(Reason::MissingContext)
    );
    let german = "Name drei Flüsse in Asien, die nach Norden fließen, und ihre Länge.";
    let english =
        "Name three rivers of Asia that flow to the north, with their lengths and the seas that they reach.";
    assert_eq!(in_depth(german, english), Some(Reason::WrongLanguage));
}

fn answered(child: Task<'_>, constraints: &[Constraint], answer: &str) -> Option<Reason> {
    let words = Words::load();
    let operator = Some(Operator::VerifiableConstraints);
    let case = Case { words: &words, operator, parent: child, child, constraints, answer };
    first_objection(&case, true).map(|(reason, _)| reason)
}

#[test]
fn each_fault_of_an_answer_is_named() {
    let rivers = task("Name three rivers of Asia, and say where they flow.", "");
    for (answer, expected) in [
        ("I'm unable to name rivers.", Reason::AnswerBoilerplate),
        ("Please provide the list of rivers.", Reason::AsksBack),
        ("Sure! Which rivers do you mean?", Reason::AsksBack),
        ("Name three rivers of Asia, and say where they flow.", Reason::AnswerEchoes),
        (
            "Die drei längsten Flüsse sind der Jangtse, der Gelbe Fluss und der Mekong, die nach Osten \
             fließen.",
            Reason::AnswerWrongLanguage,
        ),
    ] {
        assert_eq!(answered(rivers, &[], answer), Some(expected), "{answer}");
    }
    let loops = "The Ob flows to the north of Russia and is long. ".repeat(6);
    assert_eq!(answered(rivers, &[], &loops), Some(Reason::AnswerLooping));
    let good = "The Ob, the Lena and the Yenisei; all of them flow north to the Arctic Ocean.";
    assert_eq!(answered(rivers, &[], good), None);
    let short = [Constraint::from(WordCount { bound: Bound::AtMost { n: 5 } })];
    assert_eq!(answered(rivers, &short, good), Some(Reason::ConstraintFailed));
    assert_eq!(answered(rivers, &[Constraint::from(NoDigits)], good), None);
    // What works on material gives it back.
    let correct = task("Correct the spelling.", "The cats is on teh table and it are big.");
    assert_eq!(answered(correct, &[], "The cats are on the table and they are big."), None);
    assert_eq!(
        answered(
            task("Say it in German: good morning, my dear friends.", ""),
            &[],
            "Guten Morgen, meine lieben Freunde, schön euch zu sehen!"
        ),
        None
    );
}

#[test]
fn too_many_constraints_and_those_that_conflict_are_found() {
    let words = Words::load();
    let parent = task("Explain fog.", "");
    let child =
        task("Explain fog. Use no digits. Use lower case. Give it a title. Answer twice. Use words.", "");
    let found = |constraints: &[Constraint]| {
        let operator = Some(Operator::VerifiableConstraints);
        let case = Case { words: &words, operator, parent, child, constraints, answer: "" };
        first_objection(&case, false).map(|(reason, _)| reason)
    };
    let many = [
        Constraint::from(NoDigits),
        Constraint::from(LowerCase),
        Constraint::from(Title),
        Constraint::from(TwoAnswers),
        Constraint::from(WordCount { bound: Bound::AtMost { n: 50 } }),
    ];
    assert_eq!(found(&many), Some(Reason::OverEscalated));
    assert_eq!(
        found(&[Constraint::from(LowerCase), Constraint::from(UpperCase)]),
        Some(Reason::Contradictory)
    );
    assert_eq!(found(&many[..1]), None);
    let fixed = task("Is it true? Output true or false.", "");
    let operator = Some(Operator::VerifiableConstraints);
    let case = Case { words: &words, operator, parent: fixed, child, constraints: &many[..1], answer: "" };
    assert_eq!(first_objection(&case, false).map(|(reason, _)| reason), Some(Reason::Unsuited));
}

/// Nearly every seed that people wrote is a request by the rules, is no loop and holds no answer: as its own
/// parent, only that it is a copy may be said of it.
#[test]
fn seeds_trip_no_guard_on_single_texts() {
    let words = Words::load();
    let mut tripped = Vec::new();
    let seeds = builtin_seeds();
    for seed in &seeds {
        let child = task(&seed.instruction, &seed.input);
        // Beside a parent that has none of its words but is a request too; honest tasks may ask for an
        // opinion.
        let parent = task("Do this.", "");
        let case = Case {
            words: &words,
            operator: Some(Operator::Mutation),
            parent,
            child,
            constraints: &[],
            answer: "",
        };
        if let Some((reason, detail)) = first_objection(&case, false) {
            tripped.push(format!("{}: {detail} {}", reason.name(), seed.instruction));
        }
    }
    assert!(tripped.len() * 50 <= seeds.len(), "{} of {}: {tripped:#?}", tripped.len(), seeds.len());
}

#[test]
fn the_documentation_has_the_whole_table() {
    let text = include_str!("../../../docs/evolution.md");
    let lines = table()
        .map(|[name, on, objection, evidence]| format!("| `{name}` | {on} | {objection} | {evidence} |"));
    let missing: Vec<String> = lines.filter(|line| !text.contains(line)).collect();
    assert!(missing.is_empty(), "docs/evolution.md lacks\n{}", missing.join("\n"));
}

/// A child of `SmolLM2-135M-Instruct` that was read and labelled.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Labelled {
    operator: String,
    parent: LabelledTask,
    child: LabelledTask,
    /// Whether it is a sound request that brings something new: in depth a harder version of its parent, in
    /// breadth a task of its own.
    keep: bool,
    /// `good`, or what is wrong with it.
    label: String,
    /// Where it comes from: a run with the paper's rules only, one with `auto`, or, after the guards' limits
    /// were set, another one with `auto` and the guards as they are (`held_out`).
    set: String,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct LabelledTask {
    instruction: String,
    input: String,
    #[serde(default)]
    constraints: Vec<Constraint>,
}

impl LabelledTask {
    fn node(&self, id: u64) -> Node {
        Node {
            instruction: self.instruction.clone(),
            input: self.input.clone(),
            constraints: constrain::to_json(&self.constraints),
            ..seed_node(id as usize, &builtin_seeds()[0])
        }
    }
}

/// Of what is kept the share that should be, and of what should be kept the share that is.
fn precision_and_recall(verdicts: &[(bool, bool)]) -> (f64, f64) {
    let count = |kept: bool, keep: bool| verdicts.iter().filter(|v| **v == (kept, keep)).count() as f64;
    let right = count(true, true);
    (right / (right + count(true, false)), right / (right + count(false, true)))
}

/// Labels were given without looking at the guards' verdicts; the limits were set on all but `held_out`.
#[test]
fn guards_agree_with_what_a_reader_said_about_real_children() {
    let rules = ChildRules::new(&Prompts::new(Style::Completion, true), true);
    let mut verdicts: BTreeMap<String, Vec<(bool, bool)>> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (line, text) in include_str!("../../../tests/data/children.jsonl").lines().enumerate() {
        let row: Labelled = serde_json::from_str(text).unwrap_or_else(|e| panic!("line {}: {e}", line + 1));
        assert_eq!(row.label == "good", row.keep, "line {}", line + 1);
        let operator = Operator::parse(&row.operator).unwrap();
        let child = Child {
            instruction: row.child.instruction,
            input: row.child.input,
            lacks_data: false,
            constraints: row.child.constraints,
        };
        let outcome = rules.check(operator, &row.parent.node(line as u64), &child, FinishReason::Stop);
        let kept = outcome.reason.is_none();
        if kept != row.keep {
            let said = outcome.reason.map_or("kept", Reason::name);
            wrong.push(format!("  {said}, read as {}: {:?}", row.label, child.instruction));
        }
        let groups = ["all".to_owned(), format!("set {}", row.set), format!("operator {}", row.operator)];
        for group in groups {
            verdicts.entry(group).or_default().push((kept, row.keep));
        }
    }
    println!("where guards and reader differ:\n{}", wrong.join("\n"));
    for (group, verdicts) in &verdicts {
        let (precision, recall) = precision_and_recall(verdicts);
        let keep = verdicts.iter().filter(|(_, keep)| *keep).count();
        println!(
            "{group}: {} children, {keep} good: precision {precision:.2}, recall {recall:.2}",
            verdicts.len()
        );
    }
    let (precision, recall) = precision_and_recall(&verdicts["set held_out"]);
    // Of 56 that were kept, so that the precision is known to about ± 0.1.
    assert!(precision >= 0.8 && recall >= 0.6, "held out: precision {precision}, recall {recall}");
    let (precision, recall) = precision_and_recall(&verdicts["all"]);
    assert!(verdicts["all"].len() >= 200, "{}", verdicts["all"].len());
    assert!(precision >= 0.85 && recall >= 0.6, "precision {precision}, recall {recall}");
}
