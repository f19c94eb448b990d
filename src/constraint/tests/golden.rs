//! Hashes of what constraints say and of what is drawn, derived, imposed and checked. All of it decides rows
//! of a run, so a change that was not intended must show.
//!
//! After an intended change, such as a new kind, raise the version of the rules that runs are bound to
//! (`RULES_VERSION` in `evolve`), and copy the hashes on the left of the failure message.

use super::{REQUESTS, samples};
use crate::constraint::{Constraint, conflict, derive, draw, impose, suits};
use std::fmt::Write;

const GOLDEN: [(&str, &str); 7] = [
    ("wordings", "4e0ac3ae98b3aee4"),
    ("conflicts", "090c26c6ecf8263f"),
    ("suits", "42c06e9d9efac063"),
    ("draws", "0f355ded8af626c3"),
    ("checks", "f1033acd27dcf049"),
    ("derived", "f3ce9d59086fa74c"),
    ("imposed", "b8d15ebe86afdd97"),
];

const RESPONSES: [&str; 6] = [
    "Fog is a cloud that touches the ground. It forms when moist air cools at night. Drivers should slow \
     down in it, and look for the lights of others. The morning sun usually clears it by noon.",
    "Vinegar is useful at home.\n\n- It cleans glass and removes lime from 2 kettles.\n- It keeps vegetables \
     for months.\n- It softens laundry without any perfume.\n\nTry a small amount first.",
    "In short, the harbour is quiet. The boats sleep and the boats dream.\n\nHowever, the sea is never \
     really still.\n\nIt wakes at 6, with \"Anna\" and *two* nets. What do you think?",
    "Section 1\n| a | b |\n|---|---|\n| 12 km | [name] |\n\nSection 2\n## Head\nTHE END\nP.S. <<Title>>",
    "Der alte Hafen ist heute Morgen still, und die Boote schlafen noch im Regen, w\u{E4}hrend die Stadt \
     langsam erwacht und niemand vor die T\u{FC}r geht, weil es so kalt ist.",
    "Yes, it is.\n```python\nprint({\"title\": 1})\n```",
];

fn json(constraints: &[Constraint]) -> String {
    serde_json::to_string(constraints).unwrap()
}

/// Each part as lines of text.
fn parts() -> [(&'static str, String); 7] {
    let samples = samples();
    let [mut said, mut pairs, mut suited, mut drawn, mut checked, mut derived, mut imposed] =
        [const { String::new() }; 7];
    for a in &samples {
        for wording in 0..=a.wordings() {
            writeln!(said, "{}", a.text(wording)).unwrap();
        }
        for b in &samples {
            writeln!(pairs, "{:?}", conflict(a, b)).unwrap();
        }
        for request in REQUESTS {
            writeln!(suited, "{}", suits(request, a)).unwrap();
        }
        for response in RESPONSES {
            writeln!(checked, "{:?}", a.check(response)).unwrap();
        }
    }
    for (at, request) in REQUESTS.into_iter().enumerate() {
        for id in 0..100 {
            writeln!(drawn, "{}", json(&draw(1, &[at as u64, id], request, &[], 4))).unwrap();
        }
        for response in RESPONSES {
            for id in 0..10 {
                let ids = &[at as u64, id];
                writeln!(derived, "{}", json(&derive(1, ids, request, response, &[], 4))).unwrap();
                let formed = impose(1, ids, request, response, &[], 2);
                let formed = formed.map(|(text, constraints)| (text, json(&constraints)));
                writeln!(imposed, "{formed:?}").unwrap();
            }
        }
    }
    [
        ("wordings", said),
        ("conflicts", pairs),
        ("suits", suited),
        ("draws", drawn),
        ("checks", checked),
        ("derived", derived),
        ("imposed", imposed),
    ]
}

#[test]
fn nothing_that_decides_rows_has_changed() {
    let short = |text: &str| blake3::hash(text.as_bytes()).to_hex()[..16].to_owned();
    let found = parts().map(|(part, text)| (part, short(&text)));
    assert_eq!(found, GOLDEN.map(|(part, hash)| (part, hash.to_owned())));
}
