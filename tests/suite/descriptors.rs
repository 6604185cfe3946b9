//! A process that may have few descriptors: no client takes the last of them.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use jackfield_tests::{PATIENCE, Process, site_folder};
use tokio::net::TcpSocket;

/// Two plugins, of which one is called for the first time when the host is full.
const SITE: &str = r#"
    probes = "127.0.0.1:0"
    timeouts.linger = "0s"
    timeouts.head = "5min"
    [tenants.shop]
    hosts = ["*"]
    plugins.page = { component = "guest_misbehave.wasm" }
    plugins.late = { component = "guest_hello.wasm" }
    routes = [{ path = "/{*rest}", plugin = "page" }, { path = "/late", plugin = "late" }]
"#;

/// Starts a host whose limit of descriptors is this, at first and at most.
fn start_within(folder: &Path, soft: u32, hard: u32) -> Process {
    Process::start_by(folder, &["prlimit", &format!("--nofile={soft}:{hard}")], &["serve"])
}

fn probes(process: &Process) -> SocketAddr {
    process.wait_for_line("probes address=").split("address=").nth(1).unwrap().parse().unwrap()
}

fn get(mut stream: TcpStream, path: &str) -> std::io::Result<String> {
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// A connection from this address of this machine.
async fn connect_from(client: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((client, 0).into()).unwrap();
    let stream = socket.connect(to).await.unwrap().into_std().unwrap();
    stream.set_nonblocking(false).unwrap();
    stream
}

/// A number that a line of the log states.
fn stated(line: &str, name: &str) -> usize {
    let stated = line.split_once(&format!(" {name}=")).unwrap_or_else(|| panic!("no {name} in: {line}")).1;
    stated.split(' ').next().unwrap().parse().unwrap()
}

async fn metric_reaches(probes: SocketAddr, series: &str, least: usize) {
    let began = Instant::now();
    loop {
        let metrics = get(TcpStream::connect(probes).unwrap(), "/metrics").unwrap();
        let value = metrics.lines().find_map(|line| line.strip_prefix(series)?.trim().parse::<usize>().ok());
        if value.is_some_and(|value| value >= least) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{series} does not reach {least}: {value:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_connections_one_client_has_others_are_served_and_probes_answer() {
    let folder = site_folder(SITE);
    let process = start_within(folder.path(), 400, 400);
    let told = process.wait_for_line("fewer connections than `connections` in [host]");
    let (all, of_one) = (stated(&told, "connections"), stated(&told, "connections-per-client"));
    assert_eq!((stated(&told, "limit"), stated(&told, "instead-of")), (400, 10_000), "{told}");
    assert!(all >= 100 && of_one <= all / 2, "{told}");
    assert!(told.contains("LimitNOFILE="), "{told}");

    let (address, probes) = (process.address(), probes(&process));
    // Two clients that take all that they get, and say nothing.
    let greedy = [Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3)];
    let mut idle = Vec::new();
    for _ in 0..300 {
        idle.push(connect_from(greedy[0], address).await);
    }
    metric_reaches(probes, "jackfield_connections_closed_total{reason=\"too-many\"}", 300 - of_one).await;
    for _ in 0..of_one / 2 {
        idle.push(connect_from(greedy[1], address).await);
    }
    metric_reaches(probes, "jackfield_connections", of_one + of_one / 2).await;

    for _ in 0..20 {
        for (path, body) in [("/ok", "ok\n"), ("/late", "hello from version-1\n")] {
            let answer = get(connect_from(Ipv4Addr::LOCALHOST, address).await, path).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(body), "{answer}");
        }
        for probe in ["/livez", "/readyz"] {
            let answer = get(TcpStream::connect(probes).unwrap(), probe).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        }
    }
    // What is not there yet can be compiled, too.
    std::fs::write(folder.path().join("guest_hello.wasm"), jackfield_tests::hello_version(2)).unwrap();
    process.wait_for_line("INFO  revision live tenant=shop");
    let began = Instant::now();
    while !get(connect_from(Ipv4Addr::LOCALHOST, address).await, "/late").unwrap().contains("version-2") {
        assert!(began.elapsed() < PATIENCE, "{:#?}", process.lines());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!process.lines().iter().any(|line| line.contains("cannot accept")), "{:#?}", process.lines());
    drop(idle);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_soft_limit_is_raised_to_the_hard_one() {
    let folder = site_folder(SITE);
    let hard = 6000;
    let process = start_within(folder.path(), 256, hard);
    let told = process.wait_for_line("fewer connections than `connections` in [host]");
    assert_eq!(stated(&told, "limit"), 6000, "{told}");
    process.address();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.id())).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let figures: Vec<_> = files.split_whitespace().skip(3).take(2).collect();
    assert_eq!(figures, ["6000", "6000"], "{files}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_said_where_all_connections_fit() {
    let folder = site_folder(&SITE.replacen("timeouts.linger", "connections = 200\n    timeouts.linger", 1));
    let process = start_within(folder.path(), 256, 1024);
    process.wait_for_line("listening address=");
    assert!(!process.lines().iter().any(|line| line.contains("fewer connections")), "{:#?}", process.lines());
}
