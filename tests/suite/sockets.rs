//! Where a host listens: both families of the Internet, Unix sockets and who may connect to them, and what is said when
//! it cannot be had.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use jackfield_tests::{PATIENCE, Process, Site, site_folder};
use tempfile::TempDir;

/// A site that listens as `listen` has it.
fn site(listen: &str) -> TempDir {
    let folder = site_folder(&Site::shop().plugin("page", "guest_misbehave.wasm").route("/{*rest}"));
    let file = folder.path().join("site.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("[\"127.0.0.1:0\"]"), "{text}");
    std::fs::write(file, text.replace("[\"127.0.0.1:0\"]", listen)).unwrap();
    folder
}

/// A port that nobody has, at no address.
fn free_port() -> u16 {
    TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap().local_addr().unwrap().port()
}

/// Whether there is IPv6 here; says so if not.
fn has_ipv6() -> bool {
    let bound = TcpListener::bind((Ipv6Addr::LOCALHOST, 0));
    if let Err(error) = &bound {
        let line = format!("SKIPPED: there is no IPv6 here: {error}\n");
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
    bound.is_ok()
}

fn get(mut stream: impl Read + Write) -> String {
    write!(stream, "GET /ok HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Starts a host that does not, and gives its error.
#[track_caller]
fn refusal(folder: &Path) -> String {
    let mut process = Process::start(folder, ["serve"]);
    let line = process.wait_for_line("error: ");
    assert_eq!(process.wait().code(), Some(1), "{line}");
    line
}

#[test]
fn one_port_of_both_families_is_served_by_one_host() {
    if !has_ipv6() {
        return;
    }
    let port = free_port();
    for listen in
        [format!("[\"0.0.0.0:{port}\", \"[::]:{port}\"]"), format!("[\"[::]:{port}\", \"0.0.0.0:{port}\"]")]
    {
        let folder = site(&listen);
        let process = Process::start(folder.path(), ["serve"]);
        process.wait_for_line(&format!("listening address=[::]:{port}"));
        process.wait_for_line(&format!("listening address=0.0.0.0:{port}"));
        for address in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
            let stream = TcpStream::connect((address, port)).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            assert!(get(stream).starts_with("HTTP/1.1 200 "), "{address}");
        }
    }
}

#[test]
fn an_ipv6_address_alone_is_for_ipv6_alone() {
    if !has_ipv6() {
        return;
    }
    let port = free_port();
    let folder = site(&format!("[\"[::]:{port}\"]"));
    let process = Process::start(folder.path(), ["serve"]);
    process.wait_for_line("listening address=");
    assert!(get(TcpStream::connect((Ipv6Addr::LOCALHOST, port)).unwrap()).starts_with("HTTP/1.1 200 "));
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap_err();
}

#[test]
fn an_address_that_cannot_be_had_is_told_with_what_is_known_of_why() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let line = refusal(site(&format!("[\"0.0.0.0:{port}\"]")).path());
    assert!(line.contains(&format!("port {port} is taken")) && line.contains("ss -ltnp"), "{line}");

    let port = free_port();
    let line = refusal(site(&format!("[\"127.0.0.1:{port}\", \"0.0.0.0:{port}\"]")).path());
    assert!(line.contains(&format!("this host listens on 127.0.0.1:{port} already")), "{line}");

    let probed = site(&format!("[\"127.0.0.1:{port}\"]\nprobes = \"0.0.0.0:{port}\""));
    let line = refusal(probed.path());
    assert!(line.contains(&format!("this host listens on 127.0.0.1:{port} already")), "{line}");

    // Of a network that is for documents alone.
    let line = refusal(site("[\"192.0.2.1:0\"]").path());
    assert!(line.contains("this machine has no such address, or not yet"), "{line}");
}

#[test]
fn a_unix_socket_is_as_open_as_its_mode_says() {
    let group = rustix::process::getegid().as_raw();
    let folder = site(&format!(
        r#"["unix:own.sock", {{ address = "unix:all.sock", mode = "0666" }},
        {{ address = "unix:group.sock", group = "{group}" }},
        {{ address = "unix:few.sock", group = "{group}", mode = "620" }}]"#
    ));
    // Whatever the mask of whoever starts it is.
    for mask in ["0022", "0077", "0000"] {
        let become_it = format!("umask {mask}; exec \"$0\" \"$@\"");
        let mut process = Process::start_by(folder.path(), &["sh", "-c", &become_it], &["serve"]);
        process.wait_for_line("few.sock");
        for (name, mode) in [("own", 0o600), ("all", 0o666), ("group", 0o660), ("few", 0o620)] {
            let socket = folder.path().join(format!("{name}.sock"));
            let made = std::fs::metadata(&socket).unwrap();
            assert_eq!(made.mode() & 0o7777, mode, "{name} under {mask}");
            assert!(get(UnixStream::connect(&socket).unwrap()).starts_with("HTTP/1.1 200 "), "{name}");
            assert_eq!(made.gid(), group);
        }
        process.signal(rustix::process::Signal::TERM);
        assert_eq!(process.wait().code(), Some(0));
    }
}

#[test]
fn a_unix_socket_can_be_given_to_a_group_by_its_name() {
    if !rustix::process::geteuid().is_root() {
        let line = "SKIPPED: only root may give a socket to a group that it is not in\n";
        let _ = std::io::stderr().write_all(line.as_bytes());
        return;
    }
    let folder = site(r#"[{ address = "unix:proxy.sock", group = "daemon" }]"#);
    let process = Process::start(folder.path(), ["serve"]);
    process.wait_for_line("proxy.sock");
    let made = std::fs::metadata(folder.path().join("proxy.sock")).unwrap();
    assert_eq!((made.mode() & 0o7777, made.gid()), (0o660, 1));
}

#[test]
fn a_group_that_is_none_or_not_to_be_had_is_told() {
    let folder = site(r#"[{ address = "unix:proxy.sock", group = "nobody-has-this" }]"#);
    let line = refusal(folder.path());
    assert!(line.contains("/etc/group has no group `nobody-has-this`"), "{line}");
    assert!(!folder.path().join("proxy.sock").exists());
}

#[test]
fn a_folder_that_is_not_to_be_written_to_is_told_without_a_word_of_ports() {
    if !std::path::Path::new("/proc/self").exists() {
        return;
    }
    // Nobody makes files there, root neither.
    let line = refusal(site("[\"unix:/proc/jackfield.sock\"]").path());
    assert!(line.contains("cannot listen on unix:/proc/jackfield.sock: "), "{line}");
    assert!(!line.contains("ports"), "{line}");
}
