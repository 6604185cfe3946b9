//! Floods: frames of which each is allowed, and of which so many ask for nothing.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use jackfield_tests::{Host, Options, alone};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::conversation::{BEHIND, GET, STREAM};
use super::exchange::in_time;
use super::frames::*;
use super::site;

/// How many of each are sent.
const FRAMES: u32 = 20_000;

/// How long a client may take to know that its connection has ended.
const TIME_TO_KNOW: Duration = Duration::from_secs(3);

/// What the process may keep of all floods: buffers, and the log that the test itself keeps.
const KEPT_BYTES: u64 = 64 << 20;

/// One kind of flood.
struct Flood {
    what: &'static str,
    /// What comes before.
    begin: Vec<u8>,
    /// A frame by its number.
    frame: fn(u32) -> Vec<u8>,
    /// For what its connection may end.
    closed: &'static [&'static str],
}

/// The frames are counted: h2 would take any number of them.
const COUNTED: &[&str] = &["flood"];

/// h2 ends it if it comes to see as many as it takes, before they are too many here.
const EITHER: &[&str] = &["flood", "client"];

fn floods() -> Vec<Flood> {
    let post = frame(HEADERS, END_HEADERS, STREAM, block(&[(":method", "POST"), GET[1], GET[2], GET[3]]));
    let flood = |what, begin: Vec<u8>, frame, closed| Flood { what, begin, frame, closed };
    vec![
        flood("PING", vec![], |_| frame(PING, 0, 0, [0; 8]), COUNTED),
        flood("answers to no PING", vec![], |_| frame(PING, ACK, 0, [0; 8]), COUNTED),
        flood("SETTINGS", vec![], |_| settings(&[]), COUNTED),
        flood("SETTINGS that change every stream", post.clone(), |number| settings(&[(4, number)]), COUNTED),
        flood("PRIORITY", vec![], |number| frame(PRIORITY, 0, 2 * number + 1, [0; 5]), COUNTED),
        flood("WINDOW_UPDATE by one byte", vec![], |_| frame(WINDOW_UPDATE, 0, 0, [0, 0, 0, 1]), COUNTED),
        flood(
            "WINDOW_UPDATE of a stream",
            post.clone(),
            |_| frame(WINDOW_UPDATE, 0, STREAM, [0, 0, 0, 1]),
            COUNTED,
        ),
        flood("GOAWAY", vec![], |_| frame(GOAWAY, 0, 0, [0; 8]), EITHER),
        flood("frames of no known kind", vec![], |_| frame(0xf0, 0, 0, [0; 16]), COUNTED),
        flood("DATA without data", post.clone(), |_| frame(DATA, 0, STREAM, ""), EITHER),
        flood("DATA of padding", post.clone(), |_| frame(DATA, PADDED, STREAM, [1, 0]), EITHER),
        flood(
            "requests that are given up at once",
            vec![],
            |number| {
                let stream = 2 * number + 1;
                let head = frame(HEADERS, END_HEADERS, stream, block(&GET));
                [head, frame(RST_STREAM, 0, stream, [0, 0, 0, 8])].concat()
            },
            EITHER,
        ),
        flood(
            "requests that are malformed",
            vec![],
            |number| {
                frame(HEADERS, END_STREAM | END_HEADERS, 2 * number + 1, block(&[GET[0], (":status", "200")]))
            },
            EITHER,
        ),
        flood(
            "more requests than may be at once",
            vec![],
            |number| {
                frame(
                    HEADERS,
                    END_HEADERS,
                    2 * number + 1,
                    block(&[(":method", "POST"), GET[1], GET[2], GET[3]]),
                )
            },
            EITHER,
        ),
        flood(
            "CONTINUATION",
            frame(HEADERS, END_STREAM, STREAM, block(&GET)),
            |_| frame(CONTINUATION, 0, STREAM, block(&[("x-a", "1")])),
            EITHER,
        ),
        flood(
            "CONTINUATION of nothing",
            frame(HEADERS, END_STREAM, STREAM, block(&GET)),
            |_| frame(CONTINUATION, 0, STREAM, ""),
            EITHER,
        ),
    ]
}

