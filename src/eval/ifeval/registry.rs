//! The registry of the 25 instructions (arXiv:2311.07911, table 1; as registered in lm-eval 0.4.13).
//!
//! **Invariant:** the table has one entry per id, and `parse` accepts no other id.

use serde_json::{Map, Value};

use super::arguments::{Arguments, list};
use super::{Error, case, content, format, keywords, language, length};

/// A rule of one of the families.
#[derive(Debug, Clone)]
pub(super) enum Rule {
    Length(length::Rule),
    Keywords(keywords::Rule),
    Format(format::Rule),
    Content(content::Rule),
    Case(case::Rule),
    Language(language::Rule),
}

impl Rule {
    /// Whether a response that is not blank follows the rule.
    pub(super) fn follows(&self, response: &str) -> bool {
        match self {
            Self::Length(rule) => rule.follows(response),
            Self::Keywords(rule) => rule.follows(response),
            Self::Format(rule) => rule.follows(response),
            Self::Content(rule) => rule.follows(response),
            Self::Case(rule) => rule.follows(response),
            Self::Language(rule) => rule.follows(response),
        }
    }
}

/// Builds a rule from its arguments.
type Build = fn(&Arguments<'_>) -> Result<Rule, Error>;

/// For each id the names of its arguments and the function that builds its rule.
const REGISTRY: [(&str, &[&str], Build); 25] = [
    ("change_case:capital_word_frequency", &["capital_frequency", "capital_relation"], |arguments| {
        let bound = arguments.bound("capital_frequency", "capital_relation")?;
        Ok(Rule::Case(case::Rule::CapitalWords(bound)))
    }),
    ("change_case:english_capital", &[], |_| Ok(Rule::Case(case::Rule::Capital))),
    ("change_case:english_lowercase", &[], |_| Ok(Rule::Case(case::Rule::Lowercase))),
    ("combination:repeat_prompt", &["prompt_to_repeat"], |arguments| {
        Ok(Rule::Content(content::Rule::repeat(arguments.text("prompt_to_repeat")?)))
    }),
    ("combination:two_responses", &[], |_| Ok(Rule::Content(content::Rule::TwoResponses))),
    ("detectable_content:number_placeholders", &["num_placeholders"], |arguments| {
        Ok(Rule::Content(content::Rule::Placeholders(arguments.number("num_placeholders")?)))
    }),
    ("detectable_content:postscript", &["postscript_marker"], |arguments| {
        content::Rule::postscript(arguments).map(Rule::Content)
    }),
    ("detectable_format:constrained_response", &[], |_| Ok(Rule::Format(format::Rule::ConstrainedResponse))),
    ("detectable_format:json_format", &[], |_| Ok(Rule::Format(format::Rule::Json))),
    ("detectable_format:multiple_sections", &["section_spliter", "num_sections"], |arguments| {
        format::Rule::sections(arguments).map(Rule::Format)
    }),
    ("detectable_format:number_bullet_lists", &["num_bullets"], |arguments| {
        Ok(Rule::Format(format::Rule::Bullets(arguments.number("num_bullets")?)))
    }),
    ("detectable_format:number_highlighted_sections", &["num_highlights"], |arguments| {
        Ok(Rule::Format(format::Rule::Highlights(arguments.number("num_highlights")?)))
    }),
    ("detectable_format:title", &[], |_| Ok(Rule::Format(format::Rule::Title))),
    ("keywords:existence", &["keywords"], |arguments| {
        keywords::Rule::existence(arguments).map(Rule::Keywords)
    }),
    ("keywords:forbidden_words", &["forbidden_words"], |arguments| {
        keywords::Rule::forbidden(arguments).map(Rule::Keywords)
    }),
    ("keywords:frequency", &["keyword", "frequency", "relation"], |arguments| {
        keywords::Rule::frequency(arguments).map(Rule::Keywords)
    }),
    ("keywords:letter_frequency", &["letter", "let_frequency", "let_relation"], |arguments| {
        keywords::Rule::letter(arguments).map(Rule::Keywords)
    }),
    ("language:response_language", &["language"], |arguments| {
        language::Rule::parse(arguments).map(Rule::Language)
    }),
    (
        "length_constraints:nth_paragraph_first_word",
        &["num_paragraphs", "nth_paragraph", "first_word"],
        |arguments| length::Rule::first_word(arguments).map(Rule::Length),
    ),
    ("length_constraints:number_paragraphs", &["num_paragraphs"], |arguments| {
        Ok(Rule::Length(length::Rule::Paragraphs(arguments.number("num_paragraphs")?)))
    }),
    ("length_constraints:number_sentences", &["num_sentences", "relation"], |arguments| {
        Ok(Rule::Length(length::Rule::Sentences(arguments.bound("num_sentences", "relation")?)))
    }),
    ("length_constraints:number_words", &["num_words", "relation"], |arguments| {
        Ok(Rule::Length(length::Rule::Words(arguments.bound("num_words", "relation")?)))
    }),
    ("punctuation:no_comma", &[], |_| Ok(Rule::Content(content::Rule::NoComma))),
    ("startend:end_checker", &["end_phrase"], |arguments| {
        Ok(Rule::Content(content::Rule::end(arguments.text("end_phrase")?)))
    }),
    ("startend:quotation", &[], |_| Ok(Rule::Content(content::Rule::Quotation))),
];

/// Parses an instruction. Returns the registered id and the rule.
pub(super) fn parse(id: &str, values: &Map<String, Value>) -> Result<(&'static str, Rule), Error> {
    let entry = REGISTRY.iter().find(|entry| entry.0 == id);
    let &(id, names, build) = entry.ok_or_else(|| Error::Instruction { found: id.to_owned() })?;
    let arguments = Arguments { id, values };
    arguments.expect_only(names)?;
    Ok((id, build(&arguments)?))
}

/// All ids as a list, for a message.
pub(super) fn ids() -> String {
    list(&REGISTRY.map(|entry| entry.0))
}
