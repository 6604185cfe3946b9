//! The watcher: the folders that are watched, and the thread that reloads when a file changes.
//!
//! Editors and `cargo build` replace files, so folders are watched, not files. Everything is read again when a folder
//! reports that one of the files was written, or when a file's stamp is another one. Links lead into other folders,
//! and a removed folder (`cargo clean`) reports nothing any more, so the stamps are looked at every two seconds as
//! well.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::{Deployer, Follower};
use crate::observe::Log;

/// The time between two looks at the stamps while no event comes.
const POLL: Duration = Duration::from_secs(2);

/// The silence after which a change counts as complete; a linker writes for a while.
const QUIET: Duration = Duration::from_millis(50);

/// The longest time that the silence is waited for.
const MAX_UNREST: Duration = Duration::from_secs(1);

/// The longest wait at the end for a reload that is under way: it reads files, which a slow disk may delay.
const LAST_RELOAD: Duration = Duration::from_secs(1);

/// The reason why files cannot be watched.
#[derive(Debug, thiserror::Error)]
#[error("cannot watch the site's files for changes")]
pub struct WatchError(#[source] std::io::Error);

/// The watcher: reloads on demand, and when a file changes.
pub struct Watcher {
    bell: Arc<WakeUp>,
    deployer: Arc<Deployer>,
}

/// The bell that wakes the thread. Several rings before it wakes count as one, so nothing piles up while it is busy.
#[derive(Default)]
struct WakeUp {
    asked: Mutex<WatchRequests>,
    rung: Condvar,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct WatchRequests {
    /// There was an event in a watched folder.
    to_look: bool,
    /// One of the files was written, whatever its stamp says.
    to_read: bool,
    /// A reload is asked for, whether or not a file has changed.
    to_reload: bool,
    /// The thread is to end.
    to_stop: bool,
    /// The thread has ended.
    has_ended: bool,
}

impl Watcher {
    /// Starts watching.
    pub fn start(deployer: Arc<Deployer>, follower: Follower, log: Log) -> Result<Self, WatchError> {
        let bell = Arc::new(WakeUp::default());
        let run = {
            let (bell, deployer) = (bell.clone(), deployer.clone());
            move || {
                Watch { folders: Folders::new(bell.clone(), &log), deployer, follower }.run(&bell);
                bell.ring(|asked| asked.has_ended = true);
            }
        };
        std::thread::Builder::new().name("deploy".into()).spawn(run).map_err(WatchError)?;
        Ok(Self { bell, deployer })
    }

    /// Reloads now, whether or not a file has changed.
    pub fn reload(&self) {
        self.bell.ring(|asked| asked.to_reload = true);
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.bell.ring(|asked| asked.to_stop = true);
        // A host that stops has no use for the components that are being compiled.
        self.deployer.stop();
        // After this wait, the thread has ended or is left behind.
        self.bell.wait(LAST_RELOAD, |asked| asked.has_ended);
    }
}

impl WakeUp {
    fn ring(&self, ask: impl FnOnce(&mut WatchRequests)) {
        ask(&mut self.asked());
        self.rung.notify_all();
    }

    /// Waits until `is_it` is true, or the time is over. Returns what was asked for until then, and clears the flags
    /// to look, to read and to reload.
    fn wait(&self, time: Duration, is_it: impl Fn(&WatchRequests) -> bool) -> WatchRequests {
        let wait = self.rung.wait_timeout_while(self.asked(), time, |asked| !is_it(asked));
        let (mut asked, _) = wait.unwrap_or_else(PoisonError::into_inner);
        let heard = *asked;
        (asked.to_look, asked.to_read, asked.to_reload) = (false, false, false);
        heard
    }

    fn asked(&self) -> MutexGuard<'_, WatchRequests> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Watch {
    deployer: Arc<Deployer>,
    follower: Follower,
    folders: Folders,
}

impl Watch {
    fn run(mut self, bell: &WakeUp) {
        self.folders.watch(&self.follower.files());
        loop {
            let due = self.follower.is_due_in();
            let asked = bell.wait(due.unwrap_or(POLL).min(POLL), |asked| {
                asked.to_look || asked.to_reload || asked.to_stop
            });
            let is_told = asked.to_reload || asked.to_stop || {
                let is_due = self.follower.is_due_in().is_some_and(|time| time.is_zero());
                if !asked.to_read && !is_due && !self.follower.has_changed() {
                    continue;
                }
                until_quiet(bell)
            };
            if bell.asked().to_stop {
                return;
            }
            if is_told {
                self.follower.reload(&self.deployer);
            } else {
                self.follower.follow(&self.deployer);
            }
            self.folders.watch(&self.follower.files());
        }
    }
}

/// Waits until no more events come, or a reload or the end is asked for. Returns true in the latter case.
fn until_quiet(bell: &WakeUp) -> bool {
    let began = Instant::now();
    while began.elapsed() < MAX_UNREST {
        let asked = bell.wait(QUIET, |asked| asked.to_look || asked.to_reload || asked.to_stop);
        if asked.to_reload || asked.to_stop || !asked.to_look {
            return asked.to_reload || asked.to_stop;
        }
    }
    false
}

/// The folders that are watched now.
struct Folders {
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
    /// The files, under every name that an event may use for them.
    files: Arc<Mutex<BTreeSet<PathBuf>>>,
    log: Log,
    /// True once the log has been told that a folder cannot be watched.
    has_told: bool,
}

/// Returns a watcher whose thread runs: notify 8.2 does not report a thread that failed to start, and panics at any
/// later call to the watcher, its drop included. Only this call gets an answer then.
fn alive(mut watcher: RecommendedWatcher) -> notify::Result<RecommendedWatcher> {
    match watcher.configure(notify::Config::default()) {
        Ok(_) => Ok(watcher),
        Err(_) => {
            std::mem::forget(watcher);
            Err(notify::Error::generic("the system gives no thread for it"))
        }
    }
}

impl Folders {
    fn new(bell: Arc<WakeUp>, log: &Log) -> Self {
        let files = Arc::<Mutex<BTreeSet<PathBuf>>>::default();
        let named = files.clone();
        let tell = move |event: notify::Result<notify::Event>| {
            if event.as_ref().is_ok_and(|event| is_reading(event.kind)) {
                return;
            }
            let files = named.lock().unwrap_or_else(PoisonError::into_inner);
            let is_of_a_file = event.is_ok_and(|event| event.paths.iter().any(|path| files.contains(path)));
            bell.ring(|asked| {
                asked.to_look = true;
                asked.to_read |= is_of_a_file;
            });
        };
        let watcher = notify::recommended_watcher(tell).and_then(alive);
        let log = log.clone();
        let mut folders = Self { watcher: None, watched: BTreeSet::new(), files, log, has_told: false };
        match watcher {
            Ok(watcher) => folders.watcher = Some(watcher),
            Err(error) => folders.tell(&error),
        }
        folders
    }

    /// Logs the error once, because it will be the same each time.
    fn tell(&mut self, error: &notify::Error) {
        if !self.has_told {
            let entry = self.log.warn("file changes are seen late, by looking every two seconds");
            entry.field("error", format_args!("{error}")).send();
        }
        self.has_told = true;
    }

    /// Watches the folders of these files, and of what they link to.
    fn watch(&mut self, files: &[PathBuf]) {
        let Some(watcher) = &mut self.watcher else { return };
        let targets = files.iter().filter_map(|file| file.canonicalize().ok());
        let all: BTreeSet<_> = files.iter().cloned().chain(targets).collect();
        let wanted: BTreeSet<_> = all.iter().filter_map(|file| file.parent().map(Path::to_owned)).collect();
        *self.files.lock().unwrap_or_else(PoisonError::into_inner) = all;
        for folder in self.watched.difference(&wanted) {
            // A folder that is gone is no longer watched anyway.
            let _ = watcher.unwatch(folder);
        }
        // A folder that cannot be watched is tried again next time; until then, the stamps are looked at. A folder
        // that was deleted and made anew has to be watched anew, so all folders are watched again each time.
        let mut refused = None;
        self.watched = wanted
            .into_iter()
            .filter(|folder| match watcher.watch(folder, RecursiveMode::NonRecursive) {
                Ok(()) => true,
                Err(error) => {
                    refused = Some(error);
                    false
                }
            })
            .collect();
        // A missing folder is waited for.
        let is_missing = |error: &notify::Error| matches!(error.kind, notify::ErrorKind::PathNotFound);
        if let Some(error) = refused.filter(|error| !is_missing(error)) {
            self.tell(&error);
        }
    }
}

/// True for an event of reading: reading is no change, and a reload itself reads. The end of a writing is a change.
fn is_reading(kind: EventKind) -> bool {
    matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}
