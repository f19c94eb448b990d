//! Which constraints are added to a request.
//!
//! The shape of the request says which kinds suit it, the stream for its key in which order they are tried
//! and with which parameters. A kind is left out if the request decides the same thing itself or if it
//! conflicts with what is there.
//!
//! **Invariant:** a function of (seed, ids, request, constraints that it has, count).
//!
//! **Invariant:** what is drawn is valid and free of conflicts, also with what the request has.

use super::conflict::fits;
use super::parent::{Shape, Task};
use super::vocabulary::{Language, Mark, Postscript};
use super::{Bound, Constraint, Kind};
use crate::rng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, RngExt};

/// Up to `count` constraints that suit `request`, which has `have` already; fewer if no more fit. `ids` say
/// what they are drawn for: node, round, attempt.
pub fn draw(seed: u64, ids: &[u64], request: &str, have: &[Constraint], count: usize) -> Vec<Constraint> {
    draw_from(suitable, (seed, ids), request, have, count, |_, _| true)
}

/// As [`draw`], of `kinds`, one that is there twice twice as likely, and of these only what `accept` takes:
/// it is asked about a candidate and what was drawn before.
pub(super) fn draw_from(
    kinds: impl Fn(&Task) -> Vec<Kind>,
    (seed, ids): (u64, &[u64]),
    request: &str,
    have: &[Constraint],
    count: usize,
    mut accept: impl FnMut(&Constraint, &[Constraint]) -> bool,
) -> Vec<Constraint> {
    let task = Task::of(request);
    let mut rng = rng::stream(seed, "constraint.draw", ids);
    let mut kinds = kinds(&task);
    kinds.shuffle(&mut rng);
    let mut drawn: Vec<Constraint> = Vec::new();
    for kind in kinds {
        if drawn.len() == count {
            break;
        }
        if !task.suits(kind) {
            continue;
        }
        let Some(constraint) = parameters(kind, &task, request, &mut rng) else { continue };
        let fits = constraint.validate().is_ok() && fits(&constraint, have.iter().chain(&drawn));
        if fits && accept(&constraint, &drawn) {
            drawn.push(constraint);
        }
    }
    drawn
}

/// The kinds that go with the answer which the request wants. None for a request that is not in English: a
/// sentence in another language would be a hint at the wrong one.
pub(super) fn suitable(task: &Task) -> Vec<Kind> {
    if task.is_foreign {
        return Vec::new();
    }
    let always = [Kind::StartPhrase, Kind::EndPhrase, Kind::Postscript, Kind::RepeatRequest];
    let own: &[Kind] = match task.shape {
        Shape::Fixed => return Vec::new(),
        Shape::Code => &[Kind::CodeBlock, Kind::HeadingCount, Kind::Title],
        Shape::Rewriting => &[Kind::Quoted, Kind::Title, Kind::TwoAnswers],
        Shape::Calculation => &[
            Kind::NumeralCount,
            Kind::NumberedCount,
            Kind::HighlightCount,
            Kind::LongestSentence,
            Kind::Title,
        ],
        Shape::YesNo => {
            &[Kind::OneOf, Kind::WordCount, Kind::SentenceCount, Kind::LowerCase, Kind::UpperCase]
        }
        Shape::Short => &[
            Kind::WordCount,
            Kind::SentenceCount,
            Kind::Quoted,
            Kind::LowerCase,
            Kind::UpperCase,
            Kind::WithoutMark,
            Kind::Json,
            Kind::HighlightCount,
        ],
        Shape::List => LIST_KINDS,
        Shape::Open => OPEN_KINDS,
    };
    let mut kinds = [&always, own].concat();
    if task.is_template {
        kinds.push(Kind::PlaceholderCount);
    }
    if task.is_narrative {
        kinds.push(Kind::QuoteCount);
    }
    kinds
}

const LIST_KINDS: &[Kind] = &[
    Kind::BulletCount,
    Kind::BulletWords,
    Kind::NumberedCount,
    Kind::TableRows,
    Kind::SectionCount,
    Kind::HighlightCount,
    Kind::WordCount,
    Kind::Keywords,
    Kind::ForbiddenWords,
    Kind::JsonKeys,
    Kind::Json,
    Kind::Title,
    Kind::LowerCase,
    Kind::UpperCase,
    Kind::WithoutMark,
    Kind::CapitalWordCount,
    Kind::NoDigits,
    Kind::Language,
];

