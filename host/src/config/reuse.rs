//! `instances` and `reuse` of a plugin: whether its instances serve one call or several, and how long.
//!
//! Owns both keys, from their text to what is run.

use super::document::{InstancesDocument, PluginDocument, ReuseDocument};
use super::findings::Findings;
use super::units::{MAX_TIME, SOME_TIME};
use super::value::{Spanned, Table, Value, duration, integer, no_help, parsed, table};
use super::visible::quoted;
use crate::limits::Reuse;

/// The most calls that one instance may be given.
const MAX_CALLS: u32 = 1_000_000_000;

pub(super) fn instances(value: &Value<'_>, findings: &mut Findings) -> Option<Spanned<InstancesDocument>> {
    let parse = |text: &str| match text {
        "fresh" => Ok(InstancesDocument::Fresh),
        "reused" => Ok(InstancesDocument::Reused),
        _ => Err(format!("`instances` is \"fresh\" or \"reused\", not {}", quoted(text))),
    };
    parsed("\"fresh\" or \"reused\"", "reused", parse, no_help)(value, findings)
}

pub(super) fn reuse(value: &Value<'_>, findings: &mut Findings) -> Option<Spanned<ReuseDocument>> {
    let read = table(|table: &mut Table<'_>, findings: &mut Findings| ReuseDocument {
        calls: table.optional("calls", findings, integer(1..=MAX_CALLS)),
        age: table.optional("age", findings, duration(SOME_TIME..=MAX_TIME)),
        idle: table.optional("idle", findings, duration(SOME_TIME..=MAX_TIME)),
    });
    Some(Spanned { value: read(value, findings)?, span: value.name_or_span() })
}

/// The reuse of the plugin's instances; none if each serves one call.
pub(super) fn resolve(plugin: &PluginDocument, findings: &mut Findings) -> Option<Reuse> {
    let instances = plugin.instances.as_ref();
    if instances.is_none_or(|instances| instances.value == InstancesDocument::Fresh) {
        if let Some(reuse) = &plugin.reuse {
            let headline = "`reuse` is for instances that are reused, and these are not";
            let help = "add `instances = \"reused\"`, or take `reuse` away";
            let found = findings.source().diagnostic(&reuse.span, headline, "", Some(help.into()));
            findings.push(match instances {
                Some(instances) => found.with_secondary(&instances.span, "a new one for each call"),
                None => found,
            });
        }
        return None;
    }
    let default = Reuse::default();
    let Some(Spanned { value: reuse, .. }) = &plugin.reuse else { return Some(default) };
    Some(Reuse {
        calls: reuse.calls.as_ref().map_or(default.calls, |calls| calls.value),
        age: reuse.age.as_ref().map_or(default.age, |age| age.value.0),
        idle: reuse.idle.as_ref().map_or(default.idle, |idle| idle.value.0),
    })
}
