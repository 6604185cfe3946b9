//! `jackfield serve`: the life of the process around a host.

use std::future::Future;
use std::io;
use std::os::unix::net::UnixStream;
use std::panic;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use listenfd::ListenFd as HandedOver;

use super::answer::{Colours, Exit, complain, refuse, with_causes};
use super::arguments::{LogFormat, LogLevel, Serve};
use super::confinement::{self, ConfinementReport};
use super::threads;
use crate::config::{ListenAddress, ListenSite};
use crate::cpu::stay_ordinary;
use crate::deploy::{Environment, Origin};
use crate::host::{self, Host, HostError, Setup};
use crate::listen::Inherited;
use crate::observe::{Format, Level, Log};
use crate::sandbox::{CompilerProgram, prepare_process, prepare_thread};

/// Longer than any process lives.
const FOR_GOOD: Duration = Duration::from_secs(1 << 31);

pub(super) fn run(serve: Serve, environment: Environment, sockets: HandedOver, colours: Colours) -> Exit {
    let inherited = match Inherited::new(sockets) {
        Ok(inherited) => inherited,
        Err(error) => return refuse(error),
    };
    let origin = match serve.component {
        Some(path) if path.extension().is_some_and(|extension| extension == "toml") => {
            let path = path.display();
            complain(format_args!(
                "error: `{path}` is a site file; it is served by `jackfield serve --config {path}`"
            ));
            return Exit::WrongUsage;
        }
        Some(path) => Origin::Component(path),
        None => Origin::SiteFile(serve.config),
    };
    let mut site = match origin.read() {
        Ok(site) => site,
        Err(diagnostics) => {
            complain(diagnostics.render(colours.are_shown()));
            return Exit::Refused;
        }
    };
    if let Some(address) = serve.listen {
        let address = ListenAddress::Tcp(address);
        site.host.listen = vec![ListenSite::plain(address)];
    }
    for warning in &site.warnings {
        complain(warning.render(colours.are_shown()));
    }
    // Before the process gives up its right to do so.
    prepare_process();
    // Before the first thread, that of the log: a thread that exists already would not be confined.
    let confined = match confinement::confine(&site.host) {
        Ok(confined) => confined,
        Err(exit) => return exit,
    };
    // Before the first thread that stays.
    if let Err(too_few) = threads::probe(host::threads(&site.host, workers())) {
        return refuse(too_few);
    }
    let format = match serve.log_format {
        LogFormat::Json => Format::Json,
        LogFormat::Text if colours.are_shown() => Format::ColouredText,
        LogFormat::Text => Format::Text,
    };
    let level = match serve.log_level {
        LogLevel::Debug => Level::Debug,
        LogLevel::Info => Level::Info,
        LogLevel::Warn => Level::Warn,
        LogLevel::Error => Level::Error,
    };
    let log = match Log::new(format, level, Box::new(std::io::stderr())) {
        Ok(log) => log,
        Err(error) => return refuse(format_args!("cannot start the thread that writes the log: {error}")),
    };
    end_where_there_is_no_thread();
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(format_args!("cannot start the runtime: {error}")),
    };
    // The first thread for blocking work, which stays. Without any such thread, the runtime panics if none can be
    // started for blocking work; with one, the work is done later.
    drop(runtime.spawn_blocking(|| ()));
    let compiler = match CompilerProgram::this() {
        Ok(compiler) => compiler,
        Err(error) => return refuse(format_args!("cannot tell which program this is: {error}")),
    };
    let setup = Setup { origin, site, environment, log, store: None, compiler, compiled: None, inherited };
    let exit = runtime.block_on(until_told(setup, confined));
    // Work that is still under way, such as a compile at the time of a signal, is not waited for.
    runtime.shutdown_background();
    exit
}

/// Until the host has started, ends the process if a library panics for want of a thread, or of memory for one: while
/// tokio unwinds, it would wait for threads that do not end.
pub(super) fn end_where_there_is_no_thread() {
    const TOLD_BY: [(&str, &str); 2] = [
        ("OS can't spawn worker thread", "raise `LimitNPROC=` (`ulimit -u`) and `TasksMax=`"),
        ("failed to allocate memory for sigaltstack", "raise the limit on memory (`ulimit -v`)"),
    ];
    let otherwise = panic::take_hook();
    panic::set_hook(Box::new(move |panicked| {
        let said = panicked.payload_as_str().unwrap_or_default();
        match TOLD_BY.iter().find(|(words, _)| said.starts_with(words)) {
            Some((_, help)) => {
                complain(format_args!("error: the system gives the host too few threads: {said}; {help}"));
                std::process::exit(1)
            }
            None => otherwise(panicked),
        }
    }));
}

fn runtime() -> io::Result<Runtime> {
    let named = |call: &'static str| move |error| io::Error::other(format!("{call}: {error}"));
    let stay_ordinary = stay_ordinary();
    // Checks for a socket pair, which tokio needs for signals: without one, tokio panics and reports no error.
    UnixStream::pair().map_err(named("socketpair"))?;
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers())
        .thread_keep_alive(FOR_GOOD)
        .on_thread_start(move || {
            prepare_thread();
            stay_ordinary();
        })
        .enable_all()
        .build()
        .map_err(named("epoll, eventfd"))
}

/// The number of workers, two for each processor: while guests take one of them, the other serves connections. Guests
/// with long computations have threads of their own.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(2, |processors| processors.get().saturating_mul(2))
}

async fn until_told(setup: Setup, confined: ConfinementReport) -> Exit {
    // Asked for before anything else: a signal that comes during start is not lost.
    let signals =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()));
    let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) = signals else {
        return refuse("cannot listen for signals");
    };
    let mut told_to_stop = async || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let log = setup.log.clone();
    let start = tokio::spawn(Host::start(setup));
    let host = tokio::select! {
        started = start => match started {
            Ok(Ok(host)) => host,
            // Diagnostics are rendered whole, with their own `error:`.
            Ok(Err(HostError::Site(faults))) => {
                complain(faults);
                return Exit::Refused;
            }
            Ok(Err(error)) => return refuse(with_causes(&error)),
            Err(error) => return refuse(error),
        },
        () = told_to_stop() => return Exit::Done,
    };
    // From now on, there is a thread for blocking work.
    drop(panic::take_hook());
    confined.tell(&host, &log);
    loop {
        tokio::select! {
            () = told_to_stop() => break,
            _ = hangup.recv() => host.reload(),
        }
    }
    tokio::select! {
        () = host.linger() => {}
        () = told_to_stop() => {}
    }
    unless_told_again(host.stop(), told_to_stop()).await
}

/// A second signal ends at once, whatever is still in flight.
async fn unless_told_again(stop: impl Future<Output = ()>, told_again: impl Future<Output = ()>) -> Exit {
    tokio::select! {
        () = stop => Exit::Done,
        () = told_again => std::process::exit(1),
    }
}
