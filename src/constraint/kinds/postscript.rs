//! `postscript`: an afterthought at the end.

use super::interface::{
    Body, Check, Definition, Error, Fact, Fields, Origin, Request, Response, Rng, Rule, Stage, show, text,
};
use crate::constraint::named::named;
use crate::constraint::request::CLOSING;

named! {
    /// What marks the start of a postscript.
    Marker {
        /// The first postscript.
        Ps = "P.S.",
        /// The second.
        Pps = "P.P.S.",
    }
}

/// A postscript. `IFEval`: `detectable_content:postscript`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
pub struct Postscript {
    /// How it begins.
    pub marker: Marker,
}

impl Rule for Postscript {
    /// A line that begins with the marker, with text before it and after it. All that follows is the
    /// postscript.
    fn check(&self, response: &str) -> Check {
        let mut has_text_before = false;
        let mut from = 0;
        for line in response.split_inclusive('\n') {
            let begin = line.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '*' | '_' | '"'));
            if let Some(rest) = strip_marker(begin, self.marker)
                && has_text_before
            {
                let follows = rest.contains(char::is_alphanumeric)
                    || response[from + line.len()..].contains(char::is_alphanumeric);
                return Check::new(follows, format!("found {}", show(line)));
            }
            has_text_before |= line.contains(char::is_alphanumeric);
            from += line.len();
        }
        let marker = self.marker.name();
        Check::new(false, format!("found no line that begins with `{marker}` after the answer"))
    }

    fn slots(&self) -> Vec<(&'static str, String)> {
        vec![("marker", self.marker.name().to_owned())]
    }

    /// The last sentence becomes the postscript.
    fn impose(&self, _: Stage, body: &mut Body<'_>) -> Option<()> {
        if self.marker != Marker::Ps {
            return Some(());
        }
        let may_move = body.parts.len() >= 3 && body.request.is_free();
        let last = body.parts.last().filter(|_| may_move)?;
        let rest = body.text.strip_suffix(last.as_str())?.trim_end();
        // The item of a list must keep its text.
        rest.ends_with(['.', '!', '?', '"']).then_some(())?;
        (text::words(rest.lines().last()?).count() >= 2).then_some(())?;
        body.text = format!("{rest}\n\nP.S. {last}");
        Some(())
    }
}

/// What follows a marker, whose letters may be of either case, with or without stops and spaces.
fn strip_marker(line: &str, marker: Marker) -> Option<&str> {
    let letters = match marker {
        Marker::Ps => "ps",
        Marker::Pps => "pps",
    };
    let mut rest = line;
    for letter in letters.chars() {
        let next = rest.trim_start_matches(' ');
        rest = next.strip_prefix([letter, letter.to_ascii_uppercase()])?;
        rest = rest.strip_prefix('.').unwrap_or(rest);
    }
    // "Psalm" does not begin a postscript.
    (!rest.starts_with(text::is_word_char) || rest.len() < line.len() - letters.len()).then_some(rest)
}

impl Origin for Postscript {
    const KIND: Definition = Definition {
        name: "postscript",
        wordings: &[
            "Add a postscript at the end that begins with {marker}",
            "After the answer, write one more line that begins with {marker}",
            "Finish with an afterthought on a line of its own, marked {marker}",
        ],
        facts: &[
            Fact::BreaksProse,
            Fact::DecidesEnd,
            Fact::English,
            Fact::HasCapitals,
            Fact::FitsRepeatedRequest,
            Fact::WithCode,
        ],
        decided: |request| request.mentions(CLOSING) || request.mentions("p.s, postscript"),
        rank: |_| Some(2),
        derive_rank: 13,
        stages: &[Stage::Frame],
        ..Definition::BASE
    };

    fn read(fields: &mut Fields) -> Result<Self, Error> {
        Ok(Self { marker: fields.named("marker", Marker::ALL, Marker::name)? })
    }

    /// The second postscript needs a first.
    fn draw(_: &Request<'_>, _: &mut dyn Rng) -> Option<Self> {
        Some(Self { marker: Marker::Ps })
    }

    fn derive_all(_: &Response<'_>, _: &mut dyn Rng) -> Vec<Self> {
        Marker::ALL.iter().map(|&marker| Self { marker }).collect()
    }
}
