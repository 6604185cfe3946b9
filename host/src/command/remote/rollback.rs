//! `jackfield rollback`: an earlier revision goes live again. Also how any revision goes live.

use serde_json::Value;

use super::super::answer::{Exit, say, say_json};
use super::access::{Access, Surroundings};
use super::arguments::Rollback;
use super::changes::words;
use super::failure::{Failure, text_of};
use super::revisions::{comparison, resolve};
use crate::admin::client::TenantCalls;
use crate::sandbox::Digest;
use crate::tenant::TenantName;

pub(super) async fn run(rollback: &Rollback, surroundings: &Surroundings) -> Result<Exit, Failure> {
    let (client, tenant) = Access::open_tenant(&rollback.of, surroundings)?;
    let calls = client.of(&tenant);
    let (rollout, version) = calls.rollout().await?;
    let target = match &rollback.to {
        Some(name) => resolve(calls, name).await?,
        None => rollout.previous.ok_or_else(|| {
            Failure::Refused(format!(
                "tenant {tenant} had no other revision live; `jackfield revisions` lists them"
            ))
        })?,
    };
    if rollout.live == Some(target) {
        return Err(Failure::Refused(format!("{target} is live already")));
    }
    let is_json = rollback.of.remote.json;
    if !is_json && rollout.live.is_some() {
        say(words(&comparison(&calls.diff(target, rollout.live).await?)?));
    }
    let rollout = set_rollout(calls, &tenant, target, rollback.why.as_deref(), &version).await?;
    if is_json {
        say_json(&rollout);
    } else {
        say(format_args!("{target} is live at tenant {tenant}, rollout {}", text_of(&rollout, "number")));
    }
    Ok(Exit::Done)
}

/// Makes a revision live, if what is live is still of this version, and gives the rollout.
pub(super) async fn set_rollout(
    calls: TenantCalls<'_>,
    tenant: &TenantName,
    live: Digest,
    why: Option<&str>,
    version: &str,
) -> Result<Value, Failure> {
    match calls.set_rollout(live, why, version).await {
        Ok(answer) => Ok(answer.json),
        Err(error) if error.problem("rollout-changed").is_some() => Err(changed_meanwhile(tenant)),
        Err(error) => Err(error.into()),
    }
}

/// The failure of a change that was made from what is not live any more.
pub(super) fn changed_meanwhile(tenant: &TenantName) -> Failure {
    Failure::Refused(format!(
        "somebody else changed what is live at tenant {tenant} meanwhile, and nothing was made live; try again"
    ))
}
