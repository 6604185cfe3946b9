//! A host in the test's own process, with a folder of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jackfield::deploy::{Environment, Origin};
use jackfield::host::Setup;
use jackfield::listen::{Address, Inherited};
use jackfield::observe::{Captured, Log};
use jackfield::sandbox::CompilerProgram;
use jackfield::store::Store;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{PATIENCE, RequestBuilder, guest};

/// What a test may choose beside the site.
#[derive(Default)]
pub struct Options {
    /// Further lines of `[host]`, such as `concurrency = 2`; tables of it are written out in full.
    pub host: String,
    /// The store, if it is to be another than the embedded one.
    pub store: Option<Store>,
    /// The test's folder, if there is to be something in it before the host starts.
    pub folder: Option<TempDir>,
    /// The folder of compiled code, if it is to be another than the one that tests share.
    pub compiled: Option<PathBuf>,
}

/// A running host.
pub struct Host {
    host: Option<jackfield::host::Host>,
    folder: TempDir,
    log: Log,
    captured: Captured,
    address: SocketAddr,
    compiled: Option<PathBuf>,
}

/// Tests run side by side; each pool takes address space, and few calls are under way at once.
const CONCURRENCY: &str = "concurrency = 64";

impl Host {
    /// Starts a host with this site, tenants only.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start(site: &str) -> Self {
        Self::start_with(site, Options::default()).await
    }

    /// Starts a host with this site and these options.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start_with(site: &str, options: Options) -> Self {
        match Self::try_start(site, options).await {
            Ok(host) => host,
            Err(error) => panic!("the host does not start: {error}\n── site ──\n{site}"),
        }
    }

    /// Starts a host, or says why not: the text that a person would read.
    pub async fn try_start(site: &str, options: Options) -> Result<Self, String> {
        let folder = options.folder.unwrap_or_else(|| TempDir::new().expect("a folder for the test"));
        let path = folder.path().join("site.toml");
        write_site(&path, site, &options.host);
        copy_guests(folder.path(), site);
        let (log, captured) = Log::capture();
        let compiled = options.compiled;
        let host = start(path, &log, options.store, compiled.clone()).await?;
        let address = tcp(&host);
        Ok(Self { host: Some(host), folder, log, captured, address, compiled })
    }

    /// Stops it, and starts another in the same folder: the site as it stands there, the state as it was
    /// left in the embedded store, the same log, an address of its own.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn restart(&mut self) {
        self.stop().await;
        match start(self.file("site.toml"), &self.log, None, self.compiled.clone()).await {
            Ok(host) => {
                self.address = tcp(&host);
                self.host = Some(host);
            }
            Err(error) => panic!("the host does not start again: {error}\n── site ──\n{}", self.site()),
        }
    }

    /// The test's folder: the site file, the components, the state.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A file in the test's folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes another site into the site file, by replacing it, as an editor does.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn edit_site(&self, site: &str) {
        let beside = self.file("site.toml.new");
        write_site(&beside, site, "");
        copy_guests(self.folder.path(), site);
        std::fs::rename(beside, self.file("site.toml")).expect("a test can rename in its folder");
    }

    /// The site file's text.
    pub fn site(&self) -> String {
        std::fs::read_to_string(self.file("site.toml")).unwrap_or_default()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The running host itself.
    ///
    /// # Panics
    /// If it was stopped.
    pub fn running(&self) -> &jackfield::host::Host {
        self.host.as_ref().expect("the host runs until `stop`")
    }

    /// Stops it as SIGTERM would.
    pub async fn stop(&mut self) {
        if let Some(host) = self.host.take() {
            host.stop().await;
        }
    }

    /// A GET.
    pub async fn get(&self, path: &str) -> crate::Answer {
        self.request("GET", path).send().await
    }

    /// Any request.
    pub fn request(&self, method: &str, path: &str) -> RequestBuilder<'_> {
        RequestBuilder::new(self, method, path)
    }

    /// Sends these bytes on a connection of their own; everything that comes back until the host closes it.
    ///
    /// # Panics
    /// If that does not happen in time.
    pub async fn raw(&self, bytes: impl AsRef<[u8]>) -> String {
        raw(self.address, bytes).await
    }

    /// What `/metrics` says.
    pub fn metrics(&self) -> String {
        self.running().metrics().encode()
    }

    /// The value of one series of `/metrics`, named with its labels; 0 if there is none.
    pub fn metric(&self, series: &str) -> f64 {
        let metrics = self.metrics();
        let value = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.and_then(|value| value.split(' ').next()?.parse().ok()).unwrap_or(0.0)
    }

    /// Everything that was logged, as JSON.
    pub fn log(&self) -> Vec<Value> {
        self.captured.lines()
    }

    /// The log lines of one request.
    pub fn log_of(&self, request_id: &str) -> Vec<Value> {
        self.captured.lines_of_request(request_id)
    }

    /// The access-log line of a request, which is written when its answer has been taken.
    ///
    /// # Panics
    /// If none comes in time.
    pub async fn access_line(&self, request_id: &str) -> Value {
        let is_its = |line: &Value| line["message"] == "request" && line["request-id"] == request_id;
        self.wait_for_log(&format!("the access line of request {request_id}"), is_its).await
    }

    /// Waits for a log line.
    ///
    /// # Panics
    /// If none comes in time.
    pub async fn wait_for_log(&self, what: &str, predicate: impl Fn(&Value) -> bool) -> Value {
        tokio::task::block_in_place(|| self.captured.wait_for(PATIENCE, predicate)).unwrap_or_else(|| {
            panic!("waited in vain for a log line: {what}\n── log ──\n{}", self.log_lines().join("\n"))
        })
    }

    /// Waits until something holds.
    ///
    /// # Panics
    /// If it does not in time.
    pub async fn wait_until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let began = Instant::now();
        while !holds().await {
            assert!(
                began.elapsed() < PATIENCE,
                "waited in vain: {what}\n── log ──\n{}",
                self.log_lines().join("\n")
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) fn log_lines(&self) -> Vec<String> {
        self.log().iter().map(Value::to_string).collect()
    }

    pub(crate) fn log_lines_of(&self, request_id: &str) -> Vec<String> {
        self.log_of(request_id).iter().map(Value::to_string).collect()
    }
}

