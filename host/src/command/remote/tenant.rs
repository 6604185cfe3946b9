//! `jackfield tenant`: the tenants of a host, which are the operator's.

use serde_json::{Map, Value, json};

use super::super::answer::{Exit, one_line, say, say_json};
use super::access::{Access, Surroundings};
use super::arguments::{Approval, Remote, TenantCommand, TenantRemove, TenantSet, TenantShow};
use super::changes::short;
use super::failure::{Failure, text_of};
use super::input::{ask, json_of_file};
use super::table::columns;

/// The most tenants that are listed.
const MOST: usize = 10_000;

/// The keys that are the operator's to set.
const SET: [&str; 3] = ["hosts", "approve", "quota"];

pub(super) async fn run(command: &TenantCommand, surroundings: &Surroundings) -> Result<Exit, Failure> {
    match command {
        TenantCommand::List(remote) => list(remote, surroundings).await,
        TenantCommand::Show(show_one) => show(show_one, surroundings).await,
        TenantCommand::Set(set_one) => set(set_one, surroundings).await,
        TenantCommand::Remove(remove_one) => remove(remove_one, surroundings).await,
    }
}

async fn list(remote: &Remote, surroundings: &Surroundings) -> Result<Exit, Failure> {
    let items = Access::open(remote, surroundings)?.client.tenants(MOST).await?;
    if remote.json {
        say_json(&items);
        return Ok(Exit::Done);
    }
    let row = |item: &Value| {
        let live = short(item.get("live").and_then(Value::as_str).unwrap_or("nothing"));
        vec![text_of(item, "name"), text_of(item, "managed-by"), live, hosts(item)]
    };
    say(columns(&["tenant", "by", "live", "hosts"], items.iter().map(row).collect()));
    Ok(Exit::Done)
}

async fn show(show: &TenantShow, surroundings: &Surroundings) -> Result<Exit, Failure> {
    let access = Access::open(&show.remote, surroundings)?;
    let tenant = access.client.of(&show.name).show().await?.json;
    if show.remote.json {
        say_json(&tenant)
    } else {
        say(words(&tenant))
    }
    Ok(Exit::Done)
}

async fn set(set: &TenantSet, surroundings: &Surroundings) -> Result<Exit, Failure> {
    let access = Access::open(&set.remote, surroundings)?;
    let calls = access.client.of(&set.name);
    let before = match calls.show().await {
        Ok(answer) => Some(answer.json),
        Err(error) if error.is_not_found() => None,
        Err(error) => return Err(error.into()),
    };
    let quota = set.file.as_deref().map(json_of_file).transpose()?;
    let tenant = with_changes(before.as_ref(), set, quota)?;
    let answer = calls.set(tenant).await?;
    if set.remote.json {
        say_json(&answer.json);
    } else {
        let done = if before.is_some() { "changed" } else { "made" };
        say(format_args!("tenant {} is {done}", set.name));
    }
    Ok(Exit::Done)
}

async fn remove(remove: &TenantRemove, surroundings: &Surroundings) -> Result<Exit, Failure> {
    let name = &remove.name;
    let access = Access::open(&remove.remote, surroundings)?;
    let question = format!("remove tenant {name} with its revisions, artifacts, secrets and key-value data?");
    if !remove.yes
        && !ask(&question).ok_or_else(|| Failure::refused("nobody can be asked here; `--yes` removes it"))?
    {
        return Err(Failure::refused("nothing was removed"));
    }
    access.client.of(name).remove().await?;
    if remove.remote.json {
        say_json(&json!({ "removed": name }));
    } else {
        say(format_args!("tenant {name} is removed"));
    }
    Ok(Exit::Done)
}

