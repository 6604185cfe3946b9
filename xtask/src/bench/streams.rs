//! `cargo xtask bench streams`: what streams through a plugin cost, beside the same through bare hyper.
//!
//! Two questions. Does a body of gigabytes pass at constant memory, and how fast; and what do many clients cost
//! that listen for a long time, each to an instance of its own? Servers take turns, and nothing else runs
//! meanwhile. A byte or an event that is missing ends the run.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::guests;

use super::events::{Heard, Listening};
use super::resident::Resident;
use super::server::Server;
use super::transfer::Direction;
use super::{build_servers, median, release};

/// Its paths are /count, /download and /sse.
const GUEST: &str = "guest-http";

/// Transfers each way through each server.
const ROUNDS: u32 = 3;

/// A transfer before the first round, so that no figure holds a server's first steps.
const WARM_UP_BYTES: u64 = 16 << 20;

/// Between two events of a client.
const EVERY: Duration = Duration::from_millis(100);

/// Descriptors beside a socket for each client: files, pipes, libraries.
const OTHER_DESCRIPTORS: u64 = 100;

/// Measure what streams through a wasi:http plugin cost.
///
/// Large bodies one way, then the other: bytes and CPU time a second, and resident memory, which has to stay as it
/// is. Then many clients that listen to server-sent events, 10 a second each: that each gets every one, memory a
/// client, CPU time an event.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// GiB of one upload, and of one download; there are 3 of each on each server
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=64))]
    gibibytes: u64,
    /// Clients that listen to events at the same time
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=8000))]
    clients: u16,
    /// Seconds that each client listens to each server
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=280))]
    seconds: u32,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    guests::build(&[GUEST])?;
    build_servers()?;
    allow_descriptors(u64::from(arguments.clients) + OTHER_DESCRIPTORS)?;

    let bare = Server::bare_hyper(release("xtask"), "hello")?;
    let host = Server::jackfield(release("jackfield"), &site(arguments.clients))?;
    let servers = [("bare hyper", &bare), ("jackfield", &host)];

    let mut report = String::new();
    for direction in [Direction::Up, Direction::Down] {
        for transfers in transfers(direction, arguments.gibibytes << 30, servers)? {
            report.push_str(&transfers.line());
        }
    }
    let events = arguments.seconds * 1000 / u32::try_from(EVERY.as_millis())?;
    let listening = Listening { clients: arguments.clients, events, every: EVERY };
    let mut heard = String::new();
    for (name, server) in servers {
        eprintln!("==> {} clients listen to {name} for {} s", arguments.clients, arguments.seconds);
        heard.push_str(&Crowd::gather(name, server, listening)?.line());
    }
    println!(
        "{ROUNDS} bodies of {} GiB each way through each server; of rates and CPU times the median\n{report}\n\
         {} clients, {events} events each, one every {} ms\n{heard}\
         again: cargo xtask bench streams --gibibytes {} --clients {} --seconds {}",
        arguments.gibibytes,
        arguments.clients,
        EVERY.as_millis(),
        arguments.gibibytes,
        arguments.clients,
        arguments.seconds,
    );
    Ok(())
}

/// Limits that such streams stay below; the default ones are made to end them.
fn site(clients: u16) -> String {
    // A caller's last permit may come back after the next caller's first request.
    let concurrency = u32::from(clients) + 16;
    format!(
        r#"[host]
listen = ["127.0.0.1:0"]
concurrency = {concurrency}

[tenants.bench]
hosts = ["*"]

[tenants.bench.quota]
concurrency = {concurrency}

[tenants.bench.plugins.http]
component = {:?}

[tenants.bench.plugins.http.limits]
concurrency = {concurrency}
cpu = "60s"
wall = "10min"
stream = "10min"
request-body = "64GiB"

[[tenants.bench.routes]]
path = "/{{*rest}}"
plugin = "http"
"#,
        guests::component(GUEST)
    )
}

/// Raises the number of files that this process and the servers, which inherit it, may have open.
pub(super) fn allow_descriptors(needed: u64) -> Result<()> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    ensure!(
        maximum.is_none_or(|maximum| maximum >= needed),
        "{needed} open files are needed, and {} are allowed: fewer --clients, or a higher `ulimit -Hn`",
        maximum.unwrap_or_default()
    );
    setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum })
        .with_context(|| format!("cannot have {needed} files open"))
}

/// Large bodies through one server, one way.
#[derive(Debug)]
struct Transfers {
    name: &'static str,
    direction: Direction,
    /// Megabytes (10⁶) a second, a figure a round.
    rates: Vec<f64>,
    /// CPU seconds a GiB, a figure a round.
    cpu: Vec<f64>,
    resident: Resident,
}

