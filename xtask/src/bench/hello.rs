//! CPU time a request of the smallest plugins there can be, beside servers that answer the same.
//!
//! What is compared, and why it is fair: all are release builds on the same machine in the same minutes; all
//! send the same body to the same keep-alive connections; rounds of one and the other alternate, so that a
//! machine that slows down slows all of them. CPU time is the server's own, of all its threads and in the
//! kernel too: what the load costs is in no figure. A wrong answer ends the run, for an error is fast.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::guests;

use super::load::{self, Load};
use super::server::Server;
use super::{build_servers, median, release, wasmtime};

/// Rounds that each server is measured in.
const ROUNDS: u32 = 5;

/// Load on each server before the first round, so that no figure holds its first steps.
const WARM_UP: Duration = Duration::from_secs(1);

/// No standard library, one line of text: `jackfield:plugin/handler`, and `wasi:http`.
const LEAN_GUEST: &str = "guest-hello";
const HTTP_GUEST: &str = "guest-hello-http";

/// What both answer begins with.
const GUESTS_SAY: &str = "hello";

/// Calls that wasmtime gives one instance where it reuses them: as many as it does by itself for WASI 0.3.
const CALLS_OF_WASMTIME: u32 = 128;

/// Keys of the plugin: an instance a call, and instances that serve as many calls as they do by default.
const FRESH: &str = r#"instances = "fresh""#;
const REUSED: &str = r#"instances = "reused""#;

fn reused_for(calls: u32) -> String {
    format!("{REUSED}\nreuse = {{ calls = {calls} }}")
}

#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Arguments {
    /// Seconds of load on each server, in 5 rounds
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(5..=600))]
    seconds: u32,
    /// Connections, each with one request under way
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=256))]
    connections: u16,
    /// Measure `wasmtime serve` with the same wasi:http component too, which is built on first use
    #[arg(long)]
    with_wasmtime: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let wasmtime = arguments.with_wasmtime.then(wasmtime::ensure).transpose()?;
    guests::build(&[LEAN_GUEST, HTTP_GUEST])?;
    build_servers()?;

    let lean = jackfield(LEAN_GUEST, FRESH)?;
    let body = load::body(lean.address())?;
    ensure!(
        body.starts_with(GUESTS_SAY.as_bytes()),
        "the host answers {:?} instead of the guest's words",
        String::from_utf8_lossy(&body)
    );
    let bare = Server::bare_hyper(&release("xtask"), &String::from_utf8(body.clone())?)?;
    let mut servers = vec![
        ("bare hyper", bare),
        ("jackfield, lean, fresh instances", lean),
        ("jackfield, lean, reused", jackfield(LEAN_GUEST, REUSED)?),
        ("jackfield, wasi:http, fresh", jackfield(HTTP_GUEST, FRESH)?),
        ("jackfield, wasi:http, reused", jackfield(HTTP_GUEST, REUSED)?),
        ("jackfield, wasi:http, 128 calls", jackfield(HTTP_GUEST, &reused_for(CALLS_OF_WASMTIME))?),
    ];
    if let Some(program) = wasmtime {
        let serve = |calls| Server::wasmtime(&program, &guests::component(HTTP_GUEST), calls);
        servers.push(("wasmtime serve, wasi:http, fresh", serve(1)?));
        servers.push(("wasmtime serve, wasi:http, 128 calls", serve(CALLS_OF_WASMTIME)?));
    }

    let load = Load { connections: arguments.connections, body };
    let rounds = measure(&load, Duration::from_secs(arguments.seconds.into()), &servers)?;
    println!("{}", report(&rounds, arguments));
    Ok(())
}

/// A host of its own for one plugin with these keys: no filters, no probes, no limit but the defaults.
fn jackfield(guest: &str, keys: &str) -> Result<Server> {
    let site = format!(
        r#"[host]
listen = ["127.0.0.1:0"]

[tenants.bench]
hosts = ["*"]

[tenants.bench.plugins.hello]
component = {:?}
{keys}

[[tenants.bench.routes]]
path = "/"
plugin = "hello"
"#,
        guests::component(guest)
    );
    Server::jackfield(&release("jackfield"), &site)
}

/// What one server did in its rounds.
#[derive(Debug)]
struct Rounds {
    name: &'static str,
    /// CPU time a request in µs, a figure a round.
    cpu_micros: Vec<f64>,
    /// Requests answered a second, a figure a round.
    rates: Vec<f64>,
}

fn measure(load: &Load, on_each: Duration, servers: &[(&'static str, Server)]) -> Result<Vec<Rounds>> {
    let mut all: Vec<Rounds> = Vec::with_capacity(servers.len());
    for (name, server) in servers {
        load.run(server.address(), WARM_UP)?;
        all.push(Rounds { name, cpu_micros: Vec::new(), rates: Vec::new() });
    }
    for round in 1..=ROUNDS {
        eprintln!("==> round {round} of {ROUNDS}");
        for ((_, server), rounds) in servers.iter().zip(&mut all) {
            let before = server.cpu_time()?;
            let answered = load.run(server.address(), on_each / ROUNDS)?;
            let cpu = server.cpu_time()?.saturating_sub(before);
            rounds.cpu_micros.push(cpu.as_secs_f64() * 1e6 / answered.requests as f64);
            rounds.rates.push(answered.requests as f64 / answered.elapsed.as_secs_f64());
        }
    }
    Ok(all)
}

/// Ratios are to the first of them.
fn report(all: &[Rounds], arguments: &Arguments) -> String {
    let first = all.first().map_or(f64::NAN, |rounds| median(&rounds.cpu_micros));
    let line = |rounds: &Rounds| {
        let cpu = &rounds.cpu_micros;
        let least = cpu.iter().copied().fold(f64::INFINITY, f64::min);
        let most = cpu.iter().copied().fold(0.0, f64::max);
        let (middle, rate) = (median(cpu), median(&rounds.rates));
        let range = format!("({least:.1} to {most:.1})");
        format!(
            "{:<38}{middle:>7.1} µs  {range:<18}ratio {:>5.2}{rate:>10.0} requests/s\n",
            rounds.name,
            middle / first
        )
    };
    format!(
        "CPU time a request, median of {ROUNDS} rounds (least to most), and requests answered for information\n\
         {}again: cargo xtask bench --seconds {} --connections {}{}",
        all.iter().map(line).collect::<String>(),
        arguments.seconds,
        arguments.connections,
        if arguments.with_wasmtime { " --with-wasmtime" } else { "" },
    )
}

#[cfg(test)]
mod tests {
    use super::{Arguments, Rounds, report};

    #[test]
    fn a_report_gives_each_ratio_and_the_command_to_get_it_again() {
        let rounds = |name, cpu: f64| Rounds { name, cpu_micros: vec![cpu; 5], rates: vec![10_000.0; 5] };
        let all = [rounds("bare hyper", 5.0), rounds("jackfield", 20.0)];
        let text = report(&all, &Arguments { seconds: 15, connections: 32, with_wasmtime: true });
        assert!(text.contains("ratio  1.00") && text.contains("ratio  4.00"), "{text}");
        assert!(text.ends_with("cargo xtask bench --seconds 15 --connections 32 --with-wasmtime"), "{text}");
    }
}
