//! `json` and `json_keys`: the whole response as JSON.

use super::interface::{
    Body, Check, Definition, Error, Fact, Fields, Origin, Request, Response, Rng, Rule, Shape, Stage, show,
};
use crate::constraint::fields::check_phrases;
use crate::constraint::pick::some_of;
use crate::constraint::request::{FORMAT, content_words};
use crate::constraint::wording::list;
use rand::RngExt;
use serde_json::Value;

/// A JSON object or array. `IFEval`: `detectable_format:json_format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
pub struct Json;

/// The whole response as JSON; it may be in a fenced block.
fn parse_json(response: &str) -> serde_json::Result<Value> {
    let mut text = response.trim();
    if let Some(inside) = text.strip_prefix("```") {
        let has_name = inside.get(..4).is_some_and(|name| name.eq_ignore_ascii_case("json"));
        text = if has_name { &inside[4..] } else { inside };
    }
    serde_json::from_str(text.strip_suffix("```").unwrap_or(text).trim())
}

impl Rule for Json {
    fn check(&self, response: &str) -> Check {
        match parse_json(response) {
            Err(error) => Check::new(false, format!("found no JSON: {error}")),
            Ok(Value::Object(_)) => Check::new(true, "found a JSON object"),
            Ok(Value::Array(_)) => Check::new(true, "found a JSON array"),
            Ok(_) => Check::new(false, "found a single JSON value, expected an object or array"),
        }
    }

    fn impose(&self, _: Stage, body: &mut Body<'_>) -> Option<()> {
        body.text = format!("{{\"answer\": {}}}", to_json(&body.text)?);
        Some(())
    }
}

fn to_json(value: impl serde::Serialize) -> Option<String> {
    serde_json::to_string(&value).ok()
}

impl Origin for Json {
    const KIND: Definition = Definition {
        name: "json",
        wordings: &[
            "Answer with one JSON object or array and no text around it.",
            "The whole answer must be valid JSON: an object or an array.",
            "Give the answer as JSON (an object or a list), so that a program can parse all of it.",
        ],
        facts: &[Fact::Json],
        decided: |request| request.mentions(FORMAT),
        rank: |request| request.rank(&[(Shape::Short, 10), (Shape::List, 14)]),
        derive_rank: 12,
        stages: &[Stage::Wrap],
        ..Definition::BASE
    };

    fn read(_: &mut Fields) -> Result<Self, Error> {
        Ok(Self)
    }

    fn draw(_: &Request<'_>, _: &mut dyn Rng) -> Option<Self> {
        Some(Self)
    }

    fn derive(_: &Response<'_>, _: &mut dyn Rng) -> Option<Self> {
        Some(Self)
    }
}

/// A JSON object that has these keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize)]
pub struct JsonKeys {
    /// The keys.
    pub keys: Vec<String>,
}

impl Rule for JsonKeys {
    fn check(&self, response: &str) -> Check {
        match parse_json(response) {
            Err(error) => Check::new(false, format!("found no JSON: {error}")),
            Ok(Value::Object(object)) => {
                let missing: Vec<String> =
                    self.keys.iter().filter(|key| !object.contains_key(*key)).map(|key| show(key)).collect();
                match missing.as_slice() {
                    [] => Check::new(true, "found an object with all keys"),
                    missing => Check::new(false, format!("found an object without {}", missing.join(", "))),
                }
            }
            Ok(_) => Check::new(false, "found JSON that is no object"),
        }
    }

    fn slots(&self) -> Vec<(&'static str, String)> {
        vec![("keys", list(&self.keys, "and"))]
    }

    fn validate(&self) -> Result<(), Error> {
        check_phrases(Self::KIND.name, "keys", &self.keys, 1)
    }

    fn fixed_texts(&self) -> Vec<&str> {
        self.keys.iter().map(String::as_str).collect()
    }

    fn impose(&self, _: Stage, body: &mut Body<'_>) -> Option<()> {
        let pair = |key: &str| {
            let value = match key {
                "answer" => to_json(&body.text)?,
                "title" => to_json(body.title()?)?,
                "summary" => to_json(body.parts.first()?)?,
                "keywords" => to_json(content_words(&body.text).get(..3)?)?,
                // Only a reader knows which part is the reason, or an example.
                _ => return None,
            };
            Some(format!("  {}: {value}", to_json(key)?))
        };
        // The answer is always there, whatever keys are asked for.
        let unasked = (!self.keys.iter().any(|key| key == "answer")).then_some("answer");
        let keys = self.keys.iter().map(String::as_str).chain(unasked);
        body.text = format!("{{\n{}\n}}", keys.map(pair).collect::<Option<Vec<_>>>()?.join(",\n"));
        Some(())
    }
}

impl Origin for JsonKeys {
    const KIND: Definition = Definition {
        name: "json_keys",
        wordings: &[
            "Answer with one JSON object and no text around it; its keys must include {keys}.",
            "The whole answer must be a JSON object that has the keys {keys}.",
            "Give me nothing but a JSON object with {keys} among its keys.",
        ],
        facts: &[Fact::Json, Fact::GivenByMaterial],
        decided: |request| request.mentions(FORMAT),
        rank: |request| request.rank(&[(Shape::List, 13), (Shape::Open, 22)]),
        derive_rank: 14,
        stages: &[Stage::Wrap],
        ..Definition::BASE
    };

    fn read(fields: &mut Fields) -> Result<Self, Error> {
        Ok(Self { keys: fields.strings("keys")? })
    }

    fn draw(_: &Request<'_>, rng: &mut dyn Rng) -> Option<Self> {
        let n = rng.random_range(1..=3);
        Some(Self { keys: some_of(&["title", "answer", "reason", "summary", "example", "keywords"], n, rng) })
    }

    fn derive(response: &Response<'_>, _: &mut dyn Rng) -> Option<Self> {
        match parse_json(response.text) {
            Ok(Value::Object(object)) => Some(Self { keys: object.keys().take(3).cloned().collect() }),
            _ => None,
        }
    }
}
