//! The components of this repository, and how they are built.
//!
//! A guest is a package under `plugins/` or `tests/guests/` that makes a `cdylib`. All are built alike, into
//! `target/wasm32-wasip2/plugin/`, where the demo's site file and the tests look for them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::cargo::{cannot_start, cargo, command_line, step, target_folder, workspace_root};
use crate::toolchain::{WASM_TARGET, ensure_wasm_target};

/// Where the packages of guests live, relative to the workspace's root.
const FOLDERS: [&str; 2] = ["plugins", "tests/guests"];

/// The profile in the workspace's `Cargo.toml` that guests are built with.
const PROFILE: &str = "plugin";

/// Builds the packages named, after adding the wasm target if it is missing.
pub(crate) fn build<S: AsRef<str>>(packages: &[S]) -> Result<()> {
    ensure_wasm_target()?;
    let mut command = cargo(["build", "--profile", PROFILE, "--target", WASM_TARGET]);
    for package in packages {
        command.args(["--package", package.as_ref()]);
    }
    step("building the plugins", &mut command, "the compiler's messages above say what to mend")
}

/// The component that a package is built into.
pub(crate) fn component(package: &str) -> PathBuf {
    target_folder().join(WASM_TARGET).join(PROFILE).join(package.replace('-', "_")).with_extension("wasm")
}

/// The names of all guests in the workspace.
pub(crate) fn all() -> Result<Vec<String>> {
    let what = "listing the workspace's packages";
    let mut command = cargo(["metadata", "--no-deps", "--format-version", "1"]);
    let output = command.output().with_context(|| cannot_start(what, &command))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{what} failed ({})\n  command: {}\n{said}", output.status, command_line(&command));
    }
    let metadata = serde_json::from_slice(&output.stdout).with_context(|| format!("{what} failed"))?;
    let guests = guests_in(&metadata, workspace_root());
    ensure!(!guests.is_empty(), "{what} found no guest: no cdylib in the folders {}", FOLDERS.join(", "));
    Ok(guests)
}

fn guests_in(metadata: &Value, root: &Path) -> Vec<String> {
    let mut names: Vec<String> = list(&metadata["packages"])
        .filter(|package| {
            let manifest = Path::new(package["manifest_path"].as_str().unwrap_or_default());
            FOLDERS.iter().any(|folder| manifest.starts_with(root.join(folder)))
        })
        .filter(|package| {
            list(&package["targets"])
                .any(|target| list(&target["crate_types"]).any(|crate_type| crate_type == "cdylib"))
        })
        .filter_map(|package| package["name"].as_str().map(str::to_owned))
        .collect();
    names.sort();
    names
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::{component, guests_in};

    #[test]
    fn guests_are_the_cdylibs_below_plugins_and_test_guests() {
        let package = |name: &str, manifest: &str, crate_type: &str| {
            let targets = json!([{"crate_types": [crate_type]}]);
            json!({"name": name, "manifest_path": manifest, "targets": targets})
        };
        let metadata = json!({"packages": [
            package("redirect", "/repo/plugins/redirect/Cargo.toml", "cdylib"),
            package("jackfield", "/repo/host/Cargo.toml", "lib"),
            package("guest-hello", "/repo/tests/guests/hello/Cargo.toml", "cdylib"),
            package("shared-words", "/repo/plugins/shared-words/Cargo.toml", "lib"),
            package("elsewhere", "/other/plugins/elsewhere/Cargo.toml", "cdylib"),
        ]});
        assert_eq!(guests_in(&metadata, Path::new("/repo")), ["guest-hello", "redirect"]);
    }

    #[test]
    fn a_component_is_named_after_its_package() {
        let path = component("rate-limit");
        assert!(path.ends_with("target/wasm32-wasip2/plugin/rate_limit.wasm"), "{}", path.display());
    }
}
