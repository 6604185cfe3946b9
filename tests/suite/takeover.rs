//! A host that stops, and the one that takes its place: nobody who was let in goes without an answer.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jackfield_tests::{PATIENCE, Process, Site, site_folder};
use rustix::process::Signal;

fn site() -> Site {
    Site::shop().plugin("page", "guest_misbehave.wasm").route("/{*rest}")
}

/// Requests that are sent all the while, from several clients at once.
struct Load {
    is_over: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    /// Half of the clients keep their connections for as long as the host does, the others open one a request. What becomes of
    /// a client that finds nobody is for `refused`: whether it goes on.
    fn start(address: SocketAddr, refused: fn() -> bool) -> Self {
        let (is_over, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let clients = (0..6).map(|number| {
            let (is_over, answered) = (is_over.clone(), answered.clone());
            std::thread::spawn(move || {
                let mut lost = Vec::new();
                let mut kept = None;
                while !is_over.load(Ordering::Relaxed) {
                    let age = if kept.is_some() { "kept" } else { "new" };
                    let connected = kept.take().map_or_else(|| TcpStream::connect(address), Ok);
                    let mut stream = match connected {
                        Ok(stream) => stream,
                        Err(_) if !refused() => break,
                        Err(error) => {
                            lost.push(format!("refused: {error}"));
                            continue;
                        }
                    };
                    match ask(&mut stream, number % 2 == 0) {
                        Ok(is_kept) => {
                            answered.fetch_add(1, Ordering::Relaxed);
                            kept = is_kept.then_some(stream);
                        }
                        Err(error) => lost.push(format!("{age} connection: {error}")),
                    }
                }
                lost
            })
        });
        let clients = clients.collect();
        Self { is_over, answered, clients }
    }

    fn wait_for(&self, more: u64) {
        let (began, before) = (Instant::now(), self.answered.load(Ordering::Relaxed));
        while self.answered.load(Ordering::Relaxed) < before + more {
            assert!(began.elapsed() < PATIENCE, "nobody is answered");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Requests that were answered, and what happened to those that were not.
    fn stop(self) -> (u64, Vec<String>) {
        self.is_over.store(true, Ordering::Relaxed);
        let lost = self.clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        (self.answered.load(Ordering::Relaxed), lost)
    }
}

/// One request, its whole answer, and whether the connection is kept.
fn ask(stream: &mut TcpStream, keep: bool) -> std::io::Result<bool> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let fields = if keep { "" } else { "connection: close\r\n" };
    write!(stream, "GET /spin?ms=2 HTTP/1.1\r\nhost: shop.example\r\n{fields}\r\n")?;
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let read = stream.read(&mut piece)?;
        answer.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&answer);
        let whole = text.split_once("\r\n\r\n").filter(|(head, body)| {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            length.is_some_and(|length| length.parse() == Ok(body.len()))
        });
        match whole {
            Some((head, _)) if head.starts_with("HTTP/1.1 200 ") => {
                return Ok(!head.contains("connection: close"));
            }
            Some(_) => return Err(std::io::Error::other(text.into_owned())),
            None if read == 0 => return Err(ErrorKind::UnexpectedEof.into()),
            None => {}
        }
    }
}

#[test]
fn a_host_that_is_told_to_stop_under_load_answers_all_that_it_took() {
    let folder = site_folder(&site());
    let mut process = Process::start(folder.path(), ["serve"]);
    // The first that is refused ends its client: then there is nobody any more.
    let load = Load::start(process.address(), || false);
    load.wait_for(300);
    process.signal(Signal::TERM);
    assert_eq!(process.wait().code(), Some(0));
    let (answered, lost) = load.stop();
    // Who connects as the socket is closed may be reset by the system, and nobody had taken it. The next test has those.
    let lost: Vec<_> = lost.iter().filter(|why| !(why.starts_with("new") && why.contains("reset"))).collect();
    assert!(lost.is_empty(), "of {answered}: {lost:?}");
    assert!(
        !process.lines().iter().any(|line| line.contains("connections were cut")),
        "{:?}",
        process.lines()
    );
}

#[test]
fn a_socket_that_is_handed_over_refuses_nobody_while_one_host_follows_another() {
    let folder = site_folder(&site());
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let site = folder.path().join("site.toml");
    let text = std::fs::read_to_string(&site).unwrap().replace("127.0.0.1:0", &address.to_string());
    std::fs::write(&site, text).unwrap();

    let mut process = Process::start_with_socket(folder.path(), &socket);
    assert_eq!(process.address(), address);
    let load = Load::start(address, || true);
    for _ in 0..3 {
        load.wait_for(100);
        process.signal(Signal::TERM);
        assert_eq!(process.wait().code(), Some(0));
        process = Process::start_with_socket(folder.path(), &socket);
        process.wait_for_line("listening address=");
    }
    load.wait_for(100);
    let (answered, lost) = load.stop();
    assert!(lost.is_empty(), "of {answered}: {lost:?}");
}

#[test]
fn a_socket_that_was_handed_over_for_nothing_is_told() {
    let folder = site_folder(&site());
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let mut process = Process::start_with_socket(folder.path(), &socket);
    let line = process.wait_for_line("error:");
    assert!(line.contains(&format!("a socket for {address} was handed over by LISTEN_FDS")), "{line}");
    assert_eq!(process.wait().code(), Some(1));
}
