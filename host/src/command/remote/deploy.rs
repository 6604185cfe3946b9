//! `jackfield deploy`: a tenant file becomes a revision, and the revision goes live.
//!
//! ```text
//! read ─▶ digests ─▶ rollout ─▶ send what is missing ─▶ dry run ─▶ say what changes ─▶ ask ─▶ keep ─▶ make it live
//!                       └──────────────── if it is still the same ─────────────────────────────────────▲
//! ```

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::super::answer::{Colours, Exit, complain, say, say_json};
use super::access::{Access, Surroundings};
use super::arguments::Deploy;
use super::changes::{new_rights, words};
use super::components::Components;
use super::failure::{Failure, text_of};
use super::input::ask;
use super::rollback::{changed_meanwhile, set_rollout};
use crate::admin::client::{Published, State};
use crate::config::TenantFile;
use crate::sandbox::Digest;
use crate::tenant::TenantName;

/// The name of a tenant file in its folder.
const FILE: &str = "tenant.toml";

pub(super) async fn run(
    deploy: &Deploy,
    surroundings: &Surroundings,
    colours: Colours,
) -> Result<Exit, Failure> {
    let json = deploy.of.remote.json;
    let (client, tenant) = Access::open_tenant(&deploy.of, surroundings)?;
    let file = TenantFile::load(&tenant_file(&deploy.path))?;
    for warning in &file.warnings {
        complain(warning.render(colours.are_shown()));
    }
    let components = Components::of(&file)?;
    let document = file.document.with_artifacts(&components.digests);
    let document = serde_json::to_value(document).map_err(Failure::refused)?;

    let calls = client.of(&tenant);
    let (rollout, version) = calls.rollout().await?;
    let sent = components.send(calls, colours).await?;
    let (published, answer) = calls.try_revision(&document).await?;
    if published.against != rollout.live {
        return Err(changed_meanwhile(&tenant));
    }
    if !json {
        say(words(&published.comparison));
    }
    if rollout.live == Some(published.revision) {
        report(json, answer, &sent, None, || format!("{} is live already", published.revision));
        return Ok(Exit::Done);
    }
    if deploy.dry_run {
        let held = if published.state == State::Held { ", after the operator has approved it" } else { "" };
        report(json, answer, &sent, None, || format!("{} would be live{held}", published.revision));
        return Ok(Exit::Done);
    }
    if !deploy.yes && !may_widen(&published, json)? {
        return Err(Failure::refused("nothing was published"));
    }
    let (published, answer) = calls.add_revision(&document).await?;
    if published.state == State::Held {
        return Err(held(published.revision, &tenant));
    }
    let rollout = set_rollout(calls, &tenant, published.revision, deploy.why.as_deref(), &version).await?;
    let number = text_of(&rollout, "number");
    report(json, answer, &sent, Some(rollout), || {
        format!("{} is live at tenant {tenant}, rollout {number}", published.revision)
    });
    Ok(Exit::Done)
}

/// The tenant file that an argument means.
fn tenant_file(path: &Path) -> PathBuf {
    match path.to_str() {
        // As people would name it.
        Some(".") => FILE.into(),
        _ if path.is_dir() => path.join(FILE),
        _ => path.to_owned(),
    }
}

/// Asks if plugins may do more. Nothing is asked if they may not.
fn may_widen(published: &Published, json: bool) -> Result<bool, Failure> {
    if new_rights(&published.comparison).is_empty() {
        return Ok(true);
    }
    if json {
        // Whoever is asked has to see what for.
        complain(words(&published.comparison));
    }
    ask("publish?").ok_or_else(|| {
        Failure::refused(
            "plugins may do more than they could, and nobody can be asked here; `--yes` publishes it",
        )
    })
}

/// The failure of a revision that waits for the operator.
fn held(revision: Digest, tenant: &TenantName) -> Failure {
    Failure::Refused(format!(
        "{revision} is held until the operator approves it: `jackfield approve {revision} --tenant {tenant}`; then \
         deploy again"
    ))
}

/// Prints the result: a sentence, or the host's answers in one object.
fn report(
    json: bool,
    mut answer: Value,
    sent: &[Digest],
    rollout: Option<Value>,
    sentence: impl FnOnce() -> String,
) {
    if !json {
        if !sent.is_empty() {
            say(format_args!("sent {}", sent.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")));
        }
        say(sentence());
        return;
    }
    if let Some(answer) = answer.as_object_mut() {
        answer.insert("sent".into(), json!(sent.iter().map(ToString::to_string).collect::<Vec<_>>()));
        answer.insert("rollout".into(), rollout.unwrap_or_default());
    }
    say_json(&answer);
}
