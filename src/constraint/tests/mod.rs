//! Properties of the whole module: any response, any request, any constraint.

mod check;
mod conflict;
mod fields;
mod golden;
mod impose;
mod wording;

use super::*;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

/// A valid constraint of every kind, several where the parameters matter.
pub(super) fn samples() -> Vec<Constraint> {
    let read = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    include_str!("samples.jsonl").lines().map(read).collect()
}

const REQUESTS: [&str; 12] = [
    "Why is the sky blue?",
    "Name three uses of vinegar.",
    "Write a Python function that reverses a list.",
    "Translate this sentence into French: \"I am late.\"",
    "Is the Moon larger than the Earth?",
    "What is the capital of Peru?",
    "Describe a wet morning in a harbour town.",
    "Write a letter to a neighbour who plays the drums at night.",
    "A train covers 60 km in 40 minutes. Calculate its speed.",
    "Tell a story of 100 words without commas.",
    "Beschreibe bitte einen regnerischen Morgen auf dem Land, ohne ihn zu loben.",
    "",
];

/// Texts made of what the rules look for, in any order, and texts of arbitrary characters.
fn response() -> impl Strategy<Value = String> {
    let pieces = proptest::sample::select(vec![
        "The harbour is quiet",
        "the boats sleep",
        "Rain falls on 12 roofs",
        "about 3.5 km",
        "50%",
        "$ 4",
        "NASA",
        "I",
        ". ",
        "! ",
        "? ",
        ", ",
        ": ",
        "...",
        "e.g. ",
        "Dr. ",
        "\n",
        "\n\n",
        "\r\n\r\n",
        " ",
        "\t",
        "- ",
        "* ",
        "1. ",
        "2) ",
        "## ",
        "Section 1",
        "Part 2\n",
        "***",
        "\n***\n",
        "******",
        "*",
        "**bold**",
        "\"",
        "\u{201C}",
        "\u{201D}",
        "[name]",
        "[1]",
        "[a](b)",
        "<<Title>>",
        "```\n",
        "```json\n",
        "~~~",
        "{\"title\": 1}",
        "{",
        "}",
        "[]",
        "|",
        "| a | b |\n|---|---|\n",
        "P.S. ",
        "P.P.S. ",
        "\u{E9}",
        "e\u{301}",
        "\u{1F600}",
        "\u{4F60}\u{597D}\u{3002}",
        "\u{130}",
        "\u{DF}",
        "\u{0}",
        "\u{FEFF}",
        "\u{937}\u{3BB}",
        "\u{200B}",
        "\u{BD}",
        "very",
        "because",
    ]);
    prop_oneof![
        3 => proptest::collection::vec(pieces, 0..60).prop_map(|pieces| pieces.concat()),
        1 => any::<String>(),
    ]
}

fn no_conflicts(constraints: &[Constraint]) -> Result<(), TestCaseError> {
    for (at, a) in constraints.iter().enumerate() {
        for b in &constraints[..at] {
            prop_assert_eq!(conflict(a, b), None, "{:?} {:?}", a, b);
        }
    }
    Ok(())
}

