//! What a tenant feels of its neighbours: latency beside callers of a plugin that loops or fills its memory, and shares of
//! the CPU.
//!
//! Owns the loads and the figures. A quiet tenant is asked at a steady rate, alone and then beside callers who each ask for
//! a loop, or for a fill of 64 MiB over and over, again as soon as theirs was cut; each cut call's CPU is what the host's
//! access log says.
//! Shares are what the host's metrics say of its tenants' CPU.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::Value;

use super::caller::{ANSWER_DEADLINE, Caller};
use super::server::Server;
use super::{build_servers, release};
use crate::guests;

/// The quiet tenant's connections, and how often each asks.
const QUIET_CONNECTIONS: u32 = 4;
const QUIET_INTERVAL: Duration = Duration::from_millis(5);

/// Callers of a loop, and of each of two tenants that compete.
const LOOPING: usize = 64;
const FILLING: usize = 8;
const COMPETING: [usize; 2] = [32, 8];

/// What is asked for that never ends.
const LOOP: &str = "/loop";
const FILL: &str = "/fill?mib=64";

/// The limit that cuts it.
const CPU: Duration = Duration::from_millis(50);

#[derive(Debug, clap::Args)]
#[command(about = "Measure what a tenant feels of its neighbours: latency beside loops, shares of the CPU")]
#[group(skip)]
pub(crate) struct Arguments {
    /// Seconds of each load: quiet alone, beside loops and beside fills, and two greedy tenants, of equal weight and of 1:3
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    guests::build(&["guest-hello", "guest-misbehave"])?;
    build_servers()?;
    let duration = Duration::from_secs(arguments.seconds.into());

    let (host, log) = Host::start()?;
    host.quiet(Duration::from_secs(1))?;
    println!("latency of a quiet tenant, {} requests a second", 1000 / 5 * QUIET_CONNECTIONS);
    let alone = host.quiet(duration)?;
    println!("  alone                            {alone}");
    for (what, path, callers) in [("loop", LOOP, LOOPING), ("fill", FILL, FILLING)] {
        let (beside, cut) = host.quiet_beside(path, callers, duration)?;
        println!("  beside {callers:2} callers of a {what}       {beside}");
        println!(
            "  ratio                            {:.2} of p50, {:.2} of p99",
            beside.p50 / alone.p50,
            beside.p99 / alone.p99
        );
        println!("  {}", overshoot(&log, what, cut)?);
    }
    for weights in ["equal", "thirds"] {
        println!("{}", host.shares(weights, duration)?);
    }
    println!("again: cargo xtask bench fair --seconds {}", arguments.seconds);
    Ok(())
}

/// A latency, in milliseconds.
struct Latency {
    p50: f64,
    p99: f64,
    most: f64,
    count: usize,
}

impl std::fmt::Display for Latency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { p50, p99, most, count } = self;
        write!(f, "p50 {p50:.2} ms, p99 {p99:.2} ms, most {most:.1} ms, of {count} requests, none failed")
    }
}

struct Host {
    server: Server,
    probes: SocketAddr,
}

impl Host {
    /// A host, and what it logs.
    fn start() -> Result<(Self, mpsc::Receiver<String>)> {
        // The port may be taken again before the host has it; then the run fails, and says so.
        let probes = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut site = format!("[host]\nlisten = [\"127.0.0.1:0\"]\nprobes = \"{probes}\"\n");
        for (tenant, guest, weight) in [
            ("quiet", "guest-hello", 1),
            ("loops", "guest-misbehave", 1),
            ("equal-1", "guest-misbehave", 1),
            ("equal-2", "guest-misbehave", 1),
            ("thirds-1", "guest-misbehave", 1),
            ("thirds-2", "guest-misbehave", 3),
        ] {
            let component = guests::component(guest);
            site += &format!(
                "[tenants.{tenant}]\nhosts = [\"{tenant}\"]\nquota = {{ weight = {weight} }}\n\
                 [tenants.{tenant}.plugins.guest]\ncomponent = {component:?}\nlimits = {{ cpu = \"{}ms\" }}\n\
                 [[tenants.{tenant}.routes]]\npath = \"/{{*rest}}\"\nplugin = \"guest\"\n",
                CPU.as_millis()
            );
        }
        let (lines, log) = mpsc::channel();
        let server = Server::jackfield_logging_to(release("jackfield"), &site, lines)?;
        Ok((Self { server, probes }, log))
    }

