//! Constraints that a response meets already.
//!
//! A small model meets few constraints that it is given, but every response meets many that nobody asked for.
//! Stating some of them gives an instruction with a right answer by construction. They are measured, then
//! worded as a request: a range around the real length, words that do occur, marks that do not.
//!
//! **Invariant:** everything that is returned passes `check` on the response and conflicts with nothing.

use super::check::{detect, parse_json};
use super::conflict::fits;
use super::draw::FILLERS;
use super::parent::{Task, content_words};
use super::vocabulary::{Language, Mark, Postscript, Unit};
use super::{Bound, Constraint, text};
use crate::rng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, RngExt};
use serde_json::Value;

/// Words below which a response says little about what it does without.
const MIN_WORDS: usize = 25;

/// Up to `count` constraints that `response` to `request` meets; fewer if it has no more to tell. `have` are
/// those that the request states already, `ids` say what they are derived for.
pub fn derive(
    seed: u64,
    ids: &[u64],
    request: &str,
    response: &str,
    have: &[Constraint],
    count: usize,
) -> Vec<Constraint> {
    let task = Task::of(request);
    let mut rng = rng::stream(seed, "constraint.derive", ids);
    let mut candidates = candidates(&task, response, &mut rng);
    candidates.shuffle(&mut rng);
    let mut derived: Vec<Constraint> = Vec::new();
    for candidate in candidates {
        if derived.len() == count {
            break;
        }
        if task.suits(candidate.kind())
            && fits(&candidate, have.iter().chain(&derived))
            && candidate.validate().is_ok()
            && candidate.check(response).passed
        {
            derived.push(candidate);
        }
    }
    derived
}

/// What could be said about a response. What does not hold, or conflicts, is dropped by the caller, so that a
/// rule here may be rough.
fn candidates(task: &Task, response: &str, rng: &mut impl Rng) -> Vec<Constraint> {
    let mut found = Vec::new();
    // Wordings are in English; about a response that is not, only the language and the layout can be said.
    let language = detect(response);
    let is_english = language == Some(Language::English) && !task.is_foreign;
    let layout = text::Layout::of(response);
    add_layout(&mut found, response, &layout, rng);
    add_form(&mut found, response, &layout);
    if is_english {
        add_lengths(&mut found, response, rng);
        add_words(&mut found, task, response, rng);
        add_numbers(&mut found, response);
        add_ends(&mut found, response);
    }
    if text::words(response).count() >= MIN_WORDS {
        add_absences(&mut found, response, rng);
        found.extend(language.filter(|_| !is_english).map(|language| Constraint::Language { language }));
    }
    found
}

/// How many of something a response has.
fn measured(probe: &Constraint, response: &str) -> u32 {
    probe.measure(response).and_then(|count| u32::try_from(count).ok()).unwrap_or(0)
}

/// Makes a constraint of one kind from its bound.
type Make = fn(Bound) -> Constraint;

/// The counts of parts that a reader sees, exactly or as a range that includes them.
fn add_layout(found: &mut Vec<Constraint>, response: &str, layout: &text::Layout<'_>, rng: &mut impl Rng) {
    // Bounds are replaced; these only say what to measure.
    let any = Bound::AtLeast { n: 1 };
    let counts: [(Make, u32); 7] = [
        (|bound| Constraint::BulletCount { bound }, 2),
        (|bound| Constraint::NumberedCount { bound }, 2),
        (|bound| Constraint::HeadingCount { bound }, 2),
        (|bound| Constraint::TableRows { bound }, 1),
        (|bound| Constraint::DividedParagraphs { bound }, 2),
        (|bound| Constraint::HighlightCount { bound }, 1),
        (|bound| Constraint::PlaceholderCount { bound }, 1),
    ];
    for (make, least) in counts {
        let n = measured(&make(any), response);
        if n >= least {
            found.push(make(around(n, rng)));
        }
    }
    for marker in ["Section", "SECTION", "Part", "Step", "Chapter"] {
        let make = |bound| Constraint::SectionCount { marker: marker.to_owned(), bound };
        let n = measured(&make(any), response);
        if n >= 2 {
            found.push(make(around(n, rng)));
        }
    }
    let items = layout.prose.iter().filter_map(|line| text::bullet(line));
    if let Some(longest) = items.map(|item| text::words(item).count()).max() {
        found.push(Constraint::BulletWords { n: (longest as u32).next_multiple_of(5) });
    }
}

