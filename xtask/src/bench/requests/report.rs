//! How figures are printed: Markdown that can be pasted into docs/benchmarks.md.

use std::fmt::Write as _;
use std::time::Duration;

use super::super::median;
use super::Arguments;
use super::contenders::{Contender, Entrant};
use super::cores::Cores;
use super::load::Answered;
use super::works::Work;

/// Who computed for more than this part of the time was as fast as it can be. If that is the load and not the server, rate
/// and latency are the load's.
const BUSY: f64 = 0.9;

/// The figures of one server, each once a round.
#[derive(Debug)]
pub(super) struct Rounds {
    contender: Contender,
    /// CPU time of the server, in µs a request.
    cpu_micros: Vec<f64>,
    /// Requests a second.
    rates: Vec<f64>,
    /// Latencies in ms.
    p50: Vec<f64>,
    p99: Vec<f64>,
    /// The parts of the time in which the server computed, and the load. Of a server on several cores the sum.
    server_busy: Vec<f64>,
    load_busy: Vec<f64>,
}

impl Rounds {
    pub(super) fn of(contender: Contender) -> Self {
        Self {
            contender,
            cpu_micros: Vec::new(),
            rates: Vec::new(),
            p50: Vec::new(),
            p99: Vec::new(),
            server_busy: Vec::new(),
            load_busy: Vec::new(),
        }
    }

    /// One more round, in which the server took so much `cpu`.
    pub(super) fn add(&mut self, mut answered: Answered, cpu: Duration) {
        let requests = answered.latencies.count() as f64;
        let elapsed = answered.elapsed.as_secs_f64();
        self.cpu_micros.push(cpu.as_secs_f64() * 1e6 / requests);
        self.rates.push(requests / elapsed);
        self.p50.push(answered.latencies.percentile_ms(50));
        self.p99.push(answered.latencies.percentile_ms(99));
        self.server_busy.push(cpu.as_secs_f64() / elapsed);
        self.load_busy.push(answered.busy.as_secs_f64() / elapsed);
    }

    fn medians(&self) -> [f64; 4] {
        [&self.cpu_micros, &self.rates, &self.p50, &self.p99].map(|figures| median(figures))
    }
}

/// The machine, who was measured, and how to do it again.
pub(super) fn head(machine: &str, cores: Cores, entrants: &[Entrant], arguments: &Arguments) -> String {
    let mut versions: Vec<&str> = entrants.iter().map(|entrant| entrant.version.as_str()).collect();
    versions.dedup();
    format!(
        "{machine}. {}; {cores}. {} requests under way; medians of {} rounds, {} s together; × is the ratio to bare \
         hyper.\n\
         Again: `{}`\n",
        versions.join(", "),
        arguments.connections,
        arguments.rounds,
        arguments.seconds,
        command(arguments)
    )
}

/// The command that does the same.
fn command(arguments: &Arguments) -> String {
    let Arguments { only, contenders, seconds, rounds, connections, both_cores, .. } = arguments;
    let mut command = String::from("cargo xtask bench");
    let mut list = |name: &str, values: Vec<String>| {
        if !values.is_empty() {
            // A string takes whatever is written to it.
            let _written = write!(command, " {name} {}", values.join(","));
        }
    };
    list("--only", only.iter().map(|work| work.name()).collect());
    list("--contenders", contenders.iter().map(|contender| contender.name()).collect());
    list("--seconds", vec![seconds.to_string()]);
    list("--rounds", vec![rounds.to_string()]);
    list("--connections", vec![connections.to_string()]);
    if *both_cores {
        command += " --both-cores";
    }
    command
}

/// The figures of one work; a dash for who cannot do it.
pub(super) fn table(work: Work, entrants: &[Entrant], all: &[Rounds]) -> String {
    let contenders: Vec<Contender> = entrants.iter().map(|entrant| entrant.contender).collect();
    table_of(work, &contenders, all)
}

