//! The machine is not as expected: each system call that a host makes is refused, and it says why, serves without, or
//! ends; and never takes what the system did for what a guest did.
//!
//! The tables that these tests print are what was found. Where faults cannot be had, that is said.

mod faulty;
mod limits;

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use faulty::{Came, Fault, Outcome, ask, start, start_by, why_no_strace};
use jackfield_tests::{PATIENCE, Process, site_folder};
use tempfile::TempDir;

const SITE: &str = r#"
    probes = "127.0.0.1:0"
    state = "state"
    [tenants.shop]
    hosts = ["*"]
    routes = [
        { path = "/", plugin = "page" }, { path = "/increment", plugin = "keeper" },
        { path = "/sleep", plugin = "sleeper" },
    ]
    [tenants.shop.plugins.page]
    component = "guest_hello.wasm"
    [tenants.shop.plugins.keeper]
    component = "guest_keyvalue.wasm"
    grants = { keyvalue = true }
    [tenants.shop.plugins.sleeper]
    component = "guest_misbehave.wasm"
"#;

/// What a host is to do.
#[derive(Debug, Clone, Copy)]
enum Expected {
    /// It serves, and says this.
    Serves(&'static str),
    /// It ends with 1, and says this.
    Refuses(&'static str),
    /// It answers 500, and says that it is the host's fault, and this.
    Fails(&'static str),
    /// It answers 503, as this plugin does without the store, and says this.
    Unavailable(&'static str),
    /// The connection ends without an answer, and nothing else does.
    CutsOff,
}

impl Expected {
    fn is(self, outcome: &Outcome) -> bool {
        let says = |text: &str| outcome.said.contains(text);
        let holds = match (self, &outcome.came) {
            (Self::Serves(text), Came::Answered(status)) => status == "200" && says(text),
            (Self::Refuses(text), Came::Ended(code)) => *code == Some(1) && says(text),
            (Self::Fails(text), Came::Answered(status)) => {
                status == "500" && says("blame=host") && says(text)
            }
            (Self::Unavailable(text), Came::Answered(status)) => status == "503" && says(text),
            (Self::CutsOff, Came::NoAnswer(_)) => true,
            _ => false,
        };
        holds && !outcome.has_panicked()
    }
}

/// The rows of a table, and those of them that are not as expected.
#[derive(Default)]
struct Table {
    text: String,
    wrong: Vec<String>,
}

impl Table {
    fn add(&mut self, what: &str, expected: Expected, outcome: &Outcome) {
        let is_right = expected.is(outcome);
        let mark = if is_right { ' ' } else { '!' };
        let reason: String = outcome.reason().trim().chars().take(150).collect();
        let _ = writeln!(self.text, "{mark} {what:<58} {:<16} {reason}", outcome.to_string());
        if !is_right {
            self.wrong.push(format!("{what}: expected {expected:?}, came {outcome}:\n{}", outcome.said));
        }
    }

    fn end(self, title: &str) {
        // Not by a macro, whose text is kept for tests that fail.
        let _ = std::io::stderr().write_all(format!("{title}\n{}", self.text).as_bytes());
        assert!(self.wrong.is_empty(), "not as expected:\n{}", self.wrong.join("\n\n"));
    }
}

fn skip(test: &str, why: &str) {
    let _ = std::io::stderr().write_all(format!("SKIPPED {test}: {why}\n").as_bytes());
}

/// A site whose components are compiled already. That is kept from one test to the next.
fn warm() -> TempDir {
    let folder = site_folder(SITE);
    let (kept, own) = (Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults"), code(folder.path()));
    copy_code(&kept, &own);
    let outcome = start_by(folder.path(), vec!["env".into()]);
    assert!(
        matches!(&outcome.came, Came::Answered(status) if status == "200"),
        "{outcome}: {}",
        outcome.said
    );
    copy_code(&own, &kept);
    folder
}

fn copy_code(from: &Path, to: &Path) {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(to).unwrap();
    for entry in std::fs::read_dir(from).into_iter().flatten() {
        let entry = entry.unwrap();
        let (draft, whole) =
            (to.join(format!("new-{}", entry.file_name().display())), to.join(entry.file_name()));
        if !whole.exists() && !entry.file_name().to_string_lossy().starts_with("new-") {
            // Several tests may do so at once: each has a whole file in the end.
            let draft = draft.with_extension(format!("{:?}", std::thread::current().id()));
            std::fs::copy(entry.path(), &draft).unwrap();
            std::fs::rename(&draft, &whole).unwrap();
        }
    }
}

fn state(folder: &Path) -> PathBuf {
    folder.join("state")
}

fn code(folder: &Path) -> PathBuf {
    state(folder).join("compiled")
}

fn without_store(folder: &Path) {
    // What was refused before may have left none.
    let _ = std::fs::remove_file(state(folder).join("store.redb"));
}

fn without_code(folder: &Path) {
    // What was refused before may have left none.
    let _ = std::fs::remove_dir_all(code(folder));
}

fn without_state(folder: &Path) {
    std::fs::remove_dir_all(state(folder)).unwrap();
}

type Prepare = fn(&Path);
type Within = fn(&Path) -> PathBuf;

/// What is refused; before that, what is to be done; to which path alone.
type Row = (&'static str, Option<Prepare>, Option<Within>, Expected);

fn run(title: &str, rows: &[Row]) {
    if let Some(why) = why_no_strace() {
        return skip(title, &why);
    }
    let folder = warm();
    let mut table = Table::default();
    for (fault, prepare, within, expected) in rows {
        if let Some(prepare) = prepare {
            prepare(folder.path());
        }
        let path = within.map(|within| within(folder.path()));
        let outcome = start(folder.path(), &[fault], path.as_deref());
        table.add(fault, *expected, &outcome);
    }
    table.end(title);
}

#[test]
fn a_start_that_the_system_refuses_sockets_events_or_random_numbers_ends_with_the_reason_or_serves() {
    use Expected::{Refuses, Serves};
    run(
        "refused at start: sockets, events, random numbers",
        &[
            ("socket:error=EACCES", None, None, Refuses("cannot listen on")),
            ("bind:error=EADDRINUSE", None, None, Refuses("cannot listen on")),
            ("listen:error=EADDRINUSE", None, None, Refuses("cannot listen on")),
            ("accept4:error=EMFILE:when=1..2", None, None, Serves("")),
            ("accept4:error=ECONNABORTED:when=1..2", None, None, Serves("")),
            ("epoll_create1:error=EMFILE", None, None, Refuses("epoll")),
            ("eventfd2:error=EMFILE", None, None, Refuses("eventfd")),
            ("pipe2:error=EMFILE", None, None, Refuses("cannot set up the compiler")),
            ("getrandom:error=EINTR:when=1..3", None, None, Serves("")),
            ("socketpair:error=EMFILE", None, None, Refuses("socketpair")),
            ("clock_gettime:error=EPERM", None, None, Refuses("clock_gettime")),
        ],
    );
}

#[test]
fn a_start_that_the_system_refuses_files_ends_with_the_reason_or_serves_and_says_what_is_missing() {
    use Expected::{Refuses, Serves};
    run(
        "refused at start: files",
        &[
            ("openat:error=EACCES", None, Some(|_| "site.toml".into()), Refuses("site.toml")),
            (
                "openat:error=EIO",
                None,
                Some(|folder| folder.join("guest_hello.wasm")),
                Refuses("cannot read its component"),
            ),
            (
                "openat:error=EACCES",
                None,
                Some(|folder| state(folder).join("store.redb")),
                Refuses("give the host a state folder that it may write to (`state` of [host])"),
            ),
            (
                "openat:error=EROFS",
                None,
                Some(|folder| state(folder).join("store.redb")),
                Refuses("`state` of [host]"),
            ),
            ("flock:error=EAGAIN", None, None, Refuses("is in use by another process")),
            (
                "fsync:error=EINVAL",
                Some(without_store),
                Some(state),
                Serves("a power failure soon after the store is made"),
            ),
            ("fsync:error=EINVAL", None, Some(state), Serves("fsync of the folder")),
            ("fsync:error=EIO", None, Some(state), Refuses("(fsync)")),
            ("fdatasync:error=EIO", Some(without_store), None, Refuses("Input/output error")),
            (
                "flock:error=ENOLCK",
                None,
                None,
                Serves("another host with the same state folder would not be noticed"),
            ),
            ("ftruncate:error=ENOSPC", Some(without_store), None, Refuses("make room on that disk")),
            ("pwrite64:error=ENOSPC", Some(without_store), None, Refuses("make room on that disk")),
            ("mkdir:error=EACCES", Some(without_state), None, Refuses("`state` of [host]")),
            ("inotify_init1:error=EMFILE", None, None, Serves("file changes are seen late")),
            ("inotify_add_watch:error=ENOSPC", None, None, Serves("file changes are seen late")),
        ],
    );
}

#[test]
fn what_is_a_courtesy_or_a_second_wall_is_done_without_and_told() {
    use Expected::{Refuses, Serves};
    run(
        "refused at start: priorities, memory as a file, confinement, compilers",
        &[
            (
                "memfd_create:error=EACCES",
                None,
                None,
                Serves("what their memory begins with is copied into each"),
            ),
            ("memfd_create:error=EPERM", None, None, Serves("memfd_create: Operation not permitted")),
            ("memfd_create:error=EMFILE", None, None, Refuses("the process has no descriptor left")),
            ("setpriority:error=EPERM", Some(without_code), None, Serves("compilers do without")),
            ("sched_setscheduler:error=EPERM", None, None, Serves("guests that compute are not kept behind")),
            ("seccomp:error=EINVAL", None, None, Serves("not confined in full")),
            ("landlock_create_ruleset:error=ENOSYS", None, None, Serves("not confined in full")),
            ("landlock_restrict_self:error=EPERM", None, None, Serves("not confined in full")),
            ("capset:error=EPERM", None, None, Serves("not confined in full")),
            ("prctl:error=EPERM", Some(without_code), None, Refuses("prctl(PR_SET_PDEATHSIG)")),
            ("prlimit64:error=EPERM", Some(without_code), None, Refuses("setrlimit")),
            (
                "execve:error=EACCES",
                Some(without_code),
                Some(|_| "/proc/self/exe".into()),
                Refuses("by no fault of its own"),
            ),
        ],
    );
}

/// Asked for by several at once, so that some are in slots that were never used.
const SLEEPS: &str = "/sleep?ms=100";

/// What a host answers to a request of this path, or to the first of several that is not answered 200.
fn ask_as_many(address: SocketAddr, path: &str) -> Came {
    if path != SLEEPS {
        return ask(address, path);
    }
    std::thread::scope(|threads| {
        let asking: Vec<_> = (0..8).map(|_| threads.spawn(|| ask(address, path))).collect();
        let came: Vec<_> = asking.into_iter().map(|asking| asking.join().unwrap()).collect();
        let is_served = |came: &Came| matches!(came, Came::Answered(status) if status == "200");
        let first = came.iter().position(|came| !is_served(came)).unwrap_or(0);
        came.into_iter().nth(first).unwrap()
    })
}

/// The threads that it has are asked for one after the other by the first: those of the probe, the log's, those of the
/// runtime. Whichever is refused, it ends, or serves without.
#[test]
fn a_start_that_is_refused_any_of_its_threads_ends_with_the_reason_or_serves() {
    const TITLE: &str = "refused at start: one thread";
    if let Some(why) = why_no_strace() {
        return skip(TITLE, &why);
    }
    let folder = warm();
    let mut table = Table::default();
    let mut serves = false;
    // Beyond the last it serves.
    for number in (1..).step_by(3).take_while(|number| *number < 200) {
        let fault = format!("clone:error=EAGAIN:when={number}");
        let outcome = start(folder.path(), &[&fault], None);
        serves = matches!(outcome.came, Came::Answered(_));
        let expected = if serves { Expected::Serves("") } else { Expected::Refuses("thread") };
        table.add(&fault, expected, &outcome);
        if serves {
            break;
        }
    }
    assert!(serves);
    table.end(TITLE);
}

/// What is refused to a host that runs, and what is asked of it then.
#[test]
fn a_host_that_serves_takes_nothing_that_the_system_refuses_for_a_guests_doing_and_recovers() {
    const TITLE: &str = "refused while it serves";
    use Expected::{CutsOff, Fails, Serves, Unavailable};
    if let Some(why) = why_no_strace() {
        return skip(TITLE, &why);
    }
    let folder = warm();
    let process = Process::start(folder.path(), ["serve"]);
    let address = process.address();
    let mut table = Table::default();
    for (fault, path, expected) in [
        // The first instance of code that was just read; then it needs none.
        ("memfd_create:error=EMFILE", "/", Fails("the process has no descriptor left")),
        ("memfd_create:error=EMFILE", "/", Serves("")),
        ("ioctl:error=ENOTTY", "/", Serves("")),
        ("madvise:error=EINVAL", "/", Serves("")),
        // There is no memory for its code; then, for its instances.
        ("mmap:error=ENOMEM", SLEEPS, Fails("its code cannot be had")),
        ("mmap:error=ENOMEM", SLEEPS, Fails("raise `vm.max_map_count`")),
        ("mmap:error=EPERM", SLEEPS, Fails("a filter or a setting of the system forbids it")),
        ("mprotect:error=ENOMEM", SLEEPS, Fails("raise `vm.max_map_count`")),
        ("clone:error=EAGAIN", "/increment?key=a", Serves("")),
        ("pwrite64:error=ENOSPC", "/increment?key=a", Unavailable("No space left on device")),
        ("fdatasync:error=EIO", "/increment?key=a", Unavailable("Input/output error")),
        ("clock_gettime:error=EPERM", "/", Serves("")),
        ("getrandom:error=EAGAIN", "/", Serves("")),
        ("sched_setscheduler:error=EPERM", "/", Serves("")),
        ("writev:error=EPIPE", "/", CutsOff),
        ("recvfrom:error=ECONNRESET", "/", CutsOff),
    ] {
        let before = process.lines().len();
        let fault_now = Fault::of(&process, &[fault]);
        let came = ask_as_many(address, path);
        drop(fault_now);
        // The log is written a moment behind the answer.
        let words = match expected {
            Serves(words) | Fails(words) | Unavailable(words) => words,
            _ => "",
        };
        let began = Instant::now();
        let said = loop {
            let said = process.lines().split_off(before.min(process.lines().len())).join("\n");
            if said.contains(words) || began.elapsed() > PATIENCE {
                break said;
            }
            thread::sleep(Duration::from_millis(5));
        };
        table.add(&format!("{fault} {path}"), expected, &Outcome { came, said });
        let began = Instant::now();
        loop {
            let after = ask(address, path);
            if matches!(&after, Came::Answered(status) if status == "200") {
                break;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "{fault}: it does not recover: {after:?}\n{}",
                process.lines().join("\n")
            );
        }
    }
    table.end(TITLE);
}
