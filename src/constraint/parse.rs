//! From JSON to a valid constraint, with messages that name the field.
//!
//! serde's own messages for tagged enums name neither the kind nor the field, and a flattened enum cannot
//! refuse unknown fields; so the fields are taken one by one.
//!
//! **Invariant:** what comes out passed [`Constraint::validate`].

use super::bound::{Bound, MAX_COUNT};
use super::{Constraint, Error, Kind, Language, Mark, Postscript, Unit};
use serde_json::{Map, Value};

/// The longest word, phrase, key or option, in characters: they are quoted in a sentence.
const MAX_PHRASE: usize = 200;
/// The longest request that is to be repeated.
const MAX_REQUEST: usize = 4000;
/// The longest list of words.
const MAX_LIST: usize = 20;

/// The fields of one object; each is taken once, and what is left at the end is unknown.
struct Fields {
    kind: &'static str,
    left: Map<String, Value>,
    taken: Vec<&'static str>,
}

impl Fields {
    fn bad(&self, field: &'static str, found: String, expected: impl Into<String>) -> Error {
        Error::Field { kind: self.kind, field, found, expected: expected.into() }
    }

    /// The value of a field, or `Null`, which no field expects.
    fn take(&mut self, field: &'static str) -> Value {
        self.taken.push(field);
        self.left.remove(field).unwrap_or(Value::Null)
    }

    fn number(&mut self, field: &'static str) -> Result<u32, Error> {
        let value = self.take(field);
        let number = value.as_u64().and_then(|n| u32::try_from(n).ok());
        number.ok_or_else(|| self.bad(field, describe(&value), "a whole number"))
    }

    fn string(&mut self, field: &'static str) -> Result<String, Error> {
        match self.take(field) {
            Value::String(text) => Ok(text),
            other => Err(self.bad(field, describe(&other), "a string")),
        }
    }

    fn strings(&mut self, field: &'static str) -> Result<Vec<String>, Error> {
        let Value::Array(values) = self.take(field) else {
            return Err(self.bad(field, "no list".to_owned(), "a list of strings"));
        };
        let strings = values.into_iter().map(|value| match value {
            Value::String(text) => Ok(text),
            other => {
                Err(self.bad(field, format!("a list with {} in it", describe(&other)), "a list of strings"))
            }
        });
        strings.collect()
    }

    /// A word of a closed set.
    fn named<T: Copy>(
        &mut self,
        field: &'static str,
        all: &[T],
        name: fn(T) -> &'static str,
    ) -> Result<T, Error> {
        let value = self.take(field);
        let found = all.iter().copied().find(|&one| value == name(one));
        found.ok_or_else(|| {
            let names: Vec<String> = all.iter().map(|&one| format!("`{}`", name(one))).collect();
            self.bad(field, describe(&value), format!("one of: {}", names.join(", ")))
        })
    }

    fn letter(&mut self, field: &'static str) -> Result<char, Error> {
        let text = self.string(field)?;
        let mut chars = text.chars();
        match (chars.next(), chars.next()) {
            (Some(letter), None) => Ok(letter),
            _ => Err(self.bad(field, format!("`{text}`"), "one letter")),
        }
    }

    fn bound(&mut self) -> Result<Bound, Error> {
        let relation = self.take("relation");
        match relation.as_str() {
            Some("at_least") => Ok(Bound::AtLeast { n: self.number("n")? }),
            Some("at_most") => Ok(Bound::AtMost { n: self.number("n")? }),
            Some("exactly") => Ok(Bound::Exactly { n: self.number("n")? }),
            Some("between") => Ok(Bound::Between { low: self.number("low")?, high: self.number("high")? }),
            _ => Err(self.bad(
                "relation",
                describe(&relation),
                "one of: `at_least`, `at_most`, `exactly`, `between`",
            )),
        }
    }

    fn finish(self) -> Result<(), Error> {
        let Some(field) = self.left.keys().next() else { return Ok(()) };
        let names: Vec<String> = self.taken.iter().map(|name| format!("`{name}`")).collect();
        let expected =
            if names.is_empty() { "no parameters".to_owned() } else { format!("only {}", names.join(", ")) };
        Err(Error::UnknownField { kind: self.kind, field: field.clone(), expected })
    }
}

/// A value as a message shows it.
fn describe(value: &Value) -> String {
    match value {
        Value::Null => "missing".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    }
}

