//! Splits a text into words as NLTK's `word_tokenize` does: Penn Treebank tokenization of the sentences of
//! [`punkt`].
//!
//! It puts spaces around each token and then splits. Like the original, it writes opening and closing
//! quotation marks differently, although only words in capitals matter here.
//!
//! Source: the Treebank's `tokenizer.sed` (Robert `MacIntyre`, 1995) as extended in NLTK 3.10.4, whose
//! behaviour it reproduces.
//!
//! **Invariant:** the steps are in the order of the original; each works on the output of the previous one.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::{punkt, python};

/// A pattern and its replacement.
type Step = (Regex, &'static str);

/// Opening quotation marks.
static OPENING: LazyLock<Vec<Step>> = LazyLock::new(|| {
    steps(&[
        (r"([«“‘„]|`+)", " $1 "),
        (r#"^""#, "``"),
        (r"(``)", " $1 "),
        (r#"([ (\[{<])(?:"|'')"#, "$1 `` "),
    ])
});

/// Punctuation, brackets and double dashes. Only the last full stop of a sentence is a token.
static PUNCTUATION: LazyLock<Vec<Step>> = LazyLock::new(|| {
    steps(&[
        (r#"([^.])(\.)([\])}>"'»”’ ]*)\s*$"#, "$1 $2 $3 "),
        (r"([:,])(\D)", " $1 $2"),
        (r"([:,])(\n?)$", " $1 $2"),
        (r"(\.{2,})", " $1 "),
        (r"([;@#$%&])", " $1 "),
        (r"([\x{2012}-\x{2015}])", " $1 "),
        (r#"([^.])(\.)([\])}>"']*)\s*$"#, "$1 $2$3 "),
        (r"([?!])", " $1 "),
        (r"([^'])' ", "$1 ' "),
        (r"(\*)", " $1 "),
        (r"([\]\[(){}<>])", " $1 "),
        (r"--", " -- "),
    ])
});

/// Closing quotation marks, and endings after an apostrophe.
static CLOSING: LazyLock<Vec<Step>> = LazyLock::new(|| {
    steps(&[
        (r"([»”’])", " $1 "),
        (r"''", " '' "),
        (r#"""#, " '' "),
        (r"\s+", " "),
        (r"([^' ])('[sS]|'[mM]|'[dD]|') ", "$1 $2 "),
        (r"([^' ])('ll|'LL|'re|'RE|'ve|'VE|n't|N'T) ", "$1 $2 "),
    ])
});

/// Contractions, split into their two words. Python's case folding matches "i" with its dotted and dotless
/// forms.
static CONTRACTIONS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    let words =
        ["(can)(not)", "(d)('ye)", "(g[iİı]m)(me)", "(gon)(na)", "(got)(ta)", "(lem)(me)", "(more)('n)"];
    let others = ["(wan)(na)", " ('t)([iİı]s)", " ('t)(was)"];
    let compile = |word: &&str| Regex::new(&format!("(?i){word}")).expect("a constant pattern");
    words.iter().chain(&others).map(compile).collect()
});

fn steps(steps: &[(&str, &'static str)]) -> Vec<Step> {
    let compile = |&(pattern, replacement): &(&str, &'static str)| {
        (Regex::new(pattern).expect("a constant pattern"), replacement)
    };
    steps.iter().map(compile).collect()
}

/// The words and punctuation marks of a text.
pub(super) fn words(text: &str) -> Vec<String> {
    punkt::sentences(text).into_iter().flat_map(sentence_words).collect()
}

fn sentence_words(sentence: &str) -> Vec<String> {
    let text = apply(&OPENING, sentence.to_owned());
    let text = apply(&PUNCTUATION, split_opening_apostrophes(&text));
    let text = apply(&CLOSING, format!(" {text} "));
    let text = CONTRACTIONS.iter().fold(text, |text, word| split_contraction(word, &text));
    python::split(&text).map(str::to_owned).collect()
}

fn apply(steps: &[Step], text: String) -> String {
    steps.iter().fold(text, |text, (pattern, replacement)| match pattern.replace_all(&text, *replacement) {
        std::borrow::Cow::Borrowed(_) => text,
        std::borrow::Cow::Owned(text) => text,
    })
}

/// Splits off a single quotation mark at the start of a word, unless the word is an ending such as "'ll".
fn split_opening_apostrophes(text: &str) -> String {
    static APOSTROPHE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\B'").expect("a constant pattern"));
    static ENDING: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^(?i:re|ve|ll|m|t|s|d|n)\b").expect("a constant pattern"));
    static WORD: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^\w").expect("a constant pattern"));
    let split = |found: &Captures<'_>| {
        let rest = found.get(0).map_or("", |mark| &text[mark.end()..]);
        if WORD.is_match(rest) && !ENDING.is_match(rest) { "' " } else { "'" }
    };
    APOSTROPHE.replace_all(text, split).into_owned()
}

/// Splits a contraction that is a word of its own. "wanna" must be followed by white space; otherwise the end
/// must be a word boundary as Python defines it, and so must the start if it is a letter.
fn split_contraction(word: &Regex, text: &str) -> String {
    let split = |found: &Captures<'_>| {
        let before = text[..found.get_match().start()].chars().next_back();
        let after = text[found.get_match().end()..].chars().next();
        let begins = found[0].starts_with(' ') || !before.is_some_and(python::is_word);
        let is_wanna = found[1].eq_ignore_ascii_case("wan");
        let ends =
            if is_wanna { after.is_some_and(python::is_space) } else { !after.is_some_and(python::is_word) };
        if begins && ends { format!(" {} {} ", &found[1], &found[2]) } else { found[0].to_owned() }
    };
    word.replace_all(text, split).into_owned()
}
