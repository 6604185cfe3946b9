//! One core and two, and more requests than they can bear.
//!
//! A plugin computes for about half a millisecond, so that the load, which shares the machine, takes little of it. Three
//! questions. How much more does a host answer on all cores than on one? How long do answers take at 70 % of what it can
//! answer? And at three times as much, how many right answers are left, and how soon does the host turn the others away?
//!
//! The rate of an overload is kept by the clock, whatever the answers do: a load that waits for answers is never too much.

use std::net::SocketAddr;
use std::thread::available_parallelism;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, yield_now};
use tokio::time::{Instant, sleep_until, timeout};

use super::latency::Latencies;
use super::resident::Resident;
use super::server::{Program, Server};
use super::streams::allow_descriptors;
use super::{build_servers, median, release};
use crate::guests;

const GUEST: &str = "guest-misbehave";

/// A loop of half a millisecond or a little more.
const PATH: &str = "/turns?n=250000";

/// The requests under way by which the most that a host answers is found.
const CLOSED: u32 = 32;

const ROUNDS: u32 = 5;

/// The most connections of an open load: more than this are a load that nobody answers.
const MOST_CONNECTIONS: usize = 8000;

const OTHER_DESCRIPTORS: u64 = 200;

const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// Measure one core and all, and more requests than the host can bear.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Arguments {
    /// Seconds of each load
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    guests::build(&[GUEST])?;
    build_servers()?;
    allow_descriptors(MOST_CONNECTIONS as u64 + OTHER_DESCRIPTORS)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let duration = Duration::from_secs(arguments.seconds.into());

    let cores = available_parallelism()?.get();
    let one = host(Some(0))?;
    let all = host(None)?;
    let (mut rates_of_one, mut rates_of_all) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for (server, rates) in [(&one, &mut rates_of_one), (&all, &mut rates_of_all)] {
            rates.push(runtime.block_on(closed(server.address(), duration / ROUNDS))?);
        }
    }
    drop(one);
    let (one, peak) = (median(&rates_of_one), median(&rates_of_all));
    println!(
        "the most that is answered: {one:.0} a second on one core, {peak:.0} on {cores}: {:.2} times",
        peak / one
    );

    for percent in [70.0, 300.0] {
        let rate = peak * percent / 100.0;
        let load = || runtime.block_on(open(all.address(), rate, duration));
        let (mut told, resident) = Resident::during(&all, load)?;
        println!(
            "at {percent:.0} %, {rate:.0} a second: {:.0} a second answered right, {:.1} % of the most; p50 {:.2} ms, p99 {:.2} ms",
            told.right.count() as f64 / duration.as_secs_f64(),
            told.right.count() as f64 / duration.as_secs_f64() / peak * 100.0,
            told.right.percentile_ms(50),
            told.right.percentile_ms(99),
        );
        let turned_away = told.turned_away.count();
        if turned_away > 0 {
            println!(
                "  {turned_away} turned away by 503: p50 {:.2} ms, p99 {:.2} ms",
                told.turned_away.percentile_ms(50),
                told.turned_away.percentile_ms(99)
            );
        }
        println!(
            "  resident MiB: first {:.1}, most {:.1}, last {:.1}; most connections {}",
            mib(resident.first),
            mib(resident.most),
            mib(resident.last),
            told.connections
        );
    }
    println!("again: cargo xtask bench overload --seconds {}", arguments.seconds);
    Ok(())
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn host(core: Option<usize>) -> Result<Server> {
    let site = format!(
        r#"[host]
listen = ["127.0.0.1:0"]
connections-per-client = {MOST_CONNECTIONS}
[tenants.bench]
hosts = ["*"]
[tenants.bench.plugins.turns]
component = {:?}
[[tenants.bench.routes]]
path = "/turns"
plugin = "turns"
"#,
        guests::component(GUEST)
    );
    Server::jackfield(Program::on(&release("jackfield"), core), &site)
}

/// The right answers a second where each of some callers asks again as soon as it is answered.
async fn closed(address: SocketAddr, duration: Duration) -> Result<f64> {
    let began = Instant::now();
    let end = began + duration;
    let mut callers = JoinSet::new();
    for _ in 0..CLOSED {
        callers.spawn(async move {
            let (mut connection, mut answers) = (Connection::open(address).await?, 0_u32);
            while Instant::now() < end {
                let status = connection.ask().await?;
                ensure!(status == 200, "a host that is not overloaded answered {status}");
                answers += 1;
            }
            Ok(answers)
        });
    }
    let mut answers = 0;
    while let Some(caller) = callers.join_next().await {
        answers += caller??;
    }
    Ok(f64::from(answers) / began.elapsed().as_secs_f64())
}

/// The answers to an open load, from when each request was due.
#[derive(Default)]
struct Told {
    right: Latencies,
    turned_away: Latencies,
    /// The most connections at once.
    connections: usize,
}

/// Asks `rate` times a second, each time on a connection that is not in use.
async fn open(address: SocketAddr, rate: f64, duration: Duration) -> Result<Told> {
    let (mut told, mut resting, mut under_way) = (Told::default(), Vec::new(), JoinSet::new());
    let began = Instant::now();
    let requests = (rate * duration.as_secs_f64()) as u32;
    let take = |told: &mut Told, resting: &mut Vec<Connection>, ended| -> Result<()> {
        let (connection, status, took): (Connection, u16, Duration) = ended;
        match status {
            200 => told.right.add(took),
            503 => told.turned_away.add(took),
            other => bail!("an overloaded host answered {other}"),
        }
        resting.push(connection);
        Ok(())
    };
    for number in 0..requests {
        let due = began + Duration::from_secs_f64(f64::from(number) / rate);
        while let Some(ended) = under_way.try_join_next() {
            take(&mut told, &mut resting, ended??)?;
        }
        sleep_until(due).await;
        // A load that is late does not wait, and would let no request go on.
        yield_now().await;
        ensure!(
            under_way.len() < MOST_CONNECTIONS,
            "the host neither answers nor turns away, or the load is too slow: it is {} ms late",
            due.elapsed().as_millis()
        );
        let connection = resting.pop();
        under_way.spawn(async move {
            let mut connection = match connection {
                Some(connection) => connection,
                None => Connection::open(address).await?,
            };
            let status = connection.ask().await?;
            anyhow::Ok((connection, status, due.elapsed()))
        });
        told.connections = told.connections.max(under_way.len());
    }
    while let Some(ended) = under_way.join_next().await {
        take(&mut told, &mut resting, ended??)?;
    }
    Ok(told)
}

/// A connection with one request under way.
struct Connection(TcpStream);

impl Connection {
    async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await.context("cannot connect to the host")?;
        stream.set_nodelay(true)?;
        Ok(Self(stream))
    }

    /// The status of an answer, which is short and of stated length.
    async fn ask(&mut self) -> Result<u16> {
        let exchange = async {
            self.0.write_all(format!("GET {PATH} HTTP/1.1\r\nhost: bench\r\n\r\n").as_bytes()).await?;
            let (mut buffer, mut filled) = ([0; 2048], 0);
            loop {
                let read = self.0.read(&mut buffer[filled..]).await?;
                ensure!(read > 0, "the host hung up, or answered too much");
                filled += read;
                let text = str::from_utf8(&buffer[..filled])?;
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let length = head.lines().find_map(|line| {
                    let (name, value) = line.split_once(':')?;
                    name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
                });
                if body.len() >= length.context("answered without a Content-Length")? {
                    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
                    return status.context("answered without a status");
                }
            }
        };
        timeout(ANSWER_DEADLINE, exchange).await.context("a request was not answered")?
    }
}