/// Sends these bytes on a connection of their own; everything that comes back until it is closed.
///
/// # Panics
/// If that does not happen in time.
pub async fn raw(address: SocketAddr, bytes: impl AsRef<[u8]>) -> String {
    let talk = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(bytes.as_ref()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        std::io::Result::Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    let talked = tokio::time::timeout(PATIENCE, talk).await.expect("the host closes the connection in time");
    talked.expect("the connection holds")
}

/// A folder with a site and its components, for a [`Process`](crate::Process) to serve.
///
/// # Panics
/// If it cannot be made.
pub fn site_folder(site: &str) -> TempDir {
    let folder = TempDir::new().expect("a folder for the test");
    write_site(&folder.path().join("site.toml"), site, "");
    copy_guests(folder.path(), site);
    folder
}

async fn start(
    site_file: PathBuf,
    log: &Log,
    store: Option<Store>,
    compiled: Option<PathBuf>,
) -> Result<jackfield::host::Host, String> {
    let origin = Origin::SiteFile(site_file);
    let site = origin.read().map_err(|diagnostics| diagnostics.render(false))?;
    let shared = setup(origin, site, log.clone());
    let setup = Setup { store, compiled: compiled.or(shared.compiled.clone()), ..shared };
    // A task of its own, so that compiling may block its thread.
    let started = tokio::spawn(jackfield::host::Host::start(setup)).await;
    started.expect("starting does not panic").map_err(|error| error.to_string())
}

/// What a host in a test's process is made from: it compiles with the built program, and tests share what was compiled.
pub fn setup(origin: Origin, site: jackfield::config::Site, log: Log) -> Setup {
    Setup {
        origin,
        site,
        environment: Environment::default(),
        log,
        store: None,
        compiler: CompilerProgram::at(crate::command::program()),
        compiled: Some(crate::target_folder().join("compiled-by-tests")),
        inherited: Inherited::default(),
    }
}

fn tcp(host: &jackfield::host::Host) -> SocketAddr {
    let tcp = host.addresses().iter().find_map(|address| match address {
        Address::Tcp(address) => Some(*address),
        Address::Unix(_) => None,
    });
    tcp.expect("the harness listens on TCP")
}

fn write_site(path: &Path, site: &str, host: &str) {
    let concurrency = if host.contains("concurrency") { "" } else { CONCURRENCY };
    let listen = if host.contains("listen") { "" } else { "listen = [\"127.0.0.1:0\"]" };
    let text = format!("[host]\n{listen}\n{concurrency}\n{host}\n{site}");
    std::fs::write(path, text).expect("a test can write to its folder");
}

/// Puts the components that a site names into its folder, unless the test already has.
fn copy_guests(folder: &Path, site: &str) {
    for named in site.split('"').filter(|text| text.ends_with(".wasm") && !text.contains('/')) {
        let file = folder.join(named);
        let built = crate::target_folder().join("wasm32-wasip2/plugin").join(named);
        if !file.exists() && built.exists() {
            std::fs::copy(guest(named), file).expect("a test can write to its folder");
        }
    }
}
