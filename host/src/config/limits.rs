//! The keys of limits, and of their ceilings, as the table of limits has them: how they are read, and how the schema
//! explains them. What holds of them is for `ceilings`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value as Json};

use super::findings::Findings;
use super::units::{ByteSize, TimeSpan, written};
use super::value::{Spanned, Table, Value, bytes, duration, integer, table};
use crate::limits::{Ceilings, Limit, Limits, Quantity, Row, Unit};

/// Limits as they are written: those that are, in the smallest part of their unit.
#[derive(Debug, Clone, Default)]
pub(super) struct LimitsDocument(pub(super) BTreeMap<Limit, Spanned<u64>>);

/// Ceilings of limits, which have the same keys.
#[derive(Debug, Default)]
pub(super) struct CeilingsDocument(pub(super) LimitsDocument);

pub(super) fn limits(value: &Value<'_>, findings: &mut Findings) -> Option<LimitsDocument> {
    let read = table(|table: &mut Table<'_>, findings: &mut Findings| {
        let written = Limit::ALL.iter().filter_map(|limit| {
            let amount = table.optional(limit.name(), findings, amount(&limit.row()))?;
            Some((*limit, amount))
        });
        LimitsDocument(written.collect())
    });
    read(value, findings)
}

pub(super) fn ceilings(value: &Value<'_>, findings: &mut Findings) -> Option<CeilingsDocument> {
    limits(value, findings).map(CeilingsDocument)
}

/// An amount within the bounds of its row, in the smallest part of the row's unit.
fn amount(row: &Row) -> impl Fn(&Value<'_>, &mut Findings) -> Option<Spanned<u64>> {
    let Row { unit, least, most, .. } = *row;
    move |value, findings| match unit {
        Unit::Time => {
            let [least, most] = [least, most].map(|parts| TimeSpan(Quantity::from_parts(parts)));
            duration(least..=most)(value, findings).map(|time| time.map(|time| time.0.parts()))
        }
        Unit::Bytes => {
            let read = bytes(ByteSize(least)..=ByteSize(most));
            read(value, findings).map(|size| size.map(|size| size.0))
        }
        Unit::Count => integer(least..=most)(value, findings),
    }
}

impl LimitsDocument {
    /// The values, without where each is written.
    pub(super) fn ceilings(&self) -> Ceilings {
        self.0.iter().map(|(limit, amount)| (*limit, amount.value)).collect()
    }
}

impl JsonSchema for LimitsDocument {
    fn schema_name() -> Cow<'static, str> {
        "Limits".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let default = Limits::default();
        let about = "The ceilings of each call of a plugin, and of its calls together.";
        schema(about, generator, |limit| {
            // Of a streamed answer it has none.
            (limit != Limit::ResponseBody).then(|| default.get(limit))
        })
    }
}

impl JsonSchema for CeilingsDocument {
    fn schema_name() -> Cow<'static, str> {
        "Ceilings".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        schema("What limits may not exceed. None of them has a default.", generator, |_| None)
    }
}

fn schema(about: &str, generator: &mut SchemaGenerator, default: impl Fn(Limit) -> Option<u64>) -> Schema {
    let properties = Limit::ALL.iter().map(|limit| {
        let row = limit.row();
        let mut property = match row.unit {
            Unit::Time => generator.subschema_for::<TimeSpan>(),
            Unit::Bytes => generator.subschema_for::<ByteSize>(),
            Unit::Count => json_schema!({ "type": "integer", "minimum": row.least, "maximum": row.most }),
        };
        property.insert("description".into(), row.key.into());
        if let Some(default) = default(*limit) {
            let default = match row.unit {
                Unit::Count => default.into(),
                Unit::Time | Unit::Bytes => written(row.unit, default).into(),
            };
            property.insert("default".into(), default);
        }
        (row.name.to_owned(), property.to_value())
    });
    let properties: Map<String, Json> = properties.collect();
    json_schema!({
        "type": "object",
        "description": about,
        "properties": properties,
        "additionalProperties": false,
    })
}