const OPEN_KINDS: &[Kind] = &[
    Kind::WordCount,
    Kind::SentenceCount,
    Kind::ParagraphCount,
    Kind::DividedParagraphs,
    Kind::ParagraphStart,
    Kind::LongestSentence,
    Kind::BulletCount,
    Kind::SectionCount,
    Kind::HeadingCount,
    Kind::HighlightCount,
    Kind::Keywords,
    Kind::ForbiddenWords,
    Kind::KeywordCount,
    Kind::LetterCount,
    Kind::CapitalWordCount,
    Kind::NumeralCount,
    Kind::UnitCount,
    Kind::TwoAnswers,
    Kind::JsonKeys,
    Kind::Title,
    Kind::Quoted,
    Kind::LowerCase,
    Kind::UpperCase,
    Kind::WithoutMark,
    Kind::NoDigits,
    Kind::Language,
];

pub(super) const OPENINGS: [&str; 16] = [
    "In short",
    "Here is my answer",
    "Well",
    "To begin with",
    "Good question",
    "Of course",
    "As far as I know",
    "Let me see",
    "The short version",
    "Simply put",
    "First of all",
    "In my view",
    "Believe it or not",
    "For a start",
    "Think of it like this",
    "Dear reader",
];
pub(super) const ENDINGS: [&str; 16] = [
    "That is all.",
    "I hope this helps.",
    "Thank you for reading.",
    "Now it is your turn.",
    "What do you think?",
    "End of answer.",
    "And that is the point.",
    "Nothing more, nothing less.",
    "The rest is up to you.",
    "Good luck!",
    "So much for that.",
    "Keep it in mind.",
    "Case closed.",
    "Ask me again tomorrow.",
    "It is as simple as that.",
    "Until next time!",
];
const FIRST_WORDS: [&str; 6] = ["first", "today", "finally", "because", "imagine", "still"];
/// Words that fit into nearly any text.
const EASY_WORDS: [&str; 10] =
    ["because", "example", "together", "simple", "change", "reason", "people", "often", "small", "later"];
/// Words that writers reach for, so that doing without them is an effort.
pub(super) const FILLERS: [&str; 12] = [
    "very",
    "really",
    "important",
    "great",
    "good",
    "many",
    "also",
    "however",
    "always",
    "just",
    "various",
    "interesting",
];
const KEYS: [&str; 6] = ["title", "answer", "reason", "summary", "example", "keywords"];
const LANGUAGES: [Language; 5] =
    [Language::French, Language::German, Language::Italian, Language::Portuguese, Language::Spanish];
/// The longest request that is repeated, in characters.
const MAX_REPEATED: usize = 300;

/// A constraint of that kind with parameters that a small model can meet in a short text; `None` if the
/// request has nothing to make it from.
fn parameters(kind: Kind, task: &Task, request: &str, rng: &mut impl Rng) -> Option<Constraint> {
    if let Some(counted) = counted(kind, task, rng) {
        return Some(counted);
    }
    Some(match kind {
        Kind::KeywordCount => {
            let n = rng.random_range(2..=3);
            Constraint::KeywordCount { word: one_of(&task.content, rng)?, bound: Bound::AtLeast { n } }
        }
        Kind::LongestSentence => Constraint::LongestSentence { n: 5 * rng.random_range(3..=5) },
        Kind::BulletWords => Constraint::BulletWords { n: rng.random_range(6..=12) },
        Kind::ParagraphStart => {
            let paragraphs = rng.random_range(2..=3);
            let nth = rng.random_range(1..=paragraphs);
            Constraint::ParagraphStart { paragraphs, nth, word: one_of(&FIRST_WORDS, rng)? }
        }
        Kind::Keywords => {
            let mut words = vec![one_of(&EASY_WORDS, rng)?];
            words.extend(one_of(&task.content, rng).filter(|word| *word != words[0]));
            Constraint::Keywords { words }
        }
        Kind::ForbiddenWords => {
            let n = rng.random_range(1..=3);
            let words = FILLERS.sample(rng, n).map(|word| (*word).to_owned());
            Constraint::ForbiddenWords { words: words.filter(|word| !task.content.contains(word)).collect() }
        }
        Kind::StartPhrase => Constraint::StartPhrase { phrase: one_of(&OPENINGS, rng)? },
        Kind::EndPhrase => Constraint::EndPhrase { phrase: one_of(&ENDINGS, rng)? },
        Kind::RepeatRequest => {
            let short = request.trim().chars().count() <= MAX_REPEATED;
            return short.then(|| Constraint::RepeatRequest { request: request.trim().to_owned() });
        }
        // The second postscript needs a first.
        Kind::Postscript => Constraint::Postscript { marker: Postscript::Ps },
        Kind::OneOf => Constraint::OneOf { options: ["Yes", "No", "It depends"].map(str::to_owned).to_vec() },
        Kind::JsonKeys => {
            let n = rng.random_range(1..=3);
            Constraint::JsonKeys { keys: KEYS.sample(rng, n).map(|key| (*key).to_owned()).collect() }
        }
        Kind::CodeBlock => Constraint::CodeBlock { language: task.code_language?.to_owned() },
        Kind::WithoutMark => Constraint::WithoutMark { mark: *Mark::ALL.choose(rng)? },
        Kind::Language => Constraint::Language { language: *LANGUAGES.choose(rng)? },
        Kind::Quoted => Constraint::Quoted,
        Kind::TwoAnswers => Constraint::TwoAnswers,
        Kind::Json => Constraint::Json,
        Kind::Title => Constraint::Title,
        Kind::LowerCase => Constraint::LowerCase,
        Kind::UpperCase => Constraint::UpperCase,
        Kind::NoDigits => Constraint::NoDigits,
        _ => return None,
    })
}

