//! The code of a live component: in memory while calls need it, and got again on demand.
//!
//! There is one [`Ready`] of a component at a time. It is dropped only when nobody but its [`Code`] has it, so running
//! and waiting instances keep it, and the next call shares it with them.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

use super::ready::Ready;

/// The time for which an attempt that failed stands for those that would follow it. Without it, each call of a plugin
/// whose code is lost would read the plugin's file.
const FAILURE_HOLDS: Duration = Duration::from_secs(1);

/// The way to code that is not in memory.
pub(super) type Supply = Arc<dyn Fn(Order) -> Supplied + Send + Sync>;

/// The code, or the reason why it cannot be had.
pub(super) type Supplied = Pin<Box<dyn Future<Output = Result<Arc<Ready>, String>> + Send>>;

/// The code of a component that can run.
pub(super) struct Code {
    present: Mutex<Option<Arc<Ready>>>,
    /// There was a call since the last look.
    is_used: AtomicBool,
    /// The last attempt to get the code, if it failed. Locked by the one attempt that is under way.
    failure: Arc<tokio::sync::Mutex<Option<Failure>>>,
}

/// An attempt to get code that failed.
struct Failure {
    at: Instant,
    why: String,
}

/// The order to get a component's code. There is one of a component at a time; other calls wait for its end.
pub(super) struct Order {
    code: Arc<Code>,
    failure: OwnedMutexGuard<Option<Failure>>,
}

impl Order {
    /// Ends the order with the code.
    pub(super) fn fulfil(mut self, ready: Ready) -> Arc<Ready> {
        let ready = Arc::new(ready);
        *self.failure = None;
        *self.code.locked() = Some(ready.clone());
        ready
    }

    /// Ends the order with the reason why the code cannot be had.
    pub(super) fn fail(mut self, why: String) -> String {
        *self.failure = Some(Failure { at: Instant::now(), why: why.clone() });
        why
    }
}

impl Code {
    /// Code that counts as used just now. None if it is only got when a call needs it.
    pub(super) fn new(present: Option<Ready>) -> Arc<Self> {
        let is_used = AtomicBool::new(present.is_some());
        let present = Mutex::new(present.map(Arc::new));
        Arc::new(Self { present, is_used, failure: Arc::default() })
    }

    /// The code, which `supply` gets if it is not in memory.
    pub(super) async fn ready(self: &Arc<Self>, supply: Option<&Supply>) -> Result<Arc<Ready>, String> {
        self.note_use();
        if let Some(ready) = self.present() {
            return Ok(ready);
        }
        let Some(supply) = supply else { return Err("it was not kept".into()) };
        let failure = self.failure.clone().lock_owned().await;
        if let Some(ready) = self.present() {
            return Ok(ready);
        }
        if let Some(failure) = failure.as_ref().filter(|failure| failure.at.elapsed() < FAILURE_HOLDS) {
            return Err(failure.why.clone());
        }
        supply(Order { code: self.clone(), failure }).await
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[tokio::test]
    async fn calls_that_wait_for_an_attempt_share_its_failure() {
        let attempts = Arc::new(AtomicUsize::new(0));
        let counted = attempts.clone();
        let supply: Supply = Arc::new(move |order| {
            let number = counted.fetch_add(1, Ordering::Relaxed);
            Box::pin(async move {
                tokio::task::yield_now().await;
                Err(order.fail(format!("attempt {number}")))
            })
        });
        let code = Code::new(None);
        let why = async || code.ready(Some(&supply)).await.err().unwrap();
        let (first, second, third) = tokio::join!(why(), why(), why());
        assert_eq!([first, second, third], ["attempt 0"; 3]);
        code.failure.lock().await.as_mut().unwrap().at -= FAILURE_HOLDS;
        assert_eq!(why().await, "attempt 1");
        assert_eq!(attempts.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn an_attempt_that_is_given_up_leaves_the_next_call_free_to_try() {
        let gives_up: Supply = Arc::new(|_order| Box::pin(std::future::pending()));
        let code = Code::new(None);
        let no_time = tokio::time::timeout(Duration::ZERO, code.ready(Some(&gives_up))).await;
        assert!(no_time.is_err());
        let fails: Supply = Arc::new(|order| Box::pin(async { Err(order.fail("it is gone".into())) }));
        assert_eq!(code.ready(Some(&fails)).await.err().unwrap(), "it is gone");
    }
}
