//! Where sentences end.
//!
//! A sentence ends with `.`, `!`, `?` or an ellipsis before a space; with such a mark of a script that has no
//! spaces; and with its block: a blank line, or the line before or after a heading or an item of a list. A
//! full stop after an abbreviation or an initial does not end one, unless the text shows that it does.
//! Headings, rules and the marks of lists are not sentences.
//!
//! **Invariant:** any Unicode is fine; every sentence has a letter or digit.

use super::text;

/// Abbreviations that stand before what they belong to, so their full stop does not end a sentence.
const BEFORE_NAMES: [&str; 22] = [
    "mr", "mrs", "ms", "dr", "prof", "st", "mt", "gen", "col", "capt", "lt", "sgt", "rev", "hon", "vs",
    "fig", "eq", "vol", "e.g", "i.e", "cf", "approx",
];

/// Abbreviations that can also end a sentence: they do before a capital letter.
const ANYWHERE: [&str; 12] =
    ["etc", "inc", "ltd", "co", "corp", "jr", "sr", "a.m", "p.m", "al", "dept", "est"];

/// Before a digit, "no" is "number".
const BEFORE_NUMBERS: [&str; 4] = ["no", "nos", "p", "pp"];

/// The sentences of the prose.
pub(super) fn sentences(response: &str) -> Vec<String> {
    let mut sentences = Vec::new();
    for block in blocks(response) {
        split(&block, &mut sentences);
    }
    sentences.retain(|sentence| sentence.contains(char::is_alphanumeric));
    sentences
}

/// Prose that belongs together, each block on one line.
fn blocks(response: &str) -> Vec<String> {
    let mut blocks = vec![String::new()];
    for line in text::Layout::of(response).prose {
        let item = text::bullet(line).or_else(|| text::numbered(line));
        if item.is_some() || line.trim().is_empty() || text::heading(line).is_some() {
            blocks.push(String::new());
        }
        if text::heading(line).is_none()
            && let Some(block) = blocks.last_mut()
        {
            block.push_str(item.unwrap_or(line).trim());
            block.push(' ');
        }
    }
    blocks
}

/// Cuts a block after every end of a sentence.
fn split(block: &str, sentences: &mut Vec<String>) {
    let chars: Vec<char> = block.chars().collect();
    let mut start = 0;
    let mut at = 0;
    while at < chars.len() {
        let is_mark = is_end_mark(chars[at]);
        at += 1;
        if !is_mark {
            continue;
        }
        let mark = at - 1;
        while at < chars.len() && (is_end_mark(chars[at]) || is_closing(chars[at])) {
            at += 1;
        }
        if ends(&chars, mark, at) {
            sentences.push(chars[start..at].iter().collect::<String>().trim().to_owned());
            start = at;
        }
    }
    sentences.push(chars[start..].iter().collect::<String>().trim().to_owned());
}

/// The byte after the last sentence that something else follows. A number before a full stop is taken for the
/// number of an item.
pub(super) fn last_end(text: &str) -> Option<usize> {
    let (places, chars): (Vec<usize>, Vec<char>) = text.char_indices().unzip();
    (0..chars.len()).rev().filter(|&mark| is_end_mark(chars[mark])).find_map(|mark| {
        let is_sign = |c: &&char| is_end_mark(**c) || is_closing(**c);
        let after = mark + chars[mark..].iter().take_while(is_sign).count();
        let word = last_word(&chars[..mark]);
        let is_number = !word.is_empty() && word.chars().all(|c| c.is_ascii_digit());
        let end = *places.get(after)?;
        (!is_number && ends(&chars, mark, after)).then_some(end)
    })
}

fn is_end_mark(c: char) -> bool {
    matches!(c, '.' | '!' | '?' | '\u{2026}') || ends_without_space(c)
}

/// The marks of Chinese and Japanese, and the danda of Hindi.
fn ends_without_space(c: char) -> bool {
    matches!(c, '\u{3002}' | '\u{FF01}' | '\u{FF1F}' | '\u{964}')
}

