//! Rules on the form of a whole response and on parts that it must have.

use super::Check;
use super::content::show;
use crate::constraint::text;
use crate::constraint::vocabulary::Postscript;
use serde_json::Value;

/// Straight quotes or a pair of curly ones, with something between them.
pub(super) fn quoted(response: &str) -> Check {
    let response = response.trim();
    let between = |open, close| response.strip_prefix(open)?.strip_suffix(close);
    let inside = between('"', '"').or_else(|| between('\u{201C}', '\u{201D}'));
    let passed = inside.is_some_and(|inside| !inside.trim().is_empty());
    let ends: String = response.chars().take(1).chain(response.chars().last()).collect();
    Check::new(passed, format!("the response begins and ends with {}", show(&ends)))
}

/// A line that begins with the marker, with text before it and after it. All that follows is the postscript.
pub(super) fn postscript(response: &str, marker: Postscript) -> Check {
    let mut has_text_before = false;
    let mut from = 0;
    for line in response.split_inclusive('\n') {
        let begin = line.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '*' | '_' | '"'));
        if let Some(rest) = strip_marker(begin, marker)
            && has_text_before
        {
            let follows = rest.contains(char::is_alphanumeric)
                || response[from + line.len()..].contains(char::is_alphanumeric);
            return Check::new(follows, format!("found {}", show(line)));
        }
        has_text_before |= line.contains(char::is_alphanumeric);
        from += line.len();
    }
    Check::new(false, format!("found no line that begins with `{}` after the answer", marker.name()))
}

/// What follows a marker, whose letters may be of either case, with or without stops and spaces.
fn strip_marker(line: &str, marker: Postscript) -> Option<&str> {
    let letters = match marker {
        Postscript::Ps => "ps",
        Postscript::Pps => "pps",
    };
    let mut rest = line;
    for letter in letters.chars() {
        let next = rest.trim_start_matches(' ');
        rest = next.strip_prefix([letter, letter.to_ascii_uppercase()])?;
        rest = rest.strip_prefix('.').unwrap_or(rest);
    }
    // "Psalm" is no postscript.
    (!rest.starts_with(text::is_word_char) || rest.len() < line.len() - letters.len()).then_some(rest)
}

pub(super) fn two_answers(response: &str) -> Check {
    let parts: Vec<&str> = response.split("******").map(str::trim).collect();
    let answers: Vec<&str> = parts.iter().copied().filter(|part| !part.is_empty()).collect();
    // An empty part at an end is a divider before the first answer or after the last.
    let has_gap = parts.len() > 2 && parts[1..parts.len() - 1].contains(&"");
    let passed = answers.len() == 2 && answers[0] != answers[1] && !has_gap;
    let same = if answers.len() == 2 && answers[0] == answers[1] { ", which are the same" } else { "" };
    Check::new(passed, format!("found {} parts separated by `******`{same}", answers.len()))
}

pub(super) fn json(response: &str) -> Check {
    match parse_json(response) {
        Err(error) => Check::new(false, format!("found no JSON: {error}")),
        Ok(Value::Object(_)) => Check::new(true, "found a JSON object"),
        Ok(Value::Array(_)) => Check::new(true, "found a JSON array"),
        Ok(_) => Check::new(false, "found a single JSON value, expected an object or array"),
    }
}

pub(super) fn json_keys(response: &str, keys: &[String]) -> Check {
    match parse_json(response) {
        Err(error) => Check::new(false, format!("found no JSON: {error}")),
        Ok(Value::Object(object)) => {
            let missing: Vec<String> =
                keys.iter().filter(|key| !object.contains_key(*key)).map(|key| show(key)).collect();
            match missing.as_slice() {
                [] => Check::new(true, "found an object with all keys"),
                missing => Check::new(false, format!("found an object without {}", missing.join(", "))),
            }
        }
        Ok(_) => Check::new(false, "found JSON that is no object"),
    }
}

/// The whole response as JSON; it may be in a fenced block.
pub(in crate::constraint) fn parse_json(response: &str) -> serde_json::Result<Value> {
    let mut text = response.trim();
    if let Some(inside) = text.strip_prefix("```") {
        let has_name = inside.get(..4).is_some_and(|name| name.eq_ignore_ascii_case("json"));
        text = if has_name { &inside[4..] } else { inside };
    }
    serde_json::from_str(text.strip_suffix("```").unwrap_or(text).trim())
}

/// `<<`, some text and `>>`, on one line.
pub(super) fn title(response: &str) -> Check {
    match response.split('\n').find_map(title_of) {
        Some(title) => Check::new(true, format!("found the title {}", show(title))),
        None => Check::new(false, "found no title between << and >>"),
    }
}

fn title_of(line: &str) -> Option<&str> {
    let inside = &line[line.find("<<")? + 2..];
    let inside = &inside[..inside.rfind(">>")?];
    let title = inside.trim_matches(['<', '>']).trim();
    (!title.is_empty()).then_some(title)
}

/// A block that is not blank, whose first line names the language or a usual name for it.
pub(super) fn code_block(response: &str, language: &str) -> Check {
    let blocks = text::Layout::of(response).code;
    let wanted = canonical(language);
    let passed = blocks.iter().any(|block| !block.is_blank && canonical(block.language) == wanted);
    let found: Vec<String> = blocks.iter().map(|block| show(block.language)).collect();
    match found.as_slice() {
        [] => Check::new(false, "found no code block"),
        found => Check::new(passed, format!("found code blocks marked {}", found.join(", "))),
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
