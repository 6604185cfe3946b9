//! The difference between two revisions in words: what plugins may do that they could not do comes first.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::Value;

use super::super::answer::one_line;
use crate::admin::client::{Comparison, Difference, Widening};
use crate::config::written;
use crate::limits::Limit;

/// The digits of a digest that are shown where another one is beside it.
const SHOWN_DIGITS: usize = 12;

/// The keys of a plugin that have a section of their own.
const ELSEWHERE: [&str; 2] = ["limits", "grants"];

/// The whole difference, in lines.
pub(super) fn words(comparison: &Comparison) -> String {
    let diff = &comparison.diff;
    let rights = new_rights(comparison);
    if diff.is_empty() && rights.is_empty() {
        return "no difference".into();
    }
    let mut text = String::new();
    section(&mut text, "may do more", rights.iter().map(right).collect());
    section(&mut text, "may do less", lost_rights(comparison).iter().map(right).collect());
    section(
        &mut text,
        "plugins",
        diff.plugins.iter().filter_map(|(name, difference)| plugin(name, difference)).collect(),
    );
    let limits = diff.limits.iter().flat_map(|(plugin, limits)| {
        limits.iter().map(move |(name, difference)| {
            let (sign, values) = change(difference, |value| limit_value(name, value));
            format!("{sign} {}: {} {values}", one_line(plugin), one_line(name))
        })
    });
    section(&mut text, "limits", limits.collect());
    section(&mut text, "routes", diff.routes.iter().map(route_change).collect());
    text.trim_end().to_owned()
}

/// What plugins may do more: as the host says, and as the difference of grants says.
pub(super) fn new_rights(comparison: &Comparison) -> BTreeSet<Widening> {
    let mut rights: BTreeSet<Widening> = comparison.widens.iter().cloned().collect();
    rights.extend(rights_of(comparison, |before, after| after.difference(before).cloned().collect()));
    rights
}

fn lost_rights(comparison: &Comparison) -> BTreeSet<Widening> {
    rights_of(comparison, |before, after| before.difference(after).cloned().collect()).collect()
}

/// The rights that `pick` picks from those that each grant gave before and gives after.
fn rights_of(
    comparison: &Comparison,
    pick: fn(&BTreeSet<Right>, &BTreeSet<Right>) -> Vec<Right>,
) -> impl Iterator<Item = Widening> {
    comparison.diff.grants.iter().flat_map(move |(plugin, grants)| {
        grants.iter().flat_map(move |(name, difference)| {
            let (before, after) = match difference {
                Difference::Added(after) => (None, Some(after)),
                Difference::Removed(before) => (Some(before), None),
                Difference::Changed { from, to } => (Some(from), Some(to)),
            };
            let picked = pick(&given(name, before), &given(name, after));
            picked.into_iter().map(|(kind, name)| Widening {
                plugin: plugin.clone(),
                kind: kind.into(),
                name,
            })
        })
    })
}

