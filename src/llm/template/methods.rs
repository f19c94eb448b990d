//! Python's string and dictionary methods that chat templates call.
//!
//! Where in the flow: in Python, Jinja lets a template call any method of a value. These are the ones found
//! in templates of published models; any other is an error that names the method.
//!
//! **Invariant:** semantics are Python's: `strip` takes a set of characters, `split` without arguments splits
//! at runs of white space.

use minijinja::value::{ValueKind, from_args};
use minijinja::{Error, ErrorKind, State, Value};

/// Called by the template engine for a method that it does not have.
pub(super) fn call(
    _: &mut State<'_, '_>,
    value: &Value,
    method: &str,
    args: &[Value],
) -> Result<Value, Error> {
    if let Some(text) = value.as_str() {
        return call_on_text(text, method, args);
    }
    if value.kind() == ValueKind::Map {
        return call_on_map(value, method, args);
    }
    Err(unknown(method))
}

fn unknown(method: &str) -> Error {
    Error::new(ErrorKind::UnknownMethod, format!("method `{method}` is not supported"))
}

fn call_on_text(text: &str, method: &str, args: &[Value]) -> Result<Value, Error> {
    Ok(match method {
        "strip" | "lstrip" | "rstrip" => {
            let (set,): (Option<&str>,) = from_args(args)?;
            let strips = |c: char| set.map_or(c.is_whitespace(), |set| set.contains(c));
            let text = if method == "rstrip" { text } else { text.trim_start_matches(strips) };
            Value::from(if method == "lstrip" { text } else { text.trim_end_matches(strips) })
        }
        "startswith" => {
            let (prefix,): (&str,) = from_args(args)?;
            Value::from(text.starts_with(prefix))
        }
        "endswith" => {
            let (suffix,): (&str,) = from_args(args)?;
            Value::from(text.ends_with(suffix))
        }
        "replace" => {
            let (from, to): (&str, &str) = from_args(args)?;
            Value::from(text.replace(from, to))
        }
        "split" => {
            let (separator,): (Option<&str>,) = from_args(args)?;
            let pieces: Vec<Value> = match separator {
                Some(separator) => text.split(separator).map(Value::from).collect(),
                None => text.split_whitespace().map(Value::from).collect(),
            };
            Value::from(pieces)
        }
        "upper" => Value::from(text.to_uppercase()),
        "lower" => Value::from(text.to_lowercase()),
        "capitalize" => {
            let mut chars = text.chars();
            let first = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
            Value::from(first + &chars.as_str().to_lowercase())
        }
        _ => return Err(unknown(method)),
    })
}

fn call_on_map(map: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    match method {
        "get" => {
            let (key, default): (&Value, Option<Value>) = from_args(args)?;
            let found = map.get_item(key)?;
            Ok(if found.is_undefined() { default.unwrap_or(Value::from(())) } else { found })
        }
        "keys" | "items" => {
            let mut entries = Vec::new();
            for key in map.try_iter()? {
                let value = map.get_item(&key)?;
                entries.push(if method == "keys" { key } else { Value::from(vec![key, value]) });
            }
            Ok(Value::from(entries))
        }
        _ => Err(unknown(method)),
    }
}
