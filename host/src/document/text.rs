//! The JSON form of values that are written as texts: patterns, methods, origins, digests.
//!
//! It is used by `#[serde(with = "text")]`, and `text::list` for several values.

use std::fmt::Display;
use std::str::FromStr;

use serde::Serializer;
use serde::de::{Deserialize, Deserializer, Error};

pub(super) fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

pub(super) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr<Err: Display>,
    D: Deserializer<'de>,
{
    parse(&String::deserialize(deserializer)?)
}

fn parse<T: FromStr<Err: Display>, E: Error>(text: &str) -> Result<T, E> {
    text.parse().map_err(|error| E::custom(format_args!("`{}`: {error}", text.escape_debug())))
}

/// The JSON form of several such values, in any collection.
pub(super) mod list {
    use super::*;

    pub(in crate::document) fn serialize<C, S>(list: &C, serializer: S) -> Result<S::Ok, S::Error>
    where
        C: Clone + IntoIterator<Item: Display>,
        S: Serializer,
    {
        serializer.collect_seq(list.clone().into_iter().map(|item| item.to_string()))
    }

    pub(in crate::document) fn deserialize<'de, C, T, D>(deserializer: D) -> Result<C, D::Error>
    where
        C: FromIterator<T>,
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        let texts = Vec::<String>::deserialize(deserializer)?;
        texts.iter().map(|text| parse(text)).collect()
    }
}
