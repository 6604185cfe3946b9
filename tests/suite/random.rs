//! Components that nobody wrote: whatever bytes are valid WebAssembly, they are refused, or run and end. They are made
//! by `fuzz/components`, each from its number.
//!
//! All is in the test's own process, where a panic or a hang would be its own.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jackfield::capability::files::Mounts;
use jackfield::cpu::{CpuAccount, Habit, Scheduler};
use jackfield::limits::Limits;
use jackfield::observe::{Format, Level, Log, Metrics, PluginLog, PluginMetrics};
use jackfield::sandbox::message::{Request, RequestHead};
use jackfield::sandbox::{
    Abilities, Call, CallError, ComponentError, Context, Interface, PoolSettings, Sandbox, prepare_thread,
};
use jackfield::tenant::{PluginName, TenantName};
use jackfield_tests::PATIENCE;

/// CPU of one call: most end at once, and a few loop.
const CPU: Duration = Duration::from_millis(10);

/// What all that is loaded and let go again may leave behind: the same for a hundred components as for ten thousand.
const MOST_GROWTH_KIB: u64 = 256 << 10;

#[tokio::test(flavor = "multi_thread")]
async fn random_components_are_refused_or_run_and_end() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("components/random");
    let counts = run_all(&components_in(&samples)).await;
    println!("{counts:#?}");
    // Else the samples, which are there to be called, no longer show anything.
    for outcome in ["refused: not valid", "compiled, and no plug", "it answered", "trap", "cpu"] {
        assert!(counts.outcomes.contains_key(outcome), "{outcome}: {counts:#?}");
    }
}

/// As many as were made: `cargo run --release --manifest-path fuzz/components/Cargo.toml -- target/random 10000`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes, and `fuzz/components` must have made some"]
async fn all_random_components_that_were_made_are_refused_or_run_and_end() {
    let made = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/random");
    let counts = run_all(&components_in(&made)).await;
    println!("{counts:#?}");
}

/// What became of them, and what it took.
#[derive(Debug, Default)]
struct Counts {
    outcomes: BTreeMap<String, u64>,
    took: Duration,
    slowest_compile: (Duration, String),
    slowest_call: (Duration, String),
    memory_before_kib: u64,
    memory_after_kib: u64,
    most_memory_kib: u64,
}

impl Counts {
    fn count(&mut self, outcome: impl Into<String>) {
        *self.outcomes.entry(outcome.into()).or_default() += 1;
    }
}

async fn run_all(components: &[PathBuf]) -> Counts {
    let sandbox = Sandbox::new(PoolSettings { slots: 1, idle: 0, memory_bytes: 128 << 20 }).unwrap();
    let scheduler = Scheduler::start(1, prepare_thread, sandbox.tick()).unwrap();
    let log = Log::new(Format::Json, Level::Error, Box::new(std::io::sink())).unwrap();
    let (tenant, plugin) = (TenantName::parse("shop").unwrap(), PluginName::parse("random").unwrap());
    let metrics = Metrics::new().plugin(&tenant, &plugin);
    let context = Arc::new(Context {
        request_id: "random".into(),
        client: None,
        scheme: "http",
        authority: "shop.example".into(),
        route: "/{*rest}".into(),
        captures: vec![("rest".into(), "a/b".into())],
    });
    let mut counts = Counts { memory_before_kib: status_kib("VmRSS"), ..Counts::default() };
    let began = Instant::now();
    for file in components {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        // Shown if it does not survive it.
        println!("{name}");
        run((&sandbox, &scheduler), file, &name, (&log, &metrics, &context), &mut counts).await;
    }
    counts.took = began.elapsed();
    counts.memory_after_kib = status_kib("VmRSS");
    counts.most_memory_kib = status_kib("VmHWM");
    let grown_kib = counts.memory_after_kib.saturating_sub(counts.memory_before_kib);
    assert!(grown_kib < MOST_GROWTH_KIB, "{counts:#?}");
    counts
}

async fn run(
    (sandbox, scheduler): (&Sandbox, &Scheduler),
    file: &Path,
    name: &str,
    (log, metrics, context): (&Log, &Arc<PluginMetrics>, &Arc<Context>),
    counts: &mut Counts,
) {
    let began = Instant::now();
    let compiled = sandbox.compile_here(&std::fs::read(file).unwrap());
    counts.slowest_compile = (began.elapsed(), name.to_owned()).max(counts.slowest_compile.clone());
    let component = match compiled {
        Ok(component) => component,
        Err(error) => return counts.count(refusal(&error)),
    };
    if !component.interfaces().contains(&Interface::Handler) {
        return counts.count("compiled, and no plug");
    }
    let call = Call {
        limits: Arc::new(Limits {
            cpu: CPU,
            memory: 64 << 20,
            response_body: 1 << 20,
            stream: PATIENCE,
            outbound: 0,
            outbound_bytes: 0,
            fields: 64 << 10,
            ..Limits::default()
        }),
        deadline: tokio::time::Instant::now() + PATIENCE,
        context: context.clone(),
        abilities: Arc::new(Abilities {
            plugin: "random".into(),
            config: BTreeMap::new(),
            secrets: BTreeMap::new(),
            keyvalue: None,
            limiter: None,
            http: None,
            mounts: Mounts::default(),
        }),
        log: PluginLog::new(log.clone(), metrics.clone(), "random".into()),
        cpu: scheduler.task(&CpuAccount::new(NonZeroU32::MIN, None), &Habit::default(), CPU),
    };
    let request = Request {
        head: RequestHead {
            method: "POST".into(),
            path: "/a/b".into(),
            query: Some("c=d".into()),
            headers: vec![("x-a".into(), b"1".to_vec())],
        },
        body: b"random".to_vec(),
    };
    let began = Instant::now();
    let instances = sandbox.instances(component, None, metrics.clone());
    let called = sandbox.handle(&instances, call, request).await;
    counts.slowest_call = (began.elapsed(), name.to_owned()).max(counts.slowest_call.clone());
    match called {
        Ok(_) => counts.count("it answered"),
        Err(CallError::Host(reason)) => panic!("{name}: the host could not start it: {reason}"),
        Err(error) => counts.count(error.outcome().as_str()),
    }
}

/// By what it is refused: of rules of intake, each by its name.
fn refusal(error: &ComponentError) -> String {
    match error {
        ComponentError::NotTaken(reason) => match reason.split('`').nth(1) {
            Some(rule) if reason.contains("are the most that is compiled") => format!("refused: {rule}"),
            _ if reason.contains("which no host provides") => "refused: component as value".into(),
            _ => "refused: not valid".into(),
        },
        ComponentError::Invalid(_) => "refused: does not compile".into(),
        ComponentError::ExportMismatch { .. } | ComponentError::ImportMismatch { .. } => {
            "refused: does not fit".into()
        }
        error => panic!("{error}"),
    }
}

fn components_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{error}: {} holds no components", folder.display()));
    let mut components: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    components.sort();
    assert!(!components.is_empty(), "{} is empty", folder.display());
    components
}

/// A figure of this process's memory; 0 where the system does not say.
fn status_kib(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|figure| figure.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or_default()
}
