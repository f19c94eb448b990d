//! How a text is read: what counts as a word, a paragraph, an item of a list. Sentences are in `sentence`.
//!
//! The definitions are those that a reader of the wordings would apply, made exact: each is one function with
//! its rule in the comment.
//!
//! **Invariant:** pure functions of their arguments; any Unicode is fine.

/// Whether a character is part of a word: letters, digits, the underscore, and the marks that some scripts
/// write above, below or between letters.
pub(super) fn is_word_char(c: char) -> bool {
    let joins = matches!(c,
        // Accents on their own.
        '\u{300}'..='\u{36F}'
        // Virama, the sign that joins two consonants, in the scripts of South Asia.
        | '\u{94D}' | '\u{9CD}' | '\u{A4D}' | '\u{ACD}' | '\u{B4D}' | '\u{BCD}' | '\u{C4D}' | '\u{CCD}'
        | '\u{D4D}' | '\u{DCA}'
        // Thai vowel shortener and tone marks.
        | '\u{E47}'..='\u{E4E}');
    c.is_alphanumeric() || c == '_' || joins
}

/// The words: runs of word characters, so "don't" and "3.5" are two each, as in `IFEval`.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c| !is_word_char(c)).filter(|word| !word.is_empty())
}

/// How often `phrase` stands in `text` as whole words: "art" is not in "party". Uses do not overlap. Both
/// must be in lower case already.
pub(super) fn count_phrase(text: &str, phrase: &str) -> usize {
    let is_word = |c: Option<char>| c.is_some_and(is_word_char);
    let starts_as_word = is_word(phrase.chars().next());
    let ends_as_word = is_word(phrase.chars().next_back());
    let is_whole = |at: &usize| {
        let glued_before = starts_as_word && is_word(text[..*at].chars().next_back());
        let glued_after = ends_as_word && is_word(text[at + phrase.len()..].chars().next());
        !glued_before && !glued_after
    };
    if phrase.is_empty() { 0 } else { text.match_indices(phrase).map(|(at, _)| at).filter(is_whole).count() }
}

/// The paragraphs: blocks between blank lines.
pub(super) fn paragraphs(text: &str) -> Vec<&str> {
    let mut paragraphs = Vec::new();
    let mut start = 0;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if line.trim().is_empty() {
            paragraphs.push(text[start..at].trim());
            start = at + line.len();
        }
        at += line.len();
    }
    paragraphs.push(text[start..].trim());
    paragraphs.retain(|paragraph| !paragraph.is_empty());
    paragraphs
}

/// A fenced code block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CodeBlock<'a> {
    /// The first word after the opening fence.
    pub(super) language: &'a str,
    pub(super) is_blank: bool,
}

/// A text, taken apart into fenced code and the lines around it.
#[derive(Debug, Default)]
pub(super) struct Layout<'a> {
    /// The lines outside code, without their line breaks.
    pub(super) prose: Vec<&'a str>,
    pub(super) code: Vec<CodeBlock<'a>>,
}

impl<'a> Layout<'a> {
    /// A fence is three or more backticks or tildes at the start of a line; one that is not closed
    /// continues to the end (`CommonMark` 0.31, section 4.5).
    pub(super) fn of(text: &'a str) -> Self {
        let mut layout = Self::default();
        let mut open: Option<&str> = None;
        for line in text.lines() {
            let (fence, rest) = split_fence(line.trim_start());
            match open {
                Some(opened) => {
                    let closes = fence.starts_with(opened) && !fence.is_empty() && rest.trim().is_empty();
                    if closes {
                        open = None;
                    } else if let Some(block) = layout.code.last_mut() {
                        block.is_blank &= line.trim().is_empty();
                    }
                }
                None if !fence.is_empty() && !rest.contains('`') => {
                    open = Some(fence);
                    let language = rest.split_whitespace().next().unwrap_or("");
                    layout.code.push(CodeBlock { language, is_blank: true });
                }
                None => layout.prose.push(line),
            }
        }
        layout
    }
}

/// The fence at the start of a line, or nothing, and what follows it.
fn split_fence(line: &str) -> (&str, &str) {
    let sign = if line.starts_with('~') { '~' } else { '`' };
    let rest = line.trim_start_matches(sign);
    let length = line.len() - rest.len();
    line.split_at(if length >= 3 { length } else { 0 })
}

/// What follows the bullet of a line that is an item: `-`, `*`, `+` or `•`, a space, some text. Any
/// indentation.
pub(super) fn bullet(line: &str) -> Option<&str> {
    let content = line.trim_start().strip_prefix(['-', '*', '+', '\u{2022}'])?;
    // A rule such as `* * *` or `- - -` has no text.
    let has_text = content.contains(|c: char| !c.is_whitespace() && !matches!(c, '-' | '*' | '+'));
    (content.starts_with([' ', '\t']) && has_text).then(|| content.trim())
}

/// What follows the number of a line that is an item: `1.` or `1)`, a space, some text.
pub(super) fn numbered(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let rest = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = line.len() - rest.len();
    let content = rest.strip_prefix(['.', ')'])?;
    let is_item = (1..=3).contains(&digits) && content.starts_with([' ', '\t']) && !content.trim().is_empty();
    is_item.then(|| content.trim())
}