impl TryFrom<Map<String, Value>> for Constraint {
    type Error = Error;

    fn try_from(mut left: Map<String, Value>) -> Result<Self, Error> {
        let name = left.remove("kind").unwrap_or(Value::Null);
        let kind = name.as_str().and_then(Kind::parse);
        let kind = kind.ok_or_else(|| Error::Kind { found: describe(&name) })?;
        let mut fields = Fields { kind: kind.name(), left, taken: Vec::new() };
        let constraint = Self::read(kind, &mut fields)?;
        fields.finish()?;
        constraint.validate()?;
        Ok(constraint)
    }
}

impl Constraint {
    fn read(kind: Kind, fields: &mut Fields) -> Result<Self, Error> {
        Ok(match kind {
            Kind::WordCount => Self::WordCount { bound: fields.bound()? },
            Kind::SentenceCount => Self::SentenceCount { bound: fields.bound()? },
            Kind::ParagraphCount => Self::ParagraphCount { bound: fields.bound()? },
            Kind::DividedParagraphs => Self::DividedParagraphs { bound: fields.bound()? },
            Kind::BulletCount => Self::BulletCount { bound: fields.bound()? },
            Kind::NumberedCount => Self::NumberedCount { bound: fields.bound()? },
            Kind::SectionCount => {
                Self::SectionCount { marker: fields.string("marker")?, bound: fields.bound()? }
            }
            Kind::HeadingCount => Self::HeadingCount { bound: fields.bound()? },
            Kind::TableRows => Self::TableRows { bound: fields.bound()? },
            Kind::KeywordCount => Self::KeywordCount { word: fields.string("word")?, bound: fields.bound()? },
            Kind::LetterCount => {
                Self::LetterCount { letter: fields.letter("letter")?, bound: fields.bound()? }
            }
            Kind::QuoteCount => Self::QuoteCount { bound: fields.bound()? },
            Kind::PlaceholderCount => Self::PlaceholderCount { bound: fields.bound()? },
            Kind::HighlightCount => Self::HighlightCount { bound: fields.bound()? },
            Kind::CapitalWordCount => Self::CapitalWordCount { bound: fields.bound()? },
            Kind::NumeralCount => Self::NumeralCount { bound: fields.bound()? },
            Kind::UnitCount => {
                Self::UnitCount { unit: fields.named("unit", Unit::ALL, Unit::name)?, bound: fields.bound()? }
            }
            Kind::LongestSentence => Self::LongestSentence { n: fields.number("n")? },
            Kind::BulletWords => Self::BulletWords { n: fields.number("n")? },
            Kind::ParagraphStart => Self::ParagraphStart {
                paragraphs: fields.number("paragraphs")?,
                nth: fields.number("nth")?,
                word: fields.string("word")?,
            },
            Kind::Keywords => Self::Keywords { words: fields.strings("words")? },
            Kind::ForbiddenWords => Self::ForbiddenWords { words: fields.strings("words")? },
            Kind::StartPhrase => Self::StartPhrase { phrase: fields.string("phrase")? },
            Kind::EndPhrase => Self::EndPhrase { phrase: fields.string("phrase")? },
            Kind::Quoted => Self::Quoted,
            Kind::RepeatRequest => Self::RepeatRequest { request: fields.string("request")? },
            Kind::Postscript => {
                Self::Postscript { marker: fields.named("marker", Postscript::ALL, Postscript::name)? }
            }
            Kind::TwoAnswers => Self::TwoAnswers,
            Kind::OneOf => Self::OneOf { options: fields.strings("options")? },
            Kind::Json => Self::Json,
            Kind::JsonKeys => Self::JsonKeys { keys: fields.strings("keys")? },
            Kind::Title => Self::Title,
            Kind::CodeBlock => Self::CodeBlock { language: fields.string("language")? },
            Kind::LowerCase => Self::LowerCase,
            Kind::UpperCase => Self::UpperCase,
            Kind::WithoutMark => Self::WithoutMark { mark: fields.named("mark", Mark::ALL, Mark::name)? },
            Kind::Language => {
                Self::Language { language: fields.named("language", Language::ALL, Language::name)? }
            }
            Kind::NoDigits => Self::NoDigits,
        })
    }

