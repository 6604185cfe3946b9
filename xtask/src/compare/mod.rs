//! `cargo xtask compare`: what becomes of a hostile guest on this host, and on `wasmtime serve`.
//!
//! Owns which guests are run where, and the page of what was observed. Outcomes alone: nothing here is timed against
//! anything, and no build fails over it. Each guest meets a server of its own, so that none spoils the next one's.

mod seen;

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hostile_guests::{CUTS, Form, Guest, Source};
use tempfile::TempDir;

use crate::bench::server::Server;
use crate::bench::wasmtime;
use crate::cargo::workspace_root;
use crate::{guests, host};
use seen::{End, Seen};

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a server whose caller has gone is looked at, and how often.
const AFTERWARDS: Duration = Duration::from_millis(1500);
const LOOKS: u32 = 15;

/// Less than this in that time is no computing. Other programs may have most of the machine.
const COMPUTING: Duration = Duration::from_millis(50);

/// What `wasmtime serve` needs for guests with a standard library.
const DEFAULTS: &[&str] = &["-S", "cli"];

/// Its own limits, set to what the host's are by default or less.
const LIMITED: &[&str] = &[
    "-S",
    "cli,max-resources=4096,max-component-handles=4096,hostcall-fuel=26214400,max-random-size=65536,\
     max-http-fields-size=65536",
    "-W",
    "timeout=1s,max-memory-size=16777216,max-table-elements=100000",
];

/// Families that are left out: what they do reaches for other machines.
const LEFT_OUT: &[&str] = &["reach"];

/// Run the hostile guests on this host and on `wasmtime serve`, and write docs/comparison.md.
///
/// Those that are `wasi:http` handlers, or can be. Installs wasmtime under target/tools on first use, which takes ten
/// minutes or more; a run takes some ten. All traffic is on the loopback. Linux only.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only guests with this in their name; prints the table instead of writing the page
    #[arg(long)]
    only: Option<String>,
}

/// A guest as it is run everywhere.
struct Subject {
    family: String,
    name: String,
    does: String,
    component: PathBuf,
    path: String,
    limits: String,
    calls: u32,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    ensure!(cfg!(target_os = "linux"), "CPU times and memory are read from /proc, which only Linux has");
    let program = wasmtime::ensure()?;
    guests::build(&["guest-http"])?;
    host::build()?;
    let folder = tempfile::tempdir().context("cannot make a folder for the guests")?;
    let mut subjects = subjects(&folder)?;
    if let Some(only) = &arguments.only {
        subjects.retain(|subject| format!("{}/{}", subject.family, subject.name).contains(only));
    }

    let mut page = introduction();
    let mut family = "";
    for subject in &subjects {
        if subject.family != family {
            family = &subject.family;
            let _ = write!(page, "\n## {family}\n\n{HEAD}");
        }
        eprintln!("    {family}/{}", subject.name);
        let ours = observe(Server::jackfield(host::program(), &site(subject)), subject)?;
        let serve = |arguments| observe(Server::wasmtime(&program, &subject.component, arguments), subject);
        let (default, limited) = (serve(DEFAULTS)?, serve(LIMITED)?);
        let _ = writeln!(page, "| `{}` | {} | {ours} | {default} | {limited} |", subject.name, subject.does);
    }
    if arguments.only.is_some() {
        println!("{page}");
        return Ok(());
    }
    let file = workspace_root().join("docs/comparison.md");
    fs::write(&file, page).with_context(|| format!("cannot write {}", file.display()))?;
    eprintln!("==> written: {}", file.display());
    Ok(())
}

