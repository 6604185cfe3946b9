//! Behind the sandbox: what is left to the process itself, should a guest ever be in charge of it.
//!
//! A test of what is denied runs in a process of its own, for nothing that was given up comes back.

mod system_call;

use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use jackfield::confine::{self, Means, Needs};
use jackfield_tests::{PATIENCE, Process, guest, hello_version, site_folder};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use rustix::process::Signal;
use system_call::system_call;
use tempfile::TempDir;

/// Tells a test's own program, started again, that it is in a process of its own, and which folder it has.
const FOLDER: &str = "JACKFIELD_SUITE_CONFINED";

const SITE: &str = r#"
    [tenants.shop]
    hosts = ["*"]
    routes = [{ path = "/", plugin = "page" }, { path = "/increment", plugin = "keeper" }]
    [tenants.shop.plugins.page]
    component = "guest_hello.wasm"
    [tenants.shop.plugins.keeper]
    component = "guest_keyvalue.wasm"
    grants = { keyvalue = true }
"#;

/// Runs the body of the test of this name (`confine::a_sentence`) in a process of its own, with a folder that is
/// removed after it. All that is said there.
fn in_a_process_of_its_own(test: &str, body: impl FnOnce(&Path)) -> String {
    if let Some(folder) = std::env::var_os(FOLDER) {
        body(Path::new(&folder));
        return String::new();
    }
    let folder = TempDir::new().unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.contains("1 passed"), "{test}: {}\n{said}", output.status);
    said
}

/// A system that cannot confine in full is told, and the rest of its test skipped.
fn is_in_full(confined: &confine::Confined) -> bool {
    if !confined.gaps.is_empty() {
        let _ = writeln!(std::io::stderr(), "SKIPPED in part: not confined in full: {:?}", confined.gaps);
    }
    confined.gaps.is_empty()
}

