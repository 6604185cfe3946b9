//! `jackfield status`: what is live at a tenant, and what it uses.

use indicatif::HumanBytes;
use serde_json::Value;

use super::super::answer::{Exit, one_line, say, say_json};
use super::access::{Access, Surroundings};
use super::arguments::OfTenant;
use super::failure::{Failure, text_of};
use crate::admin::client::Rollout;

pub(super) async fn run(of: &OfTenant, surroundings: &Surroundings) -> Result<Exit, Failure> {
    let (client, tenant) = Access::open_tenant(of, surroundings)?;
    let calls = client.of(&tenant);
    let status = calls.status().await?.json;
    if of.remote.json {
        say_json(&status);
        return Ok(Exit::Done);
    }
    let (rollout, _) = calls.rollout().await?;
    say(words(&status, &rollout));
    Ok(Exit::Done)
}

fn words(status: &Value, rollout: &Rollout) -> String {
    let mut lines = vec![format!("tenant     {}", text_of(status, "tenant"))];
    lines.push(match &rollout.live {
        Some(live) => format!("live       {live}"),
        None => "live       nothing: `jackfield deploy` publishes a revision".into(),
    });
    if rollout.number > 0 {
        let since = |text: &Option<String>, before: &str| {
            text.as_deref().map(|text| format!("{before}{}", one_line(text))).unwrap_or_default()
        };
        let (at, by) = (since(&rollout.at, ", since "), since(&rollout.by, ", by "));
        lines.push(format!("rollout    {}{at}{by}", rollout.number));
        lines.extend(rollout.why.as_deref().map(|why| format!("why        {}", one_line(why))));
    }
    lines.extend(rollout.previous.as_ref().map(|previous| format!("previous   {previous}")));
    let number = |key: &str| status.pointer(key).and_then(Value::as_u64).unwrap_or(0);
    let draining = number("/draining");
    if draining > 0 {
        lines.push(format!("draining   {draining} earlier, with requests in flight"));
    }
    let (bytes, keys) = (HumanBytes(number("/storage/bytes")), number("/storage/keys"));
    lines.push(format!("key-value  {bytes} in {keys} keys"));
    lines.push(format!("artifacts  {}", HumanBytes(number("/artifact-bytes"))));
    let plugins = status.get("plugins").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for (place, plugin) in plugins.iter().enumerate() {
        let title = if place == 0 { "plugins" } else { "" };
        lines.push(format!("{title:9}  {} {}", text_of(plugin, "name"), text_of(plugin, "component")));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_status_says_what_is_live_since_when_and_why() {
        let status = json!({
            "tenant": "shop", "rollout": 3, "draining": 1, "storage": { "bytes": 2048, "keys": 7 },
            "artifact-bytes": 1_500_000,
            "plugins": [{ "name": "books", "component": "sha256:aa" }, { "name": "limit", "component": "sha256:bb" }],
        });
        let [live, previous] = ["a", "b"].map(|digit| format!("sha256:{}", digit.repeat(64)));
        let rollout = json!({
            "number": 3, "live": live, "previous": previous, "by": "token ci", "at": "2026-11-30T12:00:00Z",
            "why": "faster\nbooks",
        });
        snapbox::assert_data_eq!(
            words(&status, &serde_json::from_value(rollout).unwrap()),
            snapbox::str![[r#"
tenant     shop
live       sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
rollout    3, since 2026-11-30T12:00:00Z, by token ci
why        faster�books
previous   sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
draining   1 earlier, with requests in flight
key-value  2.00 KiB in 7 keys
artifacts  1.43 MiB
plugins    books sha256:aa
           limit sha256:bb
"#]]
        );
        let nothing = json!({ "number": 0, "live": null });
        snapbox::assert_data_eq!(
            words(&json!({ "tenant": "shop" }), &serde_json::from_value(nothing).unwrap()),
            snapbox::str![[r#"
tenant     shop
live       nothing: `jackfield deploy` publishes a revision
key-value  0 B in 0 keys
artifacts  0 B
"#]]
        );
    }
}