/// The text of a markdown heading: one to six `#`, a space, some text.
pub(super) fn heading(line: &str) -> Option<&str> {
    let rest = line.trim_start_matches('#');
    let is_heading = (1..=6).contains(&(line.len() - rest.len())) && rest.starts_with([' ', '\t']);
    let content = rest.trim().trim_end_matches('#').trim();
    (is_heading && !content.is_empty()).then_some(content)
}

/// The numbers written in digits, as (number, byte where it starts): `3.5` and `1,000` are one each. The
/// number that marks an item of a list does not count.
pub(super) fn numerals(text: &str) -> Vec<(&str, usize)> {
    let mut found = Vec::new();
    let mut line_start = 0;
    for line in text.split_inclusive('\n') {
        let from = numbered(line).map_or(0, |content| content.as_ptr() as usize - line.as_ptr() as usize);
        let mut at = from;
        while let Some(length) = line[at..].find(|c: char| c.is_ascii_digit()) {
            let start = at + length;
            at = numeral_end(line, start);
            found.push((&line[start..at], line_start + start));
        }
        line_start += line.len();
    }
    found
}

/// Where the numeral that starts at `start` ends: a point or comma between digits belongs to it.
fn numeral_end(line: &str, start: usize) -> usize {
    let bytes = line.as_bytes();
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let mut at = start;
    while is_digit(at) || (matches!(bytes.get(at), Some(b'.' | b',')) && is_digit(at + 1)) {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_runs_of_letters_digits_and_marks() {
        let words = |text| words(text).collect::<Vec<_>>();
        assert_eq!(words("Don't pay 3.5, snake_case!"), ["Don", "t", "pay", "3", "5", "snake_case"]);
        assert_eq!(words("e\u{301}te\u{301} \u{939}\u{93F}\u{928}\u{94D}\u{926}\u{940}").len(), 2);
        assert!(words(" \u{1F600} -- \r\n\u{200B}").is_empty());
    }

    #[test]
    fn a_phrase_counts_as_whole_words_without_overlap() {
        assert_eq!(count_phrase("art, a party, art. fine-art", "art"), 3);
        assert_eq!(count_phrase("c++ and c++, c++x", "c++"), 3);
        assert_eq!(count_phrase("aa aa aa", "aa aa"), 1);
        assert_eq!(count_phrase("\u{FC}ber und \u{FC}berall", "\u{FC}ber"), 1);
        assert_eq!(count_phrase("e\u{301}t", "e"), 0);
        assert_eq!(count_phrase("", "a") + count_phrase("a", ""), 0);
    }

    #[test]
    fn paragraphs_are_separated_by_blank_lines_of_any_kind() {
        assert_eq!(paragraphs("a\nb\n\nc"), ["a\nb", "c"]);
        assert_eq!(paragraphs("a\r\n\r\nb"), ["a", "b"]);
        assert_eq!(paragraphs("\n\n a \n \t \n\n\nb\n\n"), ["a", "b"]);
        assert!(paragraphs(" \n\r\n").is_empty() && paragraphs("").is_empty());
    }

    #[test]
    fn code_is_kept_apart_from_prose() {
        let layout = Layout::of("- a\n```py x\n- b\n```\r\n- c\n~~~\n```\n~~~\nd");
        assert_eq!(layout.prose, ["- a", "- c", "d"]);
        let languages: Vec<_> = layout.code.iter().map(|block| (block.language, block.is_blank)).collect();
        assert_eq!(languages, [("py", false), ("", false)]);
        let open = Layout::of("````\n```\n- x");
        assert_eq!((open.prose.len(), open.code.len()), (0, 1));
        assert_eq!(Layout::of("```inline``` code\nx").prose.len(), 2);
        assert!(Layout::of("``` \n \n```").code[0].is_blank);
    }

    #[test]
    fn items_need_a_marker_a_space_and_text() {
        for line in ["- a", "* a", "  + a", "\t\u{2022} a", "- **a**"] {
            assert!(bullet(line).is_some(), "{line}");
        }
        for line in ["-a", "*a* b", "**a** b", "---", "- - -", "* * *", "-", "- ", "1. a", "-5 degrees"] {
            assert_eq!(bullet(line), None, "{line}");
        }
        assert_eq!(numbered(" 12) a\r"), Some("a"));
        for line in ["1.5 litres", "1990. That", "1.", "1. ", "a. b", ". x"] {
            assert_eq!(numbered(line), None, "{line}");
        }
        assert_eq!(heading("## A b ##"), Some("A b"));
        assert!(heading("#tag").is_none() && heading("#######  x").is_none() && heading("# ").is_none());
    }

    #[test]
    fn a_numeral_is_whole_and_no_marker() {
        let numerals = |text| numerals(text).into_iter().map(|(number, _)| number).collect::<Vec<_>>();
        assert_eq!(numerals("1. Pay 3.5 or 1,000.\n2) On 12, 13."), ["3.5", "1,000", "12", "13"]);
        assert_eq!(numerals("v2.0.1 x7y"), ["2.0.1", "7"]);
        assert!(numerals("\u{BD} \u{661}").is_empty());
    }
}