/// `bytes` each time, the servers in turns.
fn transfers(
    direction: Direction,
    bytes: u64,
    servers: [(&'static str, &Server); 2],
) -> Result<Vec<Transfers>> {
    let mut all: Vec<Transfers> = Vec::new();
    for (name, server) in servers {
        direction.transfer(server.address(), WARM_UP_BYTES)?;
        let now = server.resident_bytes()?;
        let resident = Resident { first: now, most: now, last: now };
        all.push(Transfers { name, direction, rates: Vec::new(), cpu: Vec::new(), resident });
    }
    for round in 1..=ROUNDS {
        eprintln!("==> {direction}s, round {round} of {ROUNDS}");
        for ((_, server), transfers) in servers.iter().zip(&mut all) {
            let before = server.cpu_time()?;
            let (took, resident) = Resident::during(server, || direction.transfer(server.address(), bytes))?;
            let cpu = server.cpu_time()?.saturating_sub(before);
            transfers.rates.push(bytes as f64 / 1e6 / took.as_secs_f64());
            transfers.cpu.push(cpu.as_secs_f64() * (1u64 << 30) as f64 / bytes as f64);
            transfers.resident = transfers.resident.and_then(resident);
        }
    }
    Ok(all)
}

impl Transfers {
    fn line(&self) -> String {
        let what = format!("{}, {}", self.direction, self.name);
        format!(
            "{what:<24}{:>7.0} MB/s{:>8.2} CPU s/GiB   resident {}\n",
            median(&self.rates),
            median(&self.cpu),
            mebibytes(self.resident)
        )
    }
}

fn mebibytes(resident: Resident) -> String {
    let [first, most, last] =
        [resident.first, resident.most, resident.last].map(|bytes| bytes as f64 / f64::from(1 << 20));
    format!("first {first:.1}, most {most:.1}, last {last:.1} MiB")
}

/// Clients that listened to one server.
#[derive(Debug)]
struct Crowd {
    name: &'static str,
    heard: Vec<Heard>,
    cpu: Duration,
    elapsed: Duration,
    resident: Resident,
}

impl Crowd {
    fn gather(name: &'static str, server: &Server, listening: Listening) -> Result<Self> {
        Listening { clients: 1, events: 1, ..listening }.run(server.address())?;
        let (started, before) = (Instant::now(), server.cpu_time()?);
        let (heard, resident) = Resident::during(server, || listening.run(server.address()))?;
        let cpu = server.cpu_time()?.saturating_sub(before);
        Ok(Self { name, heard, cpu, elapsed: started.elapsed(), resident })
    }

    fn line(&self) -> String {
        let mut events: Vec<u32> = self.heard.iter().map(|heard| heard.events).collect();
        events.sort_unstable();
        let of = |place: usize| events.get(place).copied().unwrap_or_default();
        let total: f64 = events.iter().copied().map(f64::from).sum();
        let longest_gap = self.heard.iter().map(|heard| heard.longest_gap).max().unwrap_or_default();
        let clients = self.heard.len().max(1) as f64;
        let grown = self.resident.most.saturating_sub(self.resident.first) as f64 / 1024.0 / clients;
        format!(
            "{:<12}events a client {}, {}, {} (least, median, most); longest gap {} ms\n            \
             {:.0} KiB a client; {:.1} µs CPU an event, {:.0} % of one CPU; resident {}\n",
            self.name,
            of(0),
            of(events.len() / 2),
            of(events.len().saturating_sub(1)),
            longest_gap.as_millis(),
            grown,
            self.cpu.as_secs_f64() * 1e6 / total,
            100.0 * self.cpu.as_secs_f64() / self.elapsed.as_secs_f64(),
            mebibytes(self.resident)
        )
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Crowd, Direction, Heard, Resident, Transfers};

    #[test]
    fn a_transfers_line_gives_medians_and_memory() {
        let resident = Resident { first: 10 << 20, most: 12 << 20, last: 11 << 20 };
        let (name, direction) = ("jackfield", Direction::Up);
        let transfers =
            Transfers { name, direction, rates: vec![900.0, 1000.0, 100.0], cpu: vec![0.5; 3], resident };
        let line = transfers.line();
        assert!(line.starts_with("upload, jackfield") && line.contains(" 900 MB/s"), "{line}");
        assert!(line.ends_with("first 10.0, most 12.0, last 11.0 MiB\n"), "{line}");
    }

    #[test]
    fn a_crowds_line_gives_what_a_client_costs_and_what_it_heard() {
        let heard = |events| Heard { events, longest_gap: Duration::from_millis(events.into()) };
        let resident = Resident { first: 1 << 20, most: 4 << 20, last: 2 << 20 };
        let (cpu, elapsed) = (Duration::from_millis(6), Duration::from_secs(1));
        let crowd =
            Crowd { name: "x", heard: vec![heard(300), heard(100), heard(200)], cpu, elapsed, resident };
        let line = crowd.line();
        assert!(line.contains("events a client 100, 200, 300") && line.contains("gap 300 ms"), "{line}");
        assert!(line.contains("1024 KiB a client; 10.0 µs CPU an event"), "{line}");
    }
}
