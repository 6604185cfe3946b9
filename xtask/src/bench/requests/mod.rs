//! CPU time, rate and latency of requests: every work, asked of every contender.
//!
//! What is compared, and why it is fair: all do the same work in the same minutes, each on one core that it has for itself,
//! for the same number of requests under way; rounds of one and the other alternate, so that a machine that slows down
//! slows all of them. CPU time is that of the server's processes, in the kernel too: what the load costs is in no figure.
//! A wrong answer ends the run, for an error is fast.

mod certificate;
mod contenders;
mod cores;
mod http2;
mod load;
mod machine;
mod report;
pub(super) mod works;

use std::env;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;

use super::server::{START_DEADLINE, Server};
use super::{build_servers, release};
use crate::cargo::cannot_start;
use crate::deadline::{End, run_until};
use crate::guests;
use certificate::Certificate;
use contenders::{Contender, Entrant, GUESTS, Missing, Setting, on_path};
use cores::Cores;
use load::Load;
use report::Rounds;
use works::Work;

/// Load on each server before the first round, so that no figure holds its first steps.
const WARM_UP: Duration = Duration::from_millis(500);

/// A shorter round is not worth its ticks of 10 ms, in which Linux counts CPU time.
const SHORTEST_ROUND: Duration = Duration::from_millis(200);

/// Building wasmtime takes most of it.
const INSTALL_DEADLINE: Duration = Duration::from_secs(2 * 60 * 60);

#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub(crate) struct Arguments {
    /// Only these works, by commas; left out: all
    #[arg(long, value_name = "WORK", value_delimiter = ',')]
    only: Vec<Work>,
    /// Only these contenders beside bare hyper, by commas; left out: all that are there
    #[arg(long, value_name = "CONTENDER", value_delimiter = ',')]
    contenders: Vec<Contender>,
    /// Seconds of load on each server for each work, in all rounds
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Rounds that each server is measured in
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Requests under way at once, over HTTP/1.1 each on a connection of its own; downloads are 4 at most
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=256))]
    connections: u16,
    /// Leave servers and load free to run on every core
    #[arg(long)]
    both_cores: bool,
    /// Get contenders that are missing first: wasmtime and workerd under target/tools, nginx by apt-get
    #[arg(long)]
    install: bool,
    /// All is built, and this is the release build
    #[arg(long, hide = true)]
    built: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let each_round = Duration::from_secs(arguments.seconds.into()) / arguments.rounds;
    ensure!(
        each_round >= SHORTEST_ROUND,
        "{} s in {} rounds are {} ms for each: more --seconds or fewer --rounds, so that a round has {} ms",
        arguments.seconds,
        arguments.rounds,
        each_round.as_millis(),
        SHORTEST_ROUND.as_millis()
    );
    if !arguments.built {
        guests::build(&GUESTS)?;
        build_servers()?;
        return run_release_build(arguments);
    }

    let cores = if arguments.both_cores { Cores::Shared } else { Cores::apart()? };
    ensure!(
        cores == Cores::Shared || on_path("taskset").is_some(),
        "`taskset`, which binds a server to a core, is not on the PATH: install util-linux, or use --both-cores"
    );
    let missing = if arguments.install { Missing::Install } else { Missing::Skip };
    let mut entrants = Vec::new();
    for contender in contenders(&arguments.contenders) {
        entrants.extend(contender.enter(cores, missing)?);
    }
    // Looked at before the load, which would be in it.
    let machine = machine::describe()?;
    cores.bind_load()?;
    let certificate = Certificate::new()?;
    println!("{}", report::head(&machine, cores, &entrants, arguments));
    let works = works(&arguments.only);
    let does = |work: &Work| entrants.iter().filter(|entrant| entrant.contender.does(*work)).count();
    let servers: usize = works.iter().map(does).sum();
    let all_rounds = (each_round * arguments.rounds + WARM_UP) * u32::try_from(servers)?;
    eprintln!("==> {servers} servers to load, {} min or more in all", all_rounds.as_secs().div_ceil(60));
    for work in works {
        let setting = Setting { work, certificate: &certificate, cores };
        let all = measure(&setting, &entrants, arguments.connections, arguments.rounds, each_round)?;
        println!("{}", report::table(work, &entrants, &all));
    }
    Ok(())
}

/// All contenders, or those chosen; bare hyper always: what would the ratios be to?
fn contenders(chosen: &[Contender]) -> Vec<Contender> {
    let is_wanted = |contender: &Contender| {
        chosen.is_empty() || chosen.contains(contender) || *contender == Contender::BareHyper
    };
    Contender::value_variants().iter().copied().filter(is_wanted).collect()
}

/// All works, or those chosen, in the order of the tables.
fn works(chosen: &[Work]) -> Vec<Work> {
    let is_wanted = |work: &Work| chosen.is_empty() || chosen.contains(work);
    Work::value_variants().iter().copied().filter(is_wanted).collect()
}

