//! Many plugins that are seldom asked: what each weighs, how long a host takes to start with them, and how long the first
//! request of one takes.
//!
//! Every plugin has an artifact of its own, by a section with its number; 100 of them are one tenant's. The host is started
//! with an empty cache of compiled code, and then again.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use super::caller::Caller;
use super::latency::Latencies;
use super::server::Server;
use super::{build_servers, release};
use crate::guests;

/// A plugin without a standard library, and one with it, both the smallest of their kind.
const GUESTS: [(&str, &str); 2] = [("lean, 7 KB", "guest-hello"), ("wasi:http with std", "guest-works-http")];

const PLUGINS_OF_A_TENANT: u32 = 100;

/// The longest start, for each plugin that has to be compiled.
const START_OF_A_PLUGIN: Duration = Duration::from_millis(200);

/// The plugins of which the first request is measured.
const ASKED: u32 = 500;

/// The time until memory is looked at: by then what a start has used is given back.
const SETTLING: Duration = Duration::from_secs(3);

/// The time after which an instance that waits for a call is gone, and then the code that nobody has used since.
const UNUSED_GONE: Duration = Duration::from_secs(12 + 60);

/// Measure many plugins that are seldom asked: memory, start, first request.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Arguments {
    /// How many plugins the host has, each with an artifact of its own
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(100..=100_000))]
    plugins: u32,
    /// Only guests with this in their name
    #[arg(long, value_name = "GUEST")]
    only: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    guests::build(&GUESTS.map(|(_, guest)| guest))?;
    build_servers()?;
    let is_wanted = |guest: &str| arguments.only.as_ref().is_none_or(|part| guest.contains(part.as_str()));
    println!(
        "| {} plugins | cold start | start from the cache | KiB each, idle | each was asked once | first request p50, p99, most | resident, one plugin alone |",
        arguments.plugins
    );
    println!("|---|---|---|---|---|---|---|");
    for (name, guest) in GUESTS.into_iter().filter(|(_, guest)| is_wanted(guest)) {
        println!("| {name} | {} |", measure(guest, arguments.plugins)?);
    }
    println!("\nagain: cargo xtask bench density --plugins {}", arguments.plugins);
    Ok(())
}

/// One row of the table, without its name.
fn measure(guest: &str, plugins: u32) -> Result<String> {
    let alone = Site::write(guest, 1)?;
    let (server, _) = alone.start()?;
    thread::sleep(SETTLING);
    let one_bytes = server.resident_bytes()?;
    drop(server);

    let site = Site::write(guest, plugins)?;
    eprintln!("==> {plugins} plugins like {guest}: compiling");
    let (server, cold) = site.start()?;
    drop(server);
    eprintln!("==> {plugins} plugins like {guest}: from the cache");
    let (server, warm) = site.start()?;
    thread::sleep(SETTLING);
    let each_kib = |bytes: u64| bytes.saturating_sub(one_bytes) as f64 / 1024.0 / f64::from(plugins - 1);
    let idle = each_kib(server.resident_bytes()?);

    let mut first = Latencies::default();
    for number in 0..plugins {
        let mut caller = Caller::connect(server.address(), &tenant_of(number))?;
        let began = Instant::now();
        let (status, body) = caller.get(&format!("/{number}"))?;
        ensure!(status == 200, "plugin {number} answered {status}: {body}");
        if number < ASKED {
            first.add(began.elapsed());
        }
    }
    thread::sleep(UNUSED_GONE);
    let asked = each_kib(server.resident_bytes()?);
    Ok(format!(
        "{:.1} s | {:.2} s | {idle:.1} | {asked:.1} | {:.2} ms, {:.2} ms, {:.2} ms | {:.1} MiB",
        cold.as_secs_f64(),
        warm.as_secs_f64(),
        first.percentile_ms(50),
        first.percentile_ms(99),
        first.percentile_ms(100),
        one_bytes as f64 / f64::from(1 << 20),
    ))
}

fn tenant_of(number: u32) -> String {
    format!("tenant-{}", number / PLUGINS_OF_A_TENANT)
}

/// A folder with a site file, its components, and what the host keeps.
struct Site {
    folder: TempDir,
    plugins: u32,
}

impl Site {
    fn write(guest: &str, plugins: u32) -> Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a folder for the bench's site")?;
        let component = fs::read(guests::component(guest)).context("cannot read a component")?;
        let mut text = String::from("[host]\nlisten = [\"127.0.0.1:0\"]\n");
        for number in 0..plugins {
            let file = folder.path().join(format!("{number}.wasm"));
            fs::write(&file, numbered(&component, number)).context("cannot write a component")?;
            if number % PLUGINS_OF_A_TENANT == 0 {
                let tenant = tenant_of(number);
                write!(text, "[tenants.{tenant}]\nhosts = [\"{tenant}\"]\n")?;
            }
            write!(
                text,
                "[tenants.{tenant}.plugins.p{number}]\ncomponent = \"{number}.wasm\"\n\
                 [[tenants.{tenant}.routes]]\npath = \"/{number}\"\nplugin = \"p{number}\"\n",
                tenant = tenant_of(number)
            )?;
        }
        fs::write(file_in(folder.path()), text).context("cannot write the site file")?;
        Ok(Self { folder, plugins })
    }

    /// A host of the site, and the time until it listens.
    fn start(&self) -> Result<(Server, Duration)> {
        let patience = Duration::from_secs(20) + START_OF_A_PLUGIN * self.plugins;
        let began = Instant::now();
        let server = Server::jackfield_with(release("jackfield"), &file_in(self.folder.path()), patience)?;
        Ok((server, began.elapsed()))
    }
}

fn file_in(folder: &Path) -> PathBuf {
    folder.join("site.toml")
}

/// The component with a custom section that holds a number, so that no other has the same digest.
fn numbered(component: &[u8], number: u32) -> Vec<u8> {
    let name = b"number";
    let content = [&[name.len() as u8], &name[..], &number.to_le_bytes()].concat();
    [component, &[0, content.len() as u8], &content].concat()
}