/// The tenant as it shall be: as it was, but for what the command line changes.
fn with_changes(before: Option<&Value>, set: &TenantSet, quota: Option<Value>) -> Result<Value, Failure> {
    if before.is_none() && set.hosts.is_empty() {
        return Err(Failure::Usage(format!("tenant {} is new, so it needs --hosts", set.name)));
    }
    let mut tenant: Map<String, Value> = before.and_then(Value::as_object).cloned().unwrap_or_default();
    tenant.retain(|key, _| SET.contains(&key.as_str()));
    if !set.hosts.is_empty() {
        tenant.insert("hosts".into(), json!(set.hosts));
    }
    if let Some(approve) = set.approve {
        let what: &[&str] = if approve == Approval::Grants { &["grants"] } else { &[] };
        tenant.insert("approve".into(), json!(what));
    }
    if let Some(quota) = quota {
        tenant.insert("quota".into(), quota);
    }
    Ok(tenant.into())
}

fn hosts(tenant: &Value) -> String {
    let hosts = tenant.get("hosts").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    hosts.iter().filter_map(Value::as_str).map(one_line).collect::<Vec<_>>().join(", ")
}

fn words(tenant: &Value) -> String {
    let managed = match text_of(tenant, "managed-by").as_str() {
        "file" => "the site file".to_owned(),
        "api" => "the admin API".to_owned(),
        other => other.to_owned(),
    };
    let live = text_of(tenant, "live");
    let approves = tenant.get("approve").and_then(Value::as_array).is_some_and(|what| !what.is_empty());
    let lines = [
        ("tenant", text_of(tenant, "name")),
        ("managed", format!("by {managed}")),
        ("hosts", hosts(tenant)),
        ("live", if live.is_empty() { "nothing".into() } else { live }),
        ("approval", if approves { "of new grants and origins".into() } else { "of nothing".into() }),
    ];
    let mut text: String = lines.map(|(title, text)| format!("{title:8}  {text}\n")).concat();
    let quota = tenant.get("quota").and_then(|quota| serde_json::to_string_pretty(quota).ok());
    text.push_str(&format!("quota     {}", quota.unwrap_or_else(|| "the defaults".into())));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenant::TenantName;

    fn set(hosts: &[&str], approve: Option<Approval>) -> TenantSet {
        TenantSet {
            name: TenantName::parse("shop").unwrap(),
            hosts: hosts.iter().map(|&host| host.to_owned()).collect(),
            approve,
            file: None,
            remote: Remote { host: None, ca: None, json: false },
        }
    }

    #[test]
    fn what_is_left_out_stays_as_it_is() {
        let before = json!({
            "name": "shop", "managed-by": "api", "live": null, "hosts": ["shop.example"], "approve": ["grants"],
            "quota": { "weight": 2 },
        });
        let changed = |set: &TenantSet, quota| with_changes(Some(&before), set, quota).unwrap();
        assert_eq!(
            changed(&set(&[], Some(Approval::Nothing)), None),
            json!({ "hosts": ["shop.example"], "approve": [], "quota": { "weight": 2 } })
        );
        assert_eq!(
            changed(&set(&["a.example", "*.a.example"], None), Some(json!({ "queue": 7 }))),
            json!({ "hosts": ["a.example", "*.a.example"], "approve": ["grants"], "quota": { "queue": 7 } })
        );
        assert_eq!(
            with_changes(None, &set(&["a.example"], None), None).unwrap(),
            json!({ "hosts": ["a.example"] })
        );
        assert!(matches!(with_changes(None, &set(&[], None), None), Err(Failure::Usage(_))));
    }

    #[test]
    fn a_tenant_is_shown_with_its_quota() {
        let tenant = json!({
            "name": "shop", "managed-by": "api", "live": null, "hosts": ["shop.example"], "approve": ["grants"],
            "quota": { "weight": 2 },
        });
        snapbox::assert_data_eq!(
            words(&tenant),
            snapbox::str![[r#"
tenant    shop
managed   by the admin API
hosts     shop.example
live      nothing
approval  of new grants and origins
quota     {
  "weight": 2
}
"#]]
        );
    }
}
