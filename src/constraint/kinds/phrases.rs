//! `start_phrase` and `end_phrase`: the first and the last words of a response.

use super::interface::{
    Body, Check, Definition, Error, Fact, Fields, Origin, Request, Response, Rng, Rule, Stage, show, text,
};
use crate::constraint::body::starts_in_prose;
use crate::constraint::fields::Phrase;
use crate::constraint::pick::one_of;
use crate::constraint::request::{CLOSING, OPENING};
use crate::constraint::response::MIN_WORDS;
use crate::constraint::rule::SHOWN;
use crate::constraint::wording::quote;

/// The check ignores quotation marks around a response, so a phrase of nothing else would say nothing.
const PHRASE: Phrase = Phrase { needs_letter: true, ..Phrase::SHORT };

/// Space and double quotes, which may be around a whole response.
pub(super) fn is_wrapping(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '\u{201C}' | '\u{201D}')
}

/// Whether a sentence can be asked for as it is: a few words and plain punctuation. The first words of a
/// longer sentence would be a fragment, which nobody asks for.
fn is_usable(text: &str) -> bool {
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '\'' | ',' | '.' | '!' | '?' | '-');
    let is_short = (1..=6).contains(&text::words(text).count());
    is_short && text.chars().all(is_plain) && text.starts_with(char::is_uppercase)
}

/// Whether a response is long enough to state how it begins and ends.
fn is_long_enough(response: &Response<'_>) -> bool {
    response.is_english && response.text.split_whitespace().count() >= MIN_WORDS
}

/// Begins with the phrase. `IFEval`: `multi-turn:constrained_start`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize)]
pub struct StartPhrase {
    /// The phrase.
    pub phrase: String,
}

impl Rule for StartPhrase {
    fn check(&self, response: &str) -> Check {
        let lower = response.trim_start_matches(is_wrapping).to_lowercase();
        let phrase = self.phrase.trim_start_matches(is_wrapping).to_lowercase();
        let glues = phrase.ends_with(text::is_word_char);
        let rest = lower.strip_prefix(phrase.as_str());
        let passed = rest.is_some_and(|rest| !(glues && rest.starts_with(text::is_word_char)));
        Check::new(passed, format!("the response begins with {}", show(response.trim_start())))
    }

    fn slots(&self) -> Vec<(&'static str, String)> {
        vec![("phrase", quote(&self.phrase))]
    }

    fn validate(&self) -> Result<(), Error> {
        PHRASE.check(Self::KIND.name, "phrase", &self.phrase)
    }

    fn least_words(&self) -> usize {
        text::words(&self.phrase).count() + 1
    }

    fn fixed_texts(&self) -> Vec<&str> {
        vec![&self.phrase]
    }

    fn is_whole(&self) -> bool {
        self.phrase.starts_with(char::is_uppercase)
    }

    fn impose(&self, _: Stage, body: &mut Body<'_>) -> Option<()> {
        // A phrase that was read off another answer does not go with this one.
        OPENINGS.contains(&self.phrase.as_str()).then_some(())?;
        let joint = if starts_in_prose(&body.text) { " " } else { "\n\n" };
        body.text = format!("{}:{joint}{}", self.phrase, body.text);
        Some(())
    }
}

