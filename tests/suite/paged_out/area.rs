//! A swap area for one test, of a bounded size, which is switched off again whatever becomes of the test.
//!
//! Owns the file, and the process that guards it: a shell that waits for the test's end by a pipe, so that a test that
//! is killed leaves no swap behind either.

use std::io::Read;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use tempfile::TempDir;

/// Enough for what a small host holds; whatever else the system swaps out meanwhile comes back when it is off.
const AREA_MEBIBYTES: usize = 192;

/// Says `on` or why not; then waits for the end of its input, and takes the area away again.
const GUARD: &str = r#"
trap '' INT TERM HUP
mkswap "$1" >/dev/null 2>&1 || { echo "mkswap fails"; exit; }
swapon "$1" 2>&1 || exit
echo on
cat >/dev/null
swapoff "$1"
"#;

/// The area is on while this lives.
pub(super) struct SwapArea {
    guard: Child,
    lifeline: Option<ChildStdin>,
    _folder: TempDir,
}

impl SwapArea {
    /// Switches one on, or says why it cannot be had here.
    pub(super) fn on() -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("only root may switch swap on".to_owned());
        }
        let folder = TempDir::new().map_err(|error| format!("no folder for it: {error}"))?;
        let file = folder.path().join("swap");
        write_area(&file).map_err(|error| format!("{} cannot be written: {error}", file.display()))?;
        let mut guard = Command::new("sh")
            .args(["-c", GUARD, "sh"])
            .arg(&file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("`sh` does not start: {error}"))?;
        let lifeline = guard.stdin.take();
        let mut area = Self { guard, lifeline, _folder: folder };
        let said = area.first_words();
        if said.trim_end() == "on" { Ok(area) } else { Err(format!("no swap area: {}", said.trim_end())) }
    }

    fn first_words(&mut self) -> String {
        let mut said = vec![0; 512];
        let read = self.guard.stdout.as_mut().map_or(Ok(0), |stdout| stdout.read(&mut said));
        said.truncate(read.unwrap_or(0));
        String::from_utf8_lossy(&said).into_owned()
    }
}

impl Drop for SwapArea {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        let _ = self.guard.wait();
    }
}

/// Whole, for a swap file has no holes, and readable by its owner alone.
fn write_area(file: &Path) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;

    let mut area = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    let mebibyte = vec![0; 1 << 20];
    for _ in 0..AREA_MEBIBYTES {
        area.write_all(&mebibyte)?;
    }
    area.sync_all()
}