/// The same command in the release build: what is built for development is too slow to load a server. In a process group of
/// its own, so that no server outlives it, whichever way it ends.
fn run_release_build(arguments: &Arguments) -> Result<()> {
    let servers = works(&arguments.only).len() * contenders(&arguments.contenders).len();
    let each = Duration::from_secs(arguments.seconds.into()) + START_DEADLINE + WARM_UP;
    let install = if arguments.install { INSTALL_DEADLINE } else { Duration::ZERO };
    let deadline = each * u32::try_from(servers)? + install;
    let mut command = Command::new(release("xtask"));
    command.args(env::args_os().skip(1)).arg("--built");
    match run_until(&mut command, deadline).with_context(|| cannot_start("the bench", &command))? {
        End::Exited(status) if status.success() => Ok(()),
        End::Exited(_) => bail!("the bench failed, as it says above"),
        End::Deadline => bail!("the bench did not end within {} min, and was ended", deadline.as_secs() / 60),
        End::Interrupted => bail!("the bench was interrupted"),
    }
}

/// A contender's server in its rounds.
struct Running<'a> {
    entrant: &'a Entrant,
    server: Server,
    rounds: Rounds,
}

/// The rounds of each entrant that does the work.
fn measure(
    setting: &Setting<'_>,
    entrants: &[Entrant],
    connections: u16,
    rounds: u32,
    each_round: Duration,
) -> Result<Vec<Rounds>> {
    let work = setting.work;
    let ask = work.ask();
    let open = |server: &Server| {
        let (protocol, concurrency) = (work.protocol(), work.concurrency(connections));
        Load::open(server.address(), protocol, &ask, concurrency, &setting.certificate.client)
    };
    let mut all = Vec::new();
    for entrant in entrants.iter().filter(|entrant| entrant.contender.does(work)) {
        let server = entrant.start(setting)?;
        open(&server).and_then(|mut load| load.run(WARM_UP)).with_context(|| wrong(entrant, work))?;
        all.push(Running { entrant, server, rounds: Rounds::of(entrant.contender) });
    }
    for round in 1..=rounds {
        eprintln!("==> {}: round {round} of {rounds}", work.name());
        for Running { entrant, server, rounds } in &mut all {
            let mut load = open(server).with_context(|| wrong(entrant, work))?;
            let before = server.cpu_time()?;
            let answered = load.run(each_round).with_context(|| wrong(entrant, work))?;
            rounds.add(answered, server.cpu_time()?.saturating_sub(before));
        }
    }
    Ok(all.into_iter().map(|running| running.rounds).collect())
}

fn wrong(entrant: &Entrant, work: Work) -> String {
    format!("{} did not answer rightly ({})", entrant.contender.title(), work.name())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::ValueEnum;

    use super::super::bare_hyper::tests::server;
    use super::super::bare_hyper::{Protocol, Wire, acceptor};
    use super::{Certificate, Contender, Load, Work, contenders, works};

    #[test]
    fn all_is_measured_or_what_is_chosen_beside_bare_hyper() {
        assert_eq!(contenders(&[]), Contender::value_variants());
        assert_eq!(contenders(&[Contender::Nginx]), [Contender::BareHyper, Contender::Nginx]);
        assert_eq!(works(&[]), Work::value_variants());
        assert_eq!(works(&[Work::Tls, Work::Json]), [Work::Json, Work::Tls]);
    }

    fn wire(protocol: Protocol, certificate: &Certificate) -> Wire {
        match protocol {
            Protocol::Http1 => Wire::Http1,
            Protocol::Http2 => Wire::Http2,
            Protocol::Tls => Wire::Tls(acceptor(&certificate.certificate(), &certificate.key()).unwrap()),
        }
    }

    #[test]
    fn bare_hyper_answers_every_work_as_the_load_asks_it() {
        let certificate = Certificate::new().unwrap();
        let servers = [Protocol::Http1, Protocol::Http2, Protocol::Tls]
            .map(|protocol| (protocol, server(wire(protocol, &certificate), super::works::HELLO)));
        for work in Work::value_variants() {
            let (protocol, ask) = (work.protocol(), work.ask());
            let (_, address) = servers.iter().find(|(of, _)| *of == protocol).unwrap();
            let concurrency = work.concurrency(20);
            let mut load = Load::open(*address, protocol, &ask, concurrency, &certificate.client).unwrap();
            let answered = load.run(Duration::from_millis(20)).unwrap();
            let least = usize::from(concurrency.connections * concurrency.streams);
            assert!(answered.latencies.count() >= least, "{work:?}: {answered:?}");
        }
    }

    #[test]
    fn another_body_ends_the_run() {
        let certificate = Certificate::new().unwrap();
        for work in [Work::Hello, Work::Http2, Work::Tls] {
            let (protocol, ask) = (work.protocol(), work.ask());
            let address = server(wire(protocol, &certificate), "hello from version-2\n");
            let load = Load::open(address, protocol, &ask, work.concurrency(8), &certificate.client);
            let error = format!("{:#}", load.err().expect("the body is wrong"));
            assert!(error.contains("version-2"), "{error}");
        }
    }
}
