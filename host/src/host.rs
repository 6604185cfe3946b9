//! The composition root: the only place that knows every room.
//!
//! Parts are made in the order in which they need each other, one short step for each room, and taken apart in the
//! reverse order. Addresses are bound first and served last.

mod descriptors;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio_util::task::AbortOnDropHandle;

use crate::admin::{AdminServer, AdminSettings};
use crate::config::{self, Diagnostic, HostSettings, ListenAddress, ListenSite, Severity, Site};
use crate::confine::{Confinement, Needs};
use crate::cpu::{Scheduler, SchedulerError};
use crate::deploy::{
    ControlPlane, Deployer, Environment, Follower, LEAST_LOADERS, Origin, Parts, RestoreError, StartError,
    WatchError, Watcher, http_client,
};
use crate::limits::Limit;
use crate::listen::{
    Address, BindError, Inherited, InheritedError, Listener, Pair, PairFiles, Part, Permissions, Preamble,
    Probes, Readiness, Server, Settings, Tls, TlsError, TrustedProxies,
};
use crate::observe::{Log, Metrics};
use crate::request::{self, Capacity, Ledger, Requests};
use crate::sandbox::{
    Compiler, CompilerProgram, CompilerSettings, PoolError, PoolSettings, Sandbox, SandboxError,
    prepare_thread,
};
use crate::store::{Records, Store, StoreError};
use crate::tenant::Slots;
use descriptors::DescriptorShares;

/// The longest wait of a call for one of the pool's slots.
const SLOT_WAIT: Duration = Duration::from_secs(1);

/// The folder of compiled code in the state folder.
const COMPILED: &str = "compiled";

/// Workers of the runtime for each processor, and so for each thread that guests compute on.
const WORKERS_FOR_ONE_PROCESSOR: usize = 2;

/// The number of slots for each extra slot that is only for filters on streamed answers.
const SLOTS_FOR_ONE_BESIDE_STREAMS: usize = 16;

/// The fewest extra slots for these filters: a tenant that takes its part of them leaves some for others.
const LEAST_BESIDE_STREAMS: usize = 4;

/// The number of slots for each extra slot that is for an idle instance, between two calls of its plugin.
const SLOTS_FOR_ONE_IDLE: usize = 4;

/// The parts that a host is made from.
pub struct Setup {
    /// The origin of the site.
    pub origin: Origin,
    /// The site, as read from there.
    pub site: Site,
    /// The environment, in which secrets may be.
    pub environment: Environment,
    /// The log.
    pub log: Log,
    /// The store; if none, the embedded one in the site's `state` folder.
    pub store: Option<Store>,
    /// The program that compiles components: this program, if it has the compiler's command.
    pub compiler: CompilerProgram,
    /// The folder of compiled code; if none, `compiled` in the site's `state` folder.
    pub compiled: Option<PathBuf>,
    /// The listening sockets that were handed over.
    pub inherited: Inherited,
}

