//! What a request asks for, as far as it decides which constraints suit it.
//!
//! Judged by words and phrases, not by a model: a wrong guess costs a constraint that fits badly or one that
//! is left out, never a contradiction. Kinds ask for phrases of their own with [`Request::mentions`]; phrases
//! that several kinds ask for are constants here.
//!
//! **Invariant:** pure functions of the request; any Unicode is fine.

use super::fact::Fact;
use super::language::{Language, detect};
use super::named::named;
use super::text;

named! {
    /// The shape of the answer that a request wants.
    Shape {
        /// A program, a query, a configuration.
        Code = "code",
        /// One of a few replies that the request names, or a bare result: true or false, a letter, a number.
        Fixed = "fixed",
        /// Given text in another form: translated, rewritten, shortened, sorted into classes.
        Rewriting = "rewriting",
        /// A result that is worked out.
        Calculation = "calculation",
        /// Yes or no.
        YesNo = "yes_no",
        /// A fact in a word or a sentence.
        Short = "short",
        /// Several things of a kind.
        List = "list",
        /// Text at the writer's choice.
        Open = "open",
    }
}

// Phrases in these lists are separated by a comma and a space; each matches whole words.

/// A request with one of these wants a program.
const CODE: &str = "code, function, program, python, rust, javascript, typescript, java, c++, sql, bash, \
     shell, html, css, regex, regular expression, query, script, compile, algorithm, json, xml, yaml, api";

/// A request with one of these names the replies that it accepts.
const FIXED: &str = "true or false, yes or no, output yes, output no, output true, output false, output 1, \
     output 0, output the number, output the result, output its, output none, respond with, multiple choice, \
     choose from, select a, only output, 1 or 0, 0 or 1, support or unsupport, directly output";

/// A request with one of these gives a text to work on.
const REWRITING: &str = "the paragraph, the sentence, the sentences, the text, the passage, the article, \
     replace, detect, identify, find out, misspelling, parse, rank, sort, spot, given sentence, given a \
     sentence, complete the, fill, translate, translation, rewrite, rephrase, paraphrase, reword, correct, \
     proofread, classify, categorize, categorise, label, summarize, summarise, summary, shorten, condense, \
     extract, convert, fill in, simplify, this sentence, this paragraph, this text, this passage, following \
     sentence, following text, sort these";

/// A request with one of these wants a result.
const CALCULATION: &str = "calculate, compute, solve, prove, derive, how much, how many, how long, how far, \
     equation, probability, percentage, find the, determine";

/// A request with one of these wants several things.
const LIST: &str = "list, name, steps, step by step, ideas, reasons, examples, facts, tips, ways, suggest, \
     advantages, differences, rules, ingredients, compare";

/// A request with one of these wants more than a fact.
const OPEN: &str = "explain, describe, why, write, discuss, how do, how does, how can, compare, argue, \
     imagine, tell";

/// First words of a question that is answered with yes or no.
const YES_NO: &str = "is, are, was, were, do, does, did, can, could, should, will, has";

/// First words of a question about a fact.
const QUESTION: &str = "what, who, when, where, which";

/// Words of the longest question whose answer is taken to be short.
const SHORT_QUESTION: usize = 14;

/// Words that nearly every request in English has one of.
const ENGLISH: &str = "the, a, an, of, to, is, are, what, how, why, write, and, give, name, with, for";

/// Phrases about length: the request says how long the answer is.
pub(super) const LENGTH: &str = "word, words, brief, briefly, short, concise, length, characters, long, in \
     detail";

/// Phrases about lines and verse: the request decides sentences.
pub(super) const VERSE: &str = "sentence, sentences, one line, lines, haiku, limerick, stanza, stanzas, \
     poem, verse";

/// Phrases about lists, tables and sections.
pub(super) const LAYOUT: &str = "bullet, bullets, bullet points, numbered, list, table, column, columns, \
     section, sections, heading, headings, outline, chapters";

/// Phrases about the format of the answer.
pub(super) const FORMAT: &str = "json, xml, yaml, csv, html, markdown, format, table";

/// Phrases about small and capital letters.
pub(super) const LETTER_CASE: &str = "uppercase, lowercase, upper case, lower case, capital letters, \
     capitals, capitalize, capitalise";

/// Phrases about the first words.
pub(super) const OPENING: &str = "begin, begins, start with, starts with, starting with, opening";

/// Phrases about the last words.
pub(super) const CLOSING: &str = "end with, ends with, ending with, closing, last line";

/// Phrases about letters.
pub(super) const LETTERS: &str = "letter, letters, vowel, alphabet";

/// A request, and what it says about the answer that it wants.
#[derive(Debug, Clone)]
pub(super) struct Request<'a> {
    /// As it was written.
    pub(super) text: &'a str,
    lower: String,
    pub(super) shape: Shape,
    /// The words that say what it is about, in order.
    pub(super) content: Vec<String>,
    /// Its answer is in another language than it.
    is_translation: bool,
    /// It is not in English, which our wordings are in.
    pub(super) is_foreign: bool,
}

impl Shape {
    /// The shape of the answer that a request in English wants.
    pub fn of(request: &str) -> Self {
        shape(&request.to_lowercase())
    }
}

/// The language of a request: English, unless another one shows.
pub fn language_of_request(request: &str) -> Language {
    if is_foreign(request) { Language::most_likely(request) } else { Language::English }
}

