//! A folder of files: the plugin static-files beside nginx, which serves the same folder in the same run.
//!
//! Both have one access line a request, to a file or a pipe that is read. nginx runs as one process, and sends by
//! sendfile(2). Rounds of one and the other alternate; the CPU time is the server's own, in the kernel too.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::server::{Program, Server};
use super::transfer::Fetcher;
use super::{build_servers, median, nginx, release};
use crate::guests;

const ROUNDS: u32 = 5;

const WARM_UP: Duration = Duration::from_millis(300);

/// The name of each file, and its length.
const FILES: [(&str, usize); 3] = [("1 KiB", 1 << 10), ("100 KiB", 100 << 10), ("10 MiB", 10 << 20)];

/// Measure a folder of files: the plugin static-files beside nginx.
///
/// CPU time and requests a second for files of 1 KiB, 100 KiB and 10 MiB. nginx is looked for in PATH; without it only
/// the host is measured. Linux only.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Arguments {
    /// Seconds of load on each server for each file, in 5 rounds
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Connections, each with one request under way
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    connections: u16,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    const PLUGIN: &str = "static-files";
    guests::build(&[PLUGIN])?;
    build_servers()?;
    let folder = tempfile::tempdir().context("cannot make a folder of files")?;
    for (index, (_, bytes)) in FILES.iter().enumerate() {
        let content: Vec<u8> = (0..*bytes).map(|byte| (byte % 251) as u8).collect();
        fs::write(folder.path().join(path_of(index)), content)?;
    }
    let fresh = jackfield(&guests::component(PLUGIN), folder.path(), "fresh")?;
    let reused = jackfield(&guests::component(PLUGIN), folder.path(), "reused")?;
    let mut servers = vec![("jackfield, fresh", fresh), ("jackfield, reused", reused)];
    match nginx(folder.path())? {
        Some(nginx) => servers.insert(0, ("nginx", nginx)),
        None => {
            eprintln!("SKIPPED: nginx is not in PATH (Debian: nginx-light), so nothing is compared with it")
        }
    }

    println!("CPU time a request and requests a second, medians of {ROUNDS} rounds");
    for (index, (name, bytes)) in FILES.iter().enumerate() {
        for (server, cpu_micros, rate) in measure(arguments, index, *bytes, &servers)? {
            println!("{name:<9}{server:<20}{cpu_micros:>9.1} µs{rate:>10.0} requests/s");
        }
    }
    println!(
        "again: cargo xtask bench files --seconds {} --connections {}",
        arguments.seconds, arguments.connections
    );
    Ok(())
}

fn path_of(index: usize) -> String {
    format!("file-{index}.bin")
}

/// Each server's CPU time a request in µs, and requests a second.
fn measure(
    arguments: &Arguments,
    index: usize,
    bytes: usize,
    servers: &[(&'static str, Server)],
) -> Result<Vec<(&'static str, f64, f64)>> {
    let path = format!("/{}", path_of(index));
    let on_each = Duration::from_secs(arguments.seconds.into()) / ROUNDS;
    let load = |address, time| load(address, &path, bytes, arguments.connections, time);
    for (_, server) in servers {
        load(server.address(), WARM_UP)?;
    }
    let mut figures: Vec<_> = servers.iter().map(|(name, _)| (*name, Vec::new(), Vec::new())).collect();
    for _ in 0..ROUNDS {
        for ((_, server), (_, cpu_micros, rates)) in servers.iter().zip(&mut figures) {
            let (before, began) = (server.cpu_time()?, Instant::now());
            let requests = load(server.address(), on_each)? as f64;
            rates.push(requests / began.elapsed().as_secs_f64());
            cpu_micros.push(server.cpu_time()?.saturating_sub(before).as_secs_f64() * 1e6 / requests);
        }
    }
    Ok(figures.into_iter().map(|(name, cpu, rates)| (name, median(&cpu), median(&rates))).collect())
}

/// Fetches one file again and again on some connections. Returns the number of answers, all of them right.
fn load(address: SocketAddr, path: &str, bytes: usize, connections: u16, time: Duration) -> Result<u64> {
    let end = Instant::now() + time;
    let one = || -> Result<u64> {
        let mut fetcher = Fetcher::open(address)?;
        let mut requests = 0;
        while Instant::now() < end {
            let got = fetcher.fetch(path)?;
            ensure!(got == bytes as u64, "{path} was answered with {got} bytes instead of {bytes}");
            requests += 1;
        }
        Ok(requests)
    };
    thread::scope(|scope| {
        let all: Vec<_> = (0..connections).map(|_| scope.spawn(one)).collect();
        all.into_iter()
            .map(|one| one.join().unwrap_or_else(|_| anyhow::bail!("a thread of the load panicked")))
            .sum()
    })
}

fn jackfield(component: &Path, folder: &Path, instances: &str) -> Result<Server> {
    let site = format!(
        r#"[host]
listen = ["127.0.0.1:0"]
[tenants.bench]
hosts = ["*"]
[tenants.bench.plugins.files]
component = {component:?}
mounts = {{ "/" = {folder:?} }}
instances = "{instances}"
[[tenants.bench.routes]]
path = "/{{*path}}"
plugin = "files"
"#
    );
    Server::jackfield(release("jackfield"), &site)
}

/// nginx with the same folder. None if there is no such program.
fn nginx(folder: &Path) -> Result<Option<Server>> {
    let version = Command::new("nginx").arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if version.is_err() {
        return Ok(None);
    }
    let block = format!("root {};", folder.display());
    nginx::start(&Program::from(Path::new("nginx")), 1, "", &block).map(Some)
}
