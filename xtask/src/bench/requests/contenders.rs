//! Contenders: who is asked, which of the works each can do, and how each is started.
//!
//! Each server is started for one work, and stands ready while others have their round. All have their own defaults, but for
//! what is written here.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, fs};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use rustix::process::geteuid;

use super::super::bare_hyper::{BOOK_PATH, DOWNLOAD_BYTES, Protocol};
use super::super::server::{Program, Server};
use super::super::{nginx, release, wasmtime};
use super::certificate::Certificate;
use super::cores::Cores;
use super::works::{self, HELLO, Work};
use crate::cargo::{step, target_folder, workspace_root};
use crate::guests;

/// The plugins that the works need.
pub(super) const GUESTS: [&str; 6] =
    ["guest-hello", "guest-hello-http", "guest-works", "guest-works-http", "bookstore", "rate-limit"];

/// Calls that wasmtime gives one instance where it reuses them: as many as it does by itself for WASI 0.3.
const CALLS: u32 = 128;

/// The release of workerd that is installed.
const WORKERD: &str = "1.20261117.1";

/// A bookstore that has not taken its book by then fails the run.
const SETUP_DEADLINE: Duration = Duration::from_secs(10);

/// A server to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Contender {
    /// hyper and tokio alone, to which all ratios are
    BareHyper,
    /// Jackfield, a lean plugin, a fresh instance for each request
    LeanFresh,
    /// Jackfield, a lean plugin, instances reused
    LeanReused,
    /// Jackfield, a wasi:http plugin, a fresh instance for each request
    HttpFresh,
    /// Jackfield, a wasi:http plugin, instances reused
    HttpReused,
    /// Jackfield, a wasi:http plugin, each instance for 128 requests
    #[value(name = "http-128")]
    Http128,
    /// `wasmtime serve`, a fresh instance for each request
    WasmtimeFresh,
    /// `wasmtime serve`, each instance for 128 requests
    #[value(name = "wasmtime-128")]
    Wasmtime128,
    /// node:http
    Node,
    /// workerd, the runtime of Cloudflare Workers
    Workerd,
    /// nginx, which runs no code
    Nginx,
}

/// A contender that is on this machine.
#[derive(Debug)]
pub(super) struct Entrant {
    pub(super) contender: Contender,
    pub(super) version: String,
    program: Program,
}

/// What a contender is started with.
pub(super) struct Setting<'a> {
    pub(super) work: Work,
    pub(super) certificate: &'a Certificate,
    pub(super) cores: Cores,
}

/// Whether programs that are not there are got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    Install,
    Skip,
}

