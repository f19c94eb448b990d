//! The kinds of constraints: one file for each, or for a few that share their machinery, and the list of all.
//!
//! A file has everything about its kind: the parameters, the [`Definition`] (name, wordings, facts, ranks),
//! the [`Rule`](super::rule::Rule) (check, form, conflicts) and the [`Origin`] (read, draw, derive). To add a
//! kind, write its file and add the kind to the list.
//!
//! **Invariant:** names and parameters are stored data: they never change their meaning.

mod code_block;
mod emphasis;
mod in_language;
mod interface;
mod json;
mod letter_case;
mod letter_count;
mod lists;
mod numbers;
mod one_of;
mod paragraphs;
mod phrases;
mod placeholder_count;
mod plain_count;
mod postscript;
mod quotes;
mod repeat_request;
mod sections;
mod sentences;
mod table_rows;
mod title;
mod two_answers;
mod without_mark;
mod word_count;
mod words;

pub use numbers::Unit;
pub use postscript::Marker;
pub use without_mark::Mark;

use super::error::Error;
use super::fields::Fields;
use super::request::Request;
use super::response::Response;
use super::rule::{AnyRule, Definition, Origin};
use rand::Rng;
use serde_json::{Map, Value};

/// Declares [`Constraint`] and [`Kind`] from the list of kinds, with what depends on the kind.
macro_rules! kinds {
    ($($kind:ident in $file:ident,)+) => {
        $(pub use $file::$kind;)+

        /// A requirement on a response, with its parameters. As JSON:
        /// `{"kind":"word_count","relation":"at_least","n":120}`.
        #[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Deserialize)]
        #[serde(try_from = "Map<String, Value>")]
        #[expect(missing_docs, reason = "the struct of a kind is documented in its file")]
        pub enum Constraint {
            $($kind($kind),)+
        }

        /// A [`Constraint`] without its parameters.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "named as the constraints")]
        pub enum Kind {
            $($kind,)+
        }

        impl Kind {
            /// All kinds, in the order of the list.
            pub const ALL: &[Self] = &[$(Self::$kind,)+];

            pub(super) fn definition(self) -> &'static Definition {
                match self {
                    $(Self::$kind => &<$kind as Origin>::KIND,)+
                }
            }

            pub(super) fn read(self, fields: &mut Fields) -> Result<Constraint, Error> {
                match self {
                    $(Self::$kind => $kind::read(fields).map(Constraint::$kind),)+
                }
            }

            pub(super) fn draw(self, request: &Request<'_>, rng: &mut dyn Rng) -> Option<Constraint> {
                match self {
                    $(Self::$kind => $kind::draw(request, rng).map(Constraint::$kind),)+
                }
            }

            pub(super) fn derive(self, response: &Response<'_>, rng: &mut dyn Rng) -> Vec<Constraint> {
                match self {
                    $(Self::$kind => {
                        $kind::derive_all(response, rng).into_iter().map(Constraint::$kind).collect()
                    })+
                }
            }
        }

        impl Constraint {
            /// Its kind.
            pub fn kind(&self) -> Kind {
                match self {
                    $(Self::$kind(_) => Kind::$kind,)+
                }
            }

            pub(super) fn erased(&self) -> AnyRule<'_> {
                match self {
                    $(Self::$kind(rule) => AnyRule { kind: &<$kind as Origin>::KIND, rule },)+
                }
            }
        }

        impl serde::Serialize for Constraint {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let kind = self.kind().name();
                match self {
                    $(Self::$kind(parameters) => Tagged { kind, parameters }.serialize(serializer),)+
                }
            }
        }

        $(
            impl From<$kind> for Constraint {
                fn from(constraint: $kind) -> Self {
                    Self::$kind(constraint)
                }
            }
        )+
    };
}

kinds! {
    WordCount in word_count,
    SentenceCount in sentences,
    ParagraphCount in paragraphs,
    DividedParagraphs in paragraphs,
    BulletCount in lists,
    NumberedCount in lists,
    SectionCount in sections,
    HeadingCount in sections,
    TableRows in table_rows,
    KeywordCount in words,
    LetterCount in letter_count,
    QuoteCount in quotes,
    PlaceholderCount in placeholder_count,
    HighlightCount in emphasis,
    CapitalWordCount in emphasis,
    NumeralCount in numbers,
    UnitCount in numbers,
    LongestSentence in sentences,
    BulletWords in lists,
    ParagraphStart in paragraphs,
    Keywords in words,
    ForbiddenWords in words,
    StartPhrase in phrases,
    EndPhrase in phrases,
    Quoted in quotes,
    RepeatRequest in repeat_request,
    Postscript in postscript,
    TwoAnswers in two_answers,
    OneOf in one_of,
    Json in json,
    JsonKeys in json,
    Title in title,
    CodeBlock in code_block,
    LowerCase in letter_case,
    UpperCase in letter_case,
    WithoutMark in without_mark,
    InLanguage in in_language,
    NoDigits in numbers,
}

/// A constraint as JSON: its parameters beside the name of its kind.
#[derive(serde::Serialize)]
struct Tagged<'a, P: serde::Serialize> {
    kind: &'static str,
    #[serde(flatten)]
    parameters: &'a P,
}

impl Kind {
    /// Its name in data.
    pub fn name(self) -> &'static str {
        self.definition().name
    }

    /// The kind of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }
}

impl serde::Serialize for Kind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