/// The reason why a host did not start.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// An address cannot be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A socket that was handed over cannot be used.
    #[error(transparent)]
    Inherited(#[from] InheritedError),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The pool cannot be made.
    #[error(transparent)]
    Sandbox(SandboxError),
    /// The pool does not fit into the address space, but a smaller one would.
    #[error("{error}: `concurrency = {concurrency}` fits")]
    TooConcurrent {
        /// The error of the pool.
        error: PoolError,
        /// A `concurrency` that would fit.
        concurrency: usize,
    },
    /// Guests cannot be scheduled.
    #[error(transparent)]
    Scheduler(#[from] SchedulerError),
    /// The site's components cannot run, or its certificates cannot be used.
    #[error(transparent)]
    Site(#[from] StartError),
    /// There are no random numbers for TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The pipe that stops the compiler's processes cannot be made.
    #[error("cannot set up the compiler")]
    Compiler(#[source] std::io::Error),
    /// The tenants that were made through the admin API cannot be served.
    #[error(transparent)]
    ControlPlane(#[from] RestoreError),
    /// The thread that watches files cannot be started.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// The clock is outside the years that HTTP has dates for, and that certificates are checked in.
    #[error(
        "this machine's clock is wrong: it says {} seconds {}; set it first (systemd: After=time-sync.target)",
        .0.unsigned_abs(),
        if *.0 < 0 { "before 1970" } else { "after 1970, past the year 9999" }
    )]
    Clock(i64),
}

impl HostError {
    fn sandbox(error: SandboxError) -> Self {
        match error {
            SandboxError::Pool(error) => {
                let PoolError::AddressSpace { most_slots, .. } = error;
                match concurrency_of(usize::try_from(most_slots).unwrap_or(usize::MAX)) {
                    0 => Self::Sandbox(SandboxError::Pool(error)),
                    concurrency => Self::TooConcurrent { error, concurrency },
                }
            }
            error => Self::Sandbox(error),
        }
    }
}

/// A host that serves.
pub struct Host {
    addresses: Vec<Address>,
    // Parts are dropped in the order of the fields: a part stands above the parts that it uses.
    probes: Option<Probes>,
    admin: Option<AdminServer>,
    admin_addresses: Vec<Address>,
    _control_plane: Arc<ControlPlane>,
    watcher: Watcher,
    server: Server,
    scheduler: Scheduler,
    compiler: Arc<Compiler>,
    _tending: AbortOnDropHandle<((), ())>,
    readiness: Readiness,
    linger: Duration,
    metrics: Metrics,
    log: Log,
}

impl Host {
    /// Makes every part and begins to serve.
    pub async fn start(setup: Setup) -> Result<Self, HostError> {
        let Setup { origin, site, environment, log, store, compiler, compiled, mut inherited } = setup;
        clock_can_be_used(SystemTime::now())?;
        let settings = site.host.clone();
        let bound = bind(&settings.listen, &mut inherited, &[]).await?;
        let admin_bound = bind(&settings.admin, &mut inherited, &bound).await?;
        inherited.all_taken()?;
        let addresses: Vec<_> = bound.iter().map(|bound| bound.address().clone()).collect();

        let admin_addresses: Vec<_> = admin_bound.iter().map(|bound| bound.address().clone()).collect();

        let metrics = Metrics::new();
        metrics.watch_log(&log);
        let ledger = Ledger { log: log.clone(), metrics: metrics.clone() };
        let tls = Tls::start(pairs(&site)?, signing_at_once(), &ledger)?;
        let readiness = Readiness::default();
        let taken = [&*addresses, &*admin_addresses].concat();
        let start = |address| Probes::start(address, &taken, metrics.clone(), readiness.clone());
        let probes = settings.probes.map(start).transpose()?;
        let room = room(&site, &log);
        let store = match store {
            Some(store) => store,
            None => Store::open(&settings.state)?,
        };
        for missing in store.missing() {
            let entry = log.warn(missing.what).display("store", settings.state.display());
            entry.field("missing", missing.why.as_str()).send();
        }
        let sandbox = Sandbox::new(pool(&settings)).map_err(HostError::sandbox)?;
        if let Some(error) = sandbox.why_no_images() {
            log.warn("instances begin slower: what their memory begins with is copied into each")
                .field("missing", format_args!("memfd_create: {error}"))
                .field("instead", "permit it, and `vm.memfd_noexec` of 0 or 1")
                .send();
        }
        if !sandbox.restores_instances() {
            log.info("fresh instances are made anew for each call")
                .field(
                    "missing",
                    "userfaultfd(2) and PAGEMAP_SCAN of Linux 6.7, to put instances back to their start",
                )
                .send();
        }
        let scheduler = Scheduler::start(turns(), prepare_thread, sandbox.tick())?;
        if !scheduler.has_background() {
            log.info("guests that compute are not kept behind other threads")
                .field("missing", "RLIMIT_NICE of 20, to have a thread back from SCHED_IDLE")
                .send();
        }
        let records = Records::open(&settings.state)?;
        let artifacts = ControlPlane::artifacts_in(&settings.state, settings.intake.artifact_bytes)?;
        let http = http_client(&site, Some(room.outbound)).map_err(StartError::Site)?;
        let compiler = Compiler::new(
            sandbox.clone(),
            CompilerSettings {
                program: compiler,
                limits: settings.intake,
                is_confined: settings.confinement != Confinement::Off,
                cache: Some(compiled.unwrap_or_else(|| settings.state.join(COMPILED))),
                log: log.clone(),
            },
        );
        let compiler = Arc::new(compiler.map_err(HostError::Compiler)?);
        let (instances, code) = (sandbox.clone(), compiler.clone());
        let tending = tokio::spawn(async move { tokio::join!(instances.tend(), code.tend()) });
        let tending = AbortOnDropHandle::new(tending);
        let follower = Follower::new(origin.clone(), &site);
        let parts = Parts {
            origin,
            compiler: compiler.clone(),
            store,
            http,
            ceilings: settings.limits.clone(),
            artifacts: Some(artifacts.clone()),
            open_files: room.files,
            environment,
            log: log.clone(),
            metrics: metrics.clone(),
        };
        // Compiling takes a while; probes answer meanwhile.
        let deployer = Arc::new(Deployer::start(parts, &site).await?);
        let control_plane =
            ControlPlane::start(deployer.clone(), records, artifacts, settings.limits.clone()).await?;
        let watcher = Watcher::start(deployer.clone(), follower, log.clone())?;
        let requests = Requests::new(
            deployer.snapshot(),
            sandbox.clone(),
            capacity(&settings, scheduler.clone()),
            ledger.clone(),
            request::Settings {
                body_patience: settings.timeouts.body,
                rate_bytes_per_second: settings.timeouts.rate_bytes_per_second,
            },
        );
        let admin = (!admin_bound.is_empty()).then(|| {
            let plane = control_plane.clone();
            AdminServer::start(admin_bound, plane, tls.certificates(), administering(&settings), log.clone())
        });
        let server = Server::start(bound, tls, Arc::new(requests), listening(&settings, &room), &ledger);
        readiness.set_ready();

        let linger = settings.timeouts.linger;
        let host = Self {
            addresses,
            probes,
            admin,
            admin_addresses,
            _control_plane: control_plane,
            watcher,
            server,
            scheduler,
            compiler,
            _tending: tending,
            readiness,
            linger,
            metrics,
            log,
        };
        host.say_where();
        Ok(host)
    }

    /// The addresses that callers connect to.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// The address of the probes.
    pub fn probes(&self) -> Option<SocketAddr> {
        self.probes.as_ref().map(Probes::address)
    }

    /// The addresses of the admin API.
    pub fn admin_addresses(&self) -> &[Address] {
        &self.admin_addresses
    }

    /// The counters behind `/metrics`.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Reads the site again, changed or not, and the certificates that have changed.
    pub fn reload(&self) {
        self.server.look_at_certificates();
        self.watcher.reload();
    }

    /// Drops compiled code that no call has used since this was last done; the host does so from time to time. Returns
    /// the number of components whose code was dropped.
    pub async fn drop_unused_code(&self) -> usize {
        self.compiler.drop_unused_code().await
    }

    /// Becomes unready, and goes on serving for the linger time: in it, the load balancers that send callers here
    /// notice.
    pub async fn linger(&self) {
        self.readiness.set_draining();
        if !self.linger.is_zero() {
            let line = self.log.info("stopping soon: not ready, and still serving");
            line.field("ms", u64::try_from(self.linger.as_millis()).unwrap_or(u64::MAX)).send();
            tokio::time::sleep(self.linger).await;
        }
    }

    /// Stops accepting, finishes the requests in flight within the grace time, and ends.
    pub async fn stop(self) {
        self.readiness.set_draining();
        self.log.info("stopping: no new connections, what is in flight is finished").send();
        let (cut, ()) = tokio::join!(self.server.stop(), async {
            if let Some(admin) = &self.admin {
                admin.stop().await;
            }
        });
        if cut > 0 {
            self.log
                .warn("the grace time is over; connections were cut")
                .field("connections", u64::try_from(cut).unwrap_or(u64::MAX))
                .send();
        }
        let scheduler = self.scheduler;
        // The join fails only if the runtime ends.
        let _ = tokio::task::spawn_blocking(move || scheduler.shut_down()).await;
        self.log.info("stopped").send();
        self.log.flush();
    }

    fn say_where(&self) {
        for address in &self.addresses {
            self.log.info("listening").display("address", address).send();
        }
        for address in &self.admin_addresses {
            self.log.info("admin API").display("address", address).send();
        }
        if let Some(address) = self.probes() {
            self.log.info("probes").display("address", address).send();
        }
    }
}

/// Checks that the clock is between 1970 and 9999. Outside of that, hyper (1.12) panics on dates, and rustls (0.23)
/// on tickets and certificates. Linux does not let a clock be set there, so one check is enough.
fn clock_can_be_used(now: SystemTime) -> Result<(), HostError> {
    const YEAR_10000: u64 = 253_402_300_800;
    let seconds = |since: Duration| i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    match now.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) if since.as_secs() < YEAR_10000 => Ok(()),
        Ok(since) => Err(HostError::Clock(seconds(since))),
        Err(before) => Err(HostError::Clock(seconds(before.duration()).saturating_neg().min(-1))),
    }
}

