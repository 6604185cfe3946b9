//! `bench` and `compare` in a program that was built without what they load servers with: builds one that has it, and runs
//! the command there.

use anyhow::{Context, Result, bail};

use crate::cargo::{cannot_start, cargo};

/// All that the command is told; the program that has it knows what that may be.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Arguments {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    passed_on: Vec<String>,
}

pub(crate) fn run(name: &str, arguments: &Arguments) -> Result<()> {
    let mut command = cargo(["run", "--quiet", "--package", "xtask", "--features", "bench", "--", name]);
    command.args(&arguments.passed_on);
    let status = command.status().with_context(|| cannot_start(name, &command))?;
    if !status.success() {
        bail!("`{name}` failed, as it says above");
    }
    Ok(())
}
