//! Agreement with the reference's verdicts, row by row, and behaviour at the edges.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::*;

/// Made by `tests/oracle/ifeval_cases.py` with lm-eval 0.4.13.
const CASES: &str = include_str!("../../../tests/data/ifeval_cases.jsonl");

/// A case, read.
struct Case {
    response: String,
    instructions: Vec<IfevalInstruction>,
    strict: Vec<bool>,
    loose: Vec<bool>,
}

fn read(line: &str) -> Case {
    let row: Value = serde_json::from_str(line).unwrap();
    let ids = row["instruction_id_list"].as_array().unwrap().iter().map(|id| id.as_str().unwrap());
    let kwargs = row["kwargs"].as_array().unwrap().iter().map(|kwargs| kwargs.as_object().unwrap());
    let verdicts = |name: &str| -> Vec<bool> {
        row[name].as_array().unwrap().iter().map(|verdict| verdict.as_bool().unwrap()).collect()
    };
    Case {
        response: row["response"].as_str().unwrap().to_owned(),
        instructions: ids
            .zip(kwargs)
            .map(|(id, kwargs)| IfevalInstruction::parse(id, kwargs).unwrap())
            .collect(),
        strict: verdicts("strict"),
        loose: verdicts("loose"),
    }
}

fn instruction(id: &str, kwargs: Value) -> Result<IfevalInstruction, Error> {
    let Value::Object(kwargs) = kwargs else { panic!("arguments are an object") };
    IfevalInstruction::parse(id, &kwargs)
}

/// `IFEVAL_CASES` names a larger file of the same form, for a check by hand.
#[test]
fn verdicts_are_those_of_the_reference() {
    let larger = std::env::var_os("IFEVAL_CASES").map(|path| std::fs::read_to_string(path).unwrap());
    let cases = larger.as_deref().unwrap_or(CASES);
    let mut differences = String::new();
    let mut count = 0;
    let mut seen = std::collections::BTreeSet::new();
    for line in cases.lines() {
        let case = read(line);
        for (at, instruction) in case.instructions.iter().enumerate() {
            let ours = (instruction.follows(&case.response), instruction.follows_loosely(&case.response));
            let theirs = (case.strict[at], case.loose[at]);
            seen.insert((instruction.id(), theirs.0));
            if ours != theirs {
                count += 1;
                writeln!(differences, "{} ours {ours:?} theirs {theirs:?}: {line}", instruction.id())
                    .unwrap();
            }
        }
    }
    assert_eq!(count, 0, "{differences}");
    assert_eq!(seen.len(), 2 * 25, "every id is there, followed and not: {seen:?}");
}

/// What awkward responses are made of, with a tilde between one and the next.
const PIECES: &str = "~ ~\n~\r\n~\u{1c}~*~**~***~******~\"~'~``~«~”~.~...~. . .~!~?!~[~]~<<~>>~{~}~```~```json~P.S.~-~--~,~:~;~3.~A.~\
     e.g.~Dr.~the~CAN'T~İ~ß~Σ~ǅ~ﬅ~e\u{301}~कर~朝~👩‍👩‍👧~\u{200d}~\u{feff}~\0~𝔘.~\u{85}~\u{2028}~a~\\~1e~null~\"\\ud800\"~Section 1~\
     \u{a0}~''~n't~$~&~cannot~'tis";

#[test]
fn awkward_responses_do_not_panic() {
    let instructions: Vec<IfevalInstruction> =
        CASES.lines().take(60).flat_map(|line| read(line).instructions).collect();
    let pieces: Vec<&str> = PIECES.split('~').collect();
    // A linear congruential generator: the texts are the same on every run.
    let mut state = 1_u64;
    let mut draw = |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n
    };
    for at in 0..600 {
        let text: String = (0..draw(12)).map(|_| pieces[draw(pieces.len())]).collect();
        let instruction = &instructions[at % instructions.len()];
        let strict = instruction.follows(&text);
        assert!(
            !strict || instruction.follows_loosely(&text),
            "loose is no stricter: {instruction:?} {text:?}"
        );
        punkt::sentences(&text);
        treebank::words(&text);
        json::is_json(&text);
    }
}

/// A quadratic step would be noticed: it takes minutes.
#[test]
fn long_responses_come_to_an_end() {
    let instructions: Vec<IfevalInstruction> =
        CASES.lines().take(25).flat_map(|line| read(line).instructions).collect();
    for piece in ["a", ".", ". ", "!", "*", "[", "<<", "\n", "'", "\"", "Dr. A. ", "{\"a\":", "- ", "\u{301}"]
    {
        let text = piece.repeat(20_000);
        for instruction in &instructions {
            instruction.follows(&text);
        }
    }
}