/// Binds these addresses. `others` are bound already.
async fn bind(
    listen: &[ListenSite],
    inherited: &mut Inherited,
    others: &[Listener],
) -> Result<Vec<Listener>, BindError> {
    let mut bound = Vec::new();
    for listener in listen {
        let address = match &listener.address {
            ListenAddress::Tcp(address) => Address::Tcp(*address),
            ListenAddress::Unix(path) => Address::Unix(path.clone()),
        };
        let preamble = Preamble { tls: listener.tls, proxy_protocol: listener.proxy_protocol };
        let permissions = Permissions { mode: listener.mode.0, group: listener.group.clone() };
        let taken = others.iter().chain(&bound).map(Listener::address);
        let next = Listener::bind(address, preamble, &permissions, inherited, taken).await?;
        bound.push(next);
    }
    Ok(bound)
}

/// The needs of a host with these settings once it is confined. Makes the state folder, because only an existing
/// folder can be kept open to the host.
pub fn needs(settings: &HostSettings) -> Result<Needs, HostError> {
    Store::prepare_folder(&settings.state)?;
    let mut socket_folders = BTreeSet::new();
    let mut tcp_ports: BTreeSet<u16> = settings.probes.iter().map(SocketAddr::port).collect();
    for listener in settings.listen.iter().chain(&settings.admin) {
        match &listener.address {
            ListenAddress::Tcp(address) => {
                tcp_ports.insert(address.port());
            }
            ListenAddress::Unix(path) => socket_folders.extend(path.parent().map(Path::to_owned)),
        }
    }
    Ok(Needs { state: settings.state.clone(), socket_folders, tcp_ports })
}