#[test]
fn a_flood_of_frames_ends_its_connection_and_nobody_else_notices() {
    alone("conformance::floods::a_flood_of_frames_ends_its_connection_and_nobody_else_notices", async || {
        let host = Host::start(&site()).await;
        host.get("/echo").await.expect(200);
        let before = resident_bytes();
        for Flood { what, begin, frame, closed } in floods() {
            let count = |reason: &&str| {
                host.metric(&format!(r#"jackfield_connections_closed_total{{reason="{reason}"}}"#))
            };
            let were_closed: f64 = closed.iter().map(count).sum();
            let sent = in_time(what, send(host.address(), &begin, frame)).await;
            println!("{what}: {sent} bytes until it was over, for one of {closed:?}");
            host.wait_until(&format!("{what} to end for one of {closed:?}"), async || {
                closed.iter().map(count).sum::<f64>() > were_closed
            })
            .await;
            host.get("/echo").await.expect(200);
        }
        let after = resident_bytes();
        println!("resident memory: {} MiB before, {} MiB after", before >> 20, after >> 20);
        assert!(after < before + KEPT_BYTES, "{before} bytes were resident before, {after} after");
        let held = ["calls_in_flight", "requests_in_flight"];
        host.wait_until("nothing is held", async || {
            let metrics = host.metrics();
            let is_held = |line: &&str| {
                held.iter().any(|name| line.starts_with(&format!("jackfield_{name}")))
                    && !line.ends_with(" 0")
            };
            metrics.lines().find(is_held).is_none()
        })
        .await;
    });
}

/// Sends a flood, and reads what comes, until the host ends the connection; how many bytes were sent.
///
/// # Panics
/// If it takes all of it and does not.
async fn send(address: SocketAddr, begin: &[u8], flood: fn(u32) -> Vec<u8>) -> usize {
    let stream = TcpStream::connect(address).await.expect("the host listens");
    let (mut reader, mut writer) = stream.into_split();
    let reading = tokio::spawn(async move {
        let mut piece = vec![0; 64 << 10];
        while matches!(reader.read(&mut piece).await, Ok(1..)) {}
    });
    let mut sent = 0;
    let frames: Vec<Vec<u8>> = (1..=FRAMES).map(flood).collect();
    let begin = [hello(), begin.to_vec()].concat();
    for piece in [begin].into_iter().chain(frames.chunks(100).map(<[Vec<u8>]>::concat)) {
        if writer.write_all(&piece).await.is_err() {
            break;
        }
        sent += piece.len();
    }
    // The host closes it, of its own accord.
    reading.await.expect("reading does not panic");
    sent
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_given_up_when_they_have_begun_are_a_flood_too() {
    let host = Host::start(&site()).await;
    let mut stream = TcpStream::connect(host.address()).await.unwrap();
    stream.write_all(&hello()).await.unwrap();
    let mut said = Said::default();
    let mut given_up = 0;
    // Each has begun when a PING behind it is answered.
    let is_over = in_time("the host ends the connection", async {
        let mut sent = Vec::new();
        for number in 1..FRAMES {
            let id = 2 * number + 1;
            let begun =
                frame(HEADERS, END_HEADERS, id, block(&[(":method", "POST"), GET[1], GET[2], GET[3]]));
            sent.extend([begun, frame(PING, 0, 0, [0; 8])].concat());
            said.text.clear();
            if stream.write_all(&std::mem::take(&mut sent)).await.is_err() {
                return true;
            }
            while !said.text.contains("PING answered") {
                let mut piece = [0; 1024];
                match stream.read(&mut piece).await {
                    Ok(read @ 1..) => said.read(&piece[..read]),
                    _ => return true,
                }
            }
            given_up += 1;
            sent = frame(RST_STREAM, 0, id, [0, 0, 0, 8]);
        }
        false
    })
    .await;
    assert!(is_over, "{given_up} requests were given up");
    host.get("/echo").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_stops_says_so_and_answers_what_it_has() {
    let mut host = Host::start(&site()).await;
    let mut stream = TcpStream::connect(host.address()).await.unwrap();
    let slow = block(&[GET[0], GET[1], GET[2], (":path", "/sleep?ms=700")]);
    let sent = [hello(), frame(HEADERS, END_STREAM | END_HEADERS, STREAM, slow)].concat();
    stream.write_all(&sent).await.unwrap();
    host.wait_until("the request is under way", async || {
        host.metric(r#"jackfield_calls_in_flight{tenant="shop",plugin="echo"}"#) > 0.0
    })
    .await;
    let (said, ()) = tokio::join!(
        in_time("the host closes the connection", async {
            let mut said = Said::default();
            let mut piece = [0; 4096];
            let mut has_asked = false;
            while let Ok(read @ 1..) = stream.read(&mut piece).await {
                said.read(&piece[..read]);
                let _ = stream.write_all(&std::mem::take(&mut said.pongs)).await;
                if said.away.is_some() && !has_asked {
                    // Too late: nothing comes of it, and the other goes on.
                    has_asked = true;
                    let late = frame(HEADERS, END_STREAM | END_HEADERS, BEHIND, block(&GET));
                    let _ = stream.write_all(&late).await;
                }
            }
            said
        }),
        host.stop(),
    );
    assert_eq!(said.away, Some(0));
    assert_eq!(said.ends.get(&STREAM), Some(&End::Status(200)), "{}", said.text);
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a process can read of itself");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has memory");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("it is a number");
    kib << 10
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_on_asking_when_told_that_its_connection_is_too_old_is_cut() {
    let host = Options { host: "[host.timeouts]\nage = \"500ms\"".into(), ..Options::default() };
    let host = Host::start_with(&site(), host).await;
    let mut stream = TcpStream::connect(host.address()).await.unwrap();
    stream.write_all(&hello()).await.unwrap();
    let mut said = Said::default();
    let mut ids = (1..).step_by(2);
    let began = Instant::now();
    // The host's PING, by whose answer h2 would know that it was heard, is never answered.
    in_time("the host cuts the connection", async {
        loop {
            let id = ids.next().expect("there are many");
            let asked = frame(HEADERS, END_STREAM | END_HEADERS, id, block(&GET));
            if stream.write_all(&asked).await.is_err() {
                return;
            }
            let mut piece = [0; 4096];
            while !said.ends.contains_key(&id) {
                match stream.read(&mut piece).await {
                    Ok(read @ 1..) => said.read(&piece[..read]),
                    _ => return,
                }
            }
            // So that the connection ends for its age, and not for its haste.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert_eq!(said.away, Some(0), "it was told, and of no error");
    assert!(began.elapsed() >= TIME_TO_KNOW, "{:?}", began.elapsed());
    let aged = r#"jackfield_connections_closed_total{reason="aged"}"#;
    host.wait_until("it is counted as aged", async || host.metric(aged) == 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_only_asks_whether_the_host_is_there_is_idle() {
    let host = Options { host: "[host.timeouts]\nidle = \"500ms\"".into(), ..Options::default() };
    let host = Host::start_with(&site(), host).await;
    let mut stream = TcpStream::connect(host.address()).await.unwrap();
    stream.write_all(&hello()).await.unwrap();
    stream.write_all(&frame(HEADERS, END_STREAM | END_HEADERS, STREAM, block(&GET))).await.unwrap();
    in_time("the host closes the connection", async {
        let mut piece = [0; 4096];
        loop {
            let asked = stream.write_all(&frame(PING, 0, 0, [0; 8])).await;
            if asked.is_err() || !matches!(stream.read(&mut piece).await, Ok(1..)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    let idle = r#"jackfield_connections_closed_total{reason="idle"}"#;
    host.wait_until("it is counted as idle", async || host.metric(idle) == 1.0).await;
}