impl Contender {
    pub(super) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// Its name in tables.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::BareHyper => "bare hyper",
            Self::LeanFresh => "jackfield, lean, fresh",
            Self::LeanReused => "jackfield, lean, reused",
            Self::HttpFresh => "jackfield, `wasi:http`, fresh",
            Self::HttpReused => "jackfield, `wasi:http`, reused",
            Self::Http128 => "jackfield, `wasi:http`, 128 calls",
            Self::WasmtimeFresh => "`wasmtime serve`, fresh",
            Self::Wasmtime128 => "`wasmtime serve`, 128 calls",
            Self::Node => "node:http",
            Self::Workerd => "workerd",
            Self::Nginx => "nginx",
        }
    }

    /// Whether it can do this at all.
    pub(super) fn does(self, work: Work) -> bool {
        match self {
            Self::BareHyper => true,
            // A lean plugin has its whole answer in memory.
            Self::LeanFresh | Self::LeanReused => work != Work::Download,
            // The bookstore is a lean plugin.
            Self::HttpFresh | Self::HttpReused | Self::Http128 => work != Work::Bookstore,
            Self::WasmtimeFresh | Self::Wasmtime128 => {
                work != Work::Bookstore && work.protocol() == Protocol::Http1
            }
            Self::Node => work != Work::Bookstore,
            Self::Workerd => work != Work::Bookstore && work.protocol() != Protocol::Http2,
            Self::Nginx => !matches!(work, Work::Echo1K | Work::Echo64K | Work::Bookstore),
        }
    }

    /// Looks for its program. None if it is not there, which is said on standard error.
    pub(super) fn enter(self, cores: Cores, missing: Missing) -> Result<Option<Entrant>> {
        match self.find(missing)? {
            Ok(path) => {
                let version = self.version(&path)?;
                let program = Program::on(&path, cores.of_server());
                Ok(Some(Entrant { contender: self, version, program }))
            }
            Err(absent) => {
                eprintln!("{}", self.skip_line(&absent));
                Ok(None)
            }
        }
    }

    fn skip_line(self, absent: &str) -> String {
        format!("SKIPPED: {}: {absent}", self.title())
    }

    /// The program; or why there is none, and what would help.
    fn find(self, missing: Missing) -> Result<Result<PathBuf, String>> {
        let install = missing == Missing::Install;
        Ok(match self {
            Self::BareHyper => Ok(release("xtask")),
            Self::LeanFresh | Self::LeanReused | Self::HttpFresh | Self::HttpReused | Self::Http128 => {
                Ok(release("jackfield"))
            }
            Self::WasmtimeFresh | Self::Wasmtime128 => {
                if install {
                    wasmtime::ensure()?;
                }
                wasmtime::installed().ok_or_else(|| {
                    let version = wasmtime::VERSION;
                    format!("no wasmtime {version} under target/tools; --install builds it, which takes many minutes")
                })
            }
            Self::Node => {
                on_path("node").ok_or_else(|| "no `node` on the PATH; install Node.js 20 or newer".into())
            }
            Self::Workerd => {
                let program = workerd();
                if install && !program.exists() {
                    install_workerd()?;
                }
                let absent = || "not under target/tools; --install gets it with npm".to_owned();
                program.exists().then_some(program).ok_or_else(absent)
            }
            Self::Nginx => {
                if install && on_path("nginx").is_none() && geteuid().is_root() {
                    let mut command = Command::new("apt-get");
                    command.args(["install", "--yes", "--no-install-recommends", "nginx-light"]);
                    step("installing nginx", &mut command, "install your distribution's package")?;
                }
                let absent = || "no `nginx` on the PATH; as root, --install gets it with apt-get".to_owned();
                on_path("nginx").ok_or_else(absent)
            }
        })
    }

    /// Its own words for its version, of bare hyper the lock file's.
    fn version(self, program: &Path) -> Result<String> {
        match self {
            Self::BareHyper => {
                let lock = fs::read_to_string(workspace_root().join("Cargo.lock"))?;
                let version = locked_version(&lock, "hyper").context("Cargo.lock has no hyper")?;
                Ok(format!("hyper {version}"))
            }
            Self::Nginx => words_of(program, "-v").map(|words| words.replace("nginx version: ", "")),
            Self::Node => words_of(program, "--version").map(|words| format!("node {words}")),
            _ => words_of(program, "--version"),
        }
    }
}

