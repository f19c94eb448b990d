//! What a constraint says to the model: sentences of our own with slots for the parameters.
//!
//! A slot is `{name}`; it is filled in one pass, so that braces in a parameter stay as they are. `{amount}`
//! is the bound with its noun, which has wordings of its own.
//!
//! **Invariant:** every wording of a kind has every slot of the kind: none leaves a parameter unsaid.

use super::{Constraint, Kind};

impl Constraint {
    /// The requirement as a sentence (or two) to add to a request. There are as many wordings as
    /// [`Constraint::wordings`] says; a larger index begins again.
    pub fn text(&self, wording: usize) -> String {
        let templates = templates(self.kind());
        fill(templates[wording % templates.len()], &self.slots(wording))
    }

    /// How many wordings there are.
    pub fn wordings(&self) -> usize {
        templates(self.kind()).len()
    }

    /// What the slots of its templates hold.
    pub(super) fn slots(&self, wording: usize) -> Vec<(&'static str, String)> {
        let mut slots = Vec::new();
        if let Some(bound) = self.bound() {
            slots.push(("amount", bound.in_words(wording, self.kind().noun())));
        }
        match self {
            Self::SectionCount { marker, .. } => slots.push(("marker", marker.clone())),
            Self::KeywordCount { word, .. } => slots.push(("word", quote(word))),
            Self::LetterCount { letter, .. } => slots.push(("letter", letter.to_string())),
            Self::UnitCount { unit, .. } => slots.push(("unit", unit.in_words().to_owned())),
            Self::LongestSentence { n } | Self::BulletWords { n } => {
                slots.push(("n", self.kind().noun().amount(*n)));
            }
            Self::ParagraphStart { paragraphs, nth, word } => {
                slots.push(("paragraphs", self.kind().noun().amount(*paragraphs)));
                slots.push(("nth", nth.to_string()));
                slots.push(("word", quote(word)));
            }
            Self::Keywords { words } => slots.push(("words", list(words, "and"))),
            Self::ForbiddenWords { words } => slots.push(("words", list(words, "or"))),
            Self::StartPhrase { phrase } | Self::EndPhrase { phrase } => {
                slots.push(("phrase", quote(phrase)));
            }
            Self::RepeatRequest { request } => slots.push(("request", quote(request))),
            Self::Postscript { marker } => slots.push(("marker", marker.name().to_owned())),
            Self::OneOf { options } => slots.push(("options", list(options, "or"))),
            Self::JsonKeys { keys } => slots.push(("keys", list(keys, "and"))),
            Self::CodeBlock { language } => slots.push(("language", language.clone())),
            Self::WithoutMark { mark } => slots.push(("mark", mark.in_words().to_owned())),
            Self::Language { language } => slots.push(("language", language.in_words().to_owned())),
            _ => {}
        }
        slots
    }
}

/// A word or phrase as a sentence quotes it: with double quotes unless it has some.
fn quote(phrase: &str) -> String {
    if phrase.contains('"') { format!("`{phrase}`") } else { format!("\"{phrase}\"") }
}

/// `"a"`, `"b"` and `"c"`.
fn list(words: &[String], conjunction: &str) -> String {
    let quoted: Vec<String> = words.iter().map(|word| quote(word)).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} {conjunction} {last}", rest.join(", ")),
    }
}

