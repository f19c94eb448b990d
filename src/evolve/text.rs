//! Text as the rules see it: when two texts are the same, what a word is, what a leak is.
//!
//! In the flow: used by `eliminate` and `guard`.
//!
//! **Invariant:** pure functions of their arguments; any UTF-8 is fine.

pub(super) use crate::dataset::normalise;
use std::collections::HashSet;

/// Runs of letters and digits, in lower case.
pub(super) fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

/// Whether `text` has `phrase`, not as part of a longer word ("here is" in "where is").
pub(super) fn has_phrase(text: &str, phrase: &str) -> bool {
    let is_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    text.match_indices(phrase).any(|(at, _)| {
        let glued_before = is_word(phrase.chars().next()) && is_word(text[..at].chars().next_back());
        let glued_after =
            is_word(phrase.chars().next_back()) && is_word(text[at + phrase.len()..].chars().next());
        !glued_before && !glued_after
    })
}

/// Whether a text has what no task and no answer has: the replacement character of broken UTF-8, or control
/// characters other than those of layout.
pub(super) fn is_garbled(text: &str) -> bool {
    text.chars().any(|c| c == '\u{FFFD}' || (c.is_control() && !matches!(c, '\n' | '\r' | '\t')))
}

/// Words in a row that count as a leak. Shorter rows are common in honest tasks ("write a python function
/// that").
const LEAK_WORDS: usize = 6;
/// Words in a row that count as a leak with one of them changed: models change the subject of an example.
const LEAK_WORDS_BUT_ONE: usize = 8;

/// The rows of words of a text, in full and with each of their words left out.
#[derive(Debug, Clone)]
pub(super) struct Phrases(HashSet<String>);

impl Phrases {
    pub(super) fn of(text: &str) -> Self {
        // No row crosses the end of a line: the next line is another example.
        Self(text.lines().flat_map(|line| rows(&words(line))).map(|(key, _)| key).collect())
    }

    /// The first row of words of `child` that this text has and `parent` lacks.
    pub(super) fn leaked(&self, child: &str, parent: &str) -> Option<String> {
        let parents_own: HashSet<String> = rows(&words(parent)).into_iter().map(|(key, _)| key).collect();
        let leaks = |key: &String| self.0.contains(key) && !parents_own.contains(key);
        rows(&words(child)).into_iter().find(|(key, _)| leaks(key)).map(|(_, row)| row)
    }
}

/// (key, row) for each row of words; `*` stands for a word that is left out of the key.
fn rows(words: &[String]) -> Vec<(String, String)> {
    let whole = words.windows(LEAK_WORDS).map(|row| (row.join(" "), row.join(" ")));
    let but_one = words.windows(LEAK_WORDS_BUT_ONE).flat_map(|row| {
        (0..row.len()).map(move |out| {
            let key: Vec<&str> =
                row.iter().enumerate().map(|(at, word)| if at == out { "*" } else { word }).collect();
            (key.join(" "), row.join(" "))
        })
    });
    whole.chain(but_one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_differ_in_looks_only_are_the_same() {
        let same = [
            ("Name a river.", "  name\u{00A0}a \n River!"),
            ("say \"hi\" - now", "Say \u{201C}hi\u{201D} - now"),
            ("ABC 12", "\u{FF21}\u{FF22}\u{FF23} \u{FF11}\u{FF12}"),
            ("find x\u{00B2}", "Find x2"),
        ];
        for (a, b) in same {
            assert_eq!(normalise(a), normalise(b));
        }
        for (a, b) in [("a + b", "a - b"), ("x < 3", "x > 3"), ("10%", "10"), ("name a river", "name a lake")]
        {
            assert_ne!(normalise(a), normalise(b));
        }
    }

    #[test]
    fn a_phrase_is_whole_words() {
        assert!(has_phrase("so here is the task", "here is the") && has_phrase("x</task>y", "</task>"));
        assert!(!has_phrase("where is the task", "here is the") && !has_phrase("as an aid", "as an ai"));
    }

    #[test]
    fn broken_and_control_characters_are_garbage_and_layout_is_not() {
        assert!(is_garbled("a\u{FFFD}") && is_garbled("a\u{0}") && is_garbled("\u{1B}[0m"));
        assert!(!is_garbled("a\tb\r\nc \u{1F600} \u{202B}"));
    }

    #[test]
    fn a_leak_is_a_row_of_words_that_the_parent_does_not_have() {
        let phrases = Phrases::of(
            "Plan a dinner for six people that costs little.\nAnother line of this very long text.",
        );
        let child = "Please plan a dinner, for six people THAT are tall.";
        assert_eq!(phrases.leaked(child, "Cook."), Some("plan a dinner for six people".to_owned()));
        assert_eq!(phrases.leaked(child, "Plan a dinner for six people that I know."), None);
        assert_eq!(phrases.leaked("Plan a dinner for six.", "Cook."), None);
        let changed = "Plan a lunch for six people that costs.";
        assert_eq!(
            phrases.leaked(changed, "Cook."),
            Some("plan a lunch for six people that costs".to_owned())
        );
        assert_eq!(phrases.leaked("Plan a lunch for ten people that costs little", "Cook."), None);
        assert_eq!(phrases.leaked("six people that costs little another line of", "Cook."), None);
    }
}