/// The least number of threads and processes of a host with these settings, beside its first thread, on a runtime
/// with `workers` workers: those at a start with nothing compiled yet.
pub fn threads(settings: &HostSettings, workers: usize) -> usize {
    const LOG: usize = 1;
    const FOR_WHAT_BLOCKS: usize = 1;
    // That of the tenants' data, and that of the records.
    const STORE: usize = 2;
    const EPOCH: usize = 1;
    const LOAD: usize = LEAST_LOADERS;
    // Deploy's, and notify's.
    const WATCH: usize = 2;
    let compute = workers.div_ceil(WORKERS_FOR_ONE_PROCESSOR);
    let probes = usize::from(settings.probes.is_some());
    [LOG, workers, FOR_WHAT_BLOCKS, probes, STORE, compute, EPOCH, LOAD, WATCH, Compiler::least_threads()]
        .into_iter()
        .fold(0, usize::saturating_add)
}

/// The pool that these settings ask for.
pub fn pool(settings: &HostSettings) -> PoolSettings {
    PoolSettings {
        slots: u32::try_from(settings.concurrency.saturating_add(beside_streams(settings)))
            .unwrap_or(u32::MAX),
        idle: u32::try_from(settings.concurrency.div_ceil(SLOTS_FOR_ONE_IDLE)).unwrap_or(u32::MAX),
        memory_bytes: settings.limits.get(&Limit::Memory).copied().unwrap_or(u64::from(u32::MAX)),
    }
}

/// The greatest `concurrency` for which `slots` slots are enough.
fn concurrency_of(slots: usize) -> usize {
    let beside = slots.div_ceil(SLOTS_FOR_ONE_BESIDE_STREAMS.saturating_add(1)).max(LEAST_BESIDE_STREAMS);
    slots.saturating_sub(beside)
}

/// The site's pairs of certificate and key as their files are now, with all findings about them.
pub fn certificates(site: &Site) -> (Vec<Pair>, Vec<Diagnostic>) {
    let mut pairs = Vec::new();
    let mut found = Vec::new();
    for (named, spans) in site.host.tls.iter().zip(&site.spans.tls) {
        let files = PairFiles { certificate: named.certificate.clone(), key: named.key.clone() };
        match Pair::read(files) {
            Ok(pair) => {
                let doubt = pair
                    .doubt()
                    .map(|doubt| site.source.diagnostic(&spans.certificate, doubt, "", None).into_warning());
                found.extend(doubt);
                pairs.push(pair);
            }
            Err(error) => {
                let span = match error.part() {
                    Part::Certificate => &spans.certificate,
                    Part::Key => &spans.key,
                };
                found.push(site.source.diagnostic(span, error.to_string(), "", Some(error.help().into())));
            }
        }
    }
    (pairs, found)
}

