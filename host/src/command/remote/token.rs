//! `jackfield token`: the tokens of a host, which are the operator's to make.

use serde_json::{Value, json};

use super::super::answer::{Exit, complain, say, say_json};
use super::access::{Access, Surroundings};
use super::arguments::{Remote, TokenCommand, TokenNew, TokenRemove};
use super::failure::{Failure, text_of};
use super::table::columns;

/// The most tokens that are listed.
const MOST: usize = 10_000;

pub(super) async fn run(command: &TokenCommand, surroundings: &Surroundings) -> Result<Exit, Failure> {
    match command {
        TokenCommand::List(remote) => list(remote, surroundings).await,
        TokenCommand::New(new_one) => add(new_one, surroundings).await,
        TokenCommand::Remove(remove_one) => remove(remove_one, surroundings).await,
    }
}

async fn list(remote: &Remote, surroundings: &Surroundings) -> Result<Exit, Failure> {
    let items = Access::open(remote, surroundings)?.client.tokens().list(MOST).await?;
    if remote.json {
        say_json(&items);
        return Ok(Exit::Done);
    }
    let or = |text: String, otherwise: &str| if text.is_empty() { otherwise.to_owned() } else { text };
    let row = |item: &Value| {
        let tenant = or(text_of(item, "tenant"), "(operator)");
        let expires = or(text_of(item, "expires"), "never");
        vec![text_of(item, "id"), text_of(item, "name"), tenant, text_of(item, "created"), expires]
    };
    say(columns(&["id", "name", "tenant", "created", "expires"], items.iter().map(row).collect()));
    Ok(Exit::Done)
}

/// The token's text is the only thing on standard output, so that it can be piped to where it is kept.
async fn add(new: &TokenNew, surroundings: &Surroundings) -> Result<Exit, Failure> {
    let access = Access::open(&new.remote, surroundings)?;
    let answer = access.client.tokens().add(asked(new)).await?.json;
    if new.remote.json {
        say_json(&answer);
        return Ok(Exit::Done);
    }
    let whose = match &new.tenant {
        Some(tenant) => format!("tenant {tenant}"),
        None => "the operator".into(),
    };
    complain(format_args!("token {} of {whose}; its text is shown this once:", text_of(&answer, "id")));
    say(text_of(&answer, "token"));
    Ok(Exit::Done)
}

fn asked(new: &TokenNew) -> Value {
    let tenant = new.tenant.as_ref().map(|tenant| ("tenant", tenant.as_str()));
    let expires = new.expires.as_ref().map(|expires| ("expires", expires.as_str()));
    [Some(("name", new.name.as_str())), tenant, expires].into_iter().flatten().collect()
}

async fn remove(remove: &TokenRemove, surroundings: &Surroundings) -> Result<Exit, Failure> {
    let access = Access::open(&remove.remote, surroundings)?;
    access.client.tokens().remove(&remove.id).await?;
    if remove.remote.json {
        say_json(&json!({ "removed": remove.id }));
    } else {
        say(format_args!("token {} is not valid any more", remove.id));
    }
    Ok(Exit::Done)
}