/// What may stand between the mark and the space: quotes, brackets, emphasis.
fn is_closing(c: char) -> bool {
    matches!(c, '"' | '\'' | ')' | ']' | '*' | '_' | '\u{201D}' | '\u{2019}' | '\u{BB}' | '\u{300D}')
}

/// Whether the sentence ends with the mark at `mark`; `after` is the first character after the mark and
/// closing signs.
fn ends(chars: &[char], mark: usize, after: usize) -> bool {
    if ends_without_space(chars[mark]) {
        return true;
    }
    if chars.get(after).is_some_and(|c| !c.is_whitespace()) {
        return false;
    }
    let opening = |c: &&char| c.is_whitespace() || matches!(c, '"' | '(' | '*' | '_' | '\u{201C}' | '\u{AB}');
    let Some(&next) = chars[after..].iter().find(|c| !opening(c)) else { return true };
    let run = chars[mark..after].iter().filter(|&&c| is_end_mark(c)).count();
    match chars[mark] {
        '\u{2026}' => !next.is_lowercase(),
        '.' if run > 1 && chars[mark..after].iter().all(|&c| c == '.' || is_closing(c)) => {
            !next.is_lowercase()
        }
        '.' if run == 1 => ends_after(&last_word(&chars[..mark]), next),
        _ => true,
    }
}

/// The token before a full stop, in lower case except for single letters: initials are capitals.
fn last_word(before: &[char]) -> String {
    let start = before.iter().rposition(|c| c.is_whitespace() || matches!(c, '(' | '"' | '*' | '\u{201C}'));
    before[start.map_or(0, |at| at + 1)..].iter().collect()
}

/// Whether a full stop after `word` ends a sentence that `next` would follow.
fn ends_after(word: &str, next: char) -> bool {
    let lower = word.to_lowercase();
    let is_initial = word.chars().count() == 1 && word.chars().all(char::is_uppercase) && word != "I";
    if BEFORE_NAMES.contains(&lower.as_str()) || is_initial {
        return false;
    }
    if BEFORE_NUMBERS.contains(&lower.as_str()) && next.is_ascii_digit() {
        return false;
    }
    // "U.S." and the like have a point inside.
    let is_abbreviation = ANYWHERE.contains(&lower.as_str())
        || (lower.contains('.') && lower.split('.').all(|part| part.chars().count() == 1));
    !is_abbreviation || next.is_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str) -> usize {
        sentences(text).len()
    }

    #[test]
    fn sentences_end_at_marks_before_a_space() {
        assert_eq!(count("One. Two! Three? Four"), 4);
        assert_eq!(count("Is it 3.5? It costs $4.20 at example.com today."), 2);
        assert_eq!(count("He said \"Stop.\" Then he left. (Really.) *Yes!*"), 4);
        assert_eq!(count("Wait... what? No... Yes."), 3);
        assert_eq!(count("What?! No."), 2);
    }

    #[test]
    fn abbreviations_and_initials_end_none_unless_the_text_shows_it() {
        assert_eq!(count("Dr. Lee met J. R. Smith at 5 p.m. on Monday."), 1);
        assert_eq!(count("Take fruit, e.g. apples, i.e. something sweet, etc. and go."), 1);
        assert_eq!(count("It ends at 5 p.m. We leave then."), 2);
        assert_eq!(count("See No. 5 and p. 12. The answer is no. 5 is less."), 2);
        assert_eq!(count("So do I. You too."), 2);
    }

    #[test]
    fn blocks_headings_and_items_are_apart() {
        assert_eq!(count("# Title\nOne.\n\n- first item\n- second. With more.\n\n1. third"), 5);
        assert_eq!(count("A line\nthat goes on.\r\n\r\nAnother"), 2);
        assert_eq!(count("```\nx. y. z.\n```"), 0);
        assert_eq!(count("---\n***\n..."), 0);
    }

    #[test]
    fn other_scripts_have_marks_of_their_own() {
        assert_eq!(count("\u{4F60}\u{597D}\u{3002}\u{518D}\u{89C1}\u{FF01}"), 2);
        assert_eq!(count("\u{1F600} \u{1F600}! \u{1F600}"), 0);
        assert_eq!(count(""), 0);
    }
}
