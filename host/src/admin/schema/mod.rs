//! The schemas of values whose JSON form a derive cannot see: texts with a grammar, and documents with a form of their
//! own.

mod document;

use std::borrow::Cow;

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{Object, ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::deploy::Actor;
use crate::document::{PluginSpec, RouteSpec, TenantDocument, TenantQuota, TenantSpec};
use crate::sandbox::Digest;
use crate::tenant::{PluginName, SecretName, TenantName};

/// Names are patterns of one grammar.
const NAME: &str = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$";

macro_rules! text {
    ($($type:ty, $name:literal, $description:literal, $pattern:expr;)*) => {$(
        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                RefOr::T(Schema::Object(text_object($description, $pattern)))
            }
        }

        impl ToSchema for $type {
            fn name() -> Cow<'static, str> {
                $name.into()
            }
        }
    )*};
}

fn text_object(description: &str, pattern: &str) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
        .pattern(Some(pattern))
        .build()
}

text! {
    Digest, "Digest", "A SHA-256 digest: `sha256:` and 64 hexadecimal digits.", "^sha256:[0-9a-f]{64}$";
    TenantName, "TenantName", "The name of a tenant.", NAME;
    PluginName, "PluginName", "The name of a plugin.", NAME;
    SecretName, "SecretName", "The name of a secret.", NAME;
    Actor, "Actor", "Somebody who changes things: `operator (socket)`, or `token NAME (ID)`.", "^(operator|token) .+$";
}

macro_rules! shaped {
    ($($type:ty as $shape:ty, $name:literal;)*) => {$(
        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                <$shape>::schema()
            }
        }

        impl ToSchema for $type {
            fn name() -> Cow<'static, str> {
                $name.into()
            }

            fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
                <$shape>::schemas(schemas);
            }
        }
    )*};
}

shaped! {
    TenantDocument as document::TenantDocument, "TenantDocument";
    PluginSpec as document::Plugin, "Plugin";
    RouteSpec as document::Route, "Route";
    TenantQuota as document::Quota, "Quota";
    TenantSpec as document::TenantSpec, "TenantSpec";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    use super::*;

    /// The keys that a type reads, as its refusal of another key names them.
    fn keys_read<T: DeserializeOwned>() -> BTreeSet<String> {
        let refused = serde_json::from_value::<T>(json!({ "no such key": 1 })).err().unwrap().to_string();
        let (_, keys) = refused.split_once("expected ").unwrap_or_else(|| panic!("{refused}"));
        keys.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    #[test]
    fn the_documents_that_are_described_have_the_keys_that_are_read() {
        let described: Value = serde_json::from_str(&crate::admin::openapi()).unwrap();
        for (name, read) in [
            ("TenantDocument", keys_read::<TenantDocument>()),
            ("Plugin", keys_read::<PluginSpec>()),
            ("Route", keys_read::<RouteSpec>()),
            ("TenantSpec", keys_read::<TenantSpec>()),
            ("Quota", keys_read::<TenantQuota>()),
            ("Grants", keys_read::<crate::document::AllowedGrants>()),
        ] {
            let properties = described["components"]["schemas"][name]["properties"].as_object();
            let keys: BTreeSet<String> =
                properties.unwrap_or_else(|| panic!("{name}")).keys().cloned().collect();
            assert_eq!(keys, read, "{name}");
        }
    }
}
