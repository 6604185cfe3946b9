//! `jackfield secret`: the secrets of a tenant. Their values go to the host, and never come back.

use serde_json::{Value, json};

use super::super::answer::{Exit, one_line, say, say_json};
use super::access::{Access, Surroundings};
use super::arguments::{OfTenant, SecretCommand, SecretRemove, SecretSet};
use super::failure::{Failure, text_of};
use super::input::{hidden_value, value_of_file};

/// The most secrets that are listed.
const MOST: usize = 10_000;

pub(super) async fn run(command: &SecretCommand, surroundings: &Surroundings) -> Result<Exit, Failure> {
    match command {
        SecretCommand::List(of) => list(of, surroundings).await,
        SecretCommand::Set(set_one) => set(set_one, surroundings).await,
        SecretCommand::Remove(remove_one) => remove(remove_one, surroundings).await,
    }
}

async fn list(of: &OfTenant, surroundings: &Surroundings) -> Result<Exit, Failure> {
    let (client, tenant) = Access::open_tenant(of, surroundings)?;
    let items = client.of(&tenant).secrets(MOST).await?;
    if of.remote.json {
        say_json(&items);
        return Ok(Exit::Done);
    }
    for item in &items {
        say(item.as_str().map_or_else(|| text_of(item, "name"), one_line));
    }
    Ok(Exit::Done)
}

async fn set(set: &SecretSet, surroundings: &Surroundings) -> Result<Exit, Failure> {
    let (client, tenant) = Access::open_tenant(&set.of, surroundings)?;
    let value = match &set.file {
        Some(file) => value_of_file(file)?,
        None => hidden_value(&format!("value of {}", set.name))?,
    };
    if value.is_empty() {
        return Err(Failure::refused("the value is empty"));
    }
    client.of(&tenant).set_secret(&set.name, &value).await?;
    done(&set.of, json!({ "set": set.name }), &format!("secret {} of tenant {tenant} is set", set.name));
    Ok(Exit::Done)
}

async fn remove(remove: &SecretRemove, surroundings: &Surroundings) -> Result<Exit, Failure> {
    let (client, tenant) = Access::open_tenant(&remove.of, surroundings)?;
    client.of(&tenant).remove_secret(&remove.name).await?;
    let sentence = format!("secret {} of tenant {tenant} is removed", remove.name);
    done(&remove.of, json!({ "removed": remove.name }), &sentence);
    Ok(Exit::Done)
}

fn done(of: &OfTenant, json: Value, sentence: &str) {
    if of.remote.json { say_json(&json) } else { say(sentence) }
}
