//! `cargo xtask demo`: the demo bookshop, from a fresh clone to a first answer.
//!
//! The site is `examples/demo/site.toml`. Once all is built this process *becomes* the host: signals reach it
//! directly, and its exit code is the command's.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};

use crate::cargo::{announce, cannot_start, target_folder, workspace_root};
use crate::{guests, host};

/// The packages whose components the demo's site file names.
const PLUGINS: [&str; 4] = ["bookstore", "rate-limit", "redirect", "static-files"];

/// The site file, relative to the workspace's root.
const SITE: &str = "examples/demo/site.toml";

/// The port that the site file names; the probes have the one after it.
const SITE_PORT: u16 = 8080;

/// Build the host and four plugins, and serve the demo bookshop until Ctrl-C.
///
/// The site is examples/demo/site.toml: edit it, or a plugin, while the demo runs. Adds Rust's target
/// wasm32-wasip2 if it is missing. The shop's data is kept in examples/demo/.jackfield.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Where to listen on 127.0.0.1; the port after it is for metrics. Another than 8080 serves a copy of the
    /// site file, made anew at each start, with data of its own
    #[arg(long, default_value_t = SITE_PORT, value_parser = clap::value_parser!(u16).range(1..=65534))]
    port: u16,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    guests::build(&PLUGINS)?;
    host::build()?;

    let site = if arguments.port == SITE_PORT { PathBuf::from(SITE) } else { copy_for(arguments.port)? };
    let mut command = Command::new(host::program());
    command.current_dir(workspace_root()).arg("serve").arg("--config").arg(&site);
    let what = "starting the host";
    announce(what, &command);
    eprintln!("{}", invitation(arguments.port, &site));
    // Returns only if it fails.
    Err(command.exec()).with_context(|| cannot_start(what, &command))
}

/// The site file at another port, beside state of its own. Relative to the workspace's root, as `SITE` is.
fn copy_for(port: u16) -> Result<PathBuf> {
    let original = workspace_root().join(SITE);
    let text =
        fs::read_to_string(&original).with_context(|| format!("cannot read {}", original.display()))?;
    let moved = moved_to(port, &text, &target_folder(), workspace_root())?;

    let copy = Path::new("examples/demo/.jackfield").join(format!("port-{port}")).join("site.toml");
    let absolute = workspace_root().join(&copy);
    if let Some(folder) = absolute.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    fs::write(&absolute, moved).with_context(|| format!("cannot write {}", absolute.display()))?;
    Ok(copy)
}

/// The text of the site file with its two addresses moved, and its components and its page named from any folder.
fn moved_to(port: u16, site: &str, target: &Path, root: &Path) -> Result<String> {
    let text_of = |path: &Path| {
        path.to_str().map(str::to_owned).ok_or_else(|| anyhow!("{} is not UTF-8", path.display()))
    };
    let changes = [
        (address(SITE_PORT), address(port)),
        (address(SITE_PORT + 1), address(port + 1)),
        ("../../target/".to_owned(), format!("{}/", text_of(target)?)),
        ("../site/public".to_owned(), text_of(&root.join("examples/site/public"))?),
    ];
    let mut text = site.to_owned();
    for (from, to) in changes {
        if !text.contains(&from) {
            bail!(
                "cannot move the demo to port {port}: {SITE} does not say `{from}` any more\n  \
                 set the port there, and run the demo without --port"
            );
        }
        text = text.replace(&from, &to);
    }
    Ok(text)
}

fn address(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

/// What to try in another terminal.
fn invitation(port: u16, site: &Path) -> String {
    let shop = format!("http://{}", address(port));
    let probes = format!("http://{}", address(port + 1));
    let site = site.display();
    let in_place = if cfg!(target_os = "macos") { "sed -i ''" } else { "sed -i" };
    format!(
        r#"
The bookshop:   {shop}/
Its API:        {shop}/api/books
Its metrics:    {probes}/metrics
Its site file:  {site}

As soon as it is listening, open the shop in a browser, or try in another terminal:

  1. list the books, then add one as an editor
     curl -i {shop}/api/books
     curl -i {shop}/api/books -H 'authorization: Bearer editor-demo-token' \
       -H 'content-type: application/json' \
       -d '{{"isbn":"9780131103627","title":"C","author":"Brian Kernighan","price_cents":4999}}'

  2. swap: send an old address somewhere else while the host runs
     curl -si {shop}/bestsellers | grep -i location
     {in_place} 's|^"/bestsellers" = .*|"/bestsellers" = "302 /api/books"|' {site}
     sleep 1; curl -si {shop}/bestsellers | grep -i location

  3. swap: edit plugins/bookstore/src/lib.rs, then build it; the host notices
     cargo plugin bookstore

  4. change a file of the page in examples/site/public, and load the page again

Ctrl-C ends the demo.
"#
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{PLUGINS, SITE_PORT, invitation, moved_to};
    use crate::guests::component;

    const SITE_TEXT: &str = include_str!("../../examples/demo/site.toml");

    #[test]
    fn the_site_file_can_be_moved_to_another_port() {
        let moved = moved_to(9000, SITE_TEXT, Path::new("/clone/target"), Path::new("/clone")).unwrap();
        for there in [
            "127.0.0.1:9000",
            "127.0.0.1:9001",
            "\"/clone/target/wasm32-wasip2/plugin/",
            "\"/clone/examples/site/public\"",
        ] {
            assert!(moved.contains(there), "no {there} in\n{moved}");
        }
        for gone in ["8080", "8081", "../"] {
            assert!(!moved.contains(gone), "still {gone} in\n{moved}");
        }
    }

    #[test]
    fn a_site_file_at_other_addresses_is_not_moved_silently() {
        let failure =
            moved_to(9000, "listen = [\"[::1]:8080\"]", Path::new("/clone/target"), Path::new("/clone"))
                .unwrap_err();
        assert!(failure.to_string().contains("127.0.0.1:8080"), "{failure}");
    }

    #[test]
    fn the_site_file_names_the_components_that_are_built_for_it() {
        for package in PLUGINS {
            let file = component(package);
            let file = file.file_name().unwrap().to_str().unwrap();
            assert!(SITE_TEXT.contains(&format!("../../target/wasm32-wasip2/plugin/{file}")), "no {file}");
        }
    }

    #[test]
    fn the_swap_that_is_shown_finds_its_place_in_the_site_file() {
        let rule = "\"/bestsellers\" = ";
        assert!(invitation(SITE_PORT, Path::new("site.toml")).contains(&format!("s|^{rule}")));
        assert_eq!(SITE_TEXT.lines().filter(|line| line.starts_with(rule)).count(), 1);
    }
}