/// The kind and the name of a right.
type Right = (&'static str, String);

/// The rights that one grant gives: itself, or its origins.
fn given(name: &str, value: Option<&Value>) -> BTreeSet<Right> {
    match value {
        Some(Value::Bool(true)) => [("grant", name.to_owned())].into(),
        Some(Value::Array(origins)) => {
            let origins = origins.iter().filter_map(Value::as_str);
            origins.map(|origin| ("origin", origin.to_owned())).collect()
        }
        _ => BTreeSet::new(),
    }
}

fn right(right: &Widening) -> String {
    let [plugin, kind, name] = [&right.plugin, &right.kind, &right.name].map(|text| one_line(text));
    format!("{plugin}: {kind} {name}")
}

fn section(text: &mut String, title: &str, lines: Vec<String>) {
    if lines.is_empty() {
        return;
    }
    // A string takes all that is written to it.
    let _ = writeln!(text, "{title}");
    for line in lines {
        let _ = writeln!(text, "  {line}");
    }
}

/// A difference: its sign, and the values in words.
fn change(difference: &Difference, shown: impl Fn(&Value) -> String) -> (char, String) {
    match difference {
        Difference::Added(value) => ('+', shown(value)),
        Difference::Removed(value) => ('-', shown(value)),
        Difference::Changed { from, to } => ('~', format!("{} → {}", shown(from), shown(to))),
    }
}

/// A plugin that differs; none if the sections of limits and grants say all that does.
fn plugin(name: &str, difference: &Difference) -> Option<String> {
    let name = one_line(name);
    let component = |plugin: &Value| plugin.get("component").map(plain).unwrap_or_default();
    match difference {
        Difference::Added(plugin) => Some(format!("+ {name}: {}", component(plugin))),
        Difference::Removed(_) => Some(format!("- {name}")),
        Difference::Changed { from, to } => {
            let parts = parts(from, to);
            (!parts.is_empty()).then(|| format!("~ {name}: {}", parts.join("; ")))
        }
    }
}

/// The keys of a plugin that differ, with their values.
fn parts(from: &Value, to: &Value) -> Vec<String> {
    let keys = |value: &Value| -> BTreeSet<String> {
        value.as_object().map(|object| object.keys().cloned().collect()).unwrap_or_default()
    };
    let mut parts = Vec::new();
    for key in keys(from).union(&keys(to)).filter(|key| !ELSEWHERE.contains(&key.as_str())) {
        let (before, after) = (from.get(key), to.get(key));
        if before == after {
            continue;
        }
        let is_table = |value: Option<&Value>| value.is_none_or(Value::is_object);
        if is_table(before) && is_table(after) {
            let (before, after) = (before.unwrap_or(&Value::Null), after.unwrap_or(&Value::Null));
            for inner in keys(before).union(&keys(after)) {
                let (before, after) = (before.get(inner), after.get(inner));
                if before != after {
                    let name = format!("{} {}", one_line(key), one_line(inner));
                    parts.push(format!("{name} {}", from_to(before, after)));
                }
            }
        } else {
            parts.push(format!("{} {}", one_line(key), from_to(before, after)));
        }
    }
    parts
}

fn from_to(before: Option<&Value>, after: Option<&Value>) -> String {
    match (before, after) {
        (Some(before), Some(after)) => format!("{} → {}", plain(before), plain(after)),
        (None, Some(after)) => format!("added: {}", plain(after)),
        _ => "left out".into(),
    }
}

/// A value as it is written, but a digest by its first digits and the reference to a secret by its name.
fn plain(value: &Value) -> String {
    let secret = value.get("secret").and_then(Value::as_str);
    match (value, secret) {
        (_, Some(secret)) => format!("the secret {}", one_line(secret)),
        (Value::String(text), _) if text.starts_with("sha256:") => short(text),
        (other, _) => one_line(&other.to_string()),
    }
}

/// The first digits of a digest.
pub(super) fn short(digest: &str) -> String {
    let shown = "sha256:".len().saturating_add(SHOWN_DIGITS);
    one_line(&digest.chars().take(shown).collect::<String>())
}

/// A limit in its unit: `20ms` for nanoseconds.
fn limit_value(name: &str, value: &Value) -> String {
    let name = name.strip_prefix("streamed-").unwrap_or(name);
    let limit = Limit::ALL.iter().find(|limit| limit.to_string() == name);
    match (limit, value.as_u64()) {
        (Some(limit), Some(parts)) => written(limit.row().unit, parts),
        _ => one_line(&value.to_string()),
    }
}

fn route_change(difference: &Difference) -> String {
    match difference {
        Difference::Added(route) => format!("+ {} → {}", taken(route), chain(route)),
        Difference::Removed(route) => format!("- {} → {}", taken(route), chain(route)),
        // They take the same requests.
        Difference::Changed { from, to } => {
            format!("~ {} → {}, not {}", taken(to), chain(to), chain(from))
        }
    }
}

/// The requests that a route takes: `GET,POST /api/{*rest}`.
fn taken(route: &Value) -> String {
    let mut text = list(route, "methods", ",");
    if !text.is_empty() {
        text.push(' ');
    }
    text.push_str(&route.get("path").and_then(Value::as_str).map(one_line).unwrap_or_default());
    let hosts = list(route, "hosts", ",");
    if !hosts.is_empty() {
        text.push_str(&format!(" of {hosts}"));
    }
    if let Some(headers) = route.get("headers").and_then(Value::as_object).filter(|all| !all.is_empty()) {
        let headers = headers.iter().map(|(name, value)| format!("{} {}", one_line(name), plain(value)));
        text.push_str(&format!(" with {}", headers.collect::<Vec<_>>().join(", ")));
    }
    text
}

/// Where a route leads: `limit → books`.
fn chain(route: &Value) -> String {
    let mut text = list(route, "filters", " → ");
    if !text.is_empty() {
        text.push_str(" → ");
    }
    text.push_str(&route.get("plugin").and_then(Value::as_str).map(one_line).unwrap_or_default());
    let codings = list(route, "compression", ",");
    if !codings.is_empty() {
        text.push_str(&format!(" (compressed: {codings})"));
    }
    text
}

fn list(of: &Value, key: &str, between: &str) -> String {
    let items = of.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(Value::as_str).map(one_line).collect::<Vec<_>>().join(between)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::document::TenantDocument;

    fn digest(letter: &str) -> String {
        format!("sha256:{}", letter.repeat(64))
    }

    fn document(json: Value) -> TenantDocument {
        serde_json::from_value(json).unwrap()
    }

    /// The difference as the host sends it, and reads it here.
    fn compared(from: &Value, to: &Value, widens: Value) -> Comparison {
        let diff = document(from.clone()).diff(&document(to.clone()));
        serde_json::from_value(json!({ "diff": diff, "widens": widens, "later": "passed over" })).unwrap()
    }

    fn shop() -> Value {
        json!({
            "plugins": {
                "books": {
                    "component": digest("a"),
                    "grants": { "keyvalue": true, "http": ["https://old.example"] },
                    "config": { "page-size": "20", "gone": "1" },
                    "limits": { "cpu": 20_000_000, "memory": 1 << 20 },
                },
                "old": { "component": digest("b"), "grants": { "limiter": true } },
            },
            "routes": [
                { "path": "/api/books/{id}", "methods": ["GET"], "plugin": "books" },
                { "path": "/old", "plugin": "old" },
            ],
        })
    }

    #[test]
    fn what_plugins_may_do_more_is_said_first() {
        let later = json!({
            "plugins": {
                "books": {
                    "component": digest("c"),
                    "grants": { "keyvalue-shared": true, "http": ["https://old.example", "https://new.example"] },
                    "config": { "page-size": "30", "token": { "secret": "api-token" } },
                    "limits": { "cpu": 50_000_000, "request-body": 4 << 20 },
                    "instances": "reused",
                },
                "limit": { "component": digest("d"), "grants": { "limiter": true } },
            },
            "routes": [
                { "path": "/api/books/{id}", "methods": ["GET"], "filters": ["limit"], "plugin": "books" },
                {
                    "path": "/new", "methods": ["GET", "POST"], "hosts": ["shop.example"], "plugin": "books",
                    "headers": { "x-beta": "1" }, "compression": ["zstd"],
                },
            ],
        });
        let import =
            json!([{ "plugin": "books", "kind": "import", "name": "wasi:http/outgoing-handler@0.2.6" }]);
        snapbox::assert_data_eq!(
            words(&compared(&shop(), &later, import)),
            snapbox::str![[r#"
may do more
  books: grant keyvalue-shared
  books: import wasi:http/outgoing-handler@0.2.6
  books: origin https://new.example
  limit: grant limiter
may do less
  books: grant keyvalue
  old: grant limiter
plugins
  ~ books: component sha256:aaaaaaaaaaaa → sha256:cccccccccccc; config gone left out; config page-size "20" → "30"; config token added: the secret api-token; instances added: "reused"
  + limit: sha256:dddddddddddd
  - old
limits
  - books: cpu 20ms
  - books: memory 1MiB
  + books: request-body 4MiB
routes
  + GET,POST /new of shop.example with x-beta "1" → books (compressed: zstd)
  ~ GET /api/books/{id} → limit → books, not books
  - /old → old
"#]]
        );
    }

    #[test]
    fn a_first_revision_is_told_whole_and_the_same_again_in_two_words() {
        let nothing = json!({});
        snapbox::assert_data_eq!(
            words(&compared(&nothing, &shop(), json!([]))),
            snapbox::str![[r#"
may do more
  books: grant keyvalue
  books: origin https://old.example
  old: grant limiter
plugins
  + books: sha256:aaaaaaaaaaaa
  + old: sha256:bbbbbbbbbbbb
limits
  + books: cpu 20ms
  + books: memory 1MiB
routes
  + GET /api/books/{id} → books
  + /old → old
"#]]
        );
        assert_eq!(words(&compared(&shop(), &shop(), json!([]))), "no difference");
    }

    #[test]
    fn names_steer_no_terminal() {
        let comparison = Comparison {
            widens: vec![Widening {
                plugin: "a\nb".into(),
                kind: "\u{1b}[2J".into(),
                name: "\u{202e}c".into(),
            }],
            ..Comparison::default()
        };
        assert_eq!(words(&comparison), "may do more\n  a\u{fffd}b: \u{fffd}[2J \u{fffd}c");
    }
}
