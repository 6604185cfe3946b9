//! Which files may change, and the thread that reloads when they do.
//!
//! Editors and `cargo build` replace files, so folders are watched, not files; and what a folder says is
//! only a hint: the files' stamps decide whether anything is read. A folder that is gone (`cargo clean`)
//! says nothing any more, so the stamps are looked at every two seconds as well.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};

use super::Deployer;
use crate::observe::Log;

/// How often stamps are looked at when nothing is heard.
const POLL: Duration = Duration::from_secs(2);

/// A change is complete when nothing was heard for so long; a linker writes for a while.
const QUIET: Duration = Duration::from_millis(50);

/// The longest that the quiet is waited for.
const MAX_UNREST: Duration = Duration::from_secs(1);

/// Why files cannot be watched.
#[derive(Debug, thiserror::Error)]
#[error("cannot watch the site's files for changes")]
pub struct WatchError(#[source] std::io::Error);

/// Reloads when told to, and when a file changes.
pub struct Watcher {
    wake: Sender<Wake>,
    thread: Option<JoinHandle<()>>,
}

enum Wake {
    /// Something happened in a watched folder.
    Heard,
    /// Reload now, changed or not.
    Reload,
    Stop,
}

impl Watcher {
    /// Starts watching.
    pub fn start(deployer: Arc<Deployer>, log: Log) -> Result<Self, WatchError> {
        let (wake, woken) = channel();
        let heard = wake.clone();
        let run = move || Watch { folders: Folders::new(heard, &log), deployer }.run(&woken);
        let thread = std::thread::Builder::new().name("deploy".into()).spawn(run).map_err(WatchError)?;
        Ok(Self { wake, thread: Some(thread) })
    }

    /// Reloads now, whether or not a file has changed.
    pub fn reload(&self) {
        // A thread that has ended reloads nothing; it ends with this watcher only.
        let _ = self.wake.send(Wake::Reload);
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.wake.send(Wake::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Watch {
    deployer: Arc<Deployer>,
    folders: Folders,
}

impl Watch {
    fn run(mut self, woken: &Receiver<Wake>) {
        let mut files = self.deployer.files();
        self.folders.watch(&files);
        let mut stamps = Stamp::of_all(&files);
        loop {
            let is_told = match woken.recv_timeout(POLL) {
                Ok(Wake::Reload) => true,
                Ok(Wake::Heard) => match until_quiet(woken) {
                    Some(is_told) => is_told,
                    None => return,
                },
                Err(RecvTimeoutError::Timeout) => false,
                Ok(Wake::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            };
            let now = Stamp::of_all(&files);
            if !is_told && now == stamps {
                continue;
            }
            // Stamps are from before the reading: a file that changes while it is read differs next time.
            stamps = now;
            self.deployer.reload();
            let next = self.deployer.files();
            if next != files {
                stamps = Stamp::of_all(&next);
                files = next;
            }
            self.folders.watch(&files);
        }
    }
}

/// Waits until nothing more is heard. Whether a reload was asked for meanwhile; none to stop.
fn until_quiet(woken: &Receiver<Wake>) -> Option<bool> {
    let began = Instant::now();
    let mut is_told = false;
    while began.elapsed() < MAX_UNREST {
        match woken.recv_timeout(QUIET) {
            Ok(Wake::Heard) => {}
            Ok(Wake::Reload) => is_told = true,
            Ok(Wake::Stop) | Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) => break,
        }
    }
    Some(is_told)
}

/// What a file looked like from outside.
#[derive(Debug, PartialEq, Eq)]
struct Stamp(Option<(SystemTime, u64, u64)>);

impl Stamp {
    fn of_all(files: &[PathBuf]) -> Vec<Self> {
        files.iter().map(|file| Self::of(file)).collect()
    }

    fn of(file: &Path) -> Self {
        use std::os::unix::fs::MetadataExt;
        let metadata = std::fs::metadata(file).ok();
        Self(metadata.and_then(|metadata| Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))))
    }
}

/// The folders that are watched now.
struct Folders {
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
}

impl Folders {
    fn new(heard: Sender<Wake>, log: &Log) -> Self {
        let tell = move |event: notify::Result<notify::Event>| {
            // Reading is no change, and the reload itself reads.
            let is_read = event.is_ok_and(|event| event.kind.is_access());
            if !is_read {
                let _ = heard.send(Wake::Heard);
            }
        };
        let watcher = notify::recommended_watcher(tell);
        if let Err(error) = &watcher {
            log.warn("file changes are seen late, by looking every two seconds")
                .field("error", format_args!("{error}"))
                .send();
        }
        Self { watcher: watcher.ok(), watched: BTreeSet::new() }
    }

    /// Watches the folders of these files, and of what they link to.
    fn watch(&mut self, files: &[PathBuf]) {
        let Some(watcher) = &mut self.watcher else { return };
        let targets = files.iter().filter_map(|file| file.canonicalize().ok());
        let all = files.iter().cloned().chain(targets);
        let wanted: BTreeSet<_> = all.filter_map(|file| file.parent().map(Path::to_owned)).collect();
        for folder in self.watched.difference(&wanted) {
            // A folder that is gone is no longer watched anyway.
            let _ = watcher.unwatch(folder);
        }
        // One that cannot be watched is tried again next time; the stamps are looked at meanwhile. One
        // that was deleted and made anew has to be watched anew, so all are asked for each time.
        self.watched = wanted
            .into_iter()
            .filter(|folder| watcher.watch(folder, RecursiveMode::NonRecursive).is_ok())
            .collect();
    }
}
