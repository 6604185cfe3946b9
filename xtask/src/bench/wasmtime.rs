//! The `wasmtime` that the host is compared with: which one, and how it gets here.
//!
//! Always our own build of one version, also where another is installed: figures of two machines are then of
//! the same program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::cargo::{step, target_folder};
use crate::toolchain::host_cargo;

/// The release of the wasmtime that the host is built with.
pub(crate) const VERSION: &str = "50.0.1";

/// What `wasmtime serve` needs for a component of WASI 0.2, and to be as fast as it can: without the pool
/// every instance maps its memory anew.
const FEATURES: &str =
    "serve,run,compile,parallel-compilation,pooling-allocator,component-model,component-model-async";

/// The program, built under `target/tools` on first use.
pub(crate) fn ensure() -> Result<PathBuf> {
    if let Some(program) = installed() {
        return Ok(program);
    }
    let root = target_folder().join("tools");
    let build = target_folder().join("tools-build");
    let mut install = host_cargo(["install", "wasmtime-cli", "--locked", "--version", VERSION, "--force"])?;
    install.args(["--no-default-features", "--features", FEATURES]);
    install.arg("--root").arg(&root).arg("--target-dir").arg(&build);
    step(
        "installing wasmtime under target/tools (once; it takes many minutes)",
        &mut install,
        "it is fetched from the crate registry: is the network there?",
    )?;
    fs::remove_dir_all(&build).with_context(|| format!("cannot remove {}", build.display()))?;
    installed().context("what was installed under target/tools is another wasmtime")
}

/// The program, if it was built before.
pub(crate) fn installed() -> Option<PathBuf> {
    let program = target_folder().join("tools").join("bin").join("wasmtime");
    is_right(&program).then_some(program)
}

fn is_right(program: &Path) -> bool {
    let output = Command::new(program).arg("--version").stderr(Stdio::null()).output();
    let Ok(output) = output else {
        return false;
    };
    String::from_utf8_lossy(&output.stdout).split_ascii_whitespace().nth(1) == Some(VERSION)
}
