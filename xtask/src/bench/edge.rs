//! `cargo xtask bench edge`: what clients cost that do nothing, are slow, or leave without a word.
//!
//! Three questions. What does an idle connection weigh, beside the same on bare hyper? Does an honest client notice thousands
//! of slow ones, and is each of them gone by its deadline? And what is left behind by those who break off?

use std::fmt::Write;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::guests;

use super::server::Server;
use super::streams::allow_descriptors;
use super::{build_servers, release};

/// Its paths are /count and /download.
const GUEST: &str = "guest-http";

/// Every deadline of the host in this bench.
const DEADLINE: Duration = Duration::from_secs(8);

/// What a deadline may be missed by: thousands of clients come at once, on a machine that they share with the host; and the
/// deadline of who takes nothing begins when the system's buffers are full.
const LATE: Duration = Duration::from_secs(25);

/// For anything of which the host decides.
const PATIENCE: Duration = Duration::from_secs(60);

const OTHER_DESCRIPTORS: u64 = 200;

/// Measure what idle, slow and rude clients cost.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Slow or silent connections at once; as many are held idle
    #[arg(long, default_value_t = 9000, value_parser = clap::value_parser!(u16).range(10..=30_000))]
    slow: u16,
    /// Connections that break off
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    rude: u32,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    guests::build(&[GUEST])?;
    build_servers()?;
    allow_descriptors(u64::from(arguments.slow) + OTHER_DESCRIPTORS)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut report = String::new();
    let idle = usize::from(arguments.slow);
    // Each on a server of its own: what one leaves to the allocator, the next would use.
    for says_something in [false, true] {
        let bare = Server::bare_hyper(release("xtask"), "hello")?;
        report += &runtime.block_on(weigh("bare hyper", &bare, idle, says_something))?;
        drop(bare);
        // With deadlines that end nothing meanwhile.
        let (site, _) = site(Duration::from_secs(600))?;
        let host = Server::jackfield(release("jackfield"), &site)?;
        report += &runtime.block_on(weigh("jackfield", &host, idle, says_something))?;
    }

    let (site, probes) = self::site(DEADLINE)?;
    let host = Server::jackfield(release("jackfield"), &site)?;
    report += &runtime.block_on(beside_slow(&host, probes, idle))?;
    report += &runtime.block_on(rude(&host, probes, arguments.rude))?;
    println!("{report}\nagain: cargo xtask bench edge --slow {} --rude {}", arguments.slow, arguments.rude);
    Ok(())
}

fn site(deadline: Duration) -> Result<(String, SocketAddr)> {
    // Free now, and for as long as nobody else on the machine wants it.
    let probes = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let seconds = deadline.as_secs();
    let site = format!(
        r#"[host]
listen = ["127.0.0.1:0"]
probes = "{probes}"
connections = 40000
concurrency = 3000
connections-per-client = 40000

[host.timeouts]
head = "{seconds}s"
body = "{seconds}s"
write = "{seconds}s"
idle = "{seconds}s"

[tenants.bench]
hosts = ["*"]

[tenants.bench.quota]
concurrency = 20000
queue = 20000

[tenants.bench.plugins.http]
component = {:?}
limits = {{ concurrency = 3000, queue = 20000, queue-wait = "1min", cpu = "10s" }}

[[tenants.bench.routes]]
path = "/{{*rest}}"
plugin = "http"
"#,
        guests::component(GUEST)
    );
    Ok((site, probes))
}

