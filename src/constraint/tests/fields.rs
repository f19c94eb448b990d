//! Constraints read from JSON, and what is wrong with those that cannot be.

use crate::constraint::kinds::{EndPhrase, RepeatRequest, WordCount};
use crate::constraint::{Bound, Constraint};

fn message(json: &str) -> String {
    serde_json::from_str::<Constraint>(json).unwrap_err().to_string()
}

#[test]
fn a_constraint_is_read_from_json_and_written_as_it_was() {
    let json = r#"{"kind":"word_count","relation":"at_least","n":120}"#;
    let constraint: Constraint = serde_json::from_str(json).unwrap();
    assert_eq!(constraint, Constraint::from(WordCount { bound: Bound::AtLeast { n: 120 } }));
    assert_eq!(serde_json::to_string(&constraint).unwrap(), json);
    let json = r#"{"kind":"section_count","marker":"Part","relation":"between","low":2,"high":4}"#;
    let constraint: Constraint = serde_json::from_str(json).unwrap();
    assert_eq!(serde_json::to_string(&constraint).unwrap(), json);
}

#[test]
fn a_bad_parameter_is_named_with_what_was_found_and_expected() {
    let cases = [
        (r#"{"n":1}"#, "`kind` of a constraint is missing, expected one of: `word_count`, `sentence_count`"),
        (r#"{"kind":"wordcount"}"#, "is `wordcount`, expected one of:"),
        (
            r#"{"kind":"word_count","relation":"at_least","n":"12"}"#,
            "`n` of constraint `word_count` is `12`, expected a whole number",
        ),
        (r#"{"kind":"word_count","relation":"at_least","n":-3}"#, "is `-3`, expected a whole number"),
        (r#"{"kind":"word_count","relation":"at_least"}"#, "`n` of constraint `word_count` is missing"),
        (
            r#"{"kind":"word_count","relation":"more","n":3}"#,
            "`relation` of constraint `word_count` is `more`",
        ),
        (r#"{"kind":"word_count","relation":"at_most","n":0}"#, "is `0`, expected 1 to"),
        (
            r#"{"kind":"word_count","relation":"at_most","n":3,"m":1}"#,
            "constraint `word_count` has the unknown field `m`, expected only `relation`, `n`",
        ),
        (r#"{"kind":"json","n":1}"#, "unknown field `n`, expected no parameters"),
        (r#"{"kind":"keywords","words":"a"}"#, "`words` of constraint `keywords` is no list"),
        (r#"{"kind":"keywords","words":[1]}"#, "is a list with `1` in it, expected a list of strings"),
        (r#"{"kind":"keywords","words":[]}"#, "is a list of 0, expected 1 to 20 of them"),
        (r#"{"kind":"keywords","words":["a","A"]}"#, "is a list with `A` twice, expected each once"),
        (r#"{"kind":"keywords","words":[" a"]}"#, "is ` a`, expected no blanks around it"),
        (r#"{"kind":"end_phrase","phrase":"a\nb"}"#, r"is `a\nb`, expected no control characters"),
        (r#"{"kind":"end_phrase","phrase":"\""}"#, "expected a letter or digit in it"),
        (r#"{"kind":"end_phrase","phrase":" "}"#, "is ` `, expected some text"),
        (r#"{"kind":"language","language":"xx"}"#, "is `xx`, expected one of: `ar`, `zh`"),
        (
            r#"{"kind":"paragraph_start","paragraphs":2,"nth":3,"word":"so"}"#,
            "`nth` of constraint `paragraph_start` is `3`, expected 1 to `paragraphs`",
        ),
        (
            r#"{"kind":"paragraph_start","paragraphs":2,"nth":1,"word":"so so"}"#,
            "is `so so`, expected one word in lower case",
        ),
        (
            r#"{"kind":"letter_count","letter":"ee","relation":"at_least","n":2}"#,
            "is `ee`, expected one letter",
        ),
        (
            r#"{"kind":"letter_count","letter":"É","relation":"at_least","n":2}"#,
            "is `É`, expected a lower-case letter",
        ),
        (r#"{"kind":"one_of","options":["yes"]}"#, "expected 2 to 20 of them"),
        (r#"{"kind":"code_block","language":"a`b"}"#, "expected a name without spaces"),
    ];
    for (json, expected) in cases {
        let message = message(json);
        assert!(message.contains(expected), "{json}: {message}");
    }
    assert!(message("[]").contains("expected a map"));
}

#[test]
fn a_phrase_has_a_length_limit() {
    let long = Constraint::from(EndPhrase { phrase: "é".repeat(201) });
    assert!(long.validate().unwrap_err().to_string().ends_with("at most 200 characters, not 201"));
    assert!(Constraint::from(RepeatRequest { request: "Name\na river.".to_owned() }).validate().is_ok());
}
