//! The keys of limits, and of their ceilings, as the table of limits has them: how they are read, how the schema
//! explains them, and what holds of them.
//!
//! Owns the comparison of a plugin's limits with the ceilings of its host and its tenant.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value as Json};

use super::allowance::Allowance;
use super::findings::Findings;
use super::units::{ByteSize, TimeSpan, written};
use super::value::{Spanned, Table, Value, bytes, duration, integer, table};
use super::visible::quoted;
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

/// The limits of a plugin: as written, or by default, below all ceilings.
pub(super) fn resolve(given: &LimitsDocument, bounds: &Allowance<'_>, findings: &mut Findings) -> Limits {
    let mut limits = Limits::default();
    for limit in Limit::ALL.iter().copied() {
        let default = limits.get(limit);
        limits.set(limit, one(limit, default, given, bounds, findings));
    }
    limits.streamed_response_body = streamed_response_body(given, bounds);
    limits
}

/// One limit: as written, if it is below the ceilings; else its default, lowered to them.
fn one(
    limit: Limit,
    default: u64,
    given: &LimitsDocument,
    bounds: &Allowance<'_>,
    findings: &mut Findings,
) -> u64 {
    let Some((ceiling, whose)) = lowest_ceiling(limit, bounds) else {
        return given.0.get(&limit).map_or(default, |given| given.value);
    };
    let Some(given) = given.0.get(&limit) else {
        return default.min(ceiling.value);
    };
    if given.value > ceiling.value {
        let [is, most] = [given.value, ceiling.value].map(|parts| written(limit.row().unit, parts));
        let headline = format!("`{limit}` of {is} is above the ceiling of {whose}, {most}");
        let unless = if ceiling.span.is_empty() {
            format!(" with `{limit}` in `[host.limits]`, which is {most} if left out")
        } else {
            String::new()
        };
        let help = format!("write at most {most}, or let the operator raise the ceiling{unless}");
        let mut found = findings.source().diagnostic(&given.span, headline, "above the ceiling", Some(help));
        if !ceiling.span.is_empty() {
            found = found.with_secondary(&ceiling.span, format!("the ceiling of {whose}"));
        }
        findings.push(found);
    }
    given.value.min(ceiling.value)
}

/// The lower of the ceilings of tenant and host, and whose it is.
fn lowest_ceiling<'a>(limit: Limit, bounds: &Allowance<'a>) -> Option<(&'a Spanned<u64>, String)> {
    let of_host = bounds.host_ceilings.0.get(&limit).map(|ceiling| (ceiling, "the host".to_owned()));
    let of_tenant = bounds.tenant_ceilings.and_then(|ceilings| ceilings.0.get(&limit));
    let of_tenant = of_tenant.map(|ceiling| (ceiling, format!("the tenant {}", quoted(bounds.tenant))));
    of_tenant.into_iter().chain(of_host).min_by_key(|(ceiling, _)| ceiling.value)
}

/// `response-body` of a streamed answer has no default: a stream is bounded where somebody said so.
fn streamed_response_body(given: &LimitsDocument, bounds: &Allowance<'_>) -> Option<u64> {
    let ceiling = lowest_ceiling(Limit::ResponseBody, bounds).map(|(ceiling, _)| ceiling);
    let given = given.0.get(&Limit::ResponseBody);
    given.into_iter().chain(ceiling).map(|bytes| bytes.value).min()
}

/// A tenant's ceiling above the host's own says nothing, and hardly what was meant.
pub(super) fn ceilings_are_below_the_hosts(
    limits: &LimitsDocument,
    host: &LimitsDocument,
    findings: &mut Findings,
) {
    for (limit, mine) in &limits.0 {
        let Some(host) = host.0.get(limit).filter(|host| mine.value > host.value) else { continue };
        let [is, holds] = [mine.value, host.value].map(|parts| written(limit.row().unit, parts));
        let headline = format!("the ceiling `{limit}` of {is} is above the host's own");
        let help = format!("{holds} holds: write at most that, or raise it in `[host.limits]`");
        let mut found = findings.source().diagnostic(&mine.span, headline, "has no effect", Some(help));
        if !host.span.is_empty() {
            found = found.with_secondary(&host.span, "the host's own");
        }
        findings.push(found.into_warning());
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
