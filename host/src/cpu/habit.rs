//! A plugin's habit: after a call that computed on, its next calls begin in the background.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The number of a plugin's calls that begin in the background after one that computed on. If it were one, a plugin
/// whose calls are long and short by turns would hold a worker, until it is made to yield, with every other call.
pub(super) const BEGIN_THERE: u32 = 16;

/// The number of a plugin's next calls that begin in the background: more than zero if a call of the plugin computed
/// on lately. Clones are the same plugin's.
#[derive(Debug, Clone, Default)]
pub struct Habit(Arc<AtomicU32>);

impl Habit {
    pub(super) fn begins_in_background(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    /// Notes that a call computes on: at once, and not when the call ends, for the task that waits for it may leave.
    pub(super) fn computes_on(&self) {
        self.update(|left| (left < BEGIN_THERE).then_some(BEGIN_THERE));
    }

    /// Notes that a call has ended and never computed on.
    pub(super) fn was_short(&self) {
        self.update(|left| left.checked_sub(1));
    }

    /// Changes the number, if it is to change. Most plugins' calls are alike: then nothing is written that other
    /// processors read.
    fn update(&self, next: impl FnMut(u32) -> Option<u32>) {
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }
}
