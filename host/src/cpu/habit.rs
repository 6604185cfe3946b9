//! A plugin's habit: its calls begin in the background after one that computed on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The calls of a plugin that begin in the background after one that computed on. If it were only the next one, a plugin
/// whose calls are long and short in turns would hold a worker, until it is made to yield, with every other one.
pub(super) const BEGIN_THERE: u32 = 16;

/// The number of a plugin's next calls that begin in the background: some, if one computed on lately. Clones are the same
/// plugin's.
#[derive(Debug, Clone, Default)]
pub struct Habit(Arc<AtomicU32>);

impl Habit {
    pub(super) fn begins_in_background(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    /// A call computes on: noted now, and not when it ends, for whoever waits for it may leave.
    pub(super) fn computes_on(&self) {
        self.update(|left| (left < BEGIN_THERE).then_some(BEGIN_THERE));
    }

    /// A call has ended, and never computed on.
    pub(super) fn was_short(&self) {
        self.update(|left| left.checked_sub(1));
    }

    /// Most plugins' calls are alike: then nothing is written that other processors read.
    fn update(&self, next: impl FnMut(u32) -> Option<u32>) {
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }
}