/// Every guest that is a `wasi:http` handler; those made of text are written into `folder`.
fn subjects(folder: &TempDir) -> Result<Vec<Subject>> {
    let streaming = guests::component("guest-http");
    let mut subjects = Vec::new();
    for guest in hostile_guests::all()?.into_iter().filter(|guest| !LEFT_OUT.contains(&guest.family)) {
        let (component, path) = match &guest.source {
            Source::Text(text) if guest.forms.contains(&Form::Http) => {
                (write(folder, &guest, &Guest::component(text, Form::Http)?)?, "/".to_owned())
            }
            Source::Built { file, path } if streaming.ends_with(file) => (streaming.clone(), path.clone()),
            _ => continue,
        };
        subjects.push(Subject {
            family: guest.family.to_owned(),
            name: guest.name.trim_end_matches("-http").to_owned(),
            does: guest.does.clone(),
            component,
            path,
            limits: guest.site_limits(),
            // Elsewhere once shows it, and where nothing bounds memory each call would take as much again.
            calls: if guest.family == "state" { guest.calls } else { 1 },
        });
    }
    for cut in CUTS {
        for (framing, length) in [("chunked", None), ("sized", Some(1000))] {
            subjects.push(Subject {
                family: "after the head and a part of the body".to_owned(),
                name: format!("{}, {framing}", cut.then),
                does: cut.does.to_owned(),
                component: streaming.clone(),
                path: cut.path(length),
                limits: r#"cpu = "20ms", stream = "300ms", memory = "16MiB""#.to_owned(),
                calls: 1,
            });
        }
    }
    Ok(subjects)
}

fn write(folder: &TempDir, guest: &Guest, bytes: &[u8]) -> Result<PathBuf> {
    let file = folder.path().join(format!("{}-{}.wasm", guest.family, guest.name));
    fs::write(&file, bytes).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

fn site(subject: &Subject) -> String {
    let routes = ["/", "/{*rest}"]
        .map(|path| format!("[[tenants.mean.routes]]\npath = \"{path}\"\nplugin = \"guest\"\n"));
    format!(
        "[host]\nlisten = [\"127.0.0.1:0\"]\n[tenants.mean]\nhosts = [\"*\"]\n[tenants.mean.plugins.guest]\n\
         component = \"{}\"\nlimits = {{ {} }}\n{}",
        subject.component.display(),
        subject.limits,
        routes.concat()
    )
}

/// What its caller saw and, if it has not ended with its answer, what it goes on to cost.
fn observe(server: Result<Server>, subject: &Subject) -> Result<String> {
    let server = match server {
        Ok(server) => server,
        // A guest that a server does not start with has lost.
        Err(refused) => return Ok(format!("refused at start: {}", last_words(&refused))),
    };
    for _ in 1..subject.calls {
        Seen::of(server.address(), &subject.path, PATIENCE)?;
    }
    let seen = Seen::of(server.address(), &subject.path, PATIENCE)?;
    let mut said = seen.to_string();
    if seen.end == End::Open {
        let _ = write!(said, " within {} s", PATIENCE.as_secs());
    }
    // Whose failure was told has ended.
    if seen.end != End::Whole || seen.status.is_some_and(|status| status < 400) {
        if computes_on(&server)? {
            said += "; computes on";
        }
        let mib = server.resident_bytes()? >> 20;
        if mib > 256 {
            let _ = write!(said, "; {mib} MiB are held");
        }
    }
    Ok(said)
}

fn computes_on(server: &Server) -> Result<bool> {
    let before = server.cpu_time()?;
    for _ in 0..LOOKS {
        thread::sleep(AFTERWARDS / LOOKS);
        if server.cpu_time()?.saturating_sub(before) > COMPUTING {
            return Ok(true);
        }
    }
    Ok(false)
}

fn last_words(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    text.lines().last().unwrap_or_default().trim().replace('|', "\\|")
}

fn introduction() -> String {
    let arguments = |arguments: &[&str]| arguments.join(" ");
    format!(
        "\
# The same guests on `wasmtime serve`

What a caller saw, and what the server went on to cost: observed by `cargo xtask compare`, which writes this page. Of the
[hostile guests](hostile.md) those that are `wasi:http` handlers, or can be; each on a server of its own, one request
each. \"No answer within {patience} s\" is as long as the caller waited. \"Computes on\": in the second and a half
after the caller had left, the server used more than 50 ms of CPU. Memory is told above 256 MiB resident. With 299 a
guest says that it got what it should not.

| column | is |
|---|---|
| Jackfield | the limits of [hostile.md](hostile.md) |
| `serve` | wasmtime {version}: `wasmtime serve {}` |
| `serve`, limited | the same with its own limits set: `wasmtime serve {}` |
",
        arguments(DEFAULTS),
        arguments(LIMITED),
        patience = PATIENCE.as_secs(),
        version = wasmtime::VERSION,
    )
}

const HEAD: &str = "| guest | does | Jackfield | `serve` | `serve`, limited |\n|---|---|---|---|---|\n";