fn get_over(mut stream: impl Read + Write, path: &str) -> String {
    write!(stream, "GET {path} HTTP/1.1\r\nhost: a.example\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn get(address: SocketAddr, path: &str) -> String {
    get_over(TcpStream::connect(address).unwrap(), path)
}

fn edit(folder: &Path, from: &str, to: &str) {
    let file = folder.join("site.toml");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(&file, text.replace(from, to)).unwrap();
}

#[test]
fn a_host_that_serves_has_given_up_what_it_does_not_need_in_every_thread() {
    let folder = site_folder(&format!("probes = \"127.0.0.1:0\"\n{SITE}"));
    let process = Process::start(folder.path(), ["serve"]);
    assert!(get(process.address(), "/").starts_with("HTTP/1.1 200 "));
    let said = process.wait_for_line("confined by=");
    if process.lines().iter().any(|line| line.contains("not confined in full")) {
        return;
    }
    for means in Means::ALL {
        assert!(said.contains(means.name()), "{said}");
    }
    let mut threads = 0;
    for task in fs::read_dir(format!("/proc/{}/task", process.id())).unwrap() {
        // One that has ended meanwhile has no status.
        let Ok(status) = fs::read_to_string(task.unwrap().path().join("status")) else { continue };
        let has = |line: &str| status.lines().any(|has| has == line);
        assert!(has("NoNewPrivs:\t1") && has("Seccomp:\t2"), "{status}");
        threads += 1;
    }
    assert!(threads >= 3, "a log, a ticker and a worker at least, not {threads} threads");
    let probes = process.wait_for_line("probes address=");
    let probes = probes.split("address=").nth(1).unwrap().parse().unwrap();
    let metrics = get(probes, "/metrics");
    for means in Means::ALL {
        assert!(metrics.contains(&format!("jackfield_confined{{by=\"{means}\"}} 1")), "{metrics}");
    }
}

#[test]
fn a_confined_host_swaps_reloads_from_anywhere_keeps_its_store_and_its_sockets() {
    let folder = site_folder(SITE);
    edit(folder.path(), "\"127.0.0.1:0\"", "\"127.0.0.1:0\", \"unix:host.sock\"");
    let socket = folder.path().join("host.sock");
    let mut process = Process::start(folder.path(), ["serve"]);
    let address = process.address();
    let wait_for = |said: &str| {
        let began = Instant::now();
        while !get(address, "/").ends_with(said) {
            assert!(began.elapsed() < PATIENCE, "{}", process.lines().join("\n"));
        }
    };
    assert!(get_over(UnixStream::connect(&socket).unwrap(), "/").ends_with("hello from version-1\n"));
    assert!(get(address, "/increment?key=kept").ends_with("\r\n\r\n1\n"));

    jackfield_tests::replace(&folder.path().join("guest_hello.wasm"), &hello_version(2));
    wait_for("hello from version-2\n");
    let elsewhere = TempDir::new().unwrap();
    let component = elsewhere.path().join("hello.wasm");
    fs::write(&component, hello_version(3)).unwrap();
    edit(folder.path(), "\"guest_hello.wasm\"", &format!("{component:?}"));
    process.signal(Signal::HUP);
    wait_for("hello from version-3\n");

    process.signal(Signal::TERM);
    assert_eq!(process.wait().code(), Some(0));
    assert!(!socket.exists(), "its socket is removed");
    // What a process that was killed left behind does not stop the next.
    drop(UnixListener::bind(&socket).unwrap());
    let process = Process::start(folder.path(), ["serve"]);
    assert!(get(process.address(), "/").ends_with("hello from version-3\n"));
    assert!(get_over(UnixStream::connect(&socket).unwrap(), "/").ends_with("hello from version-3\n"));
    assert!(get(process.address(), "/increment?key=kept").ends_with("\r\n\r\n2\n"));
}

#[test]
fn a_host_is_not_confined_when_it_is_told_so() {
    let folder = site_folder(SITE);
    edit(folder.path(), "listen", "confinement = \"off\"\nlisten");
    let process = Process::start(folder.path(), ["serve", "--log-format", "json"]);
    let said = process.wait_for_line("not confined");
    assert!(said.contains("switched off in [host]"), "{said}");
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    assert!(status.contains("NoNewPrivs:\t0") && status.contains("Seccomp:\t0"), "{status}");
}

#[test]
fn a_host_whose_confinement_is_required_starts_with_all_of_it_or_not_at_all() {
    let test = "confine::a_host_whose_confinement_is_required_starts_with_all_of_it_or_not_at_all";
    let said = in_a_process_of_its_own(test, |folder| {
        let site = site_folder(SITE);
        fs::create_dir(folder.join("state")).unwrap();
        edit(
            site.path(),
            "listen",
            &format!("confinement = \"required\"\nstate = {:?}\nlisten", folder.join("state")),
        );
        // Landlock takes sixteen sets of rules, each within the last. One more is what a system without it looks like.
        for _ in 0..16 {
            confine::host(&needs(folder));
        }
        let file = site.path().join("site.toml");
        let arguments = ["jackfield", "serve", "--config"].map(Into::into).into_iter().chain([file.into()]);
        let ended = jackfield::command::run(arguments, [], jackfield::command::HandedOver::empty());
        assert_eq!(format!("{ended:?}"), format!("{:?}", ExitCode::from(1)));
        // It cannot be removed any more from in here.
        std::mem::forget(site);
    });
    if !said.is_empty() {
        assert!(
            said.contains("error: confinement is required, and cannot be had in full: landlock ("),
            "{said}"
        );
        assert!(said.contains("`confinement = \"best-effort\"`"), "{said}");
    }
}

fn needs(folder: &Path) -> Needs {
    Needs {
        state: folder.join("state"),
        socket_folders: BTreeSet::from([folder.join("run")]),
        tcp_ports: BTreeSet::from([0]),
    }
}

fn denied<T: std::fmt::Debug>(what: &str, result: std::io::Result<T>) {
    let error = result.expect_err(what);
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{what}: {error}");
}

#[test]
fn what_a_host_never_needs_fails_and_what_it_needs_does_not() {
    let test = "confine::what_a_host_never_needs_fails_and_what_it_needs_does_not";
    in_a_process_of_its_own(test, |folder| {
        for inner in ["state", "run", "outside"] {
            fs::create_dir(folder.join(inner)).unwrap();
        }
        let outside = folder.join("outside");
        fs::write(outside.join("there"), "as it was").unwrap();
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let abstract_name =
            std::os::unix::net::SocketAddr::from_abstract_name(folder.as_os_str().as_encoded_bytes())
                .unwrap();
        let abstract_server = UnixListener::bind_addr(&abstract_name).unwrap();

        let confined = confine::host(&needs(folder));
        if !is_in_full(&confined) {
            return;
        }
        what_a_host_needs(folder, server.local_addr().unwrap());
        files_outside_are_left_alone(&outside);
        denied("another port", TcpListener::bind(server.local_addr().unwrap()));
        denied("a socket outside", UnixListener::bind(outside.join("socket")));
        denied("an abstract socket of others", UnixStream::connect_addr(&abstract_name));
        for program in ["/bin/true", "/bin/sh", "/usr/bin/env"] {
            denied(program, Command::new(program).status());
        }
        let parent = rustix::process::getppid().unwrap();
        assert_eq!(rustix::process::test_kill_process(parent), Err(Errno::PERM), "a signal to others");
        system_calls_are_denied();
        drop(abstract_server);
        assert_eq!(fs::read_to_string(outside.join("there")).unwrap(), "as it was");
    });
}

fn what_a_host_needs(folder: &Path, server: SocketAddr) {
    let state = folder.join("state");
    fs::create_dir(state.join("compiled")).unwrap();
    fs::write(state.join("compiled/new"), "text").unwrap();
    fs::rename(state.join("compiled/new"), state.join("compiled/entry")).unwrap();
    fs::hard_link(state.join("compiled/entry"), state.join("compiled/other")).unwrap();
    fs::write(state.join("compiled/entry"), "shorter").unwrap();
    fs::remove_dir_all(state.join("compiled")).unwrap();
    assert!(fs::read(folder.join("outside/there")).is_ok() && fs::read_dir("/").is_ok(), "it reads anywhere");

    let socket = folder.join("run/socket");
    drop(UnixListener::bind(&socket).unwrap());
    fs::remove_file(&socket).unwrap();
    let own = TcpListener::bind("127.0.0.1:0").unwrap();
    TcpStream::connect(own.local_addr().unwrap()).unwrap();
    TcpStream::connect(server).unwrap();
    UdpSocket::bind("127.0.0.1:0").unwrap();
    socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None).unwrap();

    assert_eq!(std::thread::spawn(|| 7).join().unwrap(), 7);
    let mut command = Command::new("/proc/self/exe");
    command.arg("--list").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(command.status().unwrap().success(), "it starts itself");
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
}

