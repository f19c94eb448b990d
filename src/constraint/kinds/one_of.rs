//! `one_of`: one of a few fixed replies.

use super::interface::{
    Body, Check, Definition, Error, Fact, Fields, Origin, Request, Rng, Rule, Shape, Stage, show,
};
use super::phrases::is_wrapping;
use crate::constraint::fields::check_phrases;
use crate::constraint::wording::list;

/// One of the options, and nothing else. `IFEval`: `detectable_format:constrained_response`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize)]
pub struct OneOf {
    /// The replies that are allowed.
    pub options: Vec<String>,
}

impl Rule for OneOf {
    /// Emphasis, quotation marks and the final full stop are ignored.
    fn check(&self, response: &str) -> Check {
        let bare = |text: &str| {
            let is_around = |c: char| is_wrapping(c) || matches!(c, '*' | '_' | '.' | '`' | '\'');
            text.trim_matches(is_around).to_lowercase()
        };
        let passed = self.options.iter().any(|option| bare(option) == bare(response));
        Check::new(passed, format!("found {}", show(response)))
    }

    fn slots(&self) -> Vec<(&'static str, String)> {
        vec![("options", list(&self.options, "or"))]
    }

    fn validate(&self) -> Result<(), Error> {
        check_phrases(Self::KIND.name, "options", &self.options, 2)
    }

    fn fixed_texts(&self) -> Vec<&str> {
        self.options.iter().map(String::as_str).collect()
    }

    /// Replaces the response by the option that it begins with. "No doubt about it" does not begin with "No".
    fn impose(&self, _: Stage, body: &mut Body<'_>) -> Option<()> {
        let (first, _) = body.text.split_at(body.text.find([',', '.', '!', ';'])?);
        body.text = self.options.iter().find(|option| option.eq_ignore_ascii_case(first))?.clone();
        Some(())
    }
}

impl Origin for OneOf {
    const KIND: Definition = Definition {
        name: "one_of",
        wordings: &[
            "Reply with {options}, and with nothing else.",
            "The only possible replies are {options}. Add no other words.",
            "Choose among {options} and write just that.",
        ],
        facts: &[Fact::WholeReply],
        rank: |request| request.rank(&[(Shape::YesNo, 4)]),
        stages: &[Stage::Reply],
        ..Definition::BASE
    };

    fn read(fields: &mut Fields) -> Result<Self, Error> {
        Ok(Self { options: fields.strings("options")? })
    }

    fn draw(_: &Request<'_>, _: &mut dyn Rng) -> Option<Self> {
        Some(Self { options: ["Yes", "No", "It depends"].map(str::to_owned).to_vec() })
    }
}
