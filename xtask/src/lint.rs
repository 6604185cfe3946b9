//! `cargo xtask lint`: what CI checks besides the tests.

use std::process::Command;

use anyhow::{Result, bail};

use crate::cargo::{step, workspace_root};
use crate::toolchain::{ensure_cargo_deny, ensure_rustfmt_and_clippy, host_cargo};

/// Runs every check, also after one has failed: a person mends them in one go.
pub(crate) fn run() -> Result<()> {
    ensure_rustfmt_and_clippy()?;
    let failures: Vec<String> = [formatting(), clippy(), documentation(), dependencies()]
        .into_iter()
        .filter_map(Result::err)
        .map(|error| format!("{error:#}"))
        .collect();
    if failures.is_empty() {
        return Ok(());
    }
    bail!("{} of 4 checks failed\n{}", failures.len(), failures.join("\n"))
}

fn formatting() -> Result<()> {
    step(
        "checking the formatting",
        &mut host_cargo(["fmt", "--all", "--check"])?,
        "`cargo fmt --all` mends it",
    )
}

fn clippy() -> Result<()> {
    step(
        "running clippy",
        &mut host_cargo([
            "clippy",
            "--workspace",
            "--all-targets",
            "--features",
            "xtask/bench",
            "--",
            "-D",
            "warnings",
        ])?,
        "each message above names its lint and often the change",
    )
}

fn documentation() -> Result<()> {
    step(
        "checking the documentation",
        // Read by rustdoc alone: no crate is compiled again for it.
        host_cargo(["doc", "--workspace", "--no-deps", "--features", "xtask/bench"])?
            .env("RUSTDOCFLAGS", "-D warnings"),
        "rustdoc's messages above say which comment, and what is wrong with it",
    )
}

fn dependencies() -> Result<()> {
    let program = ensure_cargo_deny()?;
    let mut deny = Command::new(program);
    deny.current_dir(workspace_root()).args(["check", "--hide-inclusion-graph"]);
    deny.args(["bans", "licenses", "sources"]);
    step(
        "checking licences and sources of dependencies",
        &mut deny,
        "deny.toml says what is allowed, and why; `cargo tree --invert NAME` shows who needs a crate",
    )
}