    /// Asks the quiet tenant at its steady rate.
    fn quiet(&self, duration: Duration) -> Result<Latency> {
        let mut latencies = thread::scope(|scope| {
            let each = (0..QUIET_CONNECTIONS).map(|number| {
                let offset = QUIET_INTERVAL * number / QUIET_CONNECTIONS;
                scope.spawn(move || -> Result<Vec<f64>> {
                    let mut caller = Caller::connect(self.server.address(), "quiet")?;
                    let begin = Instant::now() + offset;
                    let mut latencies = Vec::new();
                    while begin.elapsed() < duration {
                        // By the clock, not after the last answer: a slow answer makes the next one late, too.
                        let due = begin + QUIET_INTERVAL * u32::try_from(latencies.len())?;
                        thread::sleep(due.saturating_duration_since(Instant::now()));
                        let (status, _) = caller.get("/hello")?;
                        ensure!(status == 200, "the quiet tenant was answered {status}");
                        latencies.push(due.elapsed().as_secs_f64() * 1e3);
                    }
                    Ok(latencies)
                })
            });
            let each: Vec<_> = each.collect();
            let each =
                each.into_iter().map(|caller| caller.join().map_err(|_| anyhow!("a caller panicked"))?);
            each.collect::<Result<Vec<_>>>()
        })?
        .concat();
        latencies.sort_by(f64::total_cmp);
        let at = |part: f64| {
            let index = (latencies.len() as f64 * part) as usize;
            latencies.get(index.min(latencies.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
        };
        Ok(Latency { p50: at(0.5), p99: at(0.99), most: at(1.0), count: latencies.len() })
    }

    /// Asks the quiet tenant beside so many callers of what never ends; how many of theirs were cut.
    fn quiet_beside(&self, path: &str, callers: usize, duration: Duration) -> Result<(Latency, u64)> {
        let end = AtomicBool::new(false);
        thread::scope(|scope| {
            let storm = scope.spawn(|| self.storm(path, &[("loops", callers)], &end));
            let beside = self.quiet(duration);
            end.store(true, Ordering::Relaxed);
            let cut = storm.join().map_err(|_| anyhow!("a thread of the load panicked"))??;
            Ok((beside?, cut))
        })
    }

    /// Has so many callers of these tenants ask for what never ends until `end`; how many were cut. Any other answer
    /// ends the run.
    fn storm(&self, path: &str, tenants: &[(&str, usize)], end: &AtomicBool) -> Result<u64> {
        let cut = AtomicU64::new(0);
        thread::scope(|scope| {
            let callers = tenants.iter().flat_map(|(tenant, count)| std::iter::repeat_n(*tenant, *count));
            let callers: Vec<_> = callers
                .map(|tenant| {
                    scope.spawn(|| -> Result<()> {
                        let mut caller = Caller::connect(self.server.address(), tenant)?;
                        while !end.load(Ordering::Relaxed) {
                            let (status, body) = caller.get(path)?;
                            let is_cut = status == 504 && body.contains("problem:cpu");
                            ensure!(is_cut, "{path} was answered {status}: {body}");
                            cut.fetch_add(1, Ordering::Relaxed);
                        }
                        Ok(())
                    })
                })
                .collect();
            callers
                .into_iter()
                .try_for_each(|caller| caller.join().map_err(|_| anyhow!("a caller panicked"))?)
        })?;
        Ok(cut.into_inner())
    }

    /// Two greedy tenants' shares of the CPU.
    fn shares(&self, weights: &str, duration: Duration) -> Result<String> {
        let names = [format!("{weights}-1"), format!("{weights}-2")];
        let before = self.cpu(&names)?;
        let end = AtomicBool::new(false);
        let callers = [(&*names[0], COMPETING[0]), (&*names[1], COMPETING[1])];
        let after = thread::scope(|scope| -> Result<_> {
            let loops = scope.spawn(|| self.storm(LOOP, &callers, &end));
            thread::sleep(duration);
            let after = self.cpu(&names);
            end.store(true, Ordering::Relaxed);
            loops.join().map_err(|_| anyhow!("a thread of the load panicked"))??;
            after
        })?;
        let [first, second] = [after[0] - before[0], after[1] - before[1]];
        let by_weight = if weights == "equal" { second } else { second / 3.0 };
        let jain = (first + by_weight).powi(2) / (2.0 * (first * first + by_weight * by_weight));
        Ok(format!(
            "two greedy tenants, weights {weights}, {} and {} callers: {first:.2} and {second:.2} s of CPU, \
             ratio {:.3}, Jain's index by weight {jain:.4}",
            COMPETING[0],
            COMPETING[1],
            second / first
        ))
    }

    /// CPU that these tenants have used, in seconds.
    fn cpu(&self, tenants: &[String; 2]) -> Result<[f64; 2]> {
        let mut stream = TcpStream::connect(self.probes).context("cannot ask for the host's metrics")?;
        stream.set_read_timeout(Some(ANSWER_DEADLINE))?;
        write!(stream, "GET /metrics HTTP/1.1\r\nhost: metrics\r\nconnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let mut used = [0.0; 2];
        for (used, tenant) in used.iter_mut().zip(tenants) {
            let series = format!("jackfield_tenant_cpu_seconds_total{{tenant=\"{tenant}\"}} ");
            let value = text.lines().find_map(|line| line.strip_prefix(&series));
            *used = value.with_context(|| format!("no {series}in the metrics"))?.trim().parse()?;
        }
        Ok(used)
    }
}

/// How far each cut call went beyond its budget.
fn overshoot(log: &mpsc::Receiver<String>, what: &str, cut: u64) -> Result<String> {
    let mut beyond = Vec::new();
    let end = Instant::now() + Duration::from_secs(5);
    while (beyond.len() as u64) < cut && Instant::now() < end {
        let Ok(line) = log.recv_timeout(Duration::from_millis(100)) else { continue };
        let line: Value = serde_json::from_str(&line).context("the host logged a line that is no JSON")?;
        if line["message"] == "request" && line["problem"] == "cpu" {
            let used = line["cpu-ms"].as_f64().context("a cut call without its CPU")?;
            beyond.push(used - CPU.as_secs_f64() * 1e3);
        }
    }
    ensure!(beyond.len() as u64 == cut, "{cut} calls were cut, and the log tells of {}", beyond.len());
    beyond.sort_by(f64::total_cmp);
    let at = |part: f64| beyond.get(((beyond.len() - 1) as f64 * part) as usize).copied().unwrap_or(f64::NAN);
    Ok(format!(
        "{cut} {what}s cut, beyond their {} ms of CPU: p50 {:.2} ms, p99 {:.2} ms, most {:.2} ms",
        CPU.as_millis(),
        at(0.5),
        at(0.99),
        at(1.0)
    ))
}
