//! `jackfield revisions`, `diff` and `approve`: the revisions that are kept.

use serde_json::Value;

use super::super::answer::{Exit, say, say_json};
use super::access::{Access, Surroundings};
use super::arguments::{Approve, DiffArguments, RevisionName, Revisions};
use super::changes::words;
use super::failure::{Failure, text_of};
use super::table::columns;
use crate::admin::client::{Answer, Comparison, TenantCalls};
use crate::observe::few;
use crate::sandbox::Digest;

/// The revisions among which a name is looked up.
const MOST_LOOKED_UP: usize = 1000;

/// The revisions that an ambiguous name lists.
const MOST_LISTED: usize = 4;

pub(super) async fn list(revisions: &Revisions, surroundings: &Surroundings) -> Result<Exit, Failure> {
    let (client, tenant) = Access::open_tenant(&revisions.of, surroundings)?;
    let calls = client.of(&tenant);
    let items = calls.revisions(revisions.limit).await?;
    if revisions.of.remote.json {
        say_json(&items);
        return Ok(Exit::Done);
    }
    let (rollout, _) = calls.rollout().await?;
    let live = rollout.live.map(|live| live.to_string()).unwrap_or_default();
    let row = |item: &Value| {
        let id = text_of(item, "revision");
        let state = if id == live { "live".into() } else { text_of(item, "state") };
        vec![id, state, text_of(item, "created"), text_of(item, "by")]
    };
    say(columns(&["revision", "state", "created", "by"], items.iter().map(row).collect()));
    Ok(Exit::Done)
}

pub(super) async fn diff(diff: &DiffArguments, surroundings: &Surroundings) -> Result<Exit, Failure> {
    let (client, tenant) = Access::open_tenant(&diff.of, surroundings)?;
    let calls = client.of(&tenant);
    let (from, to) = match diff.revisions.as_slice() {
        [from, to] => (Some(resolve(calls, from).await?), to),
        [to] => (None, to),
        _ => return Err(Failure::Usage("one revision, or two".into())),
    };
    let answer = calls.diff(resolve(calls, to).await?, from).await?;
    if diff.of.remote.json {
        say_json(&answer.json);
    } else {
        say(words(&comparison(&answer)?));
    }
    Ok(Exit::Done)
}

pub(super) async fn approve(approve: &Approve, surroundings: &Surroundings) -> Result<Exit, Failure> {
    let (client, tenant) = Access::open_tenant(&approve.of, surroundings)?;
    let calls = client.of(&tenant);
    let revision = resolve(calls, &approve.revision).await?;
    calls.approve(revision).await?;
    if approve.of.remote.json {
        say_json(&serde_json::json!({ "revision": revision.to_string(), "state": "ready" }));
    } else {
        say(format_args!("{revision} may go live at tenant {tenant}"));
    }
    Ok(Exit::Done)
}

/// The difference in an answer: the whole answer, or its part `diff`.
pub(super) fn comparison(answer: &Answer) -> Result<Comparison, Failure> {
    if answer.json.get("diff").is_some() {
        return Ok(answer.read()?);
    }
    Ok(Comparison { diff: answer.read()?, widens: Vec::new() })
}

/// The revision that a name means. The first digits have to be those of one revision alone.
pub(super) async fn resolve(calls: TenantCalls<'_>, name: &RevisionName) -> Result<Digest, Failure> {
    let digits = match name {
        RevisionName::Whole(digest) => return Ok(*digest),
        RevisionName::Beginning(digits) => digits,
    };
    let items = calls.revisions(MOST_LOOKED_UP).await?;
    let ids = items.iter().filter_map(|item| item.get("revision")?.as_str()?.parse().ok());
    let found: Vec<Digest> = ids.filter(|id: &Digest| format!("{id:x}").starts_with(digits)).collect();
    match found.as_slice() {
        [one] => Ok(*one),
        [] => Err(Failure::Refused(format!(
            "no revision begins with {digits}; `jackfield revisions` lists them"
        ))),
        several => {
            let listed = few(several, MOST_LISTED);
            Err(Failure::Refused(format!("several revisions begin with {digits}: {listed}")))
        }
    }
}
