//! `cargo xtask counts`: instructions and allocations of a request, held to those of before.
//!
//! Owns which requests are counted and when the run fails. valgrind's callgrind counts, instruction by instruction, so a
//! machine that is busy changes no figure. docs/benchmarks.md says what the figures mean.

mod dump;
mod history;
mod host;
mod report;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::cargo::{announce, cannot_start, step, target_folder, workspace_root};
use crate::deadline::{End, run_until};
use crate::toolchain::{host_cargo, host_rustc_version};
use crate::{guests, host as dev_host};
use dump::Counts;
use history::{Builder, Entry, History, Profile};
use host::Host;

/// Requests of one kind: what the plugin is, and whether its instances serve more than one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Row {
    /// A lean plugin, instances reused
    LeanReused,
    /// A lean plugin, a fresh instance for each request
    LeanFresh,
    /// A wasi:http plugin, instances reused
    HttpReused,
    /// A wasi:http plugin, a fresh instance for each request
    HttpFresh,
}

impl Row {
    /// Its name in tables and files, and its path on the site.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::LeanReused => "lean-reused",
            Self::LeanFresh => "lean-fresh",
            Self::HttpReused => "http-reused",
            Self::HttpFresh => "http-fresh",
        }
    }

    fn guest(self) -> &'static str {
        match self {
            Self::LeanReused | Self::LeanFresh => GUESTS[0],
            Self::HttpReused | Self::HttpFresh => GUESTS[1],
        }
    }

    fn instances(self) -> &'static str {
        match self {
            Self::LeanReused | Self::HttpReused => "instances = \"reused\"\nreuse = { calls = 1000000 }",
            Self::LeanFresh | Self::HttpFresh => "instances = \"fresh\"",
        }
    }
}

/// The plugins of the rows, the smallest that there can be.
pub(crate) const GUESTS: [&str; 2] = ["guest-hello", "guest-hello-http"];

/// Requests of a row before anything is counted: compiled code is loaded, caches and tables have their size.
const WARM_UP_REQUESTS: u32 = 100;

/// Requests of a row in one round.
const ROUND_REQUESTS: u32 = 200;

/// Rounds of all rows. The least of them counts: what the process does beside its requests (ticker, log, a worker that
/// looks for work) only adds, and more where the machine is slow.
const ROUNDS: usize = 3;

/// For counting, not for building.
const DEADLINE: Duration = Duration::from_secs(5 * 60);

/// The programs that count, and the Debian package of each.
const PROGRAMS: [(&str, &str); 4] =
    [("valgrind", "valgrind"), ("vgdb", "valgrind"), ("prlimit", "util-linux"), ("taskset", "util-linux")];

/// Count instructions and allocations of a request, and fail if they grew.
///
/// By valgrind's callgrind, which counts the same on a busy machine as on an idle one. Without it nothing is counted,
/// which the output says (SKIPPED). The counts of before are in docs/counts.csv. Linux only.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Count in the release build, instead of the one that the tests run
    #[arg(long)]
    release: bool,
    /// Add the counts to docs/counts.csv, for the next runs to be compared with
    #[arg(long)]
    save: bool,
    /// All is built
    #[arg(long, hide = true)]
    built: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if let Some(why) = why_not()? {
        eprintln!("SKIPPED: no instructions are counted: {why}");
        return Ok(());
    }
    let profile = if arguments.release { Profile::Release } else { Profile::Dev };
    if !arguments.built {
        // Asked before the build, which may put another file in this one's place.
        let this = env::current_exe().context("cannot tell which program this is")?;
        guests::build(&GUESTS)?;
        build(profile)?;
        return run_in_a_group(&this);
    }

    let builder = Builder::this(&host_rustc_version()?)?;
    let counts = count(profile)?;
    let mut history = History::read(&history_file())?;
    let before = history.last(profile);
    println!("{}", report::table(&counts, &before));
    if arguments.save {
        history.add(Entry::now(profile, &builder, &counts)?);
        return history.write(&history_file());
    }
    match before.first() {
        None => eprintln!(
            "SKIPPED: nothing to compare with: docs/counts.csv has no counts of the {} build; `cargo xtask counts{} \
             --save` adds them",
            profile.name(),
            if arguments.release { " --release" } else { "" }
        ),
        Some(last) if last.builder != builder => eprintln!(
            "SKIPPED: the counts are not held to those of before: these are of {builder}, those of {}; `cargo xtask \
             counts --save` adds these",
            last.builder
        ),
        Some(_) => report::ensure_not_grown(&counts, &before, &folder(profile))?,
    }
    Ok(())
}

