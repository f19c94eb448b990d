//! Responses that are given a form.

use crate::constraint::impose::form;
use crate::constraint::kinds::{
    BulletCount, CapitalWordCount, DividedParagraphs, EndPhrase, HeadingCount, HighlightCount, Json,
    JsonKeys, Keywords, LowerCase, Mark, Marker, NoDigits, NumberedCount, OneOf, ParagraphCount, Postscript,
    Quoted, RepeatRequest, SectionCount, SentenceCount, StartPhrase, TableRows, Title, UpperCase,
    WithoutMark, WordCount,
};
use crate::constraint::{Bound, Constraint, Kind, impose, whole_sentences};

const RESPONSE: &str = "Fog is a cloud that touches the ground. It forms when moist air cools at night. \
     Drivers should slow down in it. Many airports have 2 systems for that. The morning sun usually \
     clears it.";
const REQUEST: &str = "Explain how morning fog forms near rivers.";

fn formed(constraints: &[Constraint]) -> Option<String> {
    form(REQUEST, RESPONSE, constraints)
}

#[test]
fn each_form_is_given_to_a_plain_response() {
    let exactly = |n| Bound::Exactly { n };
    let cases = [
        (
            Constraint::from(BulletCount { bound: exactly(3) }),
            "- Fog is a cloud that touches the ground.\n- It forms",
        ),
        (Constraint::from(NumberedCount { bound: exactly(4) }), "1. Fog is a cloud"),
        (Constraint::from(TableRows { bound: exactly(2) }), "| No. | Point |\n| --- | --- |\n| 1 | Fog is"),
        (
            Constraint::from(ParagraphCount { bound: exactly(2) }),
            "Fog is a cloud that touches the ground. It forms",
        ),
        (Constraint::from(DividedParagraphs { bound: exactly(3) }), "Fog is a cloud"),
        (Constraint::from(SectionCount { marker: "Part".to_owned(), bound: exactly(2) }), "Part 1\nFog is"),
        (Constraint::from(HeadingCount { bound: exactly(2) }), "## Cloud Touches\nFog is"),
        (Constraint::from(HighlightCount { bound: exactly(2) }), "Fog is a cloud that touches the ground."),
        (Constraint::from(CapitalWordCount { bound: Bound::AtLeast { n: 2 } }), "Fog is"),
        (Constraint::from(SentenceCount { bound: exactly(2) }), "Fog is"),
        (Constraint::from(WordCount { bound: Bound::AtMost { n: 20 } }), "Fog is"),
        (Constraint::from(NoDigits), "Fog is"),
        (Constraint::from(StartPhrase { phrase: "In short".to_owned() }), "In short: Fog is"),
        (Constraint::from(EndPhrase { phrase: "That is all.".to_owned() }), "Fog is"),
        (Constraint::from(Title), "<<Morning Forms Rivers>>\n\nFog is"),
        (Constraint::from(Postscript { marker: Marker::Ps }), "Fog is"),
        (Constraint::from(RepeatRequest { request: REQUEST.to_owned() }), REQUEST),
        (Constraint::from(LowerCase), "fog is"),
        (Constraint::from(UpperCase), "FOG IS"),
        (Constraint::from(Quoted), "\"Fog is"),
        (Constraint::from(Json), "{\"answer\": \"Fog is"),
        (
            Constraint::from(JsonKeys { keys: vec!["title".to_owned(), "keywords".to_owned()] }),
            "{\n  \"title\": \"Morning Forms Rivers\",\n  \"keywords\": [\"cloud\",\"touches\",\"ground\"],\n\
             \x20 \"answer\": \"Fog is",
        ),
    ];
    for (constraint, begin) in cases {
        let text = formed(std::slice::from_ref(&constraint)).unwrap_or_else(|| panic!("{constraint:?}"));
        assert!(text.starts_with(begin), "{constraint:?}: {text}");
        assert!(!constraint.check(RESPONSE).passed && constraint.check(&text).passed);
    }
}

#[test]
fn forms_go_together_in_a_writers_order() {
    let constraints = [
        Constraint::from(UpperCase),
        Constraint::from(EndPhrase { phrase: "That is all.".to_owned() }),
        Constraint::from(BulletCount { bound: Bound::Between { low: 2, high: 3 } }),
    ];
    assert_eq!(
        formed(&constraints).unwrap(),
        "- FOG IS A CLOUD THAT TOUCHES THE GROUND.\n- IT FORMS WHEN MOIST AIR COOLS AT NIGHT.\n\
         - DRIVERS SHOULD SLOW DOWN IN IT.\n\nTHAT IS ALL."
    );
}

#[test]
fn what_cannot_be_given_is_refused() {
    assert_eq!(formed(&[Constraint::from(ParagraphCount { bound: Bound::Exactly { n: 6 } })]), None);
    assert_eq!(formed(&[Constraint::from(Keywords { words: vec!["zebra".to_owned()] })]), None);
    assert_eq!(form(REQUEST, " ", &[Constraint::from(Title)]), None);
    let code = "Run this.\n```python\nprint(1)\n```\nIt prints.";
    assert_eq!(form(REQUEST, code, &[Constraint::from(UpperCase)]), None);
    assert!(form(REQUEST, code, &[Constraint::from(Title)]).is_some());
    let options = ["Yes", "No"].map(str::to_owned).to_vec();
    let one = [Constraint::from(OneOf { options })];
    assert_eq!(form("Is fog wet?", "Yes, it is.", &one).as_deref(), Some("Yes"));
    assert_eq!(form("Is fog wet?", "It is.", &one), None);
    assert_eq!(form("Is fog wet?", "No doubt about it: it is.", &one), None);
    // A phrase that was read off another answer.
    assert_eq!(formed(&[Constraint::from(StartPhrase { phrase: "Mist is a cloud".to_owned() })]), None);
    assert_eq!(formed(&[Constraint::from(JsonKeys { keys: vec!["reason".to_owned()] })]), None);
}