#[test]
fn loose_tries_eight_texts() {
    let tried = variants("*a*\n\n b \nc");
    assert_eq!(tried, ["*a*\n\n b \nc", "b \nc", "*a*\n\n b", "b", "a\n\n b \nc", "b \nc", "a\n\n b", "b"]);
    assert_eq!(variants("*"), ["*", "", "", "", "", "", "", ""]);
}

#[test]
fn blank_responses_follow_nothing() {
    let no_comma = instruction("punctuation:no_comma", json!({})).unwrap();
    assert!(!no_comma.follows(" \n\u{1c}") && !no_comma.follows_loosely("\n \n"));
    assert!(no_comma.follows("x"));
}

#[test]
fn sentences_end_where_punkt_ends_them() {
    let expect = |text: &str, expected: &[&str]| assert_eq!(punkt::sentences(text), expected);
    expect("Dr. Lee came. He left.", &["Dr. Lee came.", "He left."]);
    expect("(It rained.) We stayed.  ", &["(It rained.)", "We stayed."]);
    expect("He said “go.” She went.", &["He said “go.”", "She went."]);
    expect("J. S. Bach. No. 7.", &["J. S. Bach.", "No.", "7."]);
    expect("", &[]);
    expect(" \n ", &[]);
}

#[test]
fn errors_say_what_was_found_and_expected() {
    let error = |id: &str, kwargs: Value| instruction(id, kwargs).unwrap_err().to_string();
    assert_eq!(
        error("length_constraints:number_words", json!({"num_words": 100, "relation": "about"})),
        "argument `relation` of instruction `length_constraints:number_words` is \"about\", expected `at least` or \
         `less than`"
    );
    assert_eq!(
        error("detectable_format:number_bullet_lists", json!({"num_bullets": 0})),
        "argument `num_bullets` of instruction `detectable_format:number_bullet_lists` is 0, expected a positive whole \
         number"
    );
    assert_eq!(
        error("startend:end_checker", json!({})),
        "argument `end_phrase` of instruction `startend:end_checker` is missing, expected a string"
    );
    assert_eq!(
        error("punctuation:no_comma", json!({"language": null, "letter": "a"})),
        "instruction `punctuation:no_comma` has the unknown argument `letter`, expected none"
    );
    assert_eq!(
        error("keywords:existence", json!({"keywords": ["(a"]})),
        "argument `keywords` of instruction `keywords:existence` is [\"(a\"], expected only regular expressions, and \
         \"(a\" is none (or has look-around or back-references)"
    );
    let unknown = error("keywords:rhyme", json!({}));
    assert!(
        unknown.starts_with("instruction id is `keywords:rhyme`, expected one of: `change_case:"),
        "{unknown}"
    );
    assert_eq!(unknown.matches('`').count(), 2 * 26);
    assert!(error("language:response_language", json!({"language": "xx"})).contains("one of: `ar`"));
}

#[test]
fn whole_numbers_may_be_written_as_floats() {
    let kwargs = json!({"num_bullets": 2.0, "relation": null});
    assert!(instruction("detectable_format:number_bullet_lists", kwargs).unwrap().follows("- a\n- b"));
    assert!(instruction("detectable_format:number_bullet_lists", json!({"num_bullets": 2.5})).is_err());
}

#[test]
fn a_character_that_is_no_letter_is_counted_as_asked() {
    let kwargs = json!({"letter": "#", "let_frequency": 2, "let_relation": "at least"});
    let hashes = instruction("keywords:letter_frequency", kwargs).unwrap();
    assert!(hashes.follows("#a #b") && !hashes.follows("#a b"));
    let kwargs = json!({"letter": "ab", "let_frequency": 2, "let_relation": "at least"});
    assert!(instruction("keywords:letter_frequency", kwargs).is_err());
}

#[test]
fn json_is_what_python_reads() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    for text in
        ["NaN", "[-Infinity, 1e9]", "\"\\ud800\"", " {\"a\" : [ {} , [] ] } ", "-0", "1E+5", deep.as_str()]
    {
        assert!(json::is_json(text), "{text:.40}");
    }
    let digits = "1".repeat(4301);
    for text in [
        "",
        "01",
        "1.",
        "[1,]",
        "{\"a\":1,}",
        "{a:1}",
        "\"\t\"",
        "+1",
        "\u{feff}1",
        "[1 2]",
        "]",
        "1]",
        &digits,
    ] {
        assert!(!json::is_json(text), "{text:.40}");
    }
    assert!(json::is_json(&digits[1..]));
}

#[test]
fn parse_accepts_an_empty_map_only_where_nothing_is_asked() {
    let none = Map::new();
    let without = ["punctuation:no_comma", "startend:quotation", "detectable_format:title"];
    assert!(without.iter().all(|id| IfevalInstruction::parse(id, &none).is_ok()));
    assert!(IfevalInstruction::parse("keywords:frequency", &none).is_err());
}
