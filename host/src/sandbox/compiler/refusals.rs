//! The components that were refused of late.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::sandbox::artifact::Digest;
use crate::sandbox::component_error::ComponentError;

/// The number of refusals that are remembered, so that a bomb costs its time once and not at each change of the site.
const REMEMBERED_REFUSALS: usize = 256;

/// The components that would be refused again, with the errors.
#[derive(Default)]
pub(super) struct Refusals(Mutex<VecDeque<(Digest, ComponentError)>>);

impl Refusals {
    /// The error of a component, if it is remembered.
    pub(super) fn find(&self, digest: Digest) -> Option<ComponentError> {
        self.locked().iter().find(|(refused, _)| *refused == digest).map(|(_, error)| error.clone())
    }

    /// Remembers the error of a component, if it would be refused again.
    pub(super) fn remember(&self, digest: Digest, error: &ComponentError) {
        if !error.is_final() {
            return;
        }
        let mut refused = self.locked();
        refused.push_back((digest, error.clone()));
        if refused.len() > REMEMBERED_REFUSALS {
            refused.pop_front();
        }
    }

    fn locked(&self) -> MutexGuard<'_, VecDeque<(Digest, ComponentError)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
