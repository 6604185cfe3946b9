//! `jackfield events`: what happened at a tenant, or at all, and what happens.

use serde_json::Value;

use super::super::answer::{Exit, one_line, say};
use super::access::{Access, Surroundings};
use super::arguments::Events;
use super::failure::{Failure, text_of};

/// The keys that stand at the beginning of each line.
const FIRST: [&str; 5] = ["number", "at", "what", "tenant", "by"];

pub(super) async fn run(events: &Events, surroundings: &Surroundings) -> Result<Exit, Failure> {
    let access = Access::open(&events.of.remote, surroundings)?;
    let tenant = events.of.tenant.clone().or(access.tenant).filter(|_| !events.all);
    if tenant.is_none() && !events.all {
        return Err(Failure::Usage(
            "which tenant? say it by --tenant NAME; `--all` is those of all tenants".into(),
        ));
    }
    let json = events.of.remote.json;
    // At least one, to go on behind it.
    let asked = if events.follow { events.limit.max(1) } else { events.limit };
    let before = access.client.audit(tenant.as_ref(), asked).await?;
    let last = before.first().and_then(|entry| entry.get("number")).map(Value::to_string);
    for entry in before.iter().take(events.limit).rev() {
        tell(entry, json);
    }
    if !events.follow {
        return Ok(Exit::Done);
    }
    let mut follow = access.client.follow(tenant.as_ref(), last);
    loop {
        let event = follow.next().await?;
        match serde_json::from_str(&event.data) {
            Ok(entry) => tell(&entry, json),
            Err(_) => tell(&Value::String(event.data), json),
        }
    }
}

/// Prints an entry: a line of words, or of JSON.
fn tell(entry: &Value, json: bool) {
    say(if json { entry.to_string() } else { words(entry) });
}

fn words(entry: &Value) -> String {
    let Some(others) = entry.as_object() else { return one_line(&entry.to_string()) };
    let mut line = [text_of(entry, "at"), text_of(entry, "what")].join("  ");
    for (key, before) in [("tenant", "  "), ("by", "  by ")] {
        let text = text_of(entry, key);
        if !text.is_empty() {
            line.push_str(&format!("{before}{text}"));
        }
    }
    for (key, value) in
        others.iter().filter(|(key, value)| !FIRST.contains(&key.as_str()) && !value.is_null())
    {
        let value = match value {
            Value::String(text) if !text.contains(' ') => one_line(text),
            value => one_line(&value.to_string()),
        };
        line.push_str(&format!("  {}={value}", one_line(key)));
    }
    line
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_entry_is_one_line_whatever_is_in_it() {
        let entry = json!({
            "number": 17, "at": "2026-11-30T12:00:00Z", "by": "token ci", "tenant": "shop", "what": "rollout",
            "from": null, "to": "sha256:ab", "why": "two\nlines",
        });
        assert_eq!(
            words(&entry),
            "2026-11-30T12:00:00Z  rollout  shop  by token ci  to=sha256:ab  why=two\u{fffd}lines"
        );
        assert_eq!(words(&json!("no\nentry")), r#""no\nentry""#);
    }
}