impl Entrant {
    /// A server that does this work.
    pub(super) fn start(&self, setting: &Setting<'_>) -> Result<Server> {
        let Setting { work, certificate, cores } = *setting;
        let protocol = work.protocol();
        let server = match self.contender {
            Contender::BareHyper => {
                let mut command = self.program.command();
                command.args(["bare-hyper", "--body", HELLO, "--protocol", protocol_name(protocol)]);
                command
                    .arg("--certificate")
                    .arg(certificate.certificate())
                    .arg("--key")
                    .arg(certificate.key());
                Server::announcing(command)
            }
            Contender::LeanFresh => self.jackfield(setting, Kind::Lean, r#"instances = "fresh""#),
            Contender::LeanReused => self.jackfield(setting, Kind::Lean, r#"instances = "reused""#),
            Contender::HttpFresh => self.jackfield(setting, Kind::Http, r#"instances = "fresh""#),
            Contender::HttpReused => self.jackfield(setting, Kind::Http, r#"instances = "reused""#),
            Contender::Http128 => {
                let keys = format!("instances = \"reused\"\nreuse = {{ calls = {CALLS} }}");
                self.jackfield(setting, Kind::Http, &keys)
            }
            Contender::WasmtimeFresh => self.wasmtime(work, 1),
            Contender::Wasmtime128 => self.wasmtime(work, CALLS),
            Contender::Node => {
                let script = tempfile::tempdir().context("cannot make a folder for the script")?;
                let file = script.path().join("works.mjs");
                fs::write(&file, include_str!("works.node.mjs"))?;
                let mut command = self.program.command();
                command.arg(file).arg(protocol_name(protocol));
                command.arg(certificate.certificate()).arg(certificate.key());
                Server::announcing(command).map(|server| server.keeping(script))
            }
            Contender::Workerd => self.workerd(protocol, certificate),
            Contender::Nginx => self.nginx(protocol, certificate, cores),
        };
        server.with_context(|| format!("cannot measure {} ({})", self.contender.title(), work.name()))
    }

    /// A host of its own for one plugin: no filters, no probes, no limit but the defaults, unless the work needs it.
    fn jackfield(&self, setting: &Setting<'_>, kind: Kind, keys: &str) -> Result<Server> {
        let Setting { work, certificate, .. } = *setting;
        let mut site = String::from("[host]\n");
        if work.protocol() == Protocol::Tls {
            site += "listen = [{ address = \"127.0.0.1:0\", tls = true }]\n";
            let (certificate, key) = (certificate.certificate(), certificate.key());
            site += &format!("[[host.tls]]\ncertificate = {certificate:?}\nkey = {key:?}\n");
        } else {
            site += "listen = [\"127.0.0.1:0\"]\n";
        }
        site += "[tenants.bench]\nhosts = [\"*\"]\n";
        if work == Work::Bookstore {
            site += &bookstore(keys);
        } else {
            let component = guests::component(kind.guest(work));
            site += &format!("[tenants.bench.plugins.work]\ncomponent = {component:?}\n{keys}\n");
            if work == Work::Download {
                // The default holds a stream to 50 ms of CPU a second.
                site += "limits = { cpu = \"10s\" }\n";
            }
            for path in ["/", "/{*rest}"] {
                site += &format!("[[tenants.bench.routes]]\npath = \"{path}\"\nplugin = \"work\"\n");
            }
        }
        let server = Server::jackfield(self.program.clone(), &site)?;
        if work == Work::Bookstore {
            add_book(server.address()).context("the bookstore did not take the book")?;
        }
        Ok(server)
    }

    fn wasmtime(&self, work: Work, calls: u32) -> Result<Server> {
        let calls = calls.to_string();
        let mut arguments = vec!["--max-instance-reuse-count", &calls];
        if takes_std(work) {
            // What a plugin with a standard library imports.
            arguments.extend(["-S", "cli"]);
        }
        Server::wasmtime(self.program.clone(), &guests::component(Kind::Http.guest(work)), &arguments)
    }

    fn workerd(&self, protocol: Protocol, certificate: &Certificate) -> Result<Server> {
        let home = tempfile::tempdir().context("cannot make a folder for workerd")?;
        // The port may be taken again before workerd has it; then it ends, and says so.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let socket = if protocol == Protocol::Tls {
            fs::copy(certificate.certificate(), home.path().join("certificate.pem"))?;
            fs::copy(certificate.key(), home.path().join("key.pem"))?;
            "https = (options = (), tlsOptions = (keypair = \
             (privateKey = embed \"key.pem\", certificateChain = embed \"certificate.pem\")))"
        } else {
            "http = ()"
        };
        let configuration = format!(
            "using Workerd = import \"/workerd/workerd.capnp\";\n\
             const config :Workerd.Config = (\n\
             services = [(name = \"works\", worker = (compatibilityDate = \"2025-11-01\",\n\
             modules = [(name = \"works.mjs\", esModule = embed \"works.mjs\")]))],\n\
             sockets = [(name = \"main\", address = \"{address}\", service = \"works\", {socket})]);\n"
        );
        let file = home.path().join("works.capnp");
        fs::write(&file, configuration)?;
        fs::write(home.path().join("works.mjs"), include_str!("works.workerd.mjs"))?;
        let mut command = self.program.command();
        command.arg("serve").arg(file);
        Server::listening_at(command, address, home)
    }

    /// hello from its configuration, the others from files.
    fn nginx(&self, protocol: Protocol, certificate: &Certificate, cores: Cores) -> Result<Server> {
        let files = tempfile::tempdir().context("cannot make a folder for nginx's files")?;
        fs::write(files.path().join("json"), works::json())?;
        let bytes = usize::try_from(DOWNLOAD_BYTES)?;
        fs::write(files.path().join("download"), super::super::transfer::pattern(bytes))?;
        let options = match protocol {
            Protocol::Http1 => "",
            Protocol::Http2 => "http2",
            Protocol::Tls => "ssl",
        };
        let mut block = format!(
            "root {}; default_type text/plain; location = / {{ return 200 {HELLO:?}; }}",
            files.path().display()
        );
        if protocol == Protocol::Tls {
            let (certificate, key) = (certificate.certificate(), certificate.key());
            block += &format!(
                " ssl_certificate {}; ssl_certificate_key {};",
                certificate.display(),
                key.display()
            );
            block += " ssl_protocols TLSv1.3;";
        }
        let workers = match cores {
            Cores::Apart { .. } => 1,
            Cores::Shared => std::thread::available_parallelism()?.get(),
        };
        nginx::start(&self.program, workers, options, &block).map(|server| server.keeping(files))
    }
}

/// The two interfaces of plugins.
#[derive(Clone, Copy)]
enum Kind {
    Lean,
    Http,
}

impl Kind {
    fn guest(self, work: Work) -> &'static str {
        match (self, takes_std(work)) {
            (Self::Lean, false) => "guest-hello",
            (Self::Lean, true) => "guest-works",
            (Self::Http, false) => "guest-hello-http",
            (Self::Http, true) => "guest-works-http",
        }
    }
}

/// Whether the plugin of a work has a standard library.
fn takes_std(work: Work) -> bool {
    matches!(work, Work::HelloStd | Work::Json | Work::Echo1K | Work::Echo64K | Work::Download)
}

/// The bookstore behind the rate limit, which lets all through; both with these keys.
fn bookstore(keys: &str) -> String {
    let (books, limit) = (guests::component("bookstore"), guests::component("rate-limit"));
    format!(
        "[tenants.bench.plugins.books]\n\
         component = {books:?}\n\
         grants = {{ keyvalue = true }}\n\
         {keys}\n\
         [tenants.bench.plugins.books.config]\n\
         \"token.alice\" = \"editor:cd379a6967dd5b2a8fbbc9f828158af1e80e2877a2e1a454e5e7b31aa8c0d322\"\n\
         [tenants.bench.plugins.limit]\n\
         component = {limit:?}\n\
         grants = {{ limiter = true }}\n\
         config = {{ requests = \"1000000000\", window = \"60s\" }}\n\
         {keys}\n\
         [[tenants.bench.routes]]\n\
         path = \"/api/books\"\n\
         plugin = \"books\"\n\
         [[tenants.bench.routes]]\n\
         path = \"/api/books/{{id}}\"\n\
         filters = [\"limit\"]\n\
         plugin = \"books\"\n"
    )
}

/// Puts the book into the bookstore that every request then asks for.
fn add_book(address: SocketAddr) -> Result<()> {
    let book =
        r#"{"isbn":"9780306406157","title":"Tides","author":"Ada Moor","year":1999,"price_cents":1250}"#;
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(SETUP_DEADLINE))?;
    write!(
        stream,
        "POST /api/books HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer editor-demo-token\r\n\
         content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{book}",
        book.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let made = answer.starts_with("HTTP/1.1 201 ") && answer.contains(&format!("location: {BOOK_PATH}\r\n"));
    ensure!(made, "answered {answer}");
    Ok(())
}

fn protocol_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http1 => "http1",
        Protocol::Http2 => "http2",
        Protocol::Tls => "tls",
    }
}

