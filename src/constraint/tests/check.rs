//! Responses that meet each kind, and responses that nearly do.

use crate::constraint::{Constraint, Kind};

/// A constraint, responses that meet it, responses that do not.
type Case = (&'static str, &'static [&'static str], &'static [&'static str]);

const LENGTHS: &[Case] = &[
    (
        r#"{"kind":"word_count","relation":"between","low":3,"high":4}"#,
        &["one two three", "one, two -- three\r\nfour", "don't go", "\u{4F60} \u{597D} \u{5417}", "3.5 km"],
        &["one two", "one two three four five", "\u{1F600} \u{1F600} \u{1F600}", "- - -"],
    ),
    (
        r#"{"kind":"sentence_count","relation":"exactly","n":2}"#,
        &[
            "One. Two.",
            "It is 3.5 m, e.g. here. Dr. Lee agrees!",
            "\u{597D}\u{3002}\u{597D}\u{3002}",
            "# Head\nOne. Two",
            "One...\r\n\r\nTwo",
        ],
        &["One.", "One. Two. Three.", "...", "One... two"],
    ),
    (
        r#"{"kind":"paragraph_count","relation":"exactly","n":2}"#,
        &["a\n\nb", "a\r\n\r\nb\r\n", "\n\na\n \t\n\n\nb"],
        &["a\nb", "a\n\nb\n\nc", "a"],
    ),
    (
        r#"{"kind":"divided_paragraphs","relation":"exactly","n":2}"#,
        &["a\n***\nb", "a\r\n *** \r\nb", "***\na\n\na\n***\nb\n***"],
        &["a *** b", "***a*** b\n\nc", "a\n***", "a\n* * *\nb", "a\n****\nb"],
    ),
    (
        r#"{"kind":"paragraph_start","paragraphs":2,"nth":2,"word":"however"}"#,
        &["a\n\nHowever, b", "a\r\n\r\n\"**However** b", "a\n\n- HOWEVER\n"],
        &["However a\n\nb", "a\n\nHowever b\n\nc", "a\n\nhoweverso", "However", "a\n\n!!!"],
    ),
    (
        r#"{"kind":"longest_sentence","n":4}"#,
        &[
            "One two. Three four five six.",
            "# A heading of many more words than four\nOne two",
            "- one two\n- three four",
        ],
        &["One two three four five.", "...", "a b\nc d e"],
    ),
];

const LISTS: &[Case] = &[
    (
        r#"{"kind":"bullet_count","relation":"exactly","n":2}"#,
        &[
            "- a\n- b",
            "* a\r\n  + b",
            "\u{2022} a\n\u{2022} b\n---",
            "- a\n- b\n```\n- c\n```",
            "*x* y\n- a\n- b",
        ],
        &["- a", "- a\n- b\n- c", "-a\n-b", "*a*\n*b*", "1. a\n2. b", "- \n- "],
    ),
    (
        r#"{"kind":"bullet_words","n":2}"#,
        &["- one two\n- three", "Here are more words than two:\n* a"],
        &["one two", "- one two three", "- a\n  - one two three"],
    ),
    (
        r#"{"kind":"numbered_count","relation":"at_least","n":2}"#,
        &["1. a\n2. b", "1) a\n 2) b\n 3) c", "10. a\r\n11. b"],
        &["1. a", "1.a\n2.b", "1.5 l\n2.5 l", "- 1. a\n- 2. b", "```\n1. a\n2. b\n```"],
    ),
    (
        r#"{"kind":"section_count","marker":"Part","relation":"exactly","n":2}"#,
        &["Part 1\na\nPart 2\nb", "## Part 1: x\n\n**Part 2**", "Part1\r\nPart 2"],
        &["Part 1\nas in Part 2", "Part one\nPart two", "part 1\npart 2", "```\nPart 1\nPart 2\n```"],
    ),
    (
        r#"{"kind":"heading_count","relation":"at_least","n":1}"#,
        &["# a", "text\n\n### a b ###\r\n"],
        &["#a", "a # b", "#", "```\n# a\n```", "####### a"],
    ),
    (
        r#"{"kind":"table_rows","relation":"exactly","n":2}"#,
        &["| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |", "a | b\n:-- | --:\n1 | 2\n3 | 4\n\ntext"],
        &[
            "| a | b |\n| 1 | 2 |\n| 3 | 4 |",
            "|---|\n| 1 |\n| 2 |",
            "| a |\n|---|\n| 1 |",
            "```\n| a |\n|-|\n| 1 |\n| 2 |\n```",
        ],
    ),
];

const WORDS: &[Case] = &[
    (
        r#"{"kind":"keywords","words":["tree","blue sky"]}"#,
        &["A TREE under the Blue Sky.", "tree-top, *blue sky*"],
        &["A tree.", "trees and a blue sky", "tree; blue, sky", "blue\u{301} sky tre e"],
    ),
    (
        r#"{"kind":"keywords","words":["C++","\u00FCber"]}"#,
        &["c++ \u{DC}BER alles", "(C++) (\u{FC}ber)"],
        &["c+ \u{FC}ber", "C++ \u{FC}berall"],
    ),
    (
        r#"{"kind":"forbidden_words","words":["art","very"]}"#,
        &["a party", "every start"],
        &["ART.", "it is very, very good", "state-of-the-art"],
    ),
    (
        r#"{"kind":"keyword_count","word":"sea","relation":"exactly","n":2}"#,
        &["Sea and sea", "sea\r\nsea, season"],
        &["sea", "sea sea sea", "season seas"],
    ),
    (
        r#"{"kind":"letter_count","letter":"e","relation":"at_most","n":2}"#,
        &["Eve", "\u{E9}\u{E9}\u{E9}", "none at all"],
        &["eEe", "even here"],
    ),
    (
        r#"{"kind":"start_phrase","phrase":"In short"}"#,
        &["In short, no.", "\"in short: no\"", "\n In short"],
        &["In shorts", "So, in short", "I. In short\n", "text\nIn short"],
    ),
    (
        r#"{"kind":"end_phrase","phrase":"What do you think?"}"#,
        &["So. What do you think?", "\"what do you think?\"\n", "What do you think?"],
        &["What do you think? Tell me.", "What do you think", "Somewhat do you think?"],
    ),
    (
        r#"{"kind":"repeat_request","request":"Why?\nSay it."}"#,
        &["why?\nsay it. Because.", " Why?\nSay it."],
        &["\"Why?\nSay it.\" Because", "Why? Say it.", "Because. Why?\nSay it."],
    ),
    (
        r#"{"kind":"one_of","options":["Yes","No","It depends"]}"#,
        &["Yes", " **no.**\n", "\"It depends.\""],
        &["Yes, because", "yes no", "It", "Yesterday", "..."],
    ),
    (
        r#"{"kind":"capital_word_count","relation":"exactly","n":2}"#,
        &[
            "NASA and R&D",
            "The U.S. and STOP.",
            "I HAVE A CAT-FISH",
            "\u{DC}BER \u{395}\u{3A7}",
            "B2B3 DON'T",
        ],
        &["I A B", "NASA", "NASA ESA EU", "NaSA EsA", "12 34"],
    ),
    (
        r#"{"kind":"numeral_count","relation":"exactly","n":2}"#,
        &["3.5 and 1,000", "1. Take 2 of 3", "12:30"],
        &["one two", "1. a\n2. b", "1 2 3"],
    ),
    (
        r#"{"kind":"unit_count","unit":"km","relation":"at_least","n":1}"#,
        &["3.5km", "about 12 KM.", "a 5-kilometre walk", "1,000\u{A0}km"],
        &["km 12", "12 kmh", "12 miles, some km", "twelve km"],
    ),
    (
        r#"{"kind":"unit_count","unit":"euro","relation":"at_least","n":2}"#,
        &["\u{20AC}12 and 3 euros", "EUR 5, 6\u{20AC}"],
        &["\u{20AC}12", "12 neuro 13 euroland", "neur 12 13"],
    ),
    (r#"{"kind":"no_digits"}"#, &["twelve", "\u{4E00}"], &["12", "a1", "x\u{B2}", "\u{BD}", "\u{0661}"]),
];

const FORMS: &[Case] = &[
    (
        r#"{"kind":"quoted"}"#,
        &["\"All of it.\"", " \"He said \"no\" to me\"\n", "\u{201C}So.\u{201D}"],
        &["\"a\" b", "\"", "\"\"", "\" \"", "'a'", "\u{201C}a\""],
    ),
    (
        r#"{"kind":"quote_count","relation":"exactly","n":2}"#,
        &["\"a\" and \"b\"", "\u{201C}a\u{201D}, \"b\r\nc\""],
        &["\"a\"", "\"a\n\nb\" \"c", "\"\" \"!\"", "'a' 'b'", "5\" 6\" 7"],
    ),
    (
        r#"{"kind":"postscript","marker":"P.S."}"#,
        &["Bye.\nP.S. One more.", "Bye.\r\n\r\n**p. s.** more", "Bye\nPS: more", "Bye\nP.S.\nmore"],
        &["P.S. only", "Bye. P.S. more", "Bye\nP.S.", "Bye\nP.P.S. more", "Bye\nPsalm more", "Bye\nps1 more"],
    ),
    (
        r#"{"kind":"postscript","marker":"P.P.S."}"#,
        &["Bye.\nP.P.S. More.", "Bye\nP.S. a\nP. P. S b"],
        &["Bye\nP.S. more", "Bye\nP.P. more", "Bye\nppm more"],
    ),
    (
        r#"{"kind":"two_answers"}"#,
        &["a\n******\nb", "******a******b******", "a****** b"],
        &["a", "a\n******\n a", "a******b******c", "a************b", "a\n***\nb", "******"],
    ),
    (
        r#"{"kind":"json"}"#,
        &["{\"a\": [1, 2]}", "```json\n[]\n```", " ```\n{}\n``` ", "```JSON {\"\u{E9}\": null}```"],
        &[
            "{a: 1}",
            "{\"a\": 1} ok",
            "42",
            "\"text\"",
            "Here: {}",
            "{\"a\": NaN}",
            "```python\n{}\n```",
            "```\u{E9}\u{E9}{}",
        ],
    ),
    (
        r#"{"kind":"json_keys","keys":["title","Reason"]}"#,
        &["{\"title\": 1, \"Reason\": 2, \"x\": 3}"],
        &[
            "{\"title\": 1}",
            "{\"title\": 1, \"reason\": 2}",
            "[\"title\", \"Reason\"]",
            "{\"x\": {\"title\": 1, \"Reason\": 2}}",
            "title",
        ],
    ),
    (
        r#"{"kind":"title"}"#,
        &["<<A Day>>\ntext", "x <<a>> y", "<<<a>>>"],
        &["<A Day>", "<<>>", "<< >>", "<<a\nb>>", ">>a<<", "<<a"],
    ),
    (
        r#"{"kind":"placeholder_count","relation":"exactly","n":2}"#,
        &["Dear [name], on [date]", "[name][date]\n[1] [link](x)", "- [x] [a b] [C]"],
        &["[name]", "[1] [2]", "[a](b) [c](d)", "a[i] b[j]", "[a\nb] [c]", "```\n[a] [b]\n```", "[] []"],
    ),
    (
        r#"{"kind":"highlight_count","relation":"exactly","n":2}"#,
        &["*a* and **b c**", "* *a*\n* ***b***", "**a *b***c"],
        &["*a*", "* a\n* b\n* c", "2 * 3 * 4 * 5", "** a ** * b *", "`x`\n_a_ _b_", "*a\nb* *c", "*!* *?*"],
    ),
    (
        r#"{"kind":"code_block","language":"python"}"#,
        &["```python\nx\n```", "text\n~~~ PY\nx\n~~~\n", "```js\n1\n```\n```python3 title\nx"],
        &["```\nx\n```", "```python\n \n```", "`python`", "```js\nx\n```", "python"],
    ),
    (
        r#"{"kind":"lower_case"}"#,
        &["all of this is small, and it is in plain english.", "e = 3"],
        &[
            "all but One",
            "12",
            "\u{4F60}\u{597D}",
            "\u{1C5}",
            "der regen f\u{E4}llt auf die d\u{E4}cher der stadt und niemand geht heute vor die t\u{FC}r",
        ],
    ),
    (
        r#"{"kind":"upper_case"}"#,
        &["ALL OF THIS IS LOUD, AND IT IS IN PLAIN ENGLISH.", "NO. 3!"],
        &["ALL BUT oNE", "12", "STRA\u{DF}E", "\u{4F60}\u{597D}"],
    ),
    (
        r#"{"kind":"without_mark","mark":"comma"}"#,
        &["a b; c.", "\u{201A}a\u{2018}"],
        &["a, b", "1,000", "\u{4F60}\u{FF0C}\u{597D}", "a\u{60C} b"],
    ),
    (
        r#"{"kind":"without_mark","mark":"exclamation_mark"}"#,
        &["Wow."],
        &["Wow!", "a != b", "\u{A1}hola", "\u{597D}\u{FF01}"],
    ),
    (r#"{"kind":"without_mark","mark":"question_mark"}"#, &["Why."], &["Why?", "\u{BF}qu\u{E9}", "\u{2049}"]),
    (r#"{"kind":"without_mark","mark":"dash"}"#, &["well-known", "- a"], &["a \u{2014} b", "1\u{2013}2"]),
    (r#"{"kind":"without_mark","mark":"parenthesis"}"#, &["[a]"], &["(a", "a)", "\u{FF08}a"]),
    (r#"{"kind":"without_mark","mark":"colon"}"#, &["a; b"], &["a: b", "12:30"]),
    (r#"{"kind":"without_mark","mark":"semicolon"}"#, &["a: b"], &["a; b", "&amp;"]),
    (
        r#"{"kind":"language","language":"fr"}"#,
        &[
            "Le vieux port est calme ce matin, et les bateaux dorment encore sous la pluie.",
            "Voici la r\u{E9}ponse que vous avez demand\u{E9}e :\n\
             ```\nprint the whole list of the things that are here\n```",
        ],
        &[
            "The old harbour is quiet this morning, and the boats still sleep in the rain.",
            "Der alte Hafen ist heute Morgen still, und die Boote schlafen noch im Regen.",
            "12 + 34",
        ],
    ),
];

fn cases() -> impl Iterator<Item = &'static Case> {
    [LENGTHS, LISTS, WORDS, FORMS].into_iter().flatten()
}

fn read(json: &str) -> Constraint {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"))
}

#[test]
fn what_meets_a_constraint_passes_and_what_nearly_does_fails() {
    for (json, good, bad) in cases() {
        let constraint = read(json);
        for response in *good {
            let check = constraint.check(response);
            assert!(check.passed, "{json} should accept {response:?}: {}", check.found);
        }
        for response in *bad {
            let check = constraint.check(response);
            assert!(!check.passed, "{json} should refuse {response:?}: {}", check.found);
        }
    }
}

#[test]
fn every_kind_has_cases() {
    let kinds: Vec<Kind> = cases().map(|(json, ..)| read(json).kind()).collect();
    let missing: Vec<&Kind> = Kind::ALL.iter().filter(|kind| !kinds.contains(kind)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn a_blank_response_meets_nothing() {
    for (json, ..) in cases() {
        for blank in ["", " ", "\r\n\t\u{3000}"] {
            assert_eq!(read(json).check(blank).found, "found an empty response");
            assert!(!read(json).check_loose(blank).passed, "{json}");
        }
    }
}

#[test]
fn found_says_what_was_found_and_expected() {
    let found = |json: &str, response: &str| read(json).check(response).found;
    let words = r#"{"kind":"word_count","relation":"at_least","n":3}"#;
    assert_eq!(found(words, "one"), "found 1 word, expected at least 3 words");
    let keywords = r#"{"kind":"keywords","words":["tree","sky"]}"#;
    assert_eq!(found(keywords, "a tree"), "did not find `sky`");
    let start = r#"{"kind":"start_phrase","phrase":"So"}"#;
    let long = "\u{E9}".repeat(100);
    assert_eq!(found(start, &long), format!("the response begins with `{}\u{2026}`", "\u{E9}".repeat(60)));
    let two = r#"{"kind":"two_answers"}"#;
    assert_eq!(found(two, "a ****** a"), "found 2 parts separated by `******`, which are the same");
}

#[test]
fn loose_forgives_lines_around_the_answer_and_asterisks() {
    let json = read(r#"{"kind":"json"}"#);
    for response in
        ["Here it is:\n{}", "{}\nI hope this helps.", "Sure!\n{}\nBye.", "**{}**", "Sure:\n*{}*\r\nBye"]
    {
        assert!(!json.check(response).passed && json.check_loose(response).passed, "{response:?}");
    }
    assert!(!json.check_loose("One\ntwo\n{}").passed);
    let found = json.check_loose("Here:\n{}").found;
    assert_eq!(found, "found a JSON object (loosely)");
    let bullets = read(r#"{"kind":"bullet_count","relation":"exactly","n":1}"#);
    assert!(bullets.check_loose("- a\n- b").passed);
}