/// A bound that holds for `n` and tells something about it.
fn around(n: u32, rng: &mut impl Rng) -> Bound {
    match rng.random_range(0..4) {
        0 => Bound::AtLeast { n },
        1 => Bound::Between { low: n.saturating_sub(1).max(1), high: n.saturating_add(1) },
        _ => Bound::Exactly { n },
    }
}

/// Forms that a whole response has or has not.
fn add_form(found: &mut Vec<Constraint>, response: &str, layout: &text::Layout<'_>) {
    found.extend([Constraint::Quoted, Constraint::Title, Constraint::TwoAnswers, Constraint::Json]);
    found.extend(Postscript::ALL.iter().map(|&marker| Constraint::Postscript { marker }));
    if let Ok(Value::Object(object)) = parse_json(response) {
        found.push(Constraint::JsonKeys { keys: object.keys().take(3).cloned().collect() });
    }
    let language = layout.code.iter().map(|block| block.language).find(|language| !language.is_empty());
    found.extend(language.map(|language| Constraint::CodeBlock { language: language.to_owned() }));
}

/// Lengths, rounded: nobody asks for 87 words.
fn add_lengths(found: &mut Vec<Constraint>, response: &str, rng: &mut impl Rng) {
    let words = text::words(response).count() as u32;
    let step = match words {
        0..100 => 10,
        100..300 => 25,
        _ => 50,
    };
    let low = words / step * step;
    // Not at the limit itself, and room for those who count "don't" as one word.
    let high = (words + step / 2).next_multiple_of(step);
    if words >= 20 {
        let bound = match rng.random_range(0..3) {
            0 => Bound::AtLeast { n: low },
            1 => Bound::AtMost { n: high },
            _ => Bound::Between { low, high },
        };
        found.push(Constraint::WordCount { bound });
    }
    let sentences = super::sentence::sentences(response);
    let has_structure = text::Layout::of(response).prose.iter().any(|line| {
        text::bullet(line).is_some()
            || text::numbered(line).is_some()
            || text::heading(line).is_some()
            || line.contains('|')
    });
    if has_structure || sentences.is_empty() {
        return;
    }
    if (2..=12).contains(&sentences.len()) {
        found.push(Constraint::SentenceCount { bound: around(sentences.len() as u32, rng) });
    }
    let longest = sentences.iter().map(|sentence| text::words(sentence).count()).max().unwrap_or(0);
    if sentences.len() >= 2 && longest <= 30 {
        found.push(Constraint::LongestSentence { n: (longest as u32).next_multiple_of(5) });
    }
    add_paragraphs(found, response, rng);
}

fn add_paragraphs(found: &mut Vec<Constraint>, response: &str, rng: &mut impl Rng) {
    let paragraphs = text::paragraphs(response);
    let count = paragraphs.len() as u32;
    if !(2..=8).contains(&count) {
        return;
    }
    found.push(Constraint::ParagraphCount { bound: Bound::Exactly { n: count } });
    let nth = rng.random_range(1..=count);
    let word = text::words(paragraphs[nth as usize - 1]).next().unwrap_or("").to_lowercase();
    found.push(Constraint::ParagraphStart { paragraphs: count, nth, word });
}

