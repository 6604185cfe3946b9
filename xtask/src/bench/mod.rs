//! `cargo xtask bench`: CPU time a request of the smallest plugin through the whole host, beside a bare
//! hyper server.
//!
//! What is compared, and why it is fair: both are release builds on the same machine in the same minute; both
//! send the same body to the same keep-alive connections; rounds of one and the other alternate, so that a
//! machine that slows down slows both. CPU time is the server's own, of all its threads and in the kernel
//! too: what the load costs is in neither figure. A wrong answer ends the run, for an error is fast.

pub(crate) mod bare_hyper;
mod load;
mod server;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::cargo::{cargo, step, target_folder};
use crate::guests;

use self::load::Load;
use self::server::Server;

/// Rounds that each server is measured in.
const ROUNDS: u32 = 5;

/// Load on each server before the first round, so that no figure holds its first steps.
const WARM_UP: Duration = Duration::from_secs(1);

/// The guest whose calls are measured: no standard library, no imports, one line of text.
const GUEST: &str = "guest-hello";

/// What that line begins with.
const GUEST_SAYS: &str = "hello";

/// Measure the host's CPU time a request beside a bare hyper server.
///
/// Builds both in release, then loads them in turns through keep-alive HTTP/1.1 connections on the loopback.
/// Linux only. By default a run takes some 35 seconds after the build.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Seconds of load on each of the two servers, in 5 rounds
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(5..=600))]
    seconds: u32,
    /// Connections, each with one request under way
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=256))]
    connections: u16,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    ensure!(cfg!(target_os = "linux"), "the bench reads CPU times from /proc, which only Linux has");
    guests::build(&[GUEST])?;
    step(
        "building the host and the bare server in release (the first time takes minutes)",
        &mut cargo(["build", "--release", "--workspace", "--bins"]),
        "the compiler's messages above say what to mend",
    )?;

    let folder = tempfile::tempdir().context("cannot make a folder for the bench's site file")?;
    let site = folder.path().join("site.toml");
    fs::write(&site, site_text(&guests::component(GUEST)))
        .with_context(|| format!("cannot write {}", site.display()))?;

    let host = Server::jackfield(&release("jackfield"), &site)?;
    let body = load::body(host.address())?;
    ensure!(
        body.starts_with(GUEST_SAYS.as_bytes()),
        "the host answers {:?} instead of the guest's words",
        String::from_utf8_lossy(&body)
    );
    let bare = Server::bare_hyper(&release("xtask"), &String::from_utf8(body.clone())?)?;

    let load = Load { connections: arguments.connections, body };
    let [bare, host] = measure(&load, Duration::from_secs(arguments.seconds.into()), [&bare, &host])?;
    println!("{}", report(&bare, &host, arguments));
    Ok(())
}

fn release(program: &str) -> std::path::PathBuf {
    target_folder().join("release").join(program)
}

/// One plugin at `/`, and nothing else: no filters, no probes, no limit but the defaults.
fn site_text(component: &Path) -> String {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    format!(
        r#"[host]
listen = ["{listen}"]

[tenants.bench]
hosts = ["*"]

[tenants.bench.plugins.hello]
component = {component:?}

[[tenants.bench.routes]]
path = "/"
plugin = "hello"
"#
    )
}

/// What one server did in its rounds.
#[derive(Debug, Default)]
struct Rounds {
    /// CPU time a request in µs, a figure a round.
    cpu_micros: Vec<f64>,
    /// Requests answered a second, a figure a round.
    rates: Vec<f64>,
}

fn measure(load: &Load, on_each: Duration, servers: [&Server; 2]) -> Result<[Rounds; 2]> {
    let mut rounds = [Rounds::default(), Rounds::default()];
    for server in servers {
        load.run(server.address(), WARM_UP)?;
    }
    for round in 1..=ROUNDS {
        eprintln!("==> round {round} of {ROUNDS}");
        for (server, rounds) in servers.into_iter().zip(&mut rounds) {
            let before = server.cpu_time()?;
            let answered = load.run(server.address(), on_each / ROUNDS)?;
            let cpu = server.cpu_time()?.saturating_sub(before);
            rounds.cpu_micros.push(cpu.as_secs_f64() * 1e6 / answered.requests as f64);
            rounds.rates.push(answered.requests as f64 / answered.elapsed.as_secs_f64());
        }
    }
    Ok(rounds)
}

fn report(bare: &Rounds, host: &Rounds, arguments: &Arguments) -> String {
    let line = |name: &str, rounds: &Rounds| {
        let cpu = &rounds.cpu_micros;
        let least = cpu.iter().copied().fold(f64::INFINITY, f64::min);
        let most = cpu.iter().copied().fold(0.0, f64::max);
        let rate = median(&rounds.rates);
        format!("{name:<34}{:>7.1} µs  ({least:.1} to {most:.1}){rate:>12.0} requests/s", median(cpu))
    };
    format!(
        "CPU time a request, median of {ROUNDS} rounds (least to most), and requests answered for information\n\
         {}\n{}\nratio {:.2}\nagain: cargo xtask bench --seconds {} --connections {}",
        line("bare hyper, hello", bare),
        line("jackfield, hello, fresh instances", host),
        median(&host.cpu_micros) / median(&bare.cpu_micros),
        arguments.seconds,
        arguments.connections,
    )
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
    use super::{Arguments, Rounds, median, report};

    #[test]
    fn a_median_is_in_the_middle() {
        for (figures, middle) in [(&[3.0][..], 3.0), (&[9.0, 1.0, 5.0], 5.0), (&[4.0, 1.0, 2.0, 100.0], 3.0)]
        {
            assert_eq!(median(figures), middle);
        }
    }

    #[test]
    fn a_report_gives_the_ratio_and_the_command_to_get_it_again() {
        let rounds = |cpu: f64| Rounds { cpu_micros: vec![cpu; 5], rates: vec![10_000.0; 5] };
        let text = report(&rounds(5.0), &rounds(20.0), &Arguments { seconds: 15, connections: 32 });
        assert!(text.contains("ratio 4.00"), "{text}");
        assert!(text.ends_with("cargo xtask bench --seconds 15 --connections 32"), "{text}");
    }
}
