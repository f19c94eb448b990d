//! What a request asks for, as far as it decides which constraints suit it.
//!
//! Judged by words and phrases, not by a model: a wrong guess costs a constraint that fits badly or one that
//! was left out, never a contradiction.
//!
//! **Invariant:** pure functions of the request; any Unicode is fine.

use super::check::detect;
use super::{Kind, Language, Unit, text};

/// The shape of the answer that a request wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// A program, a query, a configuration.
    Code,
    /// One of a few replies that the request names, or a bare result: true or false, a letter, a number.
    Fixed,
    /// Given text in another form: translated, rewritten, shortened, sorted into classes.
    Rewriting,
    /// A result that is worked out.
    Calculation,
    /// Yes or no.
    YesNo,
    /// A fact in a word or a sentence.
    Short,
    /// Several things of a kind.
    List,
    /// Text at the writer's choice.
    Open,
}

/// Lists of phrases here are separated by a comma and a space, each phrase whole words.
const CODE: &str = "code, function, program, python, rust, javascript, typescript, java, c++, sql, bash, shell, html, \
     css, regex, regular expression, query, script, compile, algorithm, json, xml, yaml, api";

/// A request with one of these says what the whole answer is.
const FIXED: &str = "true or false, yes or no, output yes, output no, output true, output false, output 1, output 0, \
     output the number, output the result, output its, output none, respond with, multiple choice, choose from, \
     select a, only output, 1 or 0, 0 or 1, support or unsupport, directly output";

const REWRITING: &str = "the paragraph, the sentence, the sentences, the text, the passage, the article, replace, detect, \
     identify, find out, misspelling, parse, rank, sort, spot, given sentence, given a sentence, complete the, fill, \
     translate, translation, rewrite, rephrase, paraphrase, reword, correct, proofread, classify, \
     categorize, categorise, label, summarize, summarise, summary, shorten, condense, extract, convert, \
     fill in, simplify, this sentence, this paragraph, this text, this passage, following sentence, \
     following text, sort these";

const CALCULATION: &str = "calculate, compute, solve, prove, derive, how much, how many, how long, how far, equation, \
     probability, percentage, find the, determine";

const LIST: &str = "list, name, steps, step by step, ideas, reasons, examples, facts, tips, ways, suggest, advantages, \
     differences, rules, ingredients, compare";

/// What long answers are asked for with.
const OPEN: &str =
    "explain, describe, why, write, discuss, how do, how does, how can, compare, argue, imagine, tell";

const YES_NO: &str = "is, are, was, were, do, does, did, can, could, should, will, has";

const QUESTION: &str = "what, who, when, where, which";

/// The longest question whose answer is taken to be short, in words.
const SHORT_QUESTION: usize = 14;

/// Words that nearly every request in English has one of.
const ENGLISH: &str = "the, a, an, of, to, is, are, what, how, why, write, and, give, name, with, for";

/// Programming languages, and what code fences call them.
const CODE_LANGUAGES: [(&str, &str); 9] = [
    ("python", "python"),
    ("rust", "rust"),
    ("javascript", "javascript"),
    ("typescript", "typescript"),
    ("java", "java"),
    ("c++", "cpp"),
    ("sql", "sql"),
    ("bash, shell", "bash"),
    ("html", "html"),
];

/// Words that go with numbers of a unit.
const UNITS: [(&str, Unit); 7] = [
    ("distance, distances, journey, route, road, railway, river, marathon", Unit::Kilometres),
    ("weight, mass, heavy, kilograms", Unit::Kilograms),
    ("temperature, temperatures, weather, climate, heat", Unit::Celsius),
    ("price, prices, budget, cost, costs, money, salary, rent, market", Unit::Euros),
    ("recipe, bake, cook, exercise, workout, schedule, meeting", Unit::Minutes),
    ("history, century, war, empire, lifetime, career", Unit::Years),
    ("share, rate, risk, population, survey, economy, inflation", Unit::Percent),
];

