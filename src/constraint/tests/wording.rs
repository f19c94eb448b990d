//! Constraints as sentences.

use super::samples;
use crate::constraint::kinds::{BulletCount, Keywords};
use crate::constraint::{Bound, Constraint};

#[test]
fn every_kind_has_three_different_wordings_with_all_its_slots() {
    for constraint in samples() {
        let name = constraint.kind().name();
        let texts: Vec<String> = (0..constraint.wordings()).map(|wording| constraint.text(wording)).collect();
        assert!(texts.len() >= 3, "{name}");
        for (at, text) in texts.iter().enumerate() {
            assert!(!texts[..at].contains(text), "{name}: {text}");
            assert!(text.starts_with(char::is_uppercase) && !text.contains(['{', '}']), "{name}: {text}");
            for (slot, value) in constraint.slots(at) {
                assert!(text.contains(&value), "{name} has no {slot} in {text}");
            }
        }
        assert_eq!(constraint.text(texts.len()).len() > 10, !texts[0].is_empty(), "{name}");
    }
}

#[test]
fn parameters_are_said_as_they_are() {
    let words = ["blue", "say \"hi\"", "{words}"].map(str::to_owned).to_vec();
    let text = Constraint::from(Keywords { words }).text(0);
    assert_eq!(text, "Use \"blue\", `say \"hi\"` and \"{words}\" in the answer.");
    let count = |n| Constraint::from(BulletCount { bound: Bound::Exactly { n } }).text(0);
    assert_eq!(count(1), "Use exactly 1 bullet point, each on a line that begins with \"- \".");
    assert_eq!(count(2), "Use exactly 2 bullet points, each on a line that begins with \"- \".");
}
