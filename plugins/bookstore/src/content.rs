//! What a request brings: which content is taken at all, and the JSON that is in it.
//!
//! The two are apart because conditions come between them (RFC 9110 §13.2.1): fields are checked before, the content is
//! only processed behind.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::bindings::jackfield::plugin::types::{Request, RequestHead};
use crate::problem::Problem;

const JSON: &str = "application/json";
const MERGE_PATCH: &str = "application/merge-patch+json";
/// What a PATCH may bring, as `Accept-Patch` says it (RFC 5789 §3.1).
pub(crate) const PATCHES: &str = "application/merge-patch+json, application/json";

/// Content whose fields say that it is JSON, not looked into yet.
#[derive(Clone, Copy)]
pub(crate) struct Content<'a>(&'a [u8]);

impl<'a> Content<'a> {
    /// That of a POST.
    pub(crate) fn of_post(request: &'a Request) -> Result<Self, Problem> {
        Self::of(request, &[JSON], || Problem::unsupported_media_type("accept", JSON))
    }

    /// That of a PUT, which is always the whole: a part would be taken for it (RFC 9110 §14.5).
    pub(crate) fn of_put(request: &'a Request) -> Result<Self, Problem> {
        if fields(&request.head, "content-range").next().is_some() {
            return Err(Problem::bad_request("A book is replaced whole: `Content-Range` is not taken."));
        }
        Self::of_post(request)
    }

    /// That of a PATCH, a merge patch.
    pub(crate) fn of_patch(request: &'a Request) -> Result<Self, Problem> {
        Self::of(request, &[JSON, MERGE_PATCH], || Problem::unsupported_media_type("accept-patch", PATCHES))
    }

    fn of(
        request: &'a Request,
        accepted: &[&str],
        unsupported: impl Fn() -> Problem,
    ) -> Result<Self, Problem> {
        if request.body.is_empty() {
            return Err(Problem::bad_request("The request has no body."));
        }
        let mut content_types = fields(&request.head, "content-type");
        let content_type = match (content_types.next(), content_types.next()) {
            (None, _) => return Err(Problem::bad_request("The request has no content-type.")),
            (Some(_), Some(_)) => return Err(Problem::bad_request("The request has two content-types.")),
            (Some(content_type), None) => content_type,
        };
        // Parameters change nothing: JSON is UTF-8 (RFC 8259 §8.1) and has none of its own.
        let media_type = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        if !accepted.iter().any(|accepted| media_type.eq_ignore_ascii_case(accepted.as_bytes())) {
            return Err(unsupported());
        }
        let codings =
            fields(&request.head, "content-encoding").flat_map(|line| line.split(|byte| *byte == b','));
        let is_none = |coding: &[u8]| coding.is_empty() || coding.eq_ignore_ascii_case(b"identity");
        if !codings.map(<[u8]>::trim_ascii).all(is_none) {
            return Err(Problem::unsupported_coding());
        }
        Ok(Self(&request.body))
    }

    /// The JSON in it.
    pub(crate) fn document(self) -> Result<Value, Problem> {
        let document: Result<Document, _> = serde_json::from_slice(self.0);
        document.map(|document| document.0).map_err(|error| {
            Problem::bad_request(format!("The body is not JSON that can be taken: {error}."))
        })
    }

    /// Whether it is these bytes, all of them.
    pub(crate) fn is(self, bytes: &[u8]) -> bool {
        self.0 == bytes
    }
}

/// The values of every field of this name.
pub(crate) fn fields<'a>(head: &'a RequestHead, name: &str) -> impl Iterator<Item = &'a [u8]> {
    head.headers.iter().filter(move |(field, _)| field == name).map(|(_, value)| value.as_slice())
}

/// JSON in which no object has a name twice: which of the two is meant, nobody can tell (RFC 8259 §4).
struct Document(Value);

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue).map(Self)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Document(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.contains_key(&name) {
                let name: String = name.chars().take(60).collect();
                return Err(de::Error::custom(format_args!("`{name}` is there twice")));
            }
            let Document(value) = members.next_value()?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_is_read_as_it_stands() {
        let text = r#" {"a": [1, -2, 3.5, 1e3, true, null, "\u00e9"], "b": {"a": {}}, "c": "", "": []} "#;
        let expected = json!({"a": [1, -2, 3.5, 1000.0, true, null, "é"], "b": {"a": {}}, "c": "", "": []});
        assert_eq!(Content(text.as_bytes()).document().unwrap(), expected);
    }

    #[test]
    fn what_is_not_json_or_has_a_name_twice_is_refused() {
        for text in [
            r#"{"a": 1, "a": 1}"#,
            r#"{"a": 1, "\u0061": 2}"#,
            r#"[{"b": {"a": 1, "c": 2, "a": 3}}]"#,
            r#"{"a": 1} {}"#,
            r#"{"a": 1,}"#,
            "1e999",
            "NaN",
            "\"\u{0}\"",
            "",
        ] {
            assert!(Content(text.as_bytes()).document().is_err(), "{text}");
        }
        assert!(Content(b"\"\xff\"").document().is_err());
        assert!(Content("[".repeat(100_000).as_bytes()).document().is_err());
    }
}
