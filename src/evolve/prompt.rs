//! Prompt files: data with a tiny syntax, embedded in the binary and hashed into the run's identity.
//!
//! ```text
//! # Comments, then settings as `name: JSON`, then sections.
//! stop: ["\n"]
//! --- text                       completion style: one section
//! --- system | user | assistant  chat style: the messages in order
//! --- start                      chat style: how the model's own turn begins
//! Task: {{instruction}}          a slot
//! ```
//!
//! In the flow: `library` parses the files, `requests` and `judge` render them.
//!
//! **Invariant:** what fills a slot is never read as syntax: it is inserted once, and a slot's
//! name within it stays text.
//! **Invariant:** everything before the first slot is the same for all requests, and marked as shared.

use crate::llm::{self, Generate, Message, Part, Prompt};

/// What can stand between `{{` and `}}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    /// The instruction to work on.
    Instruction,
    /// The material that belongs to it.
    Input,
    /// The first of two tasks.
    First,
    /// The second of two tasks.
    Second,
}

impl Slot {
    fn parse(name: &str) -> Option<Self> {
        match name {
            "instruction" => Some(Self::Instruction),
            "input" => Some(Self::Input),
            "first" => Some(Self::First),
            "second" => Some(Self::Second),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Slot(Slot),
}

/// A parsed prompt file.
#[derive(Debug, Clone)]
pub(super) struct PromptFile {
    /// Generation ends before the first of these.
    pub(super) stop: Vec<String>,
    /// For a judge: the spellings of each label.
    pub(super) labels: Vec<Vec<String>>,
    /// (role, content).
    sections: Vec<(String, Vec<Piece>)>,
}

impl PromptFile {
    /// Parses an embedded file. A mistake in one is a bug that the tests find, so it panics by name.
    pub(super) fn parse(name: &str, source: &str) -> Self {
        let mut file = Self { stop: Vec::new(), labels: Vec::new(), sections: Vec::new() };
        let mut bodies: Vec<(String, String)> = Vec::new();
        for line in source.lines() {
            if let Some(role) = line.strip_prefix("--- ") {
                bodies.push((role.to_owned(), String::new()));
            } else if let Some((_, body)) = bodies.last_mut() {
                body.push_str(line);
                body.push('\n');
            } else if !line.starts_with('#') {
                let (setting, value) = line.split_once(": ").unwrap_or((line, ""));
                let bad = |error| panic!("prompt `{name}`: `{line}`: {error}");
                match setting {
                    "stop" => file.stop = serde_json::from_str(value).unwrap_or_else(bad),
                    "labels" => {
                        file.labels = serde_json::from_str(value)
                            .unwrap_or_else(|error| panic!("prompt `{name}`: `{line}`: {error}"));
                    }
                    _ => panic!("prompt `{name}`: unknown setting `{setting}`"),
                }
            }
        }
        for (role, body) in bodies {
            let known = ["text", "system", "user", "assistant", "start"].contains(&role.as_str());
            assert!(known, "prompt `{name}`: unknown section `{role}`");
            // The line break before the next section belongs to the syntax.
            file.sections.push((role, pieces(name, body.trim_end_matches('\n'))));
        }
        file
    }

    /// The prompt with its slots filled; `None` when the file is a conversation and the model has no chat
    /// template.
    pub(super) fn render(
        &self,
        model: &dyn Generate,
        value: impl Fn(Slot) -> String,
    ) -> Option<Result<Prompt, llm::Error>> {
        if self.sections[0].0 == "text" {
            return Some(Ok(fill(&self.sections[0].1, value)));
        }
        let messages: Vec<Message> = self
            .sections
            .iter()
            .filter(|(role, _)| role != "start")
            .map(|(role, pieces)| Message { role: role.clone(), content: text(pieces, &value) })
            .collect();
        let has_slot =
            |(_, pieces): &(String, Vec<Piece>)| pieces.iter().any(|p| matches!(p, Piece::Slot(_)));
        let shared = self.sections.iter().position(has_slot).unwrap_or(messages.len());
        let start = self.sections.iter().find(|(role, _)| role == "start");
        Some(model.chat_prompt(&messages, shared)?.map(|mut prompt| {
            if let Some((_, pieces)) = start {
                prompt.parts.push(Part { text: text(pieces, &value), special: false });
            }
            prompt
        }))
    }

    /// All fixed text, for the search for leaks of it.
    pub(super) fn fixed_text(&self) -> String {
        let texts = self.sections.iter().flat_map(|(_, pieces)| pieces).filter_map(|piece| match piece {
            Piece::Text(text) => Some(text.as_str()),
            Piece::Slot(_) => None,
        });
        // The break keeps words of two pieces from forming a phrase that is not in the file.
        texts.collect::<Vec<_>>().join("\n\n")
    }
}

/// Splits a body at its slots.
fn pieces(name: &str, body: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = body;
    while let Some((before, after)) = rest.split_once("{{") {
        let (slot, after) =
            after.split_once("}}").unwrap_or_else(|| panic!("prompt `{name}`: `{{{{` without an end"));
        let slot = Slot::parse(slot).unwrap_or_else(|| panic!("prompt `{name}`: unknown slot `{slot}`"));
        pieces.push(Piece::Text(before.to_owned()));
        pieces.push(Piece::Slot(slot));
        rest = after;
    }
    pieces.push(Piece::Text(rest.to_owned()));
    pieces
}

fn text(pieces: &[Piece], value: impl Fn(Slot) -> String) -> String {
    let show = |piece: &Piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Slot(slot) => value(*slot),
    };
    pieces.iter().map(show).collect()
}

/// A plain prompt: the text before the first slot is the shared part, all after it the other. A space before
/// that slot goes with the slot, because vocabularies have tokens for ` word`, not for `word` after a space.
fn fill(pieces: &[Piece], value: impl Fn(Slot) -> String) -> Prompt {
    let Some((Piece::Text(first), rest)) = pieces.split_first() else {
        unreachable!("a body begins with its text, which may be empty")
    };
    let shared = first.trim_end_matches(' ');
    let own = format!("{}{}", &first[shared.len()..], text(rest, value));
    let part = |text: &str| Part { text: text.to_owned(), special: false };
    Prompt { parts: vec![part(shared), part(&own)], shared: 1 }
}

/// BLAKE3 over the parts, 32 hexadecimal digits: the journal's record of the prompt.
pub(super) fn hash(prompt: &Prompt) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in &prompt.parts {
        hasher.update(&(part.text.len() as u64).to_le_bytes());
        hasher.update(&[u8::from(part.special)]);
        hasher.update(part.text.as_bytes());
    }
    hasher.finalize().to_hex()[..32].to_owned()
}