fn table_of(work: Work, contenders: &[Contender], all: &[Rounds]) -> String {
    let of = |contender: Contender| all.iter().find(|rounds| rounds.contender == contender);
    let bare = of(Contender::BareHyper).map_or([f64::NAN; 4], Rounds::medians);
    let mut text = format!(
        "### {}\n\n\
         | server | µs CPU a request (least to most) | × | requests/s | × | p50 ms | × | p99 ms | × |\n\
         |---|---|---|---|---|---|---|---|---|\n",
        work.title()
    );
    let mut outran = Vec::new();
    for &contender in contenders {
        let Some(rounds) = of(contender) else {
            text += &format!("| {} | – | | – | | – | | – | |\n", contender.title());
            continue;
        };
        let medians = rounds.medians();
        let [cpu, rate, p50, p99] = medians.map(figure);
        let [cpu_ratio, rate_ratio, p50_ratio, p99_ratio] =
            std::array::from_fn(|at| format!("{:.2}", medians[at] / bare[at]));
        let least = figure(rounds.cpu_micros.iter().copied().fold(f64::INFINITY, f64::min));
        let most = figure(rounds.cpu_micros.iter().copied().fold(0.0, f64::max));
        text += &format!(
            "| {} | {cpu} ({least} to {most}) | {cpu_ratio} | {rate} | {rate_ratio} | {p50} | {p50_ratio} | {p99} | \
             {p99_ratio} |\n",
            contender.title(),
        );
        if median(&rounds.load_busy) > BUSY && median(&rounds.server_busy) < BUSY {
            outran.push(contender.title());
        }
    }
    if !outran.is_empty() {
        text += &format!(
            "\nThe load was busy all the time, and the server not, with {}: rate and latency there are the load's.\n",
            outran.join(", ")
        );
    }
    text
}

/// Three digits that count, or all of a whole number.
fn figure(value: f64) -> String {
    match value {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::super::latency::Latencies;
    use super::{Answered, Arguments, Contender, Rounds, Work, command, figure, table_of};

    /// Three rounds of one second, in which the load was busy for so many ms.
    fn rounds(contender: Contender, requests: u64, cpu_ms: [u64; 3], busy_ms: u64) -> Rounds {
        let mut rounds = Rounds::of(contender);
        for cpu in cpu_ms {
            let mut latencies = Latencies::default();
            (0..requests).for_each(|_| latencies.add(Duration::from_micros(500)));
            let (elapsed, busy) = (Duration::from_secs(1), Duration::from_millis(busy_ms));
            rounds.add(Answered { latencies, elapsed, busy }, Duration::from_millis(cpu));
        }
        rounds
    }

    #[test]
    fn a_table_gives_medians_ratios_and_a_dash_for_who_cannot_do_the_work() {
        let contenders = [Contender::BareHyper, Contender::LeanFresh, Contender::Nginx];
        let all = [
            rounds(Contender::BareHyper, 1000, [20, 10, 9], 950),
            rounds(Contender::LeanFresh, 500, [20, 10, 30], 100),
        ];
        let text = table_of(Work::Echo1K, &contenders, &all);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "### echo-1k: `POST /echo`, 1 KiB there and back");
        assert_eq!(
            lines[4..],
            [
                "| bare hyper | 10.0 (9.00 to 20.0) | 1.00 | 1000 | 1.00 | 0.500 | 1.00 | 0.500 | 1.00 |",
                "| jackfield, lean, fresh | 40.0 (20.0 to 60.0) | 4.00 | 500 | 0.50 | 0.500 | 1.00 | 0.500 | 1.00 |",
                "| nginx | – | | – | | – | | – | |",
                "",
                "The load was busy all the time, and the server not, with bare hyper: rate and latency there are the load's.",
            ]
        );
    }

    #[test]
    fn the_command_is_given_to_get_the_figures_again() {
        let arguments = Arguments {
            only: vec![Work::Hello, Work::Echo64K],
            contenders: vec![Contender::Http128],
            seconds: 5,
            rounds: 3,
            connections: 32,
            both_cores: true,
            install: true,
            built: true,
        };
        assert_eq!(
            command(&arguments),
            "cargo xtask bench --only hello,echo-64k --contenders http-128 --seconds 5 --rounds 3 --connections 32 \
             --both-cores"
        );
    }

    #[test]
    fn figures_have_three_digits_that_count() {
        let all = [123_456.7, 100.4, 99.94, 1.234, 0.1234].map(figure);
        assert_eq!(all, ["123457", "100", "99.9", "1.23", "0.123"]);
    }
}
