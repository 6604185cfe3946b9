//! The ceilings of limits, and limits below them.

use std::collections::BTreeMap;

use super::{Limit, Limits};

/// The most that each limit of a plugin may be, of the host or of one tenant. A limit without a ceiling is unbounded,
/// except for the host's `memory`, which sizes the pool's slots. Amounts are in the smallest part of their limit's
/// unit.
pub type Ceilings = BTreeMap<Limit, u64>;

impl Limits {
    /// The same limits, none of them above its ceiling. A ceiling of `response-body` bounds streamed answers too.
    pub fn lowered_to(&self, ceilings: &Ceilings) -> Self {
        let mut limits = self.clone();
        for (limit, most) in ceilings {
            limits.set(*limit, self.get(*limit).min(*most));
        }
        let streamed = [self.streamed_response_body, ceilings.get(&Limit::ResponseBody).copied()];
        limits.streamed_response_body = streamed.into_iter().flatten().min();
        limits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_lowered_to_their_ceilings_and_never_raised() {
        let limits = Limits::default();
        assert_eq!(limits.lowered_to(&Ceilings::new()), limits);
        let ceilings =
            Ceilings::from([(Limit::Memory, 1 << 20), (Limit::Queue, 1 << 40), (Limit::ResponseBody, 7)]);
        let lowered = limits.lowered_to(&ceilings);
        assert_eq!((lowered.memory, lowered.queue), (1 << 20, limits.queue));
        assert_eq!((lowered.get(Limit::ResponseBody), lowered.streamed_response_body), (7, Some(7)));
    }
}
