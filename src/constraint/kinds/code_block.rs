//! `code_block`: a fenced code block.

use super::interface::{
    Check, Definition, Error, Fact, Fields, Origin, Request, Response, Rng, Rule, Shape, show, text,
};
use crate::constraint::fields::{Phrase, bad};

/// A fenced code block marked as `language`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize)]
pub struct CodeBlock {
    /// A programming language, or another name for what the code is.
    pub language: String,
}

impl Rule for CodeBlock {
    /// A block that is not blank, whose first line names the language or a usual name for it.
    fn check(&self, response: &str) -> Check {
        let blocks = text::Layout::of(response).code;
        let wanted = canonical(&self.language);
        let passed = blocks.iter().any(|block| !block.is_blank && canonical(block.language) == wanted);
        let found: Vec<String> = blocks.iter().map(|block| show(block.language)).collect();
        match found.as_slice() {
            [] => Check::new(false, "found no code block"),
            found => Check::new(passed, format!("found code blocks marked {}", found.join(", "))),
        }
    }

    fn slots(&self) -> Vec<(&'static str, String)> {
        vec![("language", self.language.clone())]
    }

    fn validate(&self) -> Result<(), Error> {
        let Self { language } = self;
        if language.contains(['`', '~', ' ', '\t']) {
            let expected = "a name without spaces, backticks and tildes";
            return Err(bad(Self::KIND.name, "language", format!("`{language}`"), expected));
        }
        Phrase::SHORT.check(Self::KIND.name, "language", language)
    }
}

/// The full name of a programming language, in lower case.
fn canonical(name: &str) -> String {
    let lower = name.to_lowercase();
    let full = match lower.as_str() {
        "py" | "python3" => "python",
        "js" => "javascript",
        "ts" => "typescript",
        "sh" | "shell" => "bash",
        "rs" => "rust",
        "c++" => "cpp",
        "c#" | "cs" => "csharp",
        "yml" => "yaml",
        _ => return lower,
    };
    full.to_owned()
}

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

impl Origin for CodeBlock {
    const KIND: Definition = Definition {
        name: "code_block",
        wordings: &[
            "Put the code into a fenced block marked {language} (```{language}).",
            "The answer must have a code block that opens with ```{language}.",
            "Show it in a markdown code block whose language is given as {language}.",
        ],
        facts: &[
            Fact::BreaksProse,
            Fact::DecidesEnd,
            Fact::Code,
            Fact::NeedsDigits,
            Fact::FitsRepeatedRequest,
            Fact::WithCode,
        ],
        rank: |request| request.rank(&[(Shape::Code, 4)]),
        derive_rank: 15,
        ..Definition::BASE
    };

    fn read(fields: &mut Fields) -> Result<Self, Error> {
        Ok(Self { language: fields.string("language")? })
    }

    fn draw(request: &Request<'_>, _: &mut dyn Rng) -> Option<Self> {
        let (_, language) = CODE_LANGUAGES.iter().find(|(words, _)| request.mentions(words))?;
        Some(Self { language: (*language).to_owned() })
    }

    fn derive(response: &Response<'_>, _: &mut dyn Rng) -> Option<Self> {
        let mut languages = response.layout.code.iter().map(|block| block.language);
        let language = languages.find(|language| !language.is_empty())?;
        Some(Self { language: language.to_owned() })
    }
}