/// The kinds that have a bound and need nothing from the request.
fn counted(kind: Kind, task: &Task, rng: &mut impl Rng) -> Option<Constraint> {
    Some(match kind {
        Kind::WordCount => Constraint::WordCount { bound: word_bound(task.shape, rng) },
        Kind::SentenceCount if matches!(task.shape, Shape::YesNo | Shape::Short) => {
            Constraint::SentenceCount { bound: Bound::AtMost { n: rng.random_range(1..=2) } }
        }
        Kind::SentenceCount => Constraint::SentenceCount { bound: any_bound(2, 5, rng) },
        Kind::ParagraphCount => {
            Constraint::ParagraphCount { bound: Bound::Exactly { n: rng.random_range(2..=3) } }
        }
        Kind::DividedParagraphs => {
            Constraint::DividedParagraphs { bound: Bound::Exactly { n: rng.random_range(2..=3) } }
        }
        Kind::BulletCount => Constraint::BulletCount { bound: any_bound(3, 6, rng) },
        Kind::NumberedCount => Constraint::NumberedCount { bound: any_bound(3, 6, rng) },
        Kind::SectionCount => {
            let marker = one_of(&["Section", "Part", "SECTION", "Step", "Chapter", "Point"], rng)?;
            Constraint::SectionCount { marker, bound: Bound::Exactly { n: rng.random_range(2..=3) } }
        }
        Kind::HeadingCount => Constraint::HeadingCount { bound: any_bound(2, 3, rng) },
        Kind::TableRows => Constraint::TableRows { bound: any_bound(2, 5, rng) },
        Kind::LetterCount => {
            // Letters that are neither everywhere nor hardly anywhere.
            let letter = *['b', 'c', 'f', 'g', 'k', 'p', 'v', 'w'].choose(rng)?;
            Constraint::LetterCount { letter, bound: Bound::AtLeast { n: rng.random_range(3..=8) } }
        }
        Kind::QuoteCount => at_least(rng, 1..=2, |bound| Constraint::QuoteCount { bound }),
        Kind::PlaceholderCount => at_least(rng, 2..=4, |bound| Constraint::PlaceholderCount { bound }),
        Kind::HighlightCount => at_least(rng, 1..=3, |bound| Constraint::HighlightCount { bound }),
        Kind::CapitalWordCount => at_least(rng, 1..=4, |bound| Constraint::CapitalWordCount { bound }),
        Kind::NumeralCount => at_least(rng, 2..=4, |bound| Constraint::NumeralCount { bound }),
        Kind::UnitCount => {
            let unit = task.unit?;
            at_least(rng, 1..=2, |bound| Constraint::UnitCount { unit, bound })
        }
        _ => return None,
    })
}

fn at_least(
    rng: &mut impl Rng,
    range: std::ops::RangeInclusive<u32>,
    make: impl Fn(Bound) -> Constraint,
) -> Constraint {
    make(Bound::AtLeast { n: rng.random_range(range) })
}

/// Multiples of ten, short where the answer is.
fn word_bound(shape: Shape, rng: &mut impl Rng) -> Bound {
    if matches!(shape, Shape::YesNo | Shape::Short) {
        return Bound::AtMost { n: 10 * rng.random_range(2..=5) };
    }
    match rng.random_range(0..3) {
        0 => Bound::AtLeast { n: 10 * rng.random_range(4..=10) },
        1 => Bound::AtMost { n: 10 * rng.random_range(4..=10) },
        _ => {
            let low = 10 * rng.random_range(3..=8);
            Bound::Between { low, high: low + 10 * rng.random_range(3..=5) }
        }
    }
}

/// A bound of any relation with numbers from `low` to `high`.
fn any_bound(low: u32, high: u32, rng: &mut impl Rng) -> Bound {
    let n = rng.random_range(low..=high);
    match rng.random_range(0..4) {
        0 => Bound::AtLeast { n },
        1 => Bound::AtMost { n },
        2 => Bound::Between { low: n, high: n + rng.random_range(1..=2) },
        _ => Bound::Exactly { n },
    }
}

fn one_of<T: AsRef<str>>(words: &[T], rng: &mut impl Rng) -> Option<String> {
    words.choose(rng).map(|word| word.as_ref().to_owned())
}
