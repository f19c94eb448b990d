//! Tests of the readers, the split and the export. `tests/it` tests the built-in seeds and the whole path
//! from a journal to training data.

use super::*;
use crate::explain::Explain as _;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

fn seeds(name: &str, text: &[u8]) -> Result<Seeds, Error> {
    parse_seeds(Path::new(name), text, OnBadInput::Skip)
}

fn texts(found: &Seeds) -> Vec<&str> {
    found.seeds.iter().map(|seed| seed.instruction.as_str()).collect()
}

/// Formats every skipped line as `line: reason`.
fn reasons(found: &[BadLine]) -> String {
    let reasons: Vec<String> = found.iter().map(|bad| format!("{}: {}", bad.line, bad.reason)).collect();
    reasons.join("\n")
}

fn record(id: u64, root_id: u64) -> Record {
    Record {
        id,
        root_id,
        instruction: format!("Sort list {id}."),
        input: if id.is_multiple_of(2) { String::new() } else { "3\n1\t\"2\"".to_owned() },
        output: "1, 2, 3".to_owned(),
        round: u32::from(id != root_id),
        attempt: 0,
        parent_id: (id != root_id).then_some(root_id),
        harder: None,
        constraints: Vec::new(),
        operator: (id != root_id).then(|| "deepening".to_owned()),
        skill: Some("Reasoning".to_owned()),
        difficulty: (id == root_id).then_some(3),
    }
}

#[test]
fn every_json_shape_gives_its_first_user_turn() {
    let found = seeds(
        "a.jsonl",
        br#"{"instruction": " Add. ", "input": "1 2", "output": "3", "skill": "Math", "difficulty": 2}
{"messages": [{"role": "user", "content": "Hi there"}, {"role": "assistant", "content": "Hello"}]}
{"conversations": [{"from": "gpt", "value": "Welcome"}, {"from": "human", "value": "Help me"}]}
{"prompt": "Name a river."}
{"id": "x", "instruction": "Count.", "instances": [{"input": "a b", "output": "2"}, {"input": "c"}]}
{"prompt": "dropped", "messages": [{"role": "user", "content": "Messages win"}]}
"#,
    )
    .unwrap();
    assert_eq!(texts(&found), ["Add.", "Hi there", "Help me", "Name a river.", "Count.", "Messages win"]);
    assert_eq!(found.seeds[0].input, "1 2");
    assert_eq!((found.seeds[0].skill.as_deref(), found.seeds[0].difficulty), (Some("Math"), Some(2)));
    assert_eq!(found.seeds[4].input, "a b");
    assert!(found.skipped.is_empty() && found.duplicates.is_empty(), "{found:?}");
}

#[test]
fn plain_text_has_comments_and_jsonl_has_none() {
    let text = b"\xef\xbb\xbf# mine\r\n\r\nName a river.\r\n  name  a RIVER.\r\nName a lake.";
    let found = seeds("a.txt", text).unwrap();
    assert_eq!(texts(&found), ["Name a river.", "Name a lake."]);
    assert_eq!(found.duplicates, [Duplicate { line: 4, first_line: 3 }]);
    let found = seeds("a.jsonl", b"# mine\n{\"prompt\": \"Name a river.\"}\n").unwrap();
    insta::assert_snapshot!(
        reasons(&found.skipped),
        @"1: it is not valid JSON: expected value at column 1"
    );
}