impl<'a> Request<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let lower = text.to_lowercase();
        Self {
            text,
            shape: shape(&lower),
            content: content_words(text),
            is_translation: mentions(&lower, "translate, translation"),
            is_foreign: is_foreign(text),
            lower,
        }
    }

    /// Whether one of the phrases, separated by a comma and a space, stands in it.
    pub(super) fn mentions(&self, phrases: &str) -> bool {
        mentions(&self.lower, phrases)
    }

    /// Whether a constraint with these facts fits the answer that the request wants.
    pub(super) fn allows(&self, facts: &[Fact]) -> bool {
        match self.shape {
            Shape::Fixed => false,
            Shape::Code => facts.contains(&Fact::WithCode),
            // English phrases have no place in a translation.
            Shape::Rewriting if self.is_translation => facts.contains(&Fact::WithTranslation),
            Shape::Rewriting => !facts.contains(&Fact::GivenByMaterial),
            _ => true,
        }
    }

    /// Whether the answer is several things that its writer chooses: no result, no given text, no program.
    pub(super) fn is_free(&self) -> bool {
        matches!(self.shape, Shape::Open | Shape::List)
    }

    /// The rank for the shape of the request.
    pub(super) fn rank(&self, ranks: &[(Shape, u8)]) -> Option<u8> {
        ranks.iter().find(|(shape, _)| *shape == self.shape).map(|&(_, rank)| rank)
    }
}

fn mentions(lower: &str, phrases: &str) -> bool {
    phrases.split(", ").any(|phrase| text::count_phrase(lower, phrase) > 0)
}

fn shape(lower: &str) -> Shape {
    let has = |phrases| mentions(lower, phrases);
    let first = text::words(lower).next().unwrap_or("");
    let is_question = lower.trim_end().ends_with('?');
    let is_short = text::words(lower).count() <= SHORT_QUESTION && !has(OPEN);
    let names_reply =
        ["output \"", "output '", "answer \"", "respond \"", "say \"yes"].iter().any(|p| lower.contains(p));
    if has(FIXED) || names_reply || offers_replies(lower) {
        Shape::Fixed
    } else if has(CODE) || lower.contains("```") {
        Shape::Code
    } else if has(REWRITING) {
        Shape::Rewriting
    } else if has(CALCULATION) {
        Shape::Calculation
    } else if is_question && is_short && is_one_of(YES_NO, first) {
        Shape::YesNo
    } else if is_question && is_short && is_one_of(QUESTION, first) {
        Shape::Short
    } else if has(LIST) {
        Shape::List
    } else {
        Shape::Open
    }
}

/// `output positive, negative or neutral`: a choice of a few words.
fn offers_replies(lower: &str) -> bool {
    let sentence =
        lower.split_once("output ").map_or("", |(_, behind)| behind.split('.').next().unwrap_or(""));
    let words: Vec<&str> = text::words(sentence).collect();
    words.len() <= MOST_OFFERED && words.contains(&"or")
}

/// The most words of such a choice.
const MOST_OFFERED: usize = 8;

fn is_one_of(words: &str, word: &str) -> bool {
    words.split(", ").any(|one| one == word)
}

/// Whether another language shows, and none of the words that nearly every English request has.
fn is_foreign(request: &str) -> bool {
    let lower = request.to_lowercase();
    let has_english = text::words(&lower).any(|word| is_one_of(ENGLISH, word));
    !has_english && detect(request).is_some_and(|language| language != Language::English)
}

/// Common words of five letters or more that say nothing about the subject.
const NO_CONTENT: &str = "about, above, after, again, along, already, also, although, always, among, \
     another, answer, around, because, before, being, below, between, could, describe, during, either, \
     every, example, explain, first, following, given, however, instead, least, might, never, other, please, \
     question, rather, second, sentence, several, should, since, something, their, there, these, thing, \
     things, those, though, through, under, until, using, where, whether, which, while, without, would, \
     write, yours, itself";

/// The words of five to fourteen letters from a to z that say what a text is about, each once, in order, in
/// lower case.
pub(super) fn content_words(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for word in text::words(text) {
        let is_plain = (5..=14).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_alphabetic());
        let word = word.to_lowercase();
        if is_plain && !is_one_of(NO_CONTENT, &word) && !found.contains(&word) {
            found.push(word);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_shows_in_the_words() {
        let cases = [
            ("Write a Python function that reverses a list.", Shape::Code),
            ("Is it grammatical? If so, output yes.", Shape::Fixed),
            ("Is the news good? Output positive, negative or neutral.", Shape::Fixed),
            ("Classify the email. Answer \"spam\" or \"no spam\".", Shape::Fixed),
            ("Translate this sentence into French: \"I am late.\"", Shape::Rewriting),
            ("A shirt costs 20 euros. How much are five?", Shape::Calculation),
            ("Is the Moon larger than the Earth?", Shape::YesNo),
            ("What is the capital of Peru?", Shape::Short),
            ("Name three uses of vinegar.", Shape::List),
            ("Why is the sky blue?", Shape::Open),
            ("Describe a wet morning.", Shape::Open),
            ("", Shape::Open),
        ];
        for (request, expected) in cases {
            assert_eq!(Request::new(request).shape, expected, "{request}");
        }
    }

    #[test]
    fn a_request_in_another_language_is_noticed() {
        assert!(
            Request::new("Beschreibe bitte einen regnerischen Morgen auf dem Land, ohne ihn zu loben.")
                .is_foreign
        );
        assert!(Request::new("\u{41E}\u{43F}\u{438}\u{448}\u{438} \u{443}\u{442}\u{440}\u{43E}").is_foreign);
        assert!(!Request::new("Describe a wet morning.").is_foreign && !Request::new("").is_foreign);
    }

    #[test]
    fn content_words_are_plain_and_unique() {
        assert_eq!(content_words("Which Bees, bees and \u{E9}clairs use 12345 flowers?"), ["flowers"]);
        assert_eq!(content_words("Bridges: why bridges sway"), ["bridges"]);
    }
}
