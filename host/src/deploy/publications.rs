//! The publications of one tenant: one is under way, and the latest of the others waits behind it.
//!
//! The latest document wins: a waiting document is replaced by the next one, and one that is being loaded is given up
//! when its present component is done. The caller of a superseded publication learns it by the drop of the
//! publication.

use tokio::sync::oneshot;

use super::change::Change;
use super::load::Task;
use super::refusal::Refusal;
use crate::sandbox::Digest;

/// A document that is live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The live revision.
    pub revision: Digest,
    /// The changes that came with it; none if the revision was live already.
    pub changes: Vec<Change>,
}

/// A document to publish, and the channel of its answer. The drop of the channel says that the document was
/// superseded.
pub(super) struct Publication {
    pub(super) task: Task,
    pub(super) answer: oneshot::Sender<Result<Published, Refusal>>,
}

/// The publications of one tenant.
#[derive(Default)]
pub(super) enum Publications {
    /// No publication, and no task.
    #[default]
    None,
    /// A publication is with the tenant's task; the next one waits for it.
    UnderWay {
        /// The latest document behind it.
        next: Option<Publication>,
    },
}

impl Publications {
    pub(super) fn are_under_way(&self) -> bool {
        matches!(self, Self::UnderWay { .. })
    }

    /// True if the publication that is under way is the latest.
    pub(super) fn are_up_to_date(&self) -> bool {
        matches!(self, Self::UnderWay { next: None })
    }

    /// Takes a publication, in place of a waiting one. Returns it if it is to begin now.
    pub(super) fn take(&mut self, publication: Publication) -> Option<Publication> {
        match self {
            Self::UnderWay { next } => {
                *next = Some(publication);
                None
            }
            Self::None => {
                *self = Self::UnderWay { next: None };
                Some(publication)
            }
        }
    }

    /// Ends the publication that is under way. Returns the next one, which is to begin, if there is one.
    pub(super) fn next(&mut self) -> Option<Publication> {
        match std::mem::take(self) {
            Self::UnderWay { next: Some(next) } => {
                *self = Self::UnderWay { next: None };
                Some(next)
            }
            Self::UnderWay { next: None } | Self::None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    type Answered = oneshot::Receiver<Result<Published, Refusal>>;

    fn publication() -> (Publication, Answered) {
        let (answer, answered) = oneshot::channel();
        let task = Task { document: Arc::default(), secrets: Arc::default(), given: Arc::default() };
        (Publication { task, answer }, answered)
    }

    fn is_superseded(answered: &mut Answered) -> bool {
        answered.try_recv() == Err(oneshot::error::TryRecvError::Closed)
    }

    #[test]
    fn of_one_tenant_one_document_is_under_way_and_the_latest_replaces_the_one_that_waits() {
        let mut publications = Publications::default();
        let [(first, _), (second, mut waits), (third, mut replaces)] = [(); 3].map(|()| publication());
        assert!(publications.take(first).is_some() && publications.are_up_to_date());
        assert!(publications.take(second).is_none() && !publications.are_up_to_date());
        assert!(publications.take(third).is_none());
        assert!(is_superseded(&mut waits) && !is_superseded(&mut replaces));
        let begun = publications.next().unwrap();
        assert!(publications.are_up_to_date() && !is_superseded(&mut replaces));
        drop(begun);
        assert!(publications.next().is_none() && !publications.are_under_way());
        let (again, _) = publication();
        assert!(publications.take(again).is_some(), "a task that has ended is begun anew");
    }
}