fn files_outside_are_left_alone(outside: &Path) {
    let there = outside.join("there");
    denied("writing", fs::write(&there, "changed"));
    denied("appending", fs::OpenOptions::new().append(true).open(&there));
    denied("a new file", fs::write(outside.join("new"), "text"));
    denied("a new folder", fs::create_dir(outside.join("folder")));
    denied("a link", std::os::unix::fs::symlink("there", outside.join("link")));
    denied("removing", fs::remove_file(&there));
    denied("renaming", fs::rename(&there, outside.join("renamed")));
    // Truncating needs no descriptor, moving in and out of the state folder has an error of its own.
    assert!(fs::File::options().write(true).truncate(true).open(&there).is_err());
    let within = outside.with_file_name("state").join("file");
    fs::write(&within, "text").unwrap();
    assert!(fs::rename(&within, outside.join("moved")).is_err());
    assert!(fs::rename(&there, outside.with_file_name("state").join("taken")).is_err());
}

fn system_calls_are_denied() {
    const TYPE_INTO_TERMINAL: libc::c_long = 0x5412;
    let namespace = libc::c_long::from(libc::CLONE_NEWUSER | libc::CLONE_THREAD);
    // Each would fail otherwise, or do nothing, if it were not denied.
    for (name, number, arguments) in [
        ("ptrace", libc::SYS_ptrace, [0; 3]),
        ("process_vm_readv", libc::SYS_process_vm_readv, [0; 3]),
        ("pidfd_getfd", libc::SYS_pidfd_getfd, [-1, -1, 0]),
        ("mount", libc::SYS_mount, [0; 3]),
        ("pivot_root", libc::SYS_pivot_root, [0; 3]),
        ("chroot", libc::SYS_chroot, [0; 3]),
        ("setns", libc::SYS_setns, [-1, 0, 0]),
        ("unshare", libc::SYS_unshare, [0; 3]),
        ("clone into a namespace", libc::SYS_clone, [namespace, 0, 0]),
        ("bpf", libc::SYS_bpf, [0; 3]),
        ("perf_event_open", libc::SYS_perf_event_open, [0; 3]),
        ("userfaultfd", libc::SYS_userfaultfd, [-1, 0, 0]),
        ("io_uring_setup", libc::SYS_io_uring_setup, [0; 3]),
        ("keyctl", libc::SYS_keyctl, [-1, 0, 0]),
        ("add_key", libc::SYS_add_key, [0; 3]),
        ("init_module", libc::SYS_init_module, [0; 3]),
        ("reboot", libc::SYS_reboot, [0; 3]),
        ("swapon", libc::SYS_swapon, [0; 3]),
        ("clock_settime", libc::SYS_clock_settime, [0; 3]),
        ("personality", libc::SYS_personality, [0xffff_ffff, 0, 0]),
        ("open_by_handle_at", libc::SYS_open_by_handle_at, [-1, 0, 0]),
        ("execveat", libc::SYS_execveat, [-1, 0, 0]),
        ("setuid", libc::SYS_setuid, [0; 3]),
        ("sched_setattr", libc::SYS_sched_setattr, [0; 3]),
        ("sched_setaffinity", libc::SYS_sched_setaffinity, [0; 3]),
        ("more priority", libc::SYS_setpriority, [0, 0, -1]),
        ("less priority for others", libc::SYS_setpriority, [0, 1, 19]),
        ("a class above others", libc::SYS_sched_setscheduler, [0, libc::SCHED_FIFO.into(), 0]),
        ("typing into a terminal", libc::SYS_ioctl, [-1, TYPE_INTO_TERMINAL, 0]),
        #[cfg(target_arch = "x86_64")]
        ("a second number of the same call", libc::SYS_getpid | 0x4000_0000, [0; 3]),
    ] {
        assert_eq!(system_call(number, arguments), Err(Errno::PERM), "{name}");
    }
    // Not for want of leave: of an address.
    let background = system_call(libc::SYS_sched_setscheduler, [0, libc::SCHED_IDLE.into(), 0]);
    assert_eq!(background, Err(Errno::INVAL), "a class below others is for a host's own threads");
    assert_eq!(system_call(libc::SYS_clone3, [0; 3]), Err(Errno::NOSYS), "who asks uses clone instead");
    for (family, kind) in [
        (AddressFamily::INET, SocketType::RAW),
        (AddressFamily::INET6, SocketType::RAW),
        (AddressFamily::PACKET, SocketType::RAW),
        (AddressFamily::BLUETOOTH, SocketType::SEQPACKET),
        (AddressFamily::VSOCK, SocketType::STREAM),
    ] {
        let socket = socket_with(family, kind, SocketFlags::CLOEXEC, None);
        assert_eq!(socket.map(drop), Err(Errno::PERM), "{family:?} {kind:?}");
    }
}

