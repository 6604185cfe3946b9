//! The code of a live component: in memory while calls need it, and got again on demand.
//!
//! There is one [`Ready`] of a component at a time. It is dropped only when nobody but its [`Code`] has it, so running
//! and waiting instances keep it, and the next call shares it with them.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ready::Ready;

/// The way to code that is not in memory.
pub(super) type Supply = Arc<dyn Fn() -> Supplied + Send + Sync>;

/// The code, or the reason why it cannot be had.
pub(super) type Supplied = Pin<Box<dyn Future<Output = Result<Ready, String>> + Send>>;

/// The code of a component that can run.
pub(super) struct Code {
    present: Mutex<Option<Arc<Ready>>>,
    /// There was a call since the last look.
    is_used: AtomicBool,
    /// Held by the one task that gets the code.
    getting: Arc<tokio::sync::Mutex<()>>,
}

impl Code {
    /// Code that counts as used just now. None if it is only got when a call needs it.
    pub(super) fn new(present: Option<Ready>) -> Arc<Self> {
        let is_used = AtomicBool::new(present.is_some());
        let present = Mutex::new(present.map(Arc::new));
        Arc::new(Self { present, is_used, getting: Arc::default() })
    }

    /// The code, which `supply` gets if it is not in memory.
    pub(super) async fn ready(self: &Arc<Self>, supply: Option<&Supply>) -> Result<Arc<Ready>, String> {
        self.note_use();
        if let Some(ready) = self.present() {
            return Ok(ready);
        }
        let Some(supply) = supply else { return Err("it was not kept".into()) };
        let alone = self.getting.clone().lock_owned().await;
        if let Some(ready) = self.present() {
            return Ok(ready);
        }
        // In a task of its own: the code is there for the next call, though this one may have no time left. Callers
        // wait outside of it, so a component has one such task at most.
        let (code, supplied) = (self.clone(), supply());
        let getting = tokio::spawn(async move {
            let ready = Arc::new(supplied.await?);
            *code.locked() = Some(ready.clone());
            drop(alone);
            Ok(ready)
        });
        getting.await.unwrap_or_else(|error| Err(error.to_string()))
    }

    /// Notes a call.
    pub(super) fn note_use(&self) {
        // A store at each call would take the line of memory from the other processors.
        if !self.is_used.load(Ordering::Relaxed) {
            self.is_used.store(true, Ordering::Relaxed);
        }
    }

    /// Drops the code, if there was no call since the last look and no instance has it. True if it was dropped.
    pub(super) fn drop_if_unused(&self) -> bool {
        if self.is_used.swap(false, Ordering::Relaxed) {
            return false;
        }
        let dropped = self.locked().take_if(|ready| Arc::strong_count(ready) == 1);
        dropped.is_some()
    }

    fn present(&self) -> Option<Arc<Ready>> {
        self.locked().clone()
    }

    fn locked(&self) -> MutexGuard<'_, Option<Arc<Ready>>> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
