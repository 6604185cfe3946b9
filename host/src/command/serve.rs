//! `jackfield serve`: the process's life around a host.

use std::future::Future;

use tokio::signal::unix::{SignalKind, signal};

use super::confinement::{self, Outcome};
use super::{Colours, Exit, HandedOver, LogFormat, LogLevel, Serve, complain, refuse, with_causes};
use crate::config::{ListenAddress, ListenSite};
use crate::deploy::{Environment, Origin};
use crate::host::{Host, HostError, Setup};
use crate::listen::Inherited;
use crate::observe::{Format, Level, Log};
use crate::sandbox::{CompilerProgram, stay_ordinary};

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
    // Before the first thread, the log's: one that is there already would keep what this one gives up.
    let confined = match confinement::confine(&site.host) {
        Ok(confined) => confined,
        Err(exit) => return exit,
    };
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
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads())
        .on_thread_start(stay_ordinary())
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return refuse(format_args!("cannot start the runtime: {error}")),
    };
    let compiler = match CompilerProgram::this() {
        Ok(compiler) => compiler,
        Err(error) => return refuse(format_args!("cannot tell which program this is: {error}")),
    };
    let setup = Setup { origin, site, environment, log, store: None, compiler, compiled: None, inherited };
    let exit = runtime.block_on(until_told(setup, confined));
    // What is still under way, such as a compile that a signal came before, is not waited for.
    runtime.shutdown_background();
    exit
}

/// Two for each processor: while guests have one of them, the other serves connections. Guests that compute on have
/// threads of their own.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(2, |processors| processors.get().saturating_mul(2))
}

async fn until_told(setup: Setup, confined: Outcome) -> Exit {
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
            // Diagnostics are rendered whole; they say `error:` themselves.
            Ok(Err(HostError::Site(faults))) => {
                complain(faults);
                return Exit::Refused;
            }
            Ok(Err(error)) => return refuse(with_causes(&error)),
            Err(error) => return refuse(error),
        },
        () = told_to_stop() => return Exit::Done,
    };
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
