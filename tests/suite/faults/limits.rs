//! Limits that a machine has for a process: threads, address space.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use jackfield_tests::program;
use tempfile::TempDir;

use super::faulty::start_by;
use super::{Expected, Table, skip, warm};

/// A user who runs nothing else: root has no limit of processes.
const USER: &str = "54321";

/// Of so many threads and processes none are enough for a host.
const TOO_FEW: [u32; 8] = [1, 2, 3, 4, 5, 6, 9, 12];

fn becoming_the_user(then: &[&str]) -> Vec<String> {
    let become_it = ["setpriv", "--reuid", USER, "--regid", USER, "--clear-groups"];
    become_it.iter().chain(then).map(|word| (*word).to_owned()).collect()
}

/// Why no host can be run as that user here.
fn why_no_user() -> Option<String> {
    let tried = becoming_the_user(&["prlimit", "--nproc=100", "test", "-x"]);
    let tried = Command::new(&tried[0]).args(&tried[1..]).arg(program()).stdin(Stdio::null()).output();
    match tried {
        Err(error) => Some(format!("`setpriv` cannot be started: {error}")),
        Ok(tried) if !tried.status.success() => {
            let said = String::from_utf8_lossy(&tried.stderr).trim().to_owned();
            Some(format!("user {USER} may not be become, or may not run {}: {said}", program().display()))
        }
        Ok(_) => None,
    }
}

fn give_to_the_user(folder: &Path) {
    let given = Command::new("chown").args(["-R", &format!("{USER}:{USER}")]).arg(folder).status();
    assert!(given.unwrap().success());
}

#[test]
fn a_host_with_too_few_processes_for_its_user_says_so_and_ends() {
    const TITLE: &str = "threads: `ulimit -u`";
    if let Some(why) = why_no_user() {
        return skip(TITLE, &why);
    }
    let folder = warm();
    give_to_the_user(folder.path());
    let mut table = Table::default();
    for most in TOO_FEW {
        let by = becoming_the_user(&["prlimit", &format!("--nproc={most}")]);
        let expected = Expected::Refuses("threads and processes at the least, and the system gives");
        table.add(&format!("--nproc={most}"), expected, &start_by(folder.path(), by));
    }
    let by = becoming_the_user(&["prlimit", "--nproc=200"]);
    table.add("--nproc=200", Expected::Serves(""), &start_by(folder.path(), by));
    table.end(TITLE);
}

/// A cgroup that is removed with it.
struct Cgroup(PathBuf);

impl Cgroup {
    /// One of either kind, or why there is none.
    fn new() -> Result<Self, String> {
        let roots = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"];
        let mut why = String::new();
        for root in roots {
            let folder = Path::new(root).join(format!("jackfield-suite-{}", std::process::id()));
            match std::fs::create_dir(&folder) {
                Ok(()) => {
                    let cgroup = Self(folder);
                    match cgroup.allow("max") {
                        Ok(()) => return Ok(cgroup),
                        Err(error) => why = format!("{}: {error}", cgroup.0.join("pids.max").display()),
                    }
                }
                Err(error) => why = format!("{}: {error}", folder.display()),
            }
        }
        Err(why)
    }

    fn allow(&self, most: &str) -> std::io::Result<()> {
        // Not made anew: where there is no such limit, there is no such file.
        let file = std::fs::File::options().write(true).open(self.0.join("pids.max"))?;
        std::io::Write::write_all(&mut &file, most.as_bytes())
    }

    fn entering(&self) -> Vec<String> {
        let script = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", self.0.display());
        ["sh", "-c", &script, "sh"].map(str::to_owned).into()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn a_host_with_too_few_threads_in_its_cgroup_says_so_and_ends() {
    const TITLE: &str = "threads: `pids.max` of a cgroup";
    let cgroup = match Cgroup::new() {
        Ok(cgroup) => cgroup,
        Err(why) => return skip(TITLE, &why),
    };
    let folder = warm();
    let mut table = Table::default();
    for most in TOO_FEW {
        cgroup.allow(&most.to_string()).unwrap();
        let told = Expected::Refuses("`TasksMax=` (`pids.max` of the cgroup) is ");
        table.add(&format!("pids.max={most}"), told, &start_by(folder.path(), cgroup.entering()));
    }
    cgroup.allow("200").unwrap();
    table.add("pids.max=200", Expected::Serves(""), &start_by(folder.path(), cgroup.entering()));
    table.end(TITLE);
}

/// Sets the host's `concurrency`, and other keys.
fn settings(folder: &TempDir, concurrency: u32, others: &str) {
    let file = folder.path().join("site.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with("concurrency = "));
    let text = lines.collect::<Vec<_>>().join("\n");
    let (before, after) = text.split_once("[host]").unwrap();
    std::fs::write(&file, format!("{before}[host]\nconcurrency = {concurrency}\n{others}\n{after}")).unwrap();
}

#[test]
fn a_host_with_little_address_space_serves_with_smaller_memories_or_says_which_would_fit() {
    let mut table = Table::default();
    let folder = warm();
    let limited = |gib: u32| vec!["prlimit".to_owned(), format!("--as={}", u64::from(gib) << 30)];
    let told = Expected::Refuses("`memory` of [host.limits]");
    settings(&folder, 1000, "");
    table.add("--as=16GiB, concurrency = 1000", told, &start_by(folder.path(), limited(16)));
    let outcome = start_by(folder.path(), limited(1024));
    table.add("--as=1TiB, concurrency = 1000", told, &outcome);
    let fits = outcome.said.rsplit("`concurrency = ").next().and_then(|rest| rest.split('`').next());
    let fits: u32 = fits.and_then(|fits| fits.parse().ok()).expect("it says what would fit");
    settings(&folder, fits, "");
    let outcome = start_by(folder.path(), limited(1024));
    table.add(&format!("--as=1TiB, concurrency = {fits}"), Expected::Serves(""), &outcome);
    settings(&folder, 20, "limits = { memory = \"64MiB\" }");
    let outcome = start_by(folder.path(), limited(16));
    table.add("--as=16GiB, concurrency = 20, memory = 64MiB", Expected::Serves(""), &outcome);
    table.end("address space: `ulimit -v`");
}