#[test]
fn the_answer_stays_in_the_form() {
    let without_comma = [Constraint::from(WithoutMark { mark: Mark::Comma })];
    let lima = "The capital of Peru is Lima, on the coast. It has about 10 million people.";
    assert_eq!(form("What is the capital of Peru?", lima, &without_comma), None);
    let postscript = [Constraint::from(Postscript { marker: Marker::Ps })];
    let sum = "Each shirt costs 20 euros. There are five shirts. The total is 100 euros.";
    assert_eq!(form("Calculate the total.", sum, &postscript), None);
    let ten: String = (1..=10).fold(String::new(), |list, n| format!("{list}{n}. It cleans thing {n}.\n"));
    let three = [Constraint::from(BulletCount { bound: Bound::Exactly { n: 3 } })];
    assert_eq!(form("Name ten uses of vinegar.", &ten, &three), None);
    let more = [Constraint::from(BulletCount { bound: Bound::AtLeast { n: 3 } })];
    assert_eq!(form("Name ten uses of vinegar.", &ten, &more).unwrap().lines().count(), 10);
    let code = "def reverse(items):\n    return items[::-1]\n\nprint(reverse([1, 2]))";
    let headings = [Constraint::from(HeadingCount { bound: Bound::AtLeast { n: 2 } })];
    assert_eq!(form("Write a Python function that reverses a list.", code, &headings), None);
}

#[test]
fn what_is_neither_a_list_nor_prose_is_not_taken_apart() {
    let rows = [Constraint::from(TableRows { bound: Bound::AtLeast { n: 2 } })];
    let nested = "1. Body:\n   - Lower blood pressure\n   - Better sleep\n2. Mind:\n   - Less stress\n";
    let essay = format!("{RESPONSE}\n\n- It is wet.\n- It is grey.\n");
    let table = "| a | b |\n| --- | --- |\n| one thing | two things |\n";
    for response in [nested, essay.as_str()] {
        assert_eq!(form(REQUEST, response, &rows), None, "{response}");
    }
    assert_eq!(
        form(REQUEST, table, &[Constraint::from(BulletCount { bound: Bound::AtLeast { n: 1 } })]),
        None
    );
}

#[test]
fn only_words_of_prose_are_emphasised() {
    let text =
        "Compute 5 \\times 3 with `print(value)` or see https://example.com/value for a simple example.";
    let marked =
        form(REQUEST, text, &[Constraint::from(HighlightCount { bound: Bound::Exactly { n: 2 } })]).unwrap();
    for part in ["\\times", "`print(value)`", "https://example.com/value"] {
        assert!(marked.contains(part), "{marked}");
    }
    assert_eq!(marked.matches('*').count(), 4);
}

#[test]
fn a_request_in_another_language_gets_none() {
    let german = "Beschreibe bitte einen regnerischen Morgen auf dem Land, ohne ihn zu loben.";
    assert!((0..50).all(|id| impose(1, &[id], german, "Es regnet. Der Hof ist nass.", &[], 2).is_none()));
}

#[test]
fn a_list_is_told_by_its_items() {
    let list = "Here are some:\n\n1. **Rain**: falls down.\n2. **Snow**: is white.\n";
    let text =
        form(REQUEST, list, &[Constraint::from(TableRows { bound: Bound::AtLeast { n: 2 } })]).unwrap();
    assert!(text.contains("| Item | Description |\n| --- | --- |\n| Rain | falls down. |"), "{text}");
}

#[test]
fn what_is_chosen_holds_with_what_was_there() {
    let have = [Constraint::from(WithoutMark { mark: Mark::Exclamation })];
    let mut kinds = std::collections::BTreeSet::new();
    for id in 0..300 {
        let Some((text, new)) = impose(1, &[id], REQUEST, RESPONSE, &have, 2) else { continue };
        assert!((1..=2).contains(&new.len()));
        for constraint in have.iter().chain(&new) {
            assert!(constraint.check(&text).passed, "{constraint:?}: {text}");
            kinds.insert(constraint.kind().name());
        }
        assert_eq!(impose(1, &[id], REQUEST, RESPONSE, &have, 2), Some((text, new)));
    }
    assert!(kinds.len() >= 20, "{kinds:?}");
    for kind in [Kind::BulletCount, Kind::NumberedCount, Kind::TableRows, Kind::HeadingCount] {
        assert!(kinds.contains(kind.name()), "{kinds:?}");
    }
}

#[test]
fn a_cut_response_ends_with_its_last_whole_sentence() {
    for (text, whole) in [
        ("One. Two is cut of", "One."),
        ("1. First thing. More.\n2. Second th", "1. First thing. More."),
        ("A list:\n1. First thing\n2. ", ""),
        ("It is 3.5 m. And", "It is 3.5 m."),
        ("", ""),
        ("\u{FC}ber \u{1F600}! \u{FC}b", "\u{FC}ber \u{1F600}!"),
        ("It was found. As described by Dr. Smith in his", "It was found."),
        ("1. Rain. It falls. 2. Sno", "1. Rain. It falls."),
        ("He said \"It is wet.\" Then the su", "He said \"It is wet.\""),
        ("Code:\n```python\n# Read it. Then parse it.\nimport x", ""),
    ] {
        assert_eq!(whole_sentences(text), whole);
    }
}
