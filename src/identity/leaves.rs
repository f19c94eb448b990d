//! Deserializes a struct from dotted names and text values.
//!
//! Where in the flow: implements [`super::Identity::section`].
//!
//! **Invariant:** the requested type decides how text is read: `0123` is a string for a `String`, and a
//! number for a `u64`.

use serde::de::value::MapDeserializer;
use serde::de::{DeserializeOwned, Deserializer, Error as _, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use std::collections::BTreeMap;

type Error = serde_json::Error;

/// A value, or a section that contains named values.
#[derive(Debug)]
enum Node<'a> {
    Leaf(&'a str),
    Section(BTreeMap<&'a str, Node<'a>>),
}

/// Reads `T` from triples (name below the section, full name, text).
pub(super) fn read<'a, T: DeserializeOwned>(
    values: impl Iterator<Item = (&'a str, &'a str, &'a str)>,
) -> Result<T, Error> {
    let mut root = BTreeMap::new();
    for (path, name, text) in values {
        let (sections, last) =
            path.rsplit_once('.').map_or((None, path), |(above, last)| (Some(above), last));
        let mut section = &mut root;
        for key in sections.into_iter().flat_map(|sections| sections.split('.')) {
            let node = section.entry(key).or_insert_with(|| Node::Section(BTreeMap::new()));
            let Node::Section(below) = node else {
                return Err(Error::custom(format!("`{name}` is below `{key}`, which is a value")));
            };
            section = below;
        }
        section.insert(last, Node::Leaf(text));
    }
    T::deserialize(Node::Section(root))
}

impl<'de> IntoDeserializer<'de, Error> for Node<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Node<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Self::Section(values) => visitor.visit_map(MapDeserializer::new(values.into_iter())),
            // Strings are stored without quotes, so they are not valid JSON.
            Self::Leaf(text) => match serde_json::from_str::<serde_json::Value>(text) {
                Ok(value) => value.deserialize_any(visitor),
                Err(_) => visitor.visit_borrowed_str(text),
            },
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Self::Leaf(text) => visitor.visit_borrowed_str(text),
            Self::Section(_) => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Self::Leaf("null") => visitor.visit_none(),
            some => visitor.visit_some(some),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self {
            Self::Leaf(text) => {
                IntoDeserializer::<Error>::into_deserializer(text).deserialize_enum(name, variants, visitor)
            }
            Self::Section(_) => Err(Error::custom(format!("expected one of {variants:?}, found a section"))),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}
