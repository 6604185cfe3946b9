//! The turns of tenants: of one tenant one change is made at a time, and one upload beside it.
//!
//! A caller that leaves while it waits gives up its place. So many may wait; one more is turned away.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::OwnedMutexGuard;

use crate::tenant::TenantName;

/// The most callers of one tenant in line for a kind of turn, the one whose turn it is included.
const MOST_IN_LINE: usize = 128;

/// A kind of turn: a tenant's upload does not wait for its changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum TurnOf {
    Changes,
    Uploads,
}

/// A turn that has come. It ends when this is dropped.
pub(super) type Turn = OwnedMutexGuard<()>;

/// The line for one kind of turn of one tenant.
type Line = tokio::sync::Mutex<()>;

/// The lines of all tenants. A line in which nobody is left is forgotten.
#[derive(Default)]
pub(super) struct Turns(Mutex<HashMap<(TenantName, TurnOf), Weak<Line>>>);

impl Turns {
    /// A tenant's turn, when it comes. None if too many are in line.
    pub(super) async fn of(&self, tenant: &TenantName, of: TurnOf) -> Option<Turn> {
        let line = self.line(tenant, of);
        // Everybody in line has one, this caller included.
        if Arc::strong_count(&line) > MOST_IN_LINE { None } else { Some(line.lock_owned().await) }
    }

    fn line(&self, tenant: &TenantName, of: TurnOf) -> Arc<Line> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (tenant.clone(), of);
        if let Some(line) = lines.get(&key).and_then(Weak::upgrade) {
            return line;
        }
        lines.retain(|_, line| line.strong_count() > 0);
        let line = Arc::<Line>::default();
        lines.insert(key, Arc::downgrade(&line));
        line
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn a_line_is_bounded_for_its_own_tenant_and_who_leaves_makes_room() {
        let turns = Turns::default();
        let [shop, bank] = ["shop", "bank"].map(|name| TenantName::parse(name).unwrap());
        let mut context = Context::from_waker(Waker::noop());
        let mut ask = |tenant, of| {
            let mut asked = Box::pin(turns.of(tenant, of));
            let polled = asked.as_mut().poll(&mut context).map(|turn| turn.is_some());
            (asked, polled)
        };
        let held = turn_at_once(&turns, &shop);
        let mut waiting: Vec<_> = (1..MOST_IN_LINE).map(|_| ask(&shop, TurnOf::Changes)).collect();
        assert!(waiting.iter().all(|(_, polled)| polled.is_pending()));
        assert!(matches!(ask(&shop, TurnOf::Changes).1, Poll::Ready(false)), "one too many");
        assert!(matches!(ask(&shop, TurnOf::Uploads).1, Poll::Ready(true)));
        assert!(matches!(ask(&bank, TurnOf::Changes).1, Poll::Ready(true)));
        waiting.pop();
        assert!(ask(&shop, TurnOf::Changes).1.is_pending(), "who left has made room");
        drop((waiting, held));
        drop(ask(&bank, TurnOf::Uploads));
        assert!(turns.0.lock().unwrap().len() <= 2, "lines in which nobody is left are forgotten");
    }

    fn turn_at_once(turns: &Turns, tenant: &TenantName) -> Turn {
        let mut asked = Box::pin(turns.of(tenant, TurnOf::Changes));
        match asked.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(turn) => turn.unwrap(),
            Poll::Pending => panic!("nobody else is in line"),
        }
    }
}
