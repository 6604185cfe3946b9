//! `docs/publishing.md` is true: its files are written, its commands run in order, and each prints what the page says.
//!
//! On the page, a line that ends with a name in backquotes and a colon stands before the content of that file, and a
//! block `console` has commands, each with what it prints. There `[..]` stands for any text on a line, and `...` for any
//! lines.

use std::path::Path;
use std::process::{Command, Stdio};

use jackfield_tests::{Process, guest, program};

const PAGE: &str = include_str!("../../docs/publishing.md");

/// The addresses on the page, in the order in which the host binds them.
const ADDRESSES: [&str; 2] = ["127.0.0.1:8080", "127.0.0.1:9090"];

/// A part of the page that is tried.
enum Step {
    File { name: String, text: String },
    Command { line: String, prints: String },
}

/// The parts of the page that are tried, in order.
fn steps() -> Vec<Step> {
    let (mut steps, mut lines, mut before) = (Vec::new(), PAGE.lines(), "");
    while let Some(line) = lines.next() {
        let Some(kind) = line.strip_prefix("```").filter(|kind| !kind.is_empty()) else {
            before = if line.is_empty() { before } else { line };
            continue;
        };
        let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
        if kind == "console" {
            for line in block {
                match (line.strip_prefix("$ "), steps.last_mut()) {
                    (Some(line), _) => steps.push(Step::Command { line: line.into(), prints: String::new() }),
                    (None, Some(Step::Command { prints, .. })) => *prints += &format!("{line}\n"),
                    (None, _) => panic!("nothing printed this: {line}"),
                }
            }
        } else if let Some(name) = before.strip_suffix("`:").and_then(|before| before.rsplit('`').next()) {
            steps.push(Step::File { name: name.into(), text: block.join("\n") + "\n" });
        }
    }
    steps
}

/// Runs a command of the page in `folder`. Returns what it prints, on either output, as whole lines.
fn run(folder: &Path, line: &str) -> String {
    let path = format!("{}:{}", program().parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    let shell = shell.args(["-c", &format!("exec 2>&1\n{line}")]).current_dir(folder).env("PATH", path);
    let shell = shell.env("XDG_CONFIG_HOME", folder.join("config")).env_remove("JACKFIELD_HOST");
    let output = shell.stdin(Stdio::null()).output().expect("there is a shell");
    let mut printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if !printed.is_empty() && !printed.ends_with('\n') {
        printed.push('\n');
    }
    printed
}

#[test]
fn the_page_says_what_happens() {
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!(
            "SKIPPED publishing: the commands of docs/publishing.md were not run, because curl is missing"
        );
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("shop")).unwrap();
    for name in ["bookstore", "rate_limit"] {
        let file = format!("{name}.wasm");
        std::fs::copy(guest(&file), folder.path().join("shop").join(&file)).unwrap();
    }
    let mut host: Option<Process> = None;
    let mut found: Vec<String> = Vec::new();
    for step in steps() {
        let at_hand = |text: &str| {
            let known = ADDRESSES.iter().zip(&found);
            known.fold(text.to_owned(), |text, (written, is)| text.replace(written, is))
        };
        match step {
            Step::File { name, text } => {
                let text = ADDRESSES.iter().fold(text, |text, written| text.replace(written, "127.0.0.1:0"));
                std::fs::write(folder.path().join(name), text).unwrap();
            }
            Step::Command { line, .. } if line == "jackfield serve" => {
                let process = Process::start(folder.path(), ["serve"]);
                let admin = process.wait_for_line("admin API address=127.");
                let admin = admin.rsplit("address=").next().unwrap_or_default().to_owned();
                found = vec![process.address().to_string(), admin];
                host = Some(process);
            }
            Step::Command { line, prints } => {
                let printed = found
                    .iter()
                    .zip(ADDRESSES)
                    .fold(run(folder.path(), &at_hand(&line)), |printed, (is, written)| {
                        printed.replace(is.as_str(), written)
                    });
                // Wide enough to be copied onto the page.
                println!("$ {line}\n{printed}");
                snapbox::assert_data_eq!(printed, prints);
            }
        }
    }
    assert!(host.is_some(), "the page starts no host");
}