/// Words which say that a request decides something itself, and the kinds that would decide it again.
const DECIDED: &[(&str, &[Kind])] = &[
    (
        "word, words, brief, briefly, short, concise, length, characters, long, in detail",
        &[Kind::WordCount, Kind::BulletWords, Kind::Keywords, Kind::ForbiddenWords, Kind::KeywordCount],
    ),
    (
        "sentence, sentences, one line, lines, haiku, limerick, stanza, stanzas, poem, verse",
        &[
            Kind::SentenceCount,
            Kind::LongestSentence,
            Kind::WordCount,
            Kind::ParagraphCount,
            Kind::ParagraphStart,
        ],
    ),
    (
        "paragraph, paragraphs, essay, stanza, stanzas, letter, email, e-mail",
        &[Kind::ParagraphCount, Kind::DividedParagraphs, Kind::ParagraphStart],
    ),
    (
        "bullet, bullets, bullet points, numbered, list, table, column, columns, section, sections, \
         heading, headings, outline, chapters",
        &[
            Kind::BulletCount,
            Kind::BulletWords,
            Kind::NumberedCount,
            Kind::TableRows,
            Kind::SectionCount,
            Kind::HeadingCount,
        ],
    ),
    (
        "json, xml, yaml, csv, html, markdown, format, table",
        &[
            Kind::Json,
            Kind::JsonKeys,
            Kind::TableRows,
            Kind::BulletCount,
            Kind::NumberedCount,
            Kind::LowerCase,
            Kind::UpperCase,
        ],
    ),
    ("title, titled, headline, slogan, caption", &[Kind::Title]),
    ("quote, quotes, quotation, quotations, dialogue, conversation", &[Kind::Quoted, Kind::QuoteCount]),
    (
        "uppercase, lowercase, upper case, lower case, capital letters, capitals, capitalize, capitalise",
        &[Kind::LowerCase, Kind::UpperCase, Kind::CapitalWordCount],
    ),
    ("comma, commas, punctuation, question, questions, exclamation", &[Kind::WithoutMark]),
    (
        "language, english, french, german, spanish, italian, portuguese, chinese, japanese, russian, \
         latin, translate, rhyme, rhymes, pun, spelling, grammar",
        &[Kind::Language],
    ),
    (
        "begin, begins, start with, starts with, starting with, opening",
        &[Kind::StartPhrase, Kind::ParagraphStart],
    ),
    ("end with, ends with, ending with, closing, last line", &[Kind::EndPhrase, Kind::Postscript]),
    ("p.s, postscript", &[Kind::Postscript]),
    (
        "mention, mentioning, include, includes, using, without, avoid, keyword",
        &[Kind::Keywords, Kind::ForbiddenWords],
    ),
    ("letter, letters, vowel, alphabet", &[Kind::LetterCount, Kind::KeywordCount]),
    (
        "number, numbers, digit, digits, date, dates, year, how many, how much, how long, when, percent, \
         price, prices, budget, score, calculate, cost, costs, temperature",
        &[Kind::NoDigits, Kind::NumeralCount],
    ),
    ("placeholder, placeholders, blank, blanks", &[Kind::PlaceholderCount]),
    (
        "bold, italic, italics, highlight, emphasize, emphasise, underline",
        &[Kind::HighlightCount, Kind::CapitalWordCount],
    ),
    ("two, versions, alternatives, options, both, either", &[Kind::TwoAnswers]),
];

/// A request, as far as it matters here.
#[expect(clippy::struct_excessive_bools, reason = "what a request is, in no order and free of each other")]
#[derive(Debug, Clone)]
pub(super) struct Task {
    pub(super) shape: Shape,
    /// The kinds that the request decides itself.
    pub(super) decided: Vec<Kind>,
    /// The words that say what it is about, in order.
    pub(super) content: Vec<String>,
    /// It has blanks to fill: a letter, a form, an invitation.
    pub(super) is_template: bool,
    /// It has people in it who may speak: a story, a scene.
    pub(super) is_narrative: bool,
    /// What numbers in the answer would measure.
    pub(super) unit: Option<Unit>,
    /// Its answer is in another language than it.
    pub(super) is_translation: bool,
    /// It is not in English, which our wordings are in.
    pub(super) is_foreign: bool,
    /// A programming language that it names, as code fences write it.
    pub(super) code_language: Option<&'static str>,
}