/// Puts the values into the slots. A brace that begins no slot stays.
fn fill(template: &str, slots: &[(&'static str, String)]) -> String {
    let mut filled = String::new();
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        filled.push_str(&rest[..open]);
        let after = &rest[open + 1..];
        let slot = slots
            .iter()
            .find(|(name, _)| after.strip_prefix(name).is_some_and(|after| after.starts_with('}')));
        rest = if let Some((name, value)) = slot {
            filled.push_str(value);
            &after[name.len() + 1..]
        } else {
            filled.push('{');
            after
        };
    }
    filled.push_str(rest);
    filled
}

/// The wordings of a kind.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn templates(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::WordCount => {
            &["Write {amount}.", "The whole answer must have {amount}.", "As for length, I need {amount}."]
        }
        Kind::SentenceCount => {
            &["Answer in {amount}.", "The answer must consist of {amount}.", "Say it in {amount} altogether."]
        }
        Kind::ParagraphCount => &[
            "Write {amount}, with a blank line between one and the next.",
            "The answer must have {amount}; leave a blank line after each.",
            "Set it out as {amount}, kept apart by blank lines.",
        ],
        Kind::DividedParagraphs => &[
            "Write {amount} and put a line with only *** between one and the next.",
            "The text must have {amount}, divided by lines that are just ***.",
            "Split the answer into {amount}; a line of three asterisks (***) divides them.",
        ],
        Kind::BulletCount => &[
            "Use {amount}, each on a line that begins with \"- \".",
            "The answer must have {amount} in markdown (\"- \" at the start of a line).",
            "I want to see {amount}, marked with a hyphen.",
        ],
        Kind::NumberedCount => &[
            "Give a numbered list (1., 2., ...) with {amount}.",
            "The answer must have {amount}, one on each line, such as \"1. First\".",
            "Number your points like 1., 2., 3.; I want {amount}.",
        ],
        Kind::SectionCount => &[
            "Divide the answer into {amount}, each headed \"{marker}\" and its number, such as {marker} 1.",
            "There must be {amount}. Begin each on a new line with {marker} and a number ({marker} 1, ...).",
            "Write {amount} and head them {marker} 1 and so on, each heading on its own line.",
        ],
        Kind::HeadingCount => &[
            "Use {amount} in markdown, such as \"## Background\".",
            "Structure the answer with {amount}; a heading is a line that begins with #.",
            "The answer must have {amount} in markdown form (# and a space first).",
        ],
        Kind::TableRows => &[
            "Include a markdown table with {amount} under its header.",
            "Put the facts into a markdown table that has {amount}, not counting the header.",
            "There must be a table in markdown, with a header and {amount} below it.",
        ],
        Kind::KeywordCount => &[
            "Use {word} {amount}.",
            "The answer must contain {word} {amount}.",
            "Let {word} appear {amount}.",
        ],
        Kind::LetterCount => &[
            "Use the letter \"{letter}\" {amount}.",
            "The letter \"{letter}\" must occur {amount} in the answer.",
            "Choose your words so that the letter \"{letter}\" appears {amount}.",
        ],
        Kind::QuoteCount => &[
            "Include {amount} in double quotation marks.",
            "The answer must have {amount} (words between double quotation marks).",
            "Work in {amount}, each between \" and \".",
        ],
        Kind::PlaceholderCount => &[
            "Leave {amount} in square brackets to be filled in, such as [name].",
            "The text must have {amount}, written like [date].",
            "Where details are missing, put blanks such as [place]: {amount} in all.",
        ],
        Kind::HighlightCount => &[
            "Mark {amount} with asterisks, *like this*.",
            "The answer must have {amount}, each between asterisks (*so*).",
            "Emphasise what matters in markdown, *in this way*: {amount}.",
        ],
        Kind::CapitalWordCount => &[
            "Write {amount}, LIKE this one; single letters do not count.",
            "The answer must have {amount} (such as VERY); single letters do not count.",
            "Use {amount} for emphasis, each of two letters or more, such as NOW.",
        ],
        Kind::NumeralCount => &[
            "Write {amount} in digits.",
            "The answer must contain {amount} written as figures (such as 12).",
            "In the answer I want {amount}, in digits and not in words.",
        ],
        Kind::UnitCount => &[
            "Give {unit}: {amount} of that form in all.",
            "State {unit}; the answer must have {amount} like that.",
            "Be concrete and name {unit}, with {amount} of the kind.",
        ],
        kind => uncounted_templates(kind),
    }
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn uncounted_templates(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::LongestSentence => &[
            "No sentence may have more than {n}.",
            "Keep every sentence to {n} at the most.",
            "Write short sentences: {n} or fewer in each.",
        ],
        Kind::BulletWords => &[
            "Answer with bullet points (\"- \"), each of at most {n}.",
            "Use bullet points that begin with a hyphen, and give none more than {n}.",
            "Make it a bulleted list in which no item is longer than {n}.",
        ],
        Kind::ParagraphStart => &[
            "Write exactly {paragraphs} with a blank line between them; the first word of paragraph {nth} must be {word}.",
            "The answer must have {paragraphs}, separated by blank lines, and paragraph {nth} must begin with {word}.",
            "Let {word} be the first word of paragraph {nth}. There must be {paragraphs} in all, kept apart by blank lines.",
        ],
        Kind::Keywords => {
            &["Use {words} in the answer.", "The answer must mention {words}.", "Work in {words} somewhere."]
        }
        Kind::ForbiddenWords => &[
            "Do not use {words} anywhere.",
            "Find a way to answer without {words}.",
            "The answer must never say {words}.",
        ],
        Kind::StartPhrase => &[
            "Begin the answer with {phrase}.",
            "The very first words of the answer must be {phrase}, as they are here.",
            "Open the answer with {phrase} and go on from there.",
        ],
        Kind::EndPhrase => &[
            "End with {phrase} and nothing after it.",
            "The very last words of the answer must be {phrase}, and nothing may follow them.",
            "Close the answer with {phrase} as its final words.",
        ],
        Kind::Quoted => &[
            "Put the whole answer between double quotation marks.",
            "The first and the last character of the answer must be a double quotation mark.",
            "Present all of it as one quotation, in double quotation marks.",
        ],
        Kind::RepeatRequest => &[
            "Before you answer, repeat this word for word: {request}",
            "Start by copying the following exactly, and answer after it: {request}",
            "The answer must begin with these words, unchanged: {request}",
        ],
        Kind::Postscript => &[
            "Add a postscript at the end that begins with {marker}",
            "After the answer, write one more line that begins with {marker}",
            "Finish with an afterthought on a line of its own, marked {marker}",
        ],
        Kind::TwoAnswers => &[
            "Give two different answers, and put ****** (six asterisks) between them and nowhere else.",
            "I want two answers that are not the same, divided by a line of six asterisks: ******",
            "Answer twice, in different ways, with ****** between the first answer and the second.",
        ],
        Kind::OneOf => &[
            "Reply with {options}, and with nothing else.",
            "The only possible replies are {options}. Add no other words.",
            "Choose among {options} and write just that.",
        ],
        Kind::Json => &[
            "Answer with one JSON object or array and no text around it.",
            "The whole answer must be valid JSON: an object or an array.",
            "Give the answer as JSON (an object or a list), so that a program can parse all of it.",
        ],
        Kind::JsonKeys => &[
            "Answer with one JSON object and no text around it; its keys must include {keys}.",
            "The whole answer must be a JSON object that has the keys {keys}.",
            "Give me nothing but a JSON object with {keys} among its keys.",
        ],
        Kind::Title => &[
            "Give the answer a title between double angle brackets, such as <<A Day Out>>.",
            "There must be a title, written like <<Title>>.",
            "Put a fitting title in << and >> above the text.",
        ],
        Kind::CodeBlock => &[
            "Put the code into a fenced block marked {language} (```{language}).",
            "The answer must have a code block that opens with ```{language}.",
            "Show it in a markdown code block whose language is given as {language}.",
        ],
        Kind::LowerCase => &[
            "Write everything in English and in lower case, without a single capital letter.",
            "Use no capital letters at all; the answer must be in English.",
            "The whole answer must be English in small letters only.",
        ],
        Kind::UpperCase => &[
            "Write everything in English and in capital letters.",
            "Use no small letters at all; the answer must be in English.",
            "The whole answer must be English in capitals only.",
        ],
        Kind::WithoutMark => &[
            "Use no {mark}.",
            "Write the whole answer without {mark}.",
            "There must be no {mark} anywhere in the answer.",
        ],
        Kind::Language => &[
            "Write the whole answer in {language}.",
            "The answer must be in {language}, all of it.",
            "Use {language} and no other language for the answer.",
        ],
        Kind::NoDigits => &[
            "Use no digits; spell numbers out.",
            "The answer must not contain a single digit.",
            "Write every number in words, so that there are no figures in the text.",
        ],
        // The others count.
        _ => &["{amount}"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::constraint::{Bound, tests::samples};

    #[test]
    fn every_kind_has_three_different_wordings_with_all_its_slots() {
        for constraint in samples() {
            let name = constraint.kind().name();
            let texts: Vec<String> =
                (0..constraint.wordings()).map(|wording| constraint.text(wording)).collect();
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
        let text = Constraint::Keywords { words }.text(0);
        assert_eq!(text, "Use \"blue\", `say \"hi\"` and \"{words}\" in the answer.");
        let count = |n| Constraint::BulletCount { bound: Bound::Exactly { n } }.text(0);
        assert_eq!(count(1), "Use exactly 1 bullet point, each on a line that begins with \"- \".");
        assert_eq!(count(2), "Use exactly 2 bullet points, each on a line that begins with \"- \".");
    }
}