/// What a connection weighs that has said nothing, or one that is kept alive after a request.
async fn weigh(name: &str, server: &Server, count: usize, says_something: bool) -> Result<String> {
    let what = if says_something { "kept alive" } else { "silent" };
    eprintln!("==> {count} idle connections to {name}, {what}");
    // The first requests make what is made once.
    for _ in 0..200 {
        ask(&mut TcpStream::connect(server.address()).await?).await?;
    }
    let before = server.resident_bytes()?;
    let mut connections = Vec::with_capacity(count);
    for _ in 0..count {
        let mut connection = TcpStream::connect(server.address()).await?;
        if says_something {
            ask(&mut connection).await?;
        }
        connections.push(connection);
        // As they come to a server, and not all at once.
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    // Until the last of them rests.
    tokio::time::sleep(Duration::from_secs(7)).await;
    let each = server.resident_bytes()?.saturating_sub(before) as f64 / count as f64 / 1024.0;
    Ok(format!("{name}, {what}: {each:.1} KiB a connection of {count}\n"))
}

/// One request of an honest client on a connection that it keeps.
async fn ask(connection: &mut TcpStream) -> Result<Duration> {
    const REQUEST: &[u8] = b"GET /download-sized?bytes=5 HTTP/1.1\r\nhost: bench.example\r\n\r\n";
    let began = Instant::now();
    let exchange = async {
        connection.write_all(REQUEST).await?;
        let mut answer = [0; 2048];
        let mut filled = 0;
        loop {
            let read = connection.read(&mut answer[filled..]).await?;
            ensure!(read > 0, "an honest client's connection was closed");
            filled += read;
            let text = str::from_utf8(&answer[..filled])?;
            ensure!(text.starts_with("HTTP/1.1 200 "), "an honest client was answered: {text}");
            let body = text.split_once("\r\n\r\n").map(|(_, body)| body.len());
            if body == Some(5) {
                return Ok(());
            }
        }
    };
    timeout(PATIENCE, exchange).await.context("an honest client waited in vain")??;
    Ok(began.elapsed())
}

/// An honest client's times over so many seconds.
async fn honest(address: SocketAddr, time: Duration) -> Result<Vec<Duration>> {
    let mut connection = TcpStream::connect(address).await?;
    connection.set_nodelay(true)?;
    let mut times = Vec::new();
    let began = Instant::now();
    while began.elapsed() < time {
        times.push(ask(&mut connection).await?);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    times.sort_unstable();
    Ok(times)
}

fn quantile(sorted: &[Duration], hundredths: usize) -> f64 {
    let index = (sorted.len() * hundredths / 100).min(sorted.len().saturating_sub(1));
    sorted.get(index).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
}

/// How a slow client is slow.
#[derive(Clone, Copy, Debug)]
enum Slow {
    Silent,
    HalfAHead,
    DrippingHead,
    HalfAPreface,
    Idle,
    StallingBody,
    TakesNothing,
}

impl Slow {
    const ALL: [Self; 7] = [
        Self::Silent,
        Self::HalfAHead,
        Self::DrippingHead,
        Self::HalfAPreface,
        Self::Idle,
        Self::StallingBody,
        Self::TakesNothing,
    ];

    /// Is slow until the host has had enough of it, and for how long that was from its last word.
    async fn run(self, address: SocketAddr) -> Result<Duration> {
        let socket = TcpSocket::new_v4()?;
        if matches!(self, Self::TakesNothing) {
            socket.set_recv_buffer_size(4096)?;
        }
        let mut connection = socket.connect(address).await?;
        match self {
            Self::Silent => {}
            Self::HalfAHead | Self::DrippingHead => {
                connection.write_all(b"GET / HTTP/1.1\r\nhost: a").await?
            }
            Self::HalfAPreface => connection.write_all(b"PRI * HTTP/2.0\r\n\r\n").await?,
            Self::Idle => drop(ask(&mut connection).await?),
            Self::StallingBody => {
                let head = b"POST /count HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nhalf";
                connection.write_all(head).await?;
            }
            Self::TakesNothing => {
                connection.write_all(b"GET /download?bytes=8000000 HTTP/1.1\r\nhost: a\r\n\r\n").await?;
            }
        }
        let began = Instant::now();
        let closed = async {
            let mut answer = [0; 1024];
            loop {
                if matches!(self, Self::DrippingHead)
                    && let Err(_elapsed) = timeout(Duration::from_secs(1), connection.readable()).await
                {
                    let _ = connection.try_write(b"x");
                    continue;
                }
                if matches!(self, Self::TakesNothing) {
                    // What has come is not read: that the connection is no more is seen by writing.
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    match connection.try_write(b"\r\n") {
                        Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => return,
                        _ => continue,
                    }
                }
                match connection.read(&mut answer).await {
                    Ok(0) | Err(_) => return,
                    Ok(_) => {}
                }
            }
        };
        timeout(DEADLINE + PATIENCE, closed).await.with_context(|| format!("{self:?} is never cut"))?;
        Ok(began.elapsed())
    }
}

async fn beside_slow(host: &Server, probes: SocketAddr, count: usize) -> Result<String> {
    let address = host.address();
    let time = Duration::from_secs(6);
    // Once for what is made once.
    honest(address, Duration::from_secs(1)).await?;
    eprintln!("==> an honest client alone");
    let alone = honest(address, time).await?;
    eprintln!("==> and beside {count} slow ones");
    let (began, cpu_before) = (Instant::now(), host.cpu_time()?);
    // On a thread of their own, so that the honest client's times are not those of its own runtime.
    let crowd = std::thread::spawn(move || -> Result<Vec<(Slow, Duration)>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async move {
            let mut slow = JoinSet::new();
            for (number, kind) in (0..count).zip(Slow::ALL.into_iter().cycle()) {
                slow.spawn(async move { kind.run(address).await.map(|after| (kind, after)) });
                if number % 100 == 99 {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
            let mut cut = Vec::with_capacity(count);
            while let Some(client) = slow.join_next().await {
                cut.push(client.context("a slow client panicked")??);
            }
            Ok(cut)
        })
    });
    // While they are all there.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let open = metric(probes, "jackfield_connections ").await?;
    let beside = honest(address, time).await?;
    let cut = tokio::task::spawn_blocking(move || crowd.join()).await?;
    let cut = cut.map_err(|_| anyhow::anyhow!("the slow clients' thread panicked"))??;
    let cpu = host.cpu_time()?.saturating_sub(cpu_before);
    let mut report = format!(
        "honest p50/p99 alone {:.2}/{:.2} ms, beside {open} open of {count} slow {:.2}/{:.2} ms; host {:.1} s CPU in {:.0} s\n",
        quantile(&alone, 50),
        quantile(&alone, 99),
        quantile(&beside, 50),
        quantile(&beside, 99),
        cpu.as_secs_f64(),
        began.elapsed().as_secs_f64(),
    );
    for kind in Slow::ALL {
        let mut times: Vec<_> = cut
            .iter()
            .filter(|(of, _)| format!("{of:?}") == format!("{kind:?}"))
            .map(|(_, after)| *after)
            .collect();
        times.sort_unstable();
        let last = times.last().copied().unwrap_or_default();
        writeln!(report, "  {kind:?}: {} cut, the last after {:.1} s", times.len(), last.as_secs_f64())?;
        ensure!(last < DEADLINE + LATE, "{kind:?} is cut after {last:?}, at a deadline of {DEADLINE:?}");
    }
    nothing_is_left(probes).await?;
    Ok(report)
}

/// How a client breaks off.
async fn break_off(number: u32, address: SocketAddr) -> Result<()> {
    let mut connection = TcpStream::connect(address).await?;
    let get: &[u8] = b"GET /download?bytes=300000 HTTP/1.1\r\nhost: a\r\n\r\n";
    let post: &[u8] = b"POST /count HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nhalf of it";
    let mut piece = [0; 512];
    match number % 8 {
        // Without a word.
        0 => {}
        // In the middle of a head.
        1 => connection.write_all(&get[..20]).await?,
        // Before the answer.
        2 => connection.write_all(get).await?,
        // In the middle of a body.
        3 => connection.write_all(post).await?,
        // In the middle of the answer.
        4 | 5 => {
            connection.write_all(get).await?;
            let _ = connection.read(&mut piece).await;
        }
        // It says that it will send no more, and goes.
        6 => {
            connection.write_all(get).await?;
            connection.shutdown().await?;
        }
        // After what is no HTTP.
        _ => connection.write_all(b"\x16\x03\x01garbage\r\n\r\n").await?,
    }
    if number.is_multiple_of(2) {
        // By a reset, not an end.
        connection.set_zero_linger()?;
    }
    Ok(())
}

async fn rude(host: &Server, probes: SocketAddr, count: u32) -> Result<String> {
    eprintln!("==> {count} clients that break off");
    let address = host.address();
    let half = async |from: u32, to: u32| {
        for number in from..to {
            timeout(PATIENCE, break_off(number, address)).await.context("a connection is not taken")??;
        }
        nothing_is_left(probes).await
    };
    half(0, count / 2).await?;
    let (descriptors, resident) = (host.descriptors()?, host.resident_bytes()?);
    half(count / 2, count).await?;
    let (descriptors_after, resident_after) = (host.descriptors()?, host.resident_bytes()?);
    ensure!(
        descriptors_after <= descriptors + 4,
        "descriptors grew from {descriptors} to {descriptors_after}"
    );
    let mut connection = TcpStream::connect(address).await?;
    ask(&mut connection).await?;
    Ok(format!(
        "{count} rude clients: nothing in flight; descriptors {descriptors} after half of them, {descriptors_after} after all; \
         memory {:.1} and {:.1} MiB\n",
        resident as f64 / f64::from(1 << 20),
        resident_after as f64 / f64::from(1 << 20),
    ))
}

/// Waits until no connection, request or call is left.
async fn nothing_is_left(probes: SocketAddr) -> Result<()> {
    let began = Instant::now();
    loop {
        let mut left = Vec::new();
        for series in [
            "jackfield_connections ",
            "jackfield_requests_in_flight ",
            "jackfield_calls_in_flight{tenant=\"bench\",plugin=\"http\"} ",
        ] {
            let value = metric(probes, series).await?;
            if value > 0 {
                left.push(format!("{series}{value}"));
            }
        }
        if left.is_empty() {
            return Ok(());
        }
        if began.elapsed() > PATIENCE {
            bail!("left behind: {}", left.join(", "));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn metric(probes: SocketAddr, series: &str) -> Result<u64> {
    let mut connection = TcpStream::connect(probes).await?;
    connection.write_all(b"GET /metrics HTTP/1.1\r\nhost: probes\r\nconnection: close\r\n\r\n").await?;
    let mut text = String::new();
    connection.read_to_string(&mut text).await?;
    let value = text.lines().find_map(|line| line.strip_prefix(series));
    value.unwrap_or("0").trim().parse().with_context(|| format!("no number in {series}"))
}
