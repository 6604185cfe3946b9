//! The JSON Schema of the site file, made of the types that read it.
//!
//! Owns the schema of types for which a derive cannot express it. An editor that knows the schema completes and
//! explains keys; the host itself never reads it.

use std::borrow::Cow;

use schemars::generate::SchemaSettings;
use schemars::transform::transform_subschemas;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use super::document::{Named, SiteDocument};
use super::site::ListenAddress;
use super::units::{ByteRate, ByteSize, CpuRate, TimeSpan};
use super::value::Spanned;
use crate::capability::http::Origin;
use crate::snapshot::{HostPattern, RoutePattern};
use crate::tenant::{PluginName, SecretName, TenantName};

/// The JSON Schema (2020-12) of the site file, as text that ends in a line break.
pub fn json_schema() -> String {
    let settings = SchemaSettings::draft2020_12().with_transform(as_toml);
    let mut schema = settings.into_generator().into_root_schema_for::<SiteDocument>();
    schema.insert("title".into(), "Jackfield site file".into());
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}

/// Turns the derived schema, which describes Rust, into one for TOML: there is no null (an optional key may be left
/// out), numbers have bounds and no Rust type, and the line breaks of doc comments are removed.
fn as_toml(schema: &mut Schema) {
    schema.remove("format");
    if let Some(Value::String(description)) = schema.get_mut("description") {
        let paragraphs: Vec<_> = description.split("\n\n").map(|lines| lines.replace('\n', " ")).collect();
        *description = paragraphs.join("\n\n");
    }
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".into(), only);
        }
    }
    if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
        choices.retain(|choice| choice.get("type").is_none_or(|kind| kind != "null"));
        if let [Value::Object(only)] = choices.as_slice() {
            let only = only.clone();
            schema.remove("anyOf");
            for (key, value) in only {
                schema.insert(key, value);
            }
        }
    }
    transform_subschemas(&mut as_toml, schema);
}

impl<T: JsonSchema> JsonSchema for Spanned<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

impl<N: JsonSchema, T: JsonSchema> JsonSchema for Named<N, T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("{}s", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "propertyNames": generator.subschema_for::<N>(),
            "additionalProperties": generator.subschema_for::<T>(),
        })
    }
}

macro_rules! text_schema {
    ($($type:ty, $name:literal, $description:literal, $pattern:literal, [$($example:literal),*];)*) => {$(
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "string",
                    "description": $description,
                    "pattern": $pattern,
                    "examples": [$($example),*],
                })
            }
        }
    )*};
}

// The patterns are approximate, for an editor: the host still checks each text.
text_schema! {
    ByteSize, "Size", "A whole number of bytes and its unit: B, KiB, MiB or GiB.",
        "^[0-9]+(B|KiB|MiB|GiB)$", ["64KiB", "128MiB"];
    TimeSpan, "Duration", "A whole number and its unit: us, ms, s, min or h; at most a year.",
        "^[0-9]+(us|ms|s|min|h)$", ["50ms", "30s"];
    ByteRate, "Rate", "A whole number of bytes and its unit a second: B/s, KiB/s, MiB/s or GiB/s.",
        "^[0-9]+(B|KiB|MiB|GiB)/s$", ["240B/s", "1KiB/s"];
    CpuRate, "CpuRate", "CPU time a second: a whole number and its unit, us/s, ms/s or s/s; `2s/s` is two processors.",
        "^[0-9]+(us|ms|s)/s$", ["500ms/s", "2s/s"];
    TenantName, "TenantName", "1 to 63 of a-z, 0-9 and `-`, beginning and ending with a letter or digit.",
        "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", ["shop"];
    PluginName, "PluginName", "1 to 63 of a-z, 0-9 and `-`, beginning and ending with a letter or digit.",
        "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", ["books"];
    SecretName, "SecretName", "1 to 63 of a-z, 0-9 and `-`, beginning and ending with a letter or digit.",
        "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", ["api-token"];
    Origin, "Origin", "`http://` or `https://`, a host name or address, and a port where it is not the scheme's own.",
        "^https?://(\\[[0-9a-fA-F:.]+\\]|[0-9A-Za-z_.-]+)(:[0-9]{1,5})?/?$",
        ["https://api.example.com", "http://10.1.2.3:8080"];
    HostPattern, "HostPattern", "A host name or address without a port, `*.` and a host name, or `*`.",
        "^(\\*|\\[[0-9a-fA-F:.]+\\]|(\\*\\.)?[0-9A-Za-z_-]+(\\.[0-9A-Za-z_-]+)*)$",
        ["shop.example.com", "*.shop.example.com", "*"];
    RoutePattern, "RoutePattern", "A path of static segments, `{name}`, and at the end `{*name}`.",
        "^/[^?#]*$", ["/", "/api/books/{id}", "/files/{*path}"];
    ListenAddress, "ListenAddress", "An IP address and port, or `unix:` and a path.",
        "^(unix:.+|.+:[0-9]{1,5})$", ["127.0.0.1:8080", "[::]:80", "unix:jackfield.sock"];
}