const OPENINGS: [&str; 16] = [
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

impl Origin for StartPhrase {
    const KIND: Definition = Definition {
        name: "start_phrase",
        wordings: &[
            "Begin the answer with {phrase}.",
            "The very first words of the answer must be {phrase}, as they are here.",
            "Open the answer with {phrase} and go on from there.",
        ],
        facts: &[Fact::DecidesStart, Fact::English, Fact::Verbatim, Fact::WithCode],
        decided: |request| request.mentions(OPENING),
        rank: |_| Some(0),
        derive_rank: 27,
        stages: &[Stage::Frame],
        ..Definition::BASE
    };

    fn read(fields: &mut Fields) -> Result<Self, Error> {
        Ok(Self { phrase: fields.string("phrase")? })
    }

    fn draw(_: &Request<'_>, rng: &mut dyn Rng) -> Option<Self> {
        Some(Self { phrase: one_of(&OPENINGS, rng)? })
    }

    /// A short first sentence, or an introduction up to a comma.
    fn derive(response: &Response<'_>, _: &mut dyn Rng) -> Option<Self> {
        let first = response.sentences.first().filter(|_| is_long_enough(response))?;
        let usable = |text: &&str| is_usable(text);
        let introduction = first.split_once(',').map(|(introduction, _)| introduction);
        let phrase = introduction.filter(usable).or(Some(first.trim_end_matches('.')).filter(usable));
        phrase.map(|phrase| Self { phrase: phrase.to_owned() })
    }
}

/// Ends with the phrase. `IFEval`: `startend:end_checker`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize)]
pub struct EndPhrase {
    /// The phrase.
    pub phrase: String,
}

impl Rule for EndPhrase {
    fn check(&self, response: &str) -> Check {
        let lower = response.trim_end_matches(is_wrapping).to_lowercase();
        let phrase = self.phrase.trim_end_matches(is_wrapping).to_lowercase();
        let glues = phrase.starts_with(text::is_word_char);
        let rest = lower.strip_suffix(phrase.as_str());
        let passed = rest.is_some_and(|rest| !(glues && rest.ends_with(text::is_word_char)));
        let end = response.trim_end();
        let tail = end.char_indices().rev().nth(SHOWN - 1).map_or(end, |(at, _)| &end[at..]);
        Check::new(passed, format!("the response ends with {}", show(tail)))
    }

    fn slots(&self) -> Vec<(&'static str, String)> {
        vec![("phrase", quote(&self.phrase))]
    }

    fn validate(&self) -> Result<(), Error> {
        PHRASE.check(Self::KIND.name, "phrase", &self.phrase)
    }

    fn least_words(&self) -> usize {
        text::words(&self.phrase).count() + 1
    }

    fn fixed_texts(&self) -> Vec<&str> {
        vec![&self.phrase]
    }

    fn is_whole(&self) -> bool {
        self.phrase.starts_with(char::is_uppercase)
    }

    fn impose(&self, _: Stage, body: &mut Body<'_>) -> Option<()> {
        ENDINGS.contains(&self.phrase.as_str()).then_some(())?;
        let last = body.text.lines().last().unwrap_or("");
        let is_open = starts_in_prose(last) && body.text.ends_with(['.', '!', '?']);
        let joint = if is_open { " " } else { "\n\n" };
        body.text = format!("{}{joint}{}", body.text, self.phrase);
        Some(())
    }
}

const ENDINGS: [&str; 16] = [
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

impl Origin for EndPhrase {
    const KIND: Definition = Definition {
        name: "end_phrase",
        wordings: &[
            "End with {phrase} and nothing after it.",
            "The very last words of the answer must be {phrase}, and nothing may follow them.",
            "Close the answer with {phrase} as its final words.",
        ],
        facts: &[Fact::DecidesEnd, Fact::English, Fact::Verbatim, Fact::FitsRepeatedRequest, Fact::WithCode],
        decided: |request| request.mentions(CLOSING),
        rank: |_| Some(1),
        derive_rank: 28,
        stages: &[Stage::Frame],
        ..Definition::BASE
    };

    fn read(fields: &mut Fields) -> Result<Self, Error> {
        Ok(Self { phrase: fields.string("phrase")? })
    }

    fn draw(_: &Request<'_>, rng: &mut dyn Rng) -> Option<Self> {
        Some(Self { phrase: one_of(&ENDINGS, rng)? })
    }

    /// A short last sentence. If it spans a line break, the check fails, and the caller drops it.
    fn derive(response: &Response<'_>, _: &mut dyn Rng) -> Option<Self> {
        let last = response.sentences.last().filter(|_| is_long_enough(response));
        let phrase = last.map(|last| last.trim()).filter(|last| is_usable(last));
        phrase.map(|phrase| Self { phrase: phrase.to_owned() })
    }
}