    /// Whether its parameters make sense: it asks for something, and for something that a text can have.
    ///
    /// # Errors
    ///
    /// The first parameter that does not.
    pub fn validate(&self) -> Result<(), Error> {
        let kind = self.kind();
        if let Some(bound) = self.bound() {
            bound.validate(kind.name())?;
        }
        let bad = |field, found: String, expected: &str| {
            Err(Error::Field { kind: kind.name(), field, found, expected: expected.to_owned() })
        };
        match self {
            Self::SectionCount { marker, .. } => phrase(kind, "marker", marker, MAX_PHRASE),
            Self::KeywordCount { word, .. } => phrase(kind, "word", word, MAX_PHRASE),
            Self::LetterCount { letter, .. } if !letter.is_ascii_lowercase() => {
                bad("letter", format!("`{letter}`"), "a lower-case letter from `a` to `z`")
            }
            Self::LongestSentence { n } | Self::BulletWords { n } if !(1..=MAX_COUNT).contains(n) => {
                bad("n", format!("`{n}`"), "1 to 100000")
            }
            Self::ParagraphStart { paragraphs, nth, word } => {
                if !(1..=MAX_COUNT).contains(paragraphs) {
                    return bad("paragraphs", format!("`{paragraphs}`"), "1 to 100000");
                }
                if !(1..=*paragraphs).contains(nth) {
                    return bad("nth", format!("`{nth}`"), "1 to `paragraphs`");
                }
                let is_word = !word.is_empty() && word.chars().all(super::text::is_word_char);
                let is_lower = word.chars().flat_map(char::to_lowercase).eq(word.chars());
                if is_word && is_lower {
                    return Ok(());
                }
                bad("word", format!("`{word}`"), "one word in lower case")
            }
            Self::Keywords { words } | Self::ForbiddenWords { words } => phrases(kind, "words", words, 1),
            Self::StartPhrase { phrase: text } | Self::EndPhrase { phrase: text } => {
                phrase(kind, "phrase", text, MAX_PHRASE)
            }
            Self::RepeatRequest { request } => phrase(kind, "request", request, MAX_REQUEST),
            Self::OneOf { options } => phrases(kind, "options", options, 2),
            Self::JsonKeys { keys } => phrases(kind, "keys", keys, 1),
            Self::CodeBlock { language } if language.contains(['`', '~', ' ', '\t']) => {
                bad("language", format!("`{language}`"), "a name without spaces, backticks and tildes")
            }
            Self::CodeBlock { language } => phrase(kind, "language", language, MAX_PHRASE),
            _ => Ok(()),
        }
    }
}

/// A phrase is not blank and has no blanks around it. A request may span lines.
fn phrase(kind: Kind, field: &'static str, text: &str, max: usize) -> Result<(), Error> {
    let length = text.chars().count();
    let is_odd =
        |c: char| c.is_control() && (kind != Kind::RepeatRequest || !matches!(c, '\n' | '\r' | '\t'));
    let expected = if length > max {
        format!("at most {max} characters, not {length}")
    } else if text.trim().is_empty() {
        "some text".to_owned()
    } else if text.trim() != text {
        "no blanks around it".to_owned()
    } else if text.chars().any(is_odd) {
        "no control characters".to_owned()
    } else if matches!(kind, Kind::StartPhrase | Kind::EndPhrase) && !text.contains(char::is_alphanumeric) {
        // Quotation marks around a response are not looked at, so that a phrase of these would say nothing.
        "a letter or digit in it".to_owned()
    } else {
        return Ok(());
    };
    let shown: String = text.chars().take(MAX_PHRASE).collect();
    Err(Error::Field { kind: kind.name(), field, found: format!("`{}`", shown.escape_debug()), expected })
}