/// The pairs at start: a pair that cannot be used is an error; one that is not valid at this time is only logged.
fn pairs(site: &Site) -> Result<Vec<Pair>, StartError> {
    let (pairs, mut found) = certificates(site);
    found.retain(|found| found.severity() == Severity::Error);
    if found.is_empty() { Ok(pairs) } else { Err(StartError::Site(found.into())) }
}

/// The most TLS handshakes that are computed at once: the other half of the threads serves connections.
fn signing_at_once() -> usize {
    tokio::runtime::Handle::current().metrics().num_workers().div_euclid(2).max(1)
}

/// The number of CPU turns: one for each processor. Of the two workers for each processor, the other one serves
/// connections, and finds out which tenants also want to compute. Without it, the runtime's queue would decide: first
/// come, first served.
fn turns() -> usize {
    tokio::runtime::Handle::current().metrics().num_workers().div_euclid(WORKERS_FOR_ONE_PROCESSOR)
}

fn capacity(settings: &HostSettings, cpu: Scheduler) -> Capacity {
    Capacity {
        cpu,
        slots: Slots::new(settings.concurrency, SLOT_WAIT),
        slots_beside_streams: Slots::divided(beside_streams(settings), SLOT_WAIT),
    }
}

/// The number of extra slots for filters on streamed answers. These calls take microseconds, so few slots are enough;
/// [`Slots::divided`] keeps long calls from taking all of them.
fn beside_streams(settings: &HostSettings) -> usize {
    settings.concurrency.div_ceil(SLOTS_FOR_ONE_BESIDE_STREAMS).max(LEAST_BESIDE_STREAMS)
}

/// The bounds on connections by the process's limit on descriptors; warns if `connections` of `[host]` is out of
/// reach.
fn room(site: &Site, log: &Log) -> DescriptorShares {
    let settings = &site.host;
    let components = site.tenants.values().map(|tenant| tenant.document.plugins.len()).sum();
    let room = DescriptorShares::within(descriptors::raise_limit(), settings, components);
    if room.connections < settings.connections {
        log.warn("fewer connections than `connections` in [host]: this process may not open as many files")
            .field("connections", room.connections)
            .field("instead-of", settings.connections)
            .field("connections-per-client", room.connections_per_client)
            .field("limit", room.limit)
            .field("instead", format_args!("`ulimit -n {0}` (systemd: LimitNOFILE={0})", room.wanted))
            .send();
    }
    room
}

fn listening(settings: &HostSettings, room: &DescriptorShares) -> Settings {
    let timeouts = &settings.timeouts;
    Settings {
        connections: room.connections,
        connections_per_client: room.connections_per_client,
        handshake: timeouts.handshake,
        head: timeouts.head,
        write: timeouts.write,
        idle: timeouts.idle,
        age: timeouts.age,
        rate_bytes_per_second: timeouts.rate_bytes_per_second,
        grace: timeouts.grace,
        trusted: Arc::new(TrustedProxies {
            networks: settings.proxy.trusted.clone(),
            unix: settings.proxy.trusted_unix,
            fields: settings.proxy.fields,
            any_server_name: settings.proxy.server_name == config::ServerName::Any,
        }),
    }
}

fn administering(settings: &HostSettings) -> AdminSettings {
    let timeouts = &settings.timeouts;
    AdminSettings {
        handshake: timeouts.handshake,
        head: timeouts.head,
        body: timeouts.body,
        idle: timeouts.idle,
        grace: timeouts.grace,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_concurrency_that_is_said_to_fit_does() {
        for slots in 0..5000 {
            let concurrency = concurrency_of(slots);
            let needed =
                concurrency + concurrency.div_ceil(SLOTS_FOR_ONE_BESIDE_STREAMS).max(LEAST_BESIDE_STREAMS);
            assert!(needed <= slots.max(LEAST_BESIDE_STREAMS), "{slots}: {concurrency}");
        }
        assert_eq!(concurrency_of(1063), 1000);
    }
}