impl Task {
    /// Whether a constraint of that kind can be added: it fits the answer that the request wants, which does
    /// not decide the same thing itself.
    pub(super) fn suits(&self, kind: Kind) -> bool {
        // What the material says decides its numbers, its letters, its paragraphs.
        let given = [
            Kind::NumeralCount,
            Kind::UnitCount,
            Kind::NoDigits,
            Kind::LetterCount,
            Kind::Language,
            Kind::ParagraphCount,
            Kind::DividedParagraphs,
            Kind::ParagraphStart,
            Kind::JsonKeys,
            Kind::SectionCount,
        ];
        // English phrases have no place in a translation.
        let translated = [Kind::Quoted, Kind::Title, Kind::TwoAnswers];
        let fits = match self.shape {
            Shape::Fixed => false,
            Shape::Code => matches!(
                kind,
                Kind::CodeBlock
                    | Kind::HeadingCount
                    | Kind::Title
                    | Kind::StartPhrase
                    | Kind::EndPhrase
                    | Kind::Postscript
                    | Kind::RepeatRequest
            ),
            Shape::Rewriting if self.is_translation => translated.contains(&kind),
            Shape::Rewriting => !given.contains(&kind),
            _ => true,
        };
        fits && !self.decided.contains(&kind)
    }

    pub(super) fn of(request: &str) -> Self {
        let lower = request.to_lowercase();
        let has = |phrases: &str| phrases.split(", ").any(|phrase| text::count_phrase(&lower, phrase) > 0);
        let decided = DECIDED.iter().filter(|(phrases, _)| has(phrases)).flat_map(|(_, kinds)| kinds.iter());
        Self {
            shape: shape(&lower, has),
            decided: decided
                .copied()
                .chain(request.contains(char::is_numeric).then_some(Kind::NoDigits))
                .collect(),
            content: content_words(request),
            is_template: has("email, e-mail, letter, invitation, form, template, message, announcement"),
            is_narrative: has("story, tale, scene, interview, speech, diary, letter, imagine, character"),
            unit: UNITS.iter().find(|(words, _)| has(words)).map(|&(_, unit)| unit),
            is_translation: has("translate, translation"),
            is_foreign: is_foreign(request),
            code_language: CODE_LANGUAGES.iter().find(|(words, _)| has(words)).map(|&(_, name)| name),
        }
    }
}

fn shape(lower: &str, has: impl Fn(&str) -> bool) -> Shape {
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

/// `output positive, negative or neutral`: a few words after it there is a choice.
fn offers_replies(lower: &str) -> bool {
    let sentence =
        lower.split_once("output ").map_or("", |(_, behind)| behind.split('.').next().unwrap_or(""));
    let words: Vec<&str> = text::words(sentence).collect();
    words.len() <= MOST_OFFERED && words.contains(&"or")
}

/// Words of a choice.
const MOST_OFFERED: usize = 8;

fn is_one_of(words: &str, word: &str) -> bool {
    words.split(", ").any(|one| one == word)
}

/// Another language shows, and none of the words that nearly every English request has.
fn is_foreign(request: &str) -> bool {
    let lower = request.to_lowercase();
    let has_english = text::words(&lower).any(|word| is_one_of(ENGLISH, word));
    !has_english && detect(request).is_some_and(|language| language != Language::English)
}

/// Frequent words of five letters or more that say nothing about the subject.
const NO_CONTENT: &str = "about, above, after, again, along, already, also, although, always, among, another, answer, around, \
     because, before, being, below, between, could, describe, during, either, every, example, explain, \
     first, following, given, however, instead, least, might, never, other, please, question, rather, \
     second, sentence, several, should, since, something, their, there, these, thing, things, those, \
     though, through, under, until, using, where, whether, which, while, without, would, write, yours, \
     itself";

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
            assert_eq!(Task::of(request).shape, expected, "{request}");
        }
    }

    #[test]
    fn what_the_request_decides_is_not_decided_again() {
        let task = Task::of("Tell a story of 100 words, without commas.");
        for kind in [Kind::WordCount, Kind::WithoutMark, Kind::Keywords] {
            assert!(task.decided.contains(&kind), "{kind:?}");
        }
        assert!(Task::of("Describe a wet morning.").decided.is_empty());
    }

    #[test]
    fn a_request_in_another_language_is_noticed() {
        assert!(
            Task::of("Beschreibe bitte einen regnerischen Morgen auf dem Land, ohne ihn zu loben.")
                .is_foreign
        );
        assert!(Task::of("\u{41E}\u{43F}\u{438}\u{448}\u{438} \u{443}\u{442}\u{440}\u{43E}").is_foreign);
        assert!(!Task::of("Describe a wet morning.").is_foreign && !Task::of("").is_foreign);
    }

    #[test]
    fn content_words_are_plain_and_unique() {
        assert_eq!(content_words("Which Bees, bees and \u{E9}clairs use 12345 flowers?"), ["flowers"]);
        assert_eq!(content_words("Bridges: why bridges sway"), ["bridges"]);
    }
}