/// The counts of each row, of one request.
fn count(profile: Profile) -> Result<Vec<(&'static str, Counts)>> {
    let folder = folder(profile);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    eprintln!(
        "==> counting {ROUNDS} rounds of {ROUND_REQUESTS} requests of {} kinds",
        Row::value_variants().len()
    );
    let mut host = Host::start(&program(profile), &site(), &folder)?;
    for row in Row::value_variants() {
        host.ask(row.name(), WARM_UP_REQUESTS)?;
    }
    host.begin_to_count()?;
    let mut all: Vec<(&str, Counts)> = Vec::new();
    for round in 0..ROUNDS {
        for (place, row) in Row::value_variants().iter().enumerate() {
            host.ask(row.name(), ROUND_REQUESTS)?;
            let file = folder.join(format!("{}.{round}.callgrind", row.name()));
            let counts = host.take_counts(&file)?.each(ROUND_REQUESTS);
            match all.get_mut(place) {
                None => all.push((row.name(), counts)),
                Some((_, least)) => *least = least.least(counts),
            }
        }
    }
    Ok(all)
}

/// Why nothing can be counted on this machine, and what would help.
fn why_not() -> Result<Option<String>> {
    if !cfg!(target_os = "linux") {
        return Ok(Some("this is not Linux".into()));
    }
    let is_there = |program: &str| {
        let mut version = Command::new(program);
        version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    };
    if let Some((program, package)) = PROGRAMS.iter().find(|(program, _)| !is_there(program)) {
        return Ok(Some(format!("`{program}` is not on the PATH (Debian: {package})")));
    }
    let processor = fs::read_to_string("/proc/cpuinfo").context("cannot read /proc/cpuinfo")?;
    Ok(has_avx512(&processor).then(|| {
        "plugins are compiled for this processor, which has AVX-512, and valgrind runs no such code".into()
    }))
}

/// Whether proc_cpuinfo(5) names instructions that the compiler of plugins uses and valgrind 3 has not.
fn has_avx512(processor: &str) -> bool {
    processor.split_ascii_whitespace().any(|flag| flag.starts_with("avx512"))
}

fn build(profile: Profile) -> Result<()> {
    match profile {
        Profile::Dev => dev_host::build_whole(),
        Profile::Release => step(
            "building the host in release (the first time takes minutes)",
            &mut host_cargo(["build", "--release", "--workspace", "--bins", "--features", "xtask/bench"])?,
            "the compiler's messages above say what to mend",
        ),
    }
}

fn program(profile: Profile) -> PathBuf {
    match profile {
        Profile::Dev => dev_host::program(),
        Profile::Release => target_folder().join("release").join("jackfield"),
    }
}

/// The same command in a process group of its own, so that no host outlives it, whichever way it ends.
fn run_in_a_group(this: &Path) -> Result<()> {
    let what = "counting";
    let mut command = Command::new(this);
    command.args(env::args_os().skip(1)).arg("--built").stdin(Stdio::null());
    announce(what, &command);
    match run_until(&mut command, DEADLINE).with_context(|| cannot_start(what, &command))? {
        End::Exited(status) if status.success() => Ok(()),
        End::Exited(_) => bail!("{what} failed, as it says above"),
        End::Deadline => bail!("{what} did not end within {} min, and was ended", DEADLINE.as_secs() / 60),
        End::Interrupted => bail!("{what} was interrupted"),
    }
}

/// Where callgrind's data is left.
fn folder(profile: Profile) -> PathBuf {
    target_folder().join("counts").join(profile.name())
}

fn history_file() -> PathBuf {
    workspace_root().join("docs").join("counts.csv")
}

/// A site with a plugin and a route for each row, `/` and its name. Slots are few and small, for valgrind leaves little address space.
pub(crate) fn site() -> String {
    let mut site = r#"[host]
listen = ["127.0.0.1:0"]
concurrency = 4
[host.limits]
memory = "32MiB"
[tenants.counts]
hosts = ["*"]
"#
    .to_owned();
    for row in Row::value_variants() {
        site += &format!(
            r#"[tenants.counts.plugins.{name}]
component = {component:?}
{instances}
limits = {{ cpu = "10s", wall = "60s", memory = "16MiB" }}
[[tenants.counts.routes]]
path = "/{name}"
plugin = "{name}"
"#,
            name = row.name(),
            component = guests::component(row.guest()),
            instances = row.instances(),
        );
    }
    site
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::{Row, has_avx512};

    #[test]
    fn a_row_is_called_alike_on_the_command_line_and_in_tables() {
        for row in Row::value_variants() {
            assert_eq!(row.to_possible_value().unwrap().get_name(), row.name());
        }
    }

    #[test]
    fn a_processor_whose_code_valgrind_does_not_run_is_told() {
        assert!(has_avx512("flags\t\t: fpu avx2 avx512f avx512dq\n"));
        assert!(!has_avx512("model name\t: AMD EPYC\nflags\t\t: fpu avx avx2 erms\n"));
    }
}
