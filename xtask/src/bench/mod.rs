//! `cargo xtask bench`: what the host costs, beside servers that do the same work in the same run.
//!
//! Owns which benches there are, and what they share. docs/benchmarks.md says what the figures mean.

pub(crate) mod bare_hyper;
mod caller;
mod density;
mod edge;
mod events;
mod fair;
mod files;
mod flame;
mod latency;
mod nginx;
mod overload;
#[cfg(target_os = "linux")]
mod requests;
mod resident;
pub(crate) mod server;
mod streams;
mod transfer;
pub(crate) mod wasmtime;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Subcommand;

use crate::cargo::{step, target_folder};
use crate::toolchain::host_cargo;

/// Measure what the host costs beside other servers: a request's CPU time, rate and latency, or streams.
///
/// Without a subcommand: every kind of request, asked of every server that is there, each server on one core and
/// the load on another. Builds the host in release first. Prints Markdown. Linux only. By default a run takes some
/// 11 minutes after the build; --only and --contenders make it shorter.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    bench: Option<Bench>,
    #[cfg(target_os = "linux")]
    #[command(flatten)]
    requests: requests::Arguments,
}

#[derive(Debug, Subcommand)]
enum Bench {
    Density(density::Arguments),
    Edge(edge::Arguments),
    Fair(fair::Arguments),
    Files(files::Arguments),
    Flame(flame::Arguments),
    Overload(overload::Arguments),
    Streams(streams::Arguments),
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    ensure!(cfg!(target_os = "linux"), "the bench reads CPU times from /proc, which only Linux has");
    match &arguments.bench {
        #[cfg(target_os = "linux")]
        None => requests::run(&arguments.requests),
        #[cfg(not(target_os = "linux"))]
        None => Ok(()),
        Some(Bench::Density(arguments)) => density::run(arguments),
        Some(Bench::Edge(arguments)) => edge::run(arguments),
        Some(Bench::Fair(arguments)) => fair::run(arguments),
        Some(Bench::Files(arguments)) => files::run(arguments),
        Some(Bench::Flame(arguments)) => flame::run(arguments),
        Some(Bench::Overload(arguments)) => overload::run(arguments),
        Some(Bench::Streams(arguments)) => streams::run(arguments),
    }
}

/// Builds the host and the bare server, as they are measured.
fn build_servers() -> Result<()> {
    step(
        "building the host and the bare server in release (the first time takes minutes)",
        &mut host_cargo(["build", "--release", "--workspace", "--bins", "--features", "xtask/bench"])?,
        "the compiler's messages above say what to mend",
    )
}

/// Where [`build_servers`] puts a program.
fn release(program: &str) -> PathBuf {
    target_folder().join("release").join(program)
}

fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn a_median_is_in_the_middle() {
        for (figures, middle) in [(&[3.0][..], 3.0), (&[9.0, 1.0, 5.0], 5.0), (&[4.0, 1.0, 2.0, 100.0], 3.0)]
        {
            assert_eq!(median(figures), middle);
        }
    }
}