#[test]
fn a_compiler_has_memory_threads_and_its_pipes_and_nothing_else() {
    let test = "confine::a_compiler_has_memory_threads_and_its_pipes_and_nothing_else";
    in_a_process_of_its_own(test, |folder| {
        fs::create_dir_all(folder.join("state")).unwrap();
        let file: PathBuf = folder.join("there");
        fs::write(&file, "text").unwrap();
        let server = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let component = fs::read(guest("bookstore.wasm")).unwrap();
        let (mut reader, mut writer) = std::io::pipe().unwrap();

        // As it is: a child of a host, which is confined already.
        confine::host(&needs(folder));
        let confined = confine::compiler();

        let engine = wasmtime::Engine::default();
        let compiled = engine.precompile_component(&component).unwrap();
        assert!(compiled.len() > component.len() / 4, "{} bytes", compiled.len());
        writer.write_all(b"said").unwrap();
        drop(writer);
        let mut heard = String::new();
        reader.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "said");
        assert_eq!(std::thread::spawn(|| 7).join().unwrap(), 7);
        if !is_in_full(&confined) {
            return;
        }
        denied("reading", fs::read(&file));
        denied("looking", fs::metadata(&file));
        denied("a folder", fs::read_dir("/"));
        denied("writing", fs::write(folder.join("state/new"), "text"));
        denied("connecting", TcpStream::connect(server));
        denied("listening", TcpListener::bind("127.0.0.1:0"));
        denied("a datagram", UdpSocket::bind("127.0.0.1:0"));
        denied("a Unix socket", UnixListener::bind(folder.join("socket")));
        denied("a program", Command::new("/proc/self/exe").status());
        let executable = libc::c_long::from(libc::PROT_READ | libc::PROT_EXEC);
        assert_eq!(system_call(libc::SYS_mprotect, [0, 0, executable]), Err(Errno::PERM));
        assert_eq!(system_call(libc::SYS_kill, [0, 0, 0]), Err(Errno::PERM));
    });
}
