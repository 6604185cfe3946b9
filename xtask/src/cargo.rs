//! Running cargo and other programs as the named steps of a longer task.
//!
//! Owns how a step is announced and how its failure reads; what the steps are is for the commands.
//! No step sets anything that changes how rustc is called (`RUSTFLAGS` and its like), or the next one
//! would build everything again.

use std::env;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

/// The folder of the workspace's `Cargo.toml`.
pub(crate) fn workspace_root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

/// The one folder that everything is built into. Site files and tests name components by it, so it is the
/// workspace's own also for a person who keeps build output elsewhere.
pub(crate) fn target_folder() -> PathBuf {
    workspace_root().join("target")
}

/// `cargo`, the one that runs this program, in the workspace's root.
pub(crate) fn cargo<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace_root()).env("CARGO_TARGET_DIR", target_folder()).args(arguments);
    command
}

/// The same for the cargo of another toolchain that rustup has.
pub(crate) fn toolchain_cargo<'a>(toolchain: &str, arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new("rustup");
    command.current_dir(workspace_root()).env("CARGO_TARGET_DIR", target_folder());
    // The cargo that runs this program has set it for itself.
    command.env_remove("CARGO").args(["run", toolchain, "cargo"]).args(arguments);
    command
}

/// Runs one step to its end: `what` says what it does ("building the host"), and a failure names it together
/// with its command and `hint`, what the reader can do.
pub(crate) fn step(what: &str, command: &mut Command, hint: &str) -> Result<()> {
    announce(what, command);
    let started = Instant::now();
    let status = command.status().with_context(|| cannot_start(what, command))?;
    if !status.success() {
        bail!("{what} failed ({status})\n  command: {}\n  {hint}", command_line(command));
    }
    eprintln!("    done in {}", seconds(started));
    Ok(())
}

/// Says on standard error which step begins, and with which command.
pub(crate) fn announce(what: &str, command: &Command) {
    eprintln!("==> {what}: {}", command_line(command));
}

/// The words for a program that could not even be started.
pub(crate) fn cannot_start(what: &str, command: &Command) -> String {
    format!("{what} failed: cannot start `{}`", command_line(command))
}

/// Time since `started`, as people read it.
pub(crate) fn seconds(started: Instant) -> String {
    format!("{:.1} s", started.elapsed().as_secs_f64())
}

/// The command as a person would type it in the workspace's root; programs by their short names.
pub(crate) fn command_line(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut line = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
    for argument in command.get_args() {
        let argument = argument.to_string_lossy();
        let plain = argument.chars().all(|c| c.is_ascii_alphanumeric() || "-_./=:,@+".contains(c));
        let written = if plain && !argument.is_empty() {
            write!(line, " {argument}")
        } else {
            write!(line, " '{}'", argument.replace('\'', r"'\''"))
        };
        written.unwrap_or_default();
    }
    line
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::{command_line, step};

    #[test]
    fn a_command_line_can_be_pasted_into_a_shell() {
        for (arguments, line) in [
            (&["build", "--package", "bookstore"][..], "cargo build --package bookstore"),
            (&["test", "--", "two words"], "cargo test -- 'two words'"),
            (&["test", "it's"], r"cargo test 'it'\''s'"),
            (&["run", ""], "cargo run ''"),
        ] {
            assert_eq!(command_line(Command::new("/usr/bin/cargo").args(arguments)), line);
        }
    }

    #[test]
    fn a_failed_step_names_itself_its_command_and_what_to_do() {
        let failure = step("weighing feathers", &mut Command::new("false"), "try lead").unwrap_err();
        let message = format!("{failure:#}");
        assert!(message.contains("weighing feathers failed"), "{message}");
        assert!(message.contains("command: false"), "{message}");
        assert!(message.contains("try lead"), "{message}");
    }

    #[test]
    fn a_missing_program_is_named() {
        let failure = step("looking", &mut Command::new("no-such-program-here"), "").unwrap_err();
        assert!(format!("{failure:#}").contains("cannot start `no-such-program-here`"));
    }
}