#[test]
fn there_is_a_sample_of_every_kind() {
    let kinds: Vec<Kind> = samples().iter().map(Constraint::kind).collect();
    let missing: Vec<&Kind> = Kind::ALL.iter().filter(|kind| !kinds.contains(kind)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_kind_is_documented() {
    let page = include_str!("../../../docs/constraints.md");
    for kind in Kind::ALL {
        assert!(page.contains(&format!("| `{}` |", kind.name())), "`{}` is not in the table", kind.name());
    }
}

#[test]
fn json_carries_a_constraint_unchanged_under_the_name_of_its_kind() {
    for constraint in samples() {
        let json = serde_json::to_string(&constraint).unwrap();
        assert_eq!(serde_json::from_str::<Constraint>(&json).unwrap(), constraint);
        assert!(json.starts_with(&format!(r#"{{"kind":"{}""#, constraint.kind().name())), "{json}");
    }
}

#[test]
fn draws_depend_on_seed_and_ids_and_repeat() {
    let draw = |seed, ids: &[u64]| draw(seed, ids, REQUESTS[0], &[], 3);
    let sets: Vec<_> = (0..50).map(|id| draw(1, &[id])).collect();
    assert_eq!(sets, (0..50).map(|id| draw(1, &[id])).collect::<Vec<_>>());
    assert_ne!(sets, (0..50).map(|id| draw(2, &[id])).collect::<Vec<_>>());
    assert!(sets.iter().all(|set| set.len() == 3));
}

/// Over many draws, every kind that is ever suitable comes up, and what does not suit never does.
#[test]
fn draws_suit_the_request() {
    let kinds = |request: &str| -> Vec<Kind> {
        let sets = (0..400).flat_map(|id| draw(7, &[id], request, &[], 3));
        let mut kinds: Vec<Kind> = sets.map(|constraint| constraint.kind()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    };
    let code = kinds(REQUESTS[2]);
    for kind in [Kind::LowerCase, Kind::UpperCase, Kind::Json, Kind::WithoutMark, Kind::WordCount] {
        assert!(!code.contains(&kind), "{kind:?}");
    }
    assert!(code.contains(&Kind::CodeBlock));
    assert!(kinds(REQUESTS[1]).contains(&Kind::BulletCount));
    assert!(kinds(REQUESTS[4]).contains(&Kind::OneOf) && !kinds(REQUESTS[0]).contains(&Kind::OneOf));
    assert!(!kinds(REQUESTS[3]).contains(&Kind::InLanguage) && !kinds(REQUESTS[3]).contains(&Kind::Keywords));
    assert!(
        !kinds(REQUESTS[9]).contains(&Kind::WordCount) && !kinds(REQUESTS[9]).contains(&Kind::WithoutMark)
    );
    assert!(kinds(REQUESTS[7]).contains(&Kind::PlaceholderCount));
    assert!(kinds(REQUESTS[10]).is_empty());
    assert!(kinds(REQUESTS[6]).len() >= 25, "{:?}", kinds(REQUESTS[6]));
}

#[test]
fn what_a_real_response_meets_is_stated() {
    let response = "Vinegar is useful at home.\n\n- It cleans glass and removes lime from 2 kettles.\n\
                    - It keeps vegetables for months.\n- It softens laundry without any perfume.\n\n\
                    Try a small amount first.";
    let mut kinds = Vec::new();
    for id in 0..200 {
        let derived = derive(3, &[id], REQUESTS[1], response, &[], 3);
        assert_eq!(derived.len(), 3);
        kinds.extend(derived.iter().map(Constraint::kind));
    }
    let expected = [
        Kind::WordCount,
        Kind::BulletCount,
        Kind::BulletWords,
        Kind::Keywords,
        Kind::ForbiddenWords,
        Kind::WithoutMark,
        Kind::StartPhrase,
        Kind::EndPhrase,
    ];
    for kind in expected {
        assert!(kinds.contains(&kind), "{kind:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_response_makes_a_check_panic(response in response()) {
        for constraint in samples() {
            let strict = constraint.check(&response);
            prop_assert!(!strict.found.is_empty());
            prop_assert!(!strict.passed || !response.trim().is_empty());
            // Loose never refuses what strict accepts.
            prop_assert!(constraint.check_loose(&response).passed >= strict.passed);
        }
    }

    #[test]
    fn what_is_derived_passes_and_has_no_conflicts(
        response in response(),
        request in proptest::sample::select(&REQUESTS[..]),
        id in any::<u64>(),
        count in 0_usize..6,
    ) {
        let derived = derive(1, &[id], request, &response, &[], count);
        prop_assert!(derived.len() <= count);
        for constraint in &derived {
            prop_assert_eq!(constraint.validate(), Ok(()));
            let check = constraint.check(&response);
            prop_assert!(check.passed, "{:?}: {}", constraint, check.found);
        }
        no_conflicts(&derived)?;
        let more = derive(2, &[id], request, &response, &derived, count);
        no_conflicts(&[derived, more].concat())?;
    }

    #[test]
    fn what_is_imposed_passes_on_the_form_and_has_no_conflicts(
        response in response(),
        request in proptest::sample::select(&REQUESTS[..]),
        id in any::<u64>(),
        count in 0_usize..4,
    ) {
        let have = draw(3, &[id], request, &[], count % 2);
        let whole = whole_sentences(&response);
        prop_assert!(response.starts_with(whole));
        for response in [response.as_str(), whole] {
            let Some((formed, new)) = impose(1, &[id], request, response, &have, count) else { continue };
            prop_assert!(new.len() <= count);
            let all = [have.as_slice(), &new].concat();
            for constraint in &all {
                let check = constraint.check(&formed);
                prop_assert!(check.passed, "{:?}: {}", constraint, check.found);
            }
            no_conflicts(&all)?;
        }
    }

    #[test]
    fn what_is_drawn_is_valid_and_has_no_conflicts(
        request in prop_oneof![proptest::sample::select(&REQUESTS[..]).prop_map(str::to_owned), response()],
        seed in any::<u64>(), id in any::<u64>(), count in 0_usize..8,
    ) {
        let drawn = draw(seed, &[id], &request, &[], count);
        prop_assert!(drawn.len() <= count);
        for constraint in &drawn {
            prop_assert_eq!(constraint.validate(), Ok(()));
            let json = serde_json::to_string(constraint).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Constraint>(&json).unwrap(), constraint);
        }
        no_conflicts(&drawn)?;
        let more = draw(seed, &[id, 1], &request, &drawn, count);
        no_conflicts(&[drawn, more].concat())?;
    }

    #[test]
    fn any_json_is_a_valid_constraint_or_an_error(
        kind in proptest::sample::select(Kind::ALL),
        field in "[a-z]{1,9}",
        n in any::<i64>(),
        text in any::<String>(),
    ) {
        let value = serde_json::json!({
            "kind": kind.name(), "relation": "at_least", "n": n, field: text,
            "words": [text], "word": text, "phrase": text,
        });
        if let Ok(constraint) = serde_json::from_value::<Constraint>(value) {
            prop_assert_eq!(constraint.validate(), Ok(()));
        }
    }
}
