//! A test in a network of its own, which no packet leaves.
//!
//! Owns how such a test is started, and what its network is like: one interface, the loopback's, at which every
//! address leads back to the test. What is refused there is refused by the host, for a connection would be made.
//! Leaves to the test who answers at these addresses, and what names mean.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with};

/// Tells a test's own program, started again, that it is in its network now.
const ALONE: &str = "JACKFIELD_SUITE_ALONE";

/// The longest that such a test may take.
const LONGEST: Duration = Duration::from_secs(120);

/// What the test sees instead of the machine's own files, so that nothing outside is asked what a name means.
const FILES: [(&str, &str); 3] = [
    ("resolv.conf", "nameserver 127.0.0.1\noptions timeout:2 attempts:1\n"),
    ("nsswitch.conf", "hosts: files dns\n"),
    ("hosts", "127.0.0.1 localhost\n::1 localhost\n"),
];

/// Lays the folder's files over the machine's, hides the cache of names, and becomes the test.
const ENTER: &str = r#"
set -e
folder=$1
shift
for file in resolv.conf hosts nsswitch.conf; do
  if [ -e "/etc/$file" ]; then mount --bind "$folder/$file" "/etc/$file"; fi
done
for cache in /run/nscd /var/run/nscd; do
  if [ -d "$cache" ]; then mount -t tmpfs none "$cache"; fi
done
exec "$@"
"#;

/// Runs the body of the test of this name (`module::a_sentence`) in a network of its own: starts the test's program
/// again for this one test, by `unshare` (util-linux), and there runs the body. Where the system permits no such
/// network, the test is skipped, which it says on standard error.
///
/// # Panics
/// If the body does, or takes too long, or another interface than the loopback's is there.
pub fn alone(test: &str, body: impl AsyncFnOnce()) {
    if std::env::var_os(ALONE).is_some() {
        refuse_other_networks();
        lead_every_address_here().expect("the loopback interface can be set up");
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        return runtime.expect("a runtime can be made").block_on(body());
    }
    if let Err(why) = is_permitted() {
        // Not by a macro, whose text is kept for tests that fail.
        let line = format!("SKIPPED {test}: there is no network of its own to run it in: {why}\n");
        let _ = std::io::stderr().write_all(line.as_bytes());
        return;
    }
    run_in_a_network_of_its_own(test);
}

fn is_permitted() -> Result<(), String> {
    let tried = Command::new("unshare").args(["-rnm", "true"]).stdin(Stdio::null()).output();
    let tried = tried.map_err(|error| format!("`unshare` cannot be started: {error}"))?;
    let said = String::from_utf8_lossy(&tried.stderr).trim().to_owned();
    if tried.status.success() { Ok(()) } else { Err(format!("`unshare -rnm` is not permitted: {said}")) }
}

fn run_in_a_network_of_its_own(test: &str) {
    let folder = tempfile::TempDir::new().expect("a folder for the test");
    for (name, text) in FILES {
        std::fs::write(folder.path().join(name), text).expect("a test can write to its folder");
    }
    let (mut reader, writer) = std::io::pipe().expect("a pipe can be made");
    let mut command = again(test, folder.path());
    command.stdout(writer.try_clone().expect("a pipe has more than one end")).stderr(writer);
    let mut child = command.spawn().expect("the test's program can be started again");
    // The pipe ends when the last that could write to it has ended.
    drop(command);
    let output = std::thread::spawn(move || {
        let mut output = Vec::new();
        let _ = reader.read_to_end(&mut output);
        String::from_utf8_lossy(&output).into_owned()
    });
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("it can be waited for") {
            break Some(status);
        }
        if began.elapsed() > LONGEST {
            // By its own id: it became the test, and nothing of it is left.
            let _ = child.kill();
            let _ = child.wait();
            break None;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let output = output.join().expect("reading does not panic");
    println!("{output}");
    let panic = panic_of(&output);
    let status = status.unwrap_or_else(|| panic!("{test} is not done within {LONGEST:?}\n{panic}"));
    assert!(status.success(), "{test} failed in its own network: {status}\n{panic}");
    assert!(output.contains("1 passed"), "there is no test named {test}");
}

/// The first panic in a test's output with the lines after it, so that the panic of this process says the reason too.
fn panic_of(output: &str) -> String {
    const MOST_LINES: usize = 60;
    let lines = output.lines().skip_while(|line| !line.contains("panicked at"));
    lines.take(MOST_LINES).map(|line| format!("{line}\n")).collect()
}

fn again(test: &str, folder: &Path) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["-rnm", "sh", "-c", ENTER, "sh"])
        .arg(folder)
        .arg(std::env::current_exe().expect("a test has a file"))
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(ALONE, "1")
        .stdin(Stdio::null());
    command
}

fn refuse_other_networks() {
    let devices = std::fs::read_to_string("/proc/net/dev").expect("the system lists its interfaces");
    let others: Vec<&str> =
        devices.lines().skip(2).filter(|line| !line.trim_start().starts_with("lo:")).collect();
    assert!(others.is_empty(), "{ALONE} is set where packets could leave: {others:#?}");
}

/// `ip link set lo up`, `ip route add local default dev lo` and the same of IPv6, for machines without `ip`:
/// rtnetlink(7) messages, in the machine's own byte order.
fn lead_every_address_here() -> rustix::io::Result<()> {
    const NEW_LINK: u16 = 16;
    const NEW_ROUTE: u16 = 24;
    const LOOPBACK: [u8; 4] = 1_u32.to_ne_bytes();
    const UP: [u8; 4] = 1_u32.to_ne_bytes();
    // struct ifinfomsg: family, type, index, flags, and which of these to change.
    ask(NEW_LINK, &[[0; 4], LOOPBACK, UP, UP].concat())?;
    for (family, scope) in [(2, 254), (10, 0)] {
        // struct rtmsg: to any address; table `local`, protocol `boot`, type `local`; through the loopback's interface.
        let route = [[family, 0, 0, 0], [255, 3, scope, 2], [0; 4]];
        let [low, high] = 8_u16.to_ne_bytes();
        let [through, zero] = 4_u16.to_ne_bytes();
        ask(NEW_ROUTE, &[route.concat(), vec![low, high, through, zero], LOOPBACK.to_vec()].concat())?;
    }
    Ok(())
}

/// Sends one rtnetlink request, and reads what became of it.
fn ask(kind: u16, message: &[u8]) -> rustix::io::Result<()> {
    const HEAD_BYTES: usize = 16;
    const REQUEST_ACKNOWLEDGE_CREATE: u16 = 0x1 | 0x4 | 0x400;
    let length = u32::try_from(HEAD_BYTES + message.len()).expect("messages are short");
    let mut request = length.to_ne_bytes().to_vec();
    request.extend(kind.to_ne_bytes());
    request.extend(REQUEST_ACKNOWLEDGE_CREATE.to_ne_bytes());
    request.extend([0; 8]);
    request.extend(message);
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    sendto(&socket, &request, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    let mut answer = [0; 512];
    let (_, got) = recv(&socket, &mut answer[..], RecvFlags::empty())?;
    let error = answer[..got].get(HEAD_BYTES..HEAD_BYTES + 4).expect("an answer has a number");
    match i32::from_ne_bytes(error.try_into().expect("they are four bytes")) {
        0 => Ok(()),
        error => Err(rustix::io::Errno::from_raw_os_error(-error)),
    }
}
