//! Certificates that are renewed while the host serves.
//!
//! Files are looked at, not watched: whoever renews certificates writes two files, or turns a link, in whatever order.
//! What cannot be used is told when it is found a second time unchanged, so that a change that is half done is not
//! told; the pair from before stays in use.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::choice::Choice;
use super::pair::{Pair, PairError};
use crate::request::Ledger;
use crate::stamp::Stamp;

/// How often files are looked at. Of ten thousand pairs that takes some 20 ms.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// The pairs in use, and what became of their files since.
pub(super) struct Renewal {
    followed: Vec<Followed>,
    choice: Arc<Choice>,
    ledger: Ledger,
}

struct Followed {
    pair: Pair,
    /// What its files looked like when they were read last.
    seen: [Stamp; 2],
    fault: Fault,
}

/// What is wrong with the files as they are now.
enum Fault {
    Nothing,
    Untold,
    Told,
}

impl Renewal {
    pub(super) fn new(pairs: Vec<Pair>, ledger: Ledger) -> Self {
        let follow = |pair: Pair| Followed { seen: pair.stamps().clone(), pair, fault: Fault::Nothing };
        let choice = Arc::new(Choice::new(pairs.iter()));
        let renewal = Self { followed: pairs.into_iter().map(follow).collect(), choice, ledger };
        for followed in &renewal.followed {
            renewal.tell_doubt(&followed.pair);
        }
        renewal.tell_ends();
        renewal
    }

    pub(super) fn choice(&self) -> Arc<Choice> {
        self.choice.clone()
    }

    /// Looks at the files for ever, at intervals and whenever it is told to.
    pub(super) async fn run(mut self, now: Arc<Notify>) {
        while !self.followed.is_empty() {
            tokio::select! {
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
                () = now.notified() => {}
            }
            // A disk may be slow.
            let looked = tokio::task::spawn_blocking(move || {
                self.look();
                self
            });
            match looked.await {
                Ok(looked) => self = looked,
                // The runtime ends.
                Err(_) => return,
            }
        }
    }

    fn look(&mut self) {
        let mut has_changed = false;
        let mut changed = Vec::new();
        for followed in &mut self.followed {
            match followed.look() {
                Looked::Same => {}
                Looked::Fault(error) => self
                    .ledger
                    .log
                    .error("a changed certificate cannot be used; the one before stays in use")
                    .display("certificate", followed.pair.files().certificate.display())
                    .display("key", followed.pair.files().key.display())
                    .display("error", error)
                    .send(),
                Looked::Changed { is_news } => {
                    has_changed = true;
                    if is_news {
                        changed.push(followed.pair.clone());
                    }
                }
            }
        }
        if has_changed {
            self.choice.set(self.followed.iter().map(|followed| &followed.pair));
            self.tell_ends();
        }
        for pair in changed {
            self.ledger
                .log
                .info("certificate changed")
                .display("name", pair.first_name())
                .display("valid-until", pair.not_after().date())
                .display("certificate", pair.files().certificate.display())
                .send();
            self.tell_doubt(&pair);
        }
    }

    fn tell_doubt(&self, pair: &Pair) {
        if let Some(doubt) = pair.doubt() {
            self.ledger.log.warn(&doubt).send();
        }
    }

    fn tell_ends(&self) {
        let ends = self
            .followed
            .iter()
            .map(|Followed { pair, .. }| (pair.first_name(), pair.not_after().unix_timestamp()));
        self.ledger.metrics.certificates_end(ends);
    }
}

enum Looked {
    /// There is nothing to be done.
    Same,
    /// Another pair is in use now, and whether somebody wants to know.
    Changed { is_news: bool },
    /// What is there cannot be used, and was not told of yet.
    Fault(PairError),
}

impl Followed {
    fn look(&mut self) -> Looked {
        let stamps = self.pair.files().stamps();
        let is_seen = stamps == self.seen;
        if is_seen && matches!(self.fault, Fault::Nothing) {
            return Looked::Same;
        }
        // While there is a fault the files are read at each look: it may have been the system's, and not theirs.
        match Pair::read(self.pair.files().clone()) {
            Ok(pair) => {
                let was_told = matches!(std::mem::replace(&mut self.fault, Fault::Nothing), Fault::Told);
                let is_news = was_told || !pair.is_the_same_as(&self.pair);
                self.seen = pair.stamps().clone();
                self.pair = pair;
                Looked::Changed { is_news }
            }
            Err(error) => {
                self.seen = stamps;
                let (fault, looked) = match self.fault {
                    Fault::Told if is_seen => (Fault::Told, Looked::Same),
                    Fault::Untold if is_seen => (Fault::Told, Looked::Fault(error)),
                    Fault::Nothing | Fault::Untold | Fault::Told => (Fault::Untold, Looked::Same),
                };
                self.fault = fault;
                looked
            }
        }
    }
}