/// The program itself. What stands in `.bin` is a script that starts it.
fn workerd() -> PathBuf {
    let packages = target_folder().join("tools").join("workerd").join("node_modules").join("@cloudflare");
    let machine = if env::consts::ARCH == "aarch64" { "workerd-linux-arm64" } else { "workerd-linux-64" };
    packages.join(machine).join("bin").join("workerd")
}

fn install_workerd() -> Result<()> {
    let root = target_folder().join("tools").join("workerd");
    fs::create_dir_all(&root).with_context(|| format!("cannot make {}", root.display()))?;
    let mut command = Command::new("npm");
    command.arg("install").arg("--prefix").arg(root).args(["--no-audit", "--no-fund", "--ignore-scripts"]);
    command.arg(format!("workerd@{WORKERD}"));
    step("installing workerd under target/tools", &mut command, "npm has to be there, and the network")
}

/// The program of this name in the folders of `PATH`.
pub(super) fn on_path(name: &str) -> Option<PathBuf> {
    find_in(&env::var_os("PATH")?, name)
}

fn find_in(path: &OsStr, name: &str) -> Option<PathBuf> {
    env::split_paths(path).map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// The first line that a program says when it is asked for its version, wherever it says it.
fn words_of(program: &Path, argument: &str) -> Result<String> {
    let output = Command::new(program).arg(argument).stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot start `{} {argument}`", program.display()))?;
    let said = [output.stdout, output.stderr].concat();
    Ok(String::from_utf8_lossy(&said).lines().next().unwrap_or_default().trim().to_owned())
}

/// The version of a package in the text of `Cargo.lock`, the first of them.
fn locked_version<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let (_, after) = lock.split_once(&format!("name = \"{package}\"\nversion = \""))?;
    after.split('"').next()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::ValueEnum;

    use super::super::works::Work;
    use super::{Contender, find_in, locked_version};

    #[test]
    fn bare_hyper_does_every_work_and_some_jackfield_too() {
        for work in Work::value_variants() {
            assert!(Contender::BareHyper.does(*work), "{work:?}");
            let ours = [Contender::LeanFresh, Contender::HttpFresh];
            assert!(ours.iter().any(|contender| contender.does(*work)), "{work:?}");
        }
        assert!(!Contender::Nginx.does(Work::Echo1K) && !Contender::Workerd.does(Work::Http2));
    }

    #[test]
    fn who_is_skipped_is_named_with_what_would_help() {
        let line = Contender::Workerd.skip_line("not under target/tools; --install gets it with npm");
        assert_eq!(line, "SKIPPED: workerd: not under target/tools; --install gets it with npm");
    }

    #[test]
    fn a_program_is_found_in_the_first_folder_that_has_it() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = std::env::join_paths([first.path(), second.path()]).unwrap();
        assert_eq!(find_in(&path, "nginx"), None);
        for folder in [&second, &first] {
            fs::write(folder.path().join("nginx"), "").unwrap();
            assert_eq!(find_in(&path, "nginx"), Some(folder.path().join("nginx")));
        }
    }

    #[test]
    fn a_version_is_read_from_the_lock_file() {
        let lock =
            "name = \"hyper-util\"\nversion = \"0.1.21\"\n\nname = \"hyper\"\nversion = \"1.12.0\"\nsource\n";
        assert_eq!(locked_version(lock, "hyper"), Some("1.12.0"));
        assert_eq!(locked_version(lock, "h2"), None);
    }
}
