//! What a command needs beside cargo: the Rust release that the host is built with, rustup's wasm target and
//! components, and cargo-deny.
//!
//! Each is looked for first and added only when it is missing, so that an offline machine which has them
//! needs no network, and a toolchain that did not come from rustup works as long as it is complete.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, io};

use anyhow::{Context, Result, bail};

use crate::cargo::{cargo, step, target_folder, toolchain_cargo};

/// What components are built for.
pub(crate) const WASM_TARGET: &str = "wasm32-wasip2";

/// The version that is installed when none is there, and the releases that read the same `deny.toml`.
const DENY_VERSION: &str = "0.20.2";
const DENY_RELEASES: &str = "cargo-deny 0.20.";

/// The oldest Rust release that builds the host, as `rust-version` in the workspace's `Cargo.toml` has it, and the
/// toolchain that is installed where the one in use is older. wasmtime 50 sets it; plugins and xtask itself are
/// content with an older release.
const HOST_TOOLCHAIN: &str = "1.97.0";

/// The cargo that builds the host and its tests: the one that runs this program if its release is new enough, else
/// that of [`HOST_TOOLCHAIN`], which is installed through rustup on first use.
pub(crate) fn host_cargo<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Result<Command> {
    Ok(match ensure_host_toolchain()? {
        HostToolchain::InUse => cargo(arguments),
        HostToolchain::Added => toolchain_cargo(HOST_TOOLCHAIN, arguments),
    })
}

/// What the compiler that builds the host says of its version.
pub(crate) fn host_rustc_version() -> Result<String> {
    match ensure_host_toolchain()? {
        HostToolchain::InUse => rustc(&["--version"]),
        HostToolchain::Added => output_of("rustup", &["run", HOST_TOOLCHAIN, "rustc", "--version"]),
    }
}

/// Which toolchain builds the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HostToolchain {
    /// The one that runs this program.
    InUse,
    /// [`HOST_TOOLCHAIN`], beside the one in use.
    Added,
}

fn ensure_host_toolchain() -> Result<HostToolchain> {
    let in_use = rustc(&["--version"])?;
    if is_new_enough(&in_use) {
        return Ok(HostToolchain::InUse);
    }
    if !answers(Command::new("rustup").args(["run", HOST_TOOLCHAIN, "rustc", "--version"])) {
        rustup(
            &format!("adding Rust {HOST_TOOLCHAIN} for the host ({} is in use)", in_use.trim()),
            &["toolchain", "install", HOST_TOOLCHAIN, "--profile", "minimal"],
            &format!("use a Rust of release {HOST_TOOLCHAIN} or newer"),
        )?;
    }
    Ok(HostToolchain::Added)
}

/// Whether a compiler that says this of its version is of [`HOST_TOOLCHAIN`] or newer.
fn is_new_enough(said: &str) -> bool {
    let numbers = |release: &str| -> Vec<u32> {
        let release = release.split('-').next().unwrap_or_default();
        release.split('.').filter_map(|number| number.parse().ok()).collect()
    };
    said.split_ascii_whitespace().nth(1).is_some_and(|release| numbers(release) >= numbers(HOST_TOOLCHAIN))
}

/// Adds the wasm target to the toolchain in use, which builds the plugins, and to the host's, whose tests build
/// components too; unless they have it.
pub(crate) fn ensure_wasm_target() -> Result<()> {
    let hint = "install your distribution's package of Rust's standard library for it";
    let what = format!("adding Rust's target {WASM_TARGET}");
    let has_it = |output: String| PathBuf::from(output.trim()).is_dir();
    let libraries = ["--print", "target-libdir", "--target", WASM_TARGET];
    if !has_it(rustc(&libraries)?) {
        rustup(&what, &["target", "add", WASM_TARGET], hint)?;
    }
    if ensure_host_toolchain()? == HostToolchain::Added {
        let host = [&["run", HOST_TOOLCHAIN, "rustc"][..], &libraries[..]].concat();
        if !has_it(output_of("rustup", &host)?) {
            let add = ["target", "add", WASM_TARGET, "--toolchain", HOST_TOOLCHAIN];
            rustup(&format!("{what} to {HOST_TOOLCHAIN}"), &add, hint)?;
        }
    }
    Ok(())
}

/// What the compiler in use answers.
fn rustc(arguments: &[&str]) -> Result<String> {
    output_of("rustc", arguments)
}

fn output_of(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start `{program}`: install Rust from https://rustup.rs"))?;
    if !output.status.success() {
        bail!("`{program} {}` failed: this workspace needs Rust 1.95 or newer", arguments.join(" "));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Adds rustfmt and clippy, unless they answer.
pub(crate) fn ensure_rustfmt_and_clippy() -> Result<()> {
    let mut missing = Vec::new();
    for (component, subcommand) in [("rustfmt", "fmt"), ("clippy", "clippy")] {
        if !answers(&mut host_cargo([subcommand, "--version"])?) {
            missing.push(component);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let what = format!("adding Rust's components {}", missing.join(" and "));
    let mut add = [&["component", "add"], missing.as_slice()].concat();
    if ensure_host_toolchain()? == HostToolchain::Added {
        add.extend(["--toolchain", HOST_TOOLCHAIN]);
    }
    rustup(&what, &add, "install your distribution's packages of them")
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
    let mut install =
        host_cargo(["install", "cargo-deny", "--locked", "--debug", "--version", DENY_VERSION])?;
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

#[cfg(test)]
mod tests {
    use super::is_new_enough;

    #[test]
    fn a_release_is_compared_number_by_number() {
        for (said, enough) in [
            ("rustc 1.97.0 (2d8144b78 2026-07-07)", true),
            ("rustc 1.100.1 (0123456 2026-12-01)", true),
            ("rustc 2.0.0-nightly (0123456 2027-01-01)", true),
            ("rustc 1.95.0 (59807616e 2026-04-14)", false),
            ("rustc 1.9.9", false),
            ("", false),
        ] {
            assert_eq!(is_new_enough(said), enough, "{said}");
        }
    }
}