fn phrases(kind: Kind, field: &'static str, texts: &[String], least: usize) -> Result<(), Error> {
    let bad =
        |found: String, expected: String| Err(Error::Field { kind: kind.name(), field, found, expected });
    if !(least..=MAX_LIST).contains(&texts.len()) {
        return bad(format!("a list of {}", texts.len()), format!("{least} to {MAX_LIST} of them"));
    }
    for (at, text) in texts.iter().enumerate() {
        phrase(kind, field, text, MAX_PHRASE)?;
        if texts[..at].iter().any(|other| other.to_lowercase() == text.to_lowercase()) {
            return bad(format!("a list with `{text}` twice"), "each once".to_owned());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(json: &str) -> String {
        serde_json::from_str::<Constraint>(json).unwrap_err().to_string()
    }

    #[test]
    fn a_constraint_is_read_from_json_and_written_as_it_was() {
        let json = r#"{"kind":"word_count","relation":"at_least","n":120}"#;
        let constraint: Constraint = serde_json::from_str(json).unwrap();
        assert_eq!(constraint, Constraint::WordCount { bound: Bound::AtLeast { n: 120 } });
        assert_eq!(serde_json::to_string(&constraint).unwrap(), json);
        let json = r#"{"kind":"section_count","marker":"Part","relation":"between","low":2,"high":4}"#;
        let constraint: Constraint = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&constraint).unwrap(), json);
    }

    #[test]
    fn a_bad_parameter_is_named_with_what_was_found_and_expected() {
        let cases = [
            (
                r#"{"n":1}"#,
                "`kind` of a constraint is missing, expected one of: `word_count`, `sentence_count`",
            ),
            (r#"{"kind":"wordcount"}"#, "is `wordcount`, expected one of:"),
            (
                r#"{"kind":"word_count","relation":"at_least","n":"12"}"#,
                "`n` of constraint `word_count` is `12`, expected a whole number",
            ),
            (r#"{"kind":"word_count","relation":"at_least","n":-3}"#, "is `-3`, expected a whole number"),
            (r#"{"kind":"word_count","relation":"at_least"}"#, "`n` of constraint `word_count` is missing"),
            (
                r#"{"kind":"word_count","relation":"more","n":3}"#,
                "`relation` of constraint `word_count` is `more`",
            ),
            (r#"{"kind":"word_count","relation":"at_most","n":0}"#, "is `0`, expected 1 to"),
            (
                r#"{"kind":"word_count","relation":"at_most","n":3,"m":1}"#,
                "constraint `word_count` has the unknown field `m`, expected only `relation`, `n`",
            ),
            (r#"{"kind":"json","n":1}"#, "unknown field `n`, expected no parameters"),
            (r#"{"kind":"keywords","words":"a"}"#, "`words` of constraint `keywords` is no list"),
            (r#"{"kind":"keywords","words":[1]}"#, "is a list with `1` in it, expected a list of strings"),
            (r#"{"kind":"keywords","words":[]}"#, "is a list of 0, expected 1 to 20 of them"),
            (r#"{"kind":"keywords","words":["a","A"]}"#, "is a list with `A` twice, expected each once"),
            (r#"{"kind":"keywords","words":[" a"]}"#, "is ` a`, expected no blanks around it"),
            (r#"{"kind":"end_phrase","phrase":"a\nb"}"#, r"is `a\nb`, expected no control characters"),
            (r#"{"kind":"end_phrase","phrase":"\""}"#, "expected a letter or digit in it"),
            (r#"{"kind":"end_phrase","phrase":" "}"#, "is ` `, expected some text"),
            (r#"{"kind":"language","language":"xx"}"#, "is `xx`, expected one of: `ar`, `zh`"),
            (
                r#"{"kind":"paragraph_start","paragraphs":2,"nth":3,"word":"so"}"#,
                "`nth` of constraint `paragraph_start` is `3`, expected 1 to `paragraphs`",
            ),
            (
                r#"{"kind":"paragraph_start","paragraphs":2,"nth":1,"word":"so so"}"#,
                "is `so so`, expected one word in lower case",
            ),
            (
                r#"{"kind":"letter_count","letter":"ee","relation":"at_least","n":2}"#,
                "is `ee`, expected one letter",
            ),
            (
                r#"{"kind":"letter_count","letter":"É","relation":"at_least","n":2}"#,
                "is `É`, expected a lower-case letter",
            ),
            (r#"{"kind":"one_of","options":["yes"]}"#, "expected 2 to 20 of them"),
            (r#"{"kind":"code_block","language":"a`b"}"#, "expected a name without spaces"),
        ];
        for (json, expected) in cases {
            let message = message(json);
            assert!(message.contains(expected), "{json}: {message}");
        }
        assert!(message("[]").contains("expected a map"));
    }

    #[test]
    fn a_phrase_has_a_length_limit() {
        let long = Constraint::EndPhrase { phrase: "é".repeat(201) };
        assert!(long.validate().unwrap_err().to_string().ends_with("at most 200 characters, not 201"));
        assert!(Constraint::RepeatRequest { request: "Name\na river.".to_owned() }.validate().is_ok());
    }
}
