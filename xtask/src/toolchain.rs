//! What a command needs beside cargo: rustup's wasm target and components, and cargo-deny.
//!
//! Each is looked for first and added only when it is missing, so that an offline machine which has them
//! needs no network, and a toolchain that did not come from rustup works as long as it is complete.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, io};

use anyhow::{Context, Result, bail};

use crate::cargo::{cargo, step, target_folder};

/// What components are built for.
pub(crate) const WASM_TARGET: &str = "wasm32-wasip2";

/// The version that is installed when none is there, and the releases that read the same `deny.toml`.
const DENY_VERSION: &str = "0.20.2";
const DENY_RELEASES: &str = "cargo-deny 0.20.";

/// Adds the wasm target, unless the compiler in use has it.
pub(crate) fn ensure_wasm_target() -> Result<()> {
    if wasm_libraries()?.is_dir() {
        return Ok(());
    }
    rustup(
        &format!("adding Rust's target {WASM_TARGET}"),
        &["target", "add", WASM_TARGET],
        "install your distribution's package of Rust's standard library for it",
    )
}

/// Where the compiler in use looks for the standard library of the wasm target.
fn wasm_libraries() -> Result<PathBuf> {
    let output = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", WASM_TARGET])
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start `rustc`: install Rust from https://rustup.rs")?;
    if !output.status.success() {
        bail!("`rustc` does not know the target {WASM_TARGET}: this workspace needs Rust 1.95 or newer");
    }
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}

/// Adds rustfmt and clippy, unless they answer.
pub(crate) fn ensure_rustfmt_and_clippy() -> Result<()> {
    let missing: Vec<&str> = [("rustfmt", "fmt"), ("clippy", "clippy")]
        .into_iter()
        .filter(|(_, subcommand)| !answers(&mut cargo([*subcommand, "--version"])))
        .map(|(component, _)| component)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    rustup(
        &format!("adding Rust's components {}", missing.join(" and ")),
        &[&["component", "add"], missing.as_slice()].concat(),
        "install your distribution's packages of them",
    )
}

/// The cargo-deny to use: the one on the PATH if it is of the right release, else our own under `target/`,
/// built on first use.
pub(crate) fn ensure_cargo_deny() -> Result<PathBuf> {
    let on_path = PathBuf::from("cargo-deny");
    let own_root = target_folder().join("tools");
    let own = own_root.join("bin").join("cargo-deny");
    for program in [on_path, own.clone()] {
        if is_right_cargo_deny(&program) {
            return Ok(program);
        }
    }
    let build = target_folder().join("tools-build");
    let mut install = cargo(["install", "cargo-deny", "--locked", "--debug", "--version", DENY_VERSION]);
    install.arg("--root").arg(&own_root).arg("--target-dir").arg(&build);
    // It is run, not debugged; and the folder it is built in is its own, so nothing else is built again for it.
    install.env("CARGO_PROFILE_DEV_DEBUG", "false");
    step(
        "installing cargo-deny under target/tools (once)",
        &mut install,
        "it is fetched from the crate registry: is the network there?",
    )?;
    fs::remove_dir_all(&build).with_context(|| format!("cannot remove {}", build.display()))?;
    Ok(own)
}

fn is_right_cargo_deny(program: &Path) -> bool {
    let output = Command::new(program).arg("--version").stderr(Stdio::null()).output();
    output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).starts_with(DENY_RELEASES))
}

fn answers(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn rustup(what: &str, arguments: &[&str], otherwise: &str) -> Result<()> {
    match step(what, Command::new("rustup").args(arguments), "is the network there?") {
        Err(error) if is_not_found(&error) => bail!(
            "{what} failed: `rustup` is not on the PATH\n  \
             install it from https://rustup.rs and run `rustup {}`; or {otherwise}",
            arguments.join(" ")
        ),
        done => done,
    }
}

fn is_not_found(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|cause| cause.kind() == io::ErrorKind::NotFound)
}