/// Words that the response has and the request does not, and words that are usual and that it does without.
fn add_words(found: &mut Vec<Constraint>, task: &Task, response: &str, rng: &mut impl Rng) {
    let own: Vec<String> =
        content_words(response).into_iter().filter(|word| !task.content.contains(word)).collect();
    let n = rng.random_range(1..=3);
    let words: Vec<String> = own.sample(rng, n).cloned().collect();
    found.push(Constraint::Keywords { words });
    let count = |word: &String| {
        let probe = Constraint::KeywordCount { word: word.clone(), bound: Bound::AtLeast { n: 1 } };
        (word.clone(), measured(&probe, response))
    };
    let often: Vec<(String, u32)> =
        own.iter().chain(&task.content).map(count).filter(|&(_, times)| times >= 2).collect();
    if let Some((word, times)) = often.choose(rng) {
        found.push(Constraint::KeywordCount { word: word.clone(), bound: Bound::AtLeast { n: *times } });
    }
    let capital = measured(&Constraint::CapitalWordCount { bound: Bound::AtLeast { n: 1 } }, response);
    if (1..=20).contains(&capital) {
        found.push(Constraint::CapitalWordCount { bound: Bound::AtLeast { n: capital } });
    }
    let quotes = measured(&Constraint::QuoteCount { bound: Bound::AtLeast { n: 1 } }, response);
    if quotes >= 1 {
        found.push(Constraint::QuoteCount { bound: around(quotes, rng) });
    }
}

fn add_numbers(found: &mut Vec<Constraint>, response: &str) {
    let any = Bound::AtLeast { n: 1 };
    let numerals = measured(&Constraint::NumeralCount { bound: any }, response);
    if numerals >= 2 {
        found.push(Constraint::NumeralCount { bound: Bound::AtLeast { n: numerals } });
    }
    for &unit in Unit::ALL {
        let n = measured(&Constraint::UnitCount { unit, bound: any }, response);
        if n >= 1 {
            found.push(Constraint::UnitCount { unit, bound: Bound::AtLeast { n } });
        }
    }
}

/// The most words of a first or last sentence that can be asked for as it is.
const PHRASE: usize = 6;

/// How it begins and how it ends, where that is a short sentence or an introduction up to a comma: the first
/// words of a longer sentence are a fragment that nobody asks for.
fn add_ends(found: &mut Vec<Constraint>, response: &str) {
    if response.split_whitespace().count() < MIN_WORDS {
        return;
    }
    let sentences = super::sentence::sentences(response);
    let is_plain = |text: &str| {
        text.chars().all(|c| c.is_alphanumeric() || matches!(c, ' ' | '\'' | ',' | '.' | '!' | '?' | '-'))
            && text.starts_with(char::is_uppercase)
    };
    let is_short = |text: &str| (1..=PHRASE).contains(&text::words(text).count());
    let usable = |text: &&str| is_plain(text) && is_short(text);
    if let Some(first) = sentences.first() {
        let introduction = first.split_once(',').map(|(introduction, _)| introduction);
        let phrase = introduction.filter(usable).or(Some(first.trim_end_matches('.')).filter(usable));
        found.extend(phrase.map(|phrase| Constraint::StartPhrase { phrase: phrase.to_owned() }));
    }
    // Words over a line break are no phrase: the check then says so.
    if let Some(last) = sentences.last().map(|last| last.trim()).filter(usable) {
        found.push(Constraint::EndPhrase { phrase: last.to_owned() });
    }
}

/// Usual things that a text of some length does without.
fn add_absences(found: &mut Vec<Constraint>, response: &str, rng: &mut impl Rng) {
    // The marks that nearly every text of that length has.
    found.extend([Mark::Comma, Mark::Colon].map(|mark| Constraint::WithoutMark { mark }));
    if text::words(response).count() >= 2 * MIN_WORDS {
        found.push(Constraint::NoDigits);
    }
    found.extend([Constraint::LowerCase, Constraint::UpperCase]);
    let lower = response.to_lowercase();
    let absent: Vec<&str> =
        FILLERS.iter().copied().filter(|word| text::count_phrase(&lower, word) == 0).collect();
    let n = rng.random_range(1..=3);
    let words = absent.sample(rng, n).map(|word| (*word).to_owned()).collect();
    found.push(Constraint::ForbiddenWords { words });
}