#[test]
fn each_bad_line_is_explained_and_the_others_are_read() {
    let mut text = br#"{"prompt": "first"}
not json
{"prompt": "cut of
[1]
{"text": "x", "id": 3}
{}
{"instruction": "  "}
{"instruction": 7}
{"instruction": "a\u0000b"}
{"instruction": "a", "input": ["b"]}
{"instruction": "a", "difficulty": 11}
{"instruction": "a", "instances": [5]}
{"messages": "hello"}
{"messages": []}
{"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]}
{"messages": [{"role": "tool", "content": "x"}]}
{"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]}
{"conversations": [{"from": "bard", "value": "x"}]}
{"conversations": [{"from": "human"}]}
"#
    .to_vec();
    text.extend(b"{\"prompt\": \"\xff\"}\n");
    text.extend(std::iter::repeat_n(b'a', lines::MAX_LINE_BYTES + 1));
    text.extend(b"\n{\"prompt\": \"last\"}");
    let found = seeds("a.jsonl", &text).unwrap();
    assert_eq!(texts(&found), ["first", "last"]);
    insta::assert_snapshot!(reasons(&found.skipped), @r"
    2: it is not valid JSON: expected ident at column 2
    3: it is not valid JSON: EOF while parsing a string at column 18
    4: it is an array, expected a JSON object
    5: it has the keys `text`, `id`, expected `instruction`, `messages`, `conversations` or `prompt`
    6: it has no keys, expected `instruction`, `messages`, `conversations` or `prompt`
    7: `instruction` is empty, expected a string
    8: `instruction` is the number 7, expected a string
    9: `instruction` is a string with a NUL character, expected a string
    10: `input` is an array, expected a string
    11: `difficulty` is the number 11, expected a whole number from 1 to 10
    12: `instances[0]` is the number 5, expected an object
    13: `messages` is the text `hello`, expected an array of turns
    14: `messages` is a conversation without a user turn, expected at least one
    15: `messages` is a conversation with a system message, expected one without: seeds have no system message
    16: `messages[0].role` is the text `tool`, expected `system`, `user` or `assistant`
    17: `messages[0].content` is an array, expected a string
    18: `conversations[0].from` is the text `bard`, expected `system`, `human` or `gpt`
    19: `conversations[0].value` is missing, expected a string
    20: byte 13 is not valid UTF-8
    21: it is longer than the limit of 4194304 bytes
    ");
}

#[test]
fn the_caller_chooses_to_fail_and_the_error_lists_every_line() {
    let text = b"{\"prompt\": \"a\"}\nx\n{\"prompt\": 1}\n";
    let error = parse_seeds(Path::new("my.jsonl"), &text[..], OnBadInput::Fail).unwrap_err();
    insta::assert_snapshot!(
        error,
        @"line 2 of `my.jsonl` cannot be used: it is not valid JSON: expected value at column 1 (and 1 more \
          line)"
    );
    insta::assert_snapshot!(
        error.hint().unwrap(),
        @"expected one JSON object per line; to convert a file with one array: `jq -c '.[]' my.jsonl`"
    );
    let error = seeds("my.jsonl", b"\n\nx\n").unwrap_err();
    insta::assert_snapshot!(error, @"`my.jsonl` has no usable line (1 skipped)");
}

#[test]
fn a_line_of_exactly_the_limit_is_read() {
    let mut text = vec![b'a'; lines::MAX_LINE_BYTES];
    text.extend(b"\nshort");
    let found = seeds("a.txt", &text).unwrap();
    assert_eq!(found.seeds.len(), 2);
    assert_eq!(found.seeds[0].instruction.len(), lines::MAX_LINE_BYTES);
}

#[test]
fn rows_of_each_format() {
    let record = record(11, 10);
    // A line for each key: a row itself has no line break.
    let shown = |format: Format| format.row(&record).replace(",\"", ",\n\"");
    insta::assert_snapshot!(shown(Format::Alpaca), @r#"
    {"instruction":"Sort list 11.",
    "input":"3\n1\t\"2\"",
    "output":"1, 2, 3",
    "id":11,
    "parent_id":10,
    "root_id":10,
    "round":1,
    "attempt":0,
    "operator":"deepening",
    "skill":"Reasoning",
    "difficulty":null,
    "harder":null,
    "constraints":"[]"}
    "#);
    insta::assert_snapshot!(shown(Format::Sharegpt), @r#"
    {"conversations":[{"from":"human",
    "value":"Sort list 11.\n\n3\n1\t\"2\""},{"from":"gpt",
    "value":"1, 2, 3"}],
    "input":"3\n1\t\"2\"",
    "id":11,
    "parent_id":10,
    "root_id":10,
    "round":1,
    "attempt":0,
    "operator":"deepening",
    "skill":"Reasoning",
    "difficulty":null,
    "harder":null,
    "constraints":"[]"}
    "#);
    insta::assert_snapshot!(shown(Format::Messages), @r#"
    {"messages":[{"role":"user",
    "content":"Sort list 11.\n\n3\n1\t\"2\""},{"role":"assistant",
    "content":"1, 2, 3"}],
    "input":"3\n1\t\"2\"",
    "id":11,
    "parent_id":10,
    "root_id":10,
    "round":1,
    "attempt":0,
    "operator":"deepening",
    "skill":"Reasoning",
    "difficulty":null,
    "harder":null,
    "constraints":"[]"}
    "#);
}

#[test]
fn training_data_is_read_from_every_shape() {
    let found = parse_examples(
        Path::new("a.jsonl"),
        concat!(
            r#"{"instruction": "Add.", "input": "1 2", "output": "3"}"#,
            "\n\n",
            r#"{"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}, "#,
            r#"{"role": "assistant", "content": "A"}]}"#,
            "\n",
            r#"{"conversations": [{"from": "human", "value": "U"}, {"from": "gpt", "value": "A"}, "#,
            r#"{"from": "user", "value": "V"}, {"from": "assistant", "value": "B"}]}"#,
            "\n",
            r#"{"prompt": "P", "completion": " C"}"#,
        )
        .as_bytes(),
    )
    .unwrap();
    assert_eq!(found.lines, [1, 3, 4, 5]);
    let turns = |i: usize| -> Vec<(&str, &str)> {
        found.examples[i].messages.iter().map(|m| (m.role.as_str(), m.content.as_str())).collect()
    };
    assert_eq!(turns(0), [("user", "Add.\n\n1 2"), ("assistant", "3")]);
    assert_eq!(turns(1), [("system", "S"), ("user", "U"), ("assistant", "A")]);
    assert_eq!(turns(2), [("user", "U"), ("assistant", "A"), ("user", "V"), ("assistant", "B")]);
    assert_eq!(turns(3), [("user", "P"), ("assistant", " C")]);
}

#[test]
fn training_data_that_cannot_be_rendered_is_refused_with_its_place() {
    let refuse = |line: &str| {
        let error = parse_examples(Path::new("t.jsonl"), line.as_bytes()).unwrap_err();
        format!("{error}\n").replace(", expected", ",\n  expected")
    };
    let cases = [
        r#"{"instruction": "Add."}"#,
        r#"{"instruction": "Add.", "output": ""}"#,
        r#"{"prompt": "Add.", "completion": null}"#,
        r#"{"messages": []}"#,
        r#"{"messages": [{"role": "system", "content": "S"}]}"#,
        r#"{"messages": [{"role": "user", "content": "U"}]}"#,
        r#"{"messages": [{"role": "assistant", "content": "A"}]}"#,
        r#"{"messages": [{"role": "user", "content": "U"}, {"role": "user", "content": "V"}]}"#,
        r#"{"messages": [{"role": "user", "content": "U"}, {"role": "system", "content": "S"}]}"#,
        r#"{"text": "U"}"#,
        "",
    ];
    insta::assert_snapshot!(cases.map(refuse).concat(), @r"
    line 1 of `t.jsonl` cannot be used: `output` is missing,
      expected a string
    line 1 of `t.jsonl` cannot be used: `output` is empty,
      expected a string
    line 1 of `t.jsonl` cannot be used: `completion` is null,
      expected a string
    line 1 of `t.jsonl` cannot be used: `messages` is an empty array,
      expected one that ends with an assistant turn
    line 1 of `t.jsonl` cannot be used: `messages` is a conversation that ends with the system,
      expected one that ends with an assistant turn
    line 1 of `t.jsonl` cannot be used: `messages` is a conversation that ends with the user,
      expected one that ends with an assistant turn
    line 1 of `t.jsonl` cannot be used: `messages[0]` is a turn by the assistant,
      expected one by the user
    line 1 of `t.jsonl` cannot be used: `messages[1]` is a turn by the user,
      expected one by the assistant
    line 1 of `t.jsonl` cannot be used: `messages[1]` is a turn by the system,
      expected one by the assistant
    line 1 of `t.jsonl` cannot be used: it has the key `text`,
      expected `instruction` and `output`, `messages`, `conversations`, or `prompt` and `completion`
    `t.jsonl` has no usable line (0 skipped)
    ");
}

#[test]
fn a_fraction_outside_its_range_is_refused() {
    for fraction in [-0.1, 1.0, f64::NAN, f64::INFINITY] {
        let result = split(vec![record(1, 1)], fraction, 0);
        assert!(matches!(result, Err(Error::ValidationFraction { .. })), "{fraction}: {result:?}");
    }
}

/// With 4000 roots the share has a standard deviation of sqrt(0.1 * 0.9 / 4000) = 0.0047; 5 sigma is 0.024.
#[test]
fn the_validation_fraction_is_met_on_average() {
    let records = (0..4000).map(|id| record(id, id)).collect();
    let share = split(records, 0.1, 9).unwrap().validation.len() as f64 / 4000.0;
    assert!((share - 0.1).abs() <= 0.024, "{share}");
}

#[test]
fn the_order_is_shuffled_by_the_seed() {
    let ids = |seed| -> Vec<u64> {
        let records = (0..100).map(|id| record(id, id)).collect();
        split(records, 0.0, seed).unwrap().train.iter().map(|record| record.id).collect()
    };
    assert_eq!(ids(1), ids(1));
    assert_ne!(ids(1), ids(2));
    // Of 100 items in random order, one keeps its position on average; 10 or more have probability 1e-7.
    let fixed = ids(1).iter().enumerate().filter(|&(i, &id)| i as u64 == id).count();
    assert!(fixed < 10, "{fixed} of 100 records are where they were");
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_and_no_line_disappears(
        bytes in prop::collection::vec(any::<u8>(), 0..300), json in any::<bool>()
    ) {
        let name = if json { "a.jsonl" } else { "a" };
        if let Ok(found) = seeds(name, &bytes) {
            let numbers: BTreeSet<usize> = found.skipped.iter().map(|bad| bad.line)
                .chain(found.duplicates.iter().map(|duplicate| duplicate.line)).collect();
            let lines = bytes.split(|&b| b == b'\n').count();
            prop_assert!(found.seeds.len() + numbers.len() <= lines);
            prop_assert!(numbers.iter().all(|&line| (1..=lines).contains(&line)));
        }
        let _ = parse_examples(Path::new(name), &bytes[..]);
    }

    /// Nearly valid bytes reach deeper into the parsers than random ones.
    #[test]
    fn damaged_lines_never_panic(
        row in prop::sample::select(vec![
            r#"{"instruction":"a","input":"b","output":"c","difficulty":3,"instances":[{"input":"d"}]}"#,
            r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}"#,
            r#"{"conversations":[{"from":"human","value":"a"},{"from":"gpt","value":"b"}]}"#,
            r#"{"prompt":"a","completion":"b"}"#,
        ]),
        edits in prop::collection::vec(
            (any::<prop::sample::Index>(), prop::sample::select(b"{}[]\",:0n\\ \n\xff".to_vec())),
            0..4,
        )
    ) {
        let mut bytes = row.as_bytes().to_vec();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = seeds("a.jsonl", &bytes);
        let _ = parse_examples(Path::new("a.jsonl"), &bytes[..]);
    }

    #[test]
    fn a_split_keeps_lineages_together_whatever_the_order(
        roots in prop::collection::vec(0_u64..40, 1..80), fraction in 0.0..1.0, seed in any::<u64>()
    ) {
        let records: Vec<Record> =
            roots.iter().enumerate().map(|(i, &root)| record(i as u64, root)).collect();
        let result = split(records.clone(), fraction, seed).unwrap();
        let side = |records: &[Record]| -> BTreeSet<u64> { records.iter().map(|r| r.root_id).collect() };
        let (train, validation) = (side(&result.train), side(&result.validation));
        prop_assert!(train.is_disjoint(&validation));
        prop_assert!(!train.is_empty());
        prop_assert_eq!(!validation.is_empty(), fraction > 0.0 && train.len() + validation.len() > 1);
        let by_id = |records: &[Record]| -> BTreeMap<u64, Record> {
            records.iter().map(|r| (r.id, r.clone())).collect()
        };
        let mut union = by_id(&result.train);
        union.extend(by_id(&result.validation));
        prop_assert_eq!(result.train.len() + result.validation.len(), records.len());
        prop_assert_eq!(union, by_id(&records));
        let mut reversed = records;
        reversed.reverse();
        prop_assert_eq!(split(reversed, fraction, seed).unwrap(), result);
    }

    /// With 20 roots and a fraction of one half, the probability that the rule for an empty side applies is
    /// 2e-6, so this test sees only the independent draws.
    #[test]
    fn added_records_do_not_move_earlier_ones(extra in 20_u64..60, seed in 0_u64..1000) {
        let upto = |n: u64| split((0..n).map(|id| record(id, id)).collect(), 0.5, seed).unwrap();
        let (few, many) = (upto(20), upto(extra));
        let early = |records: &[Record]| -> Vec<u64> {
            records.iter().map(|r| r.id).filter(|&id| id < 20).collect()
        };
        prop_assert_eq!(early(&few.train), early(&many.train));
        prop_assert_eq!(early(&few.validation), early(&many.validation));
    }

    #[test]
    fn exported_rows_are_read_back_as_training_data(
        instruction in "[^\u{0}]{0,20}[a-z]",
        input in "([^\u{0}]{0,20}[a-z])?",
        output in "[^\u{0}]{0,20}[a-z]",
    ) {
        let record = Record { instruction, input, output, ..record(3, 1) };
        for format in Format::ALL {
            let found = parse_examples(Path::new("a.jsonl"), format.row(&record).as_bytes()).unwrap();
            let turns: Vec<&str> = found.examples[0].messages.iter().map(|m| m.content.as_str()).collect();
            let asked = user_turn(&record.instruction, &record.input);
            prop_assert_eq!(turns, [asked.as_str(), record.output.as_str()]);
        }
    }
}
