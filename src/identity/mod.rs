//! The identity of a run: named values that decide its results, and the differences between two identities.
//!
//! Where in the flow: beside [`crate::rng`], below everything that stores results. The journal, the
//! configuration in a run directory, an evaluation and a training checkpoint each record the identity that
//! they started with, and compare it before they resume.
//!
//! A module describes its part of an identity as a `serde` struct: [`Identity::of`] flattens the struct into
//! dotted names (`engine.threads`), and [`Identity::section`] reads it back with its types.
//!
//! **Invariant:** values are compared as stored text, so a number that was written to a file and read back is
//! equal to itself.

mod leaves;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Named values that decide a result. Numbers are stored as in JSON, strings without quotes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Identity(BTreeMap<String, String>);

/// A value that differs between two identities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Name of the value, such as `model.sha256` or `config.rounds`.
    pub name: String,
    /// The recorded value; `None` if absent.
    pub was: Option<String>,
    /// The current value; `None` if absent.
    pub is: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let was = self.was.as_ref().map_or("absent".to_owned(), |value| format!("`{value}`"));
        let is = self.is.as_ref().map_or("is absent".to_owned(), |value| format!("is now `{value}`"));
        write!(f, "`{}` was {was}, {is}", self.name)
    }
}

/// A section of an identity does not match its type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadSection(String);

impl Identity {
    /// Flattens `value`, which must serialize as an object, into values with dotted names.
    ///
    /// # Panics
    /// If `value` cannot be serialized, because a key is not a string.
    pub fn of(value: &impl Serialize) -> Self {
        let mut identity = Self::default();
        identity.flatten("", &serde_json::to_value(value).expect("keys are text"));
        identity
    }

    fn flatten(&mut self, name: &str, value: &serde_json::Value) {
        match value {
            serde_json::Value::Object(fields) => {
                for (field, value) in fields {
                    let name = if name.is_empty() { field.clone() } else { format!("{name}.{field}") };
                    self.flatten(&name, value);
                }
            }
            serde_json::Value::String(text) => self.insert(name, text.as_str()),
            other => self.insert(name, other.to_string()),
        }
    }

    /// Adds a value, or replaces the one with this name.
    pub fn insert(&mut self, name: &str, value: impl Into<String>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// Removes a value, and returns it.
    pub fn remove(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// Adds the values of `other`.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Turns this identity into a section of a larger one, by putting `section.` before every name.
    #[must_use]
    pub fn below(self, section: &str) -> Self {
        self.0.into_iter().map(|(name, value)| (format!("{section}.{name}"), value)).collect()
    }

    /// Removes the values and sections with these names.
    #[must_use]
    pub fn without(mut self, names: &[impl AsRef<str>]) -> Self {
        let is_of = |name: &str, hidden: &str| {
            name.strip_prefix(hidden).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.0.retain(|name, _| !names.iter().any(|hidden| is_of(name, hidden.as_ref())));
        self
    }

    /// The stored text of a value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// All names and values, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether it has no values, which means that nothing is recorded yet.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads the values of `section` back as the struct that they came from. `""` stands for all values.
    ///
    /// # Errors
    /// [`BadSection`] if a value is missing, unknown or of another type.
    pub fn section<T: DeserializeOwned>(&self, section: &str) -> Result<T, BadSection> {
        let prefix = if section.is_empty() { String::new() } else { format!("{section}.") };
        let below = self.iter().filter_map(|(name, value)| Some((name.strip_prefix(&prefix)?, name, value)));
        leaves::read(below).map_err(|error| BadSection(error.to_string()))
    }

    /// The differences to `now`, sorted by name. Empty if it is the same run.
    pub fn diff(&self, now: &Self) -> Vec<Difference> {
        let mut names: Vec<&String> = self.0.keys().chain(now.0.keys()).collect();
        names.sort_unstable();
        names.dedup();
        let find = |identity: &Self, name: &String| identity.0.get(name).cloned();
        names
            .into_iter()
            .map(|name| Difference { name: name.clone(), was: find(self, name), is: find(now, name) })
            .filter(|difference| difference.was != difference.is)
            .collect()
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Identity {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(values: I) -> Self {
        Self(values.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Level {
        Exact,
        AsScheduled,
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Inner {
        rate: f32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        threads: Option<usize>,
        list: Vec<u8>,
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        sha256: String,
        seed: u64,
        rounds: Option<u32>,
        level: Level,
        weights: BTreeMap<String, f64>,
        inner: Inner,
    }

    fn outer() -> Outer {
        Outer {
            // Only digits, but must stay a string.
            sha256: "0123".to_owned(),
            seed: u64::MAX,
            rounds: None,
            level: Level::AsScheduled,
            weights: BTreeMap::from([("deepening".to_owned(), 1.0 / 3.0)]),
            inner: Inner { rate: 0.1, threads: Some(2), list: vec![1, 2] },
        }
    }

    #[test]
    fn a_struct_comes_back_with_its_types() {
        let whole = Identity::of(&outer()).below("run").and(Identity::of(&outer().inner).below("other"));
        assert_eq!(whole.section::<Outer>("run").unwrap(), outer());
        assert_eq!(whole.get("run.inner.threads"), Some("2"));
        assert_eq!(whole.get("run.level"), Some("as_scheduled"));
        let mut absent = outer();
        absent.inner.threads = None;
        assert_eq!(Identity::of(&absent).section::<Outer>("").unwrap(), absent);
    }

    #[test]
    fn a_section_with_an_unknown_or_wrong_value_is_refused() {
        let change = |name: &str, value: &str| {
            let mut identity = Identity::of(&outer());
            identity.insert(name, value);
            identity.section::<Outer>("").unwrap_err().to_string()
        };
        assert!(change("color", "1").contains("color"));
        assert!(change("seed", "many").contains("many"));
        assert!(change("level", "other").contains("other"));
        assert!(change("seed.x", "1").contains("`seed`"), "a value and a section of one name");
    }

    #[test]
    fn a_difference_names_the_old_and_the_new_value() {
        let was = Identity::of(&outer());
        assert_eq!(was.diff(&was.clone()), []);
        let mut now = outer();
        now.seed = 3;
        now.inner.threads = None;
        let shown: Vec<String> = was.diff(&Identity::of(&now)).iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            ["`inner.threads` was `2`, is absent", "`seed` was `18446744073709551615`, is now `3`"]
        );
        let ignored = ["inner", "seed"];
        assert_eq!(was.without(&ignored).diff(&Identity::of(&now).without(&ignored)), []);
    }

    #[test]
    fn removing_a_name_removes_values_below_it_but_not_beside_it() {
        let all: Identity = [("seed", "1"), ("seeds.file", "a"), ("seeds.limit", "2")].into_iter().collect();
        let left = all.clone().without(&["seed"]);
        assert_eq!(left.iter().collect::<Vec<_>>(), [("seeds.file", "a"), ("seeds.limit", "2")]);
        assert!(all.without(&["seed", "seeds"]).is_empty());
    }
}
