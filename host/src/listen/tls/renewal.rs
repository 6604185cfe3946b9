//! Certificates that are renewed while the host serves.
//!
//! Files are looked at, not watched: programs that renew certificates write two files, or turn a link, in any order.
//! A faulty pair is logged when it is found a second time unchanged, so that a half-done change is not logged; the
//! earlier pair stays in use.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::choice::CertificateChoice;
use super::pair::{Pair, PairError};
use crate::request::Ledger;
use crate::stamp::Stamp;

/// The interval at which files are looked at. For ten thousand pairs a look takes some 20 ms.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// The renewal of the pairs in use.
pub(super) struct Renewal {
    pairs: Vec<FollowedPair>,
    choice: Arc<CertificateChoice>,
    ledger: Ledger,
}

/// A pair in use, whose files are looked at.
struct FollowedPair {
    pair: Pair,
    /// The stamps of the pair's files when they were read last.
    seen: [Stamp; 2],
    fault: Fault,
}

/// The fault of the present files, and whether it was logged.
enum Fault {
    Nothing,
    NotLogged,
    Logged,
}

impl Renewal {
    pub(super) fn new(pairs: Vec<Pair>, ledger: Ledger) -> Self {
        let follow = |pair: Pair| FollowedPair { seen: pair.stamps().clone(), pair, fault: Fault::Nothing };
        let choice = Arc::new(CertificateChoice::new(pairs.iter()));
        let renewal = Self { pairs: pairs.into_iter().map(follow).collect(), choice, ledger };
        for followed in &renewal.pairs {
            renewal.log_doubt(&followed.pair);
        }
        renewal.publish_ends();
        renewal
    }

    pub(super) fn choice(&self) -> Arc<CertificateChoice> {
        self.choice.clone()
    }

    /// Looks at the files for ever, at intervals and on each notification.
    pub(super) async fn run(mut self, now: Arc<Notify>) {
        while !self.pairs.is_empty() {
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
        for followed in &mut self.pairs {
            match followed.look() {
                LookResult::Same => {}
                LookResult::Fault(error) => self
                    .ledger
                    .log
                    .error("a changed certificate cannot be used; the one before stays in use")
                    .display("certificate", followed.pair.files().certificate.display())
                    .display("key", followed.pair.files().key.display())
                    .display("error", error)
                    .send(),
                LookResult::Changed { is_news } => {
                    has_changed = true;
                    if is_news {
                        changed.push(followed.pair.clone());
                    }
                }
            }
        }
        if has_changed {
            self.choice.set(self.pairs.iter().map(|followed| &followed.pair));
            self.publish_ends();
        }
        for pair in changed {
            self.ledger
                .log
                .info("certificate changed")
                .display("name", pair.first_name())
                .display("valid-until", pair.not_after().date())
                .display("certificate", pair.files().certificate.display())
                .send();
            self.log_doubt(&pair);
        }
    }

    fn log_doubt(&self, pair: &Pair) {
        if let Some(doubt) = pair.doubt() {
            self.ledger.log.warn(&doubt).send();
        }
    }

    fn publish_ends(&self) {
        let ends = self
            .pairs
            .iter()
            .map(|FollowedPair { pair, .. }| (pair.first_name(), pair.not_after().unix_timestamp()));
        self.ledger.metrics.certificates_end(ends);
    }
}

/// The result of a look at a pair's files.
enum LookResult {
    /// Nothing is to be done.
    Same,
    /// Another pair is in use now. `is_news` is true if that is to be logged.
    Changed { is_news: bool },
    /// The pair cannot be used, and that was not logged yet.
    Fault(PairError),
}

impl FollowedPair {
    fn look(&mut self) -> LookResult {
        let stamps = self.pair.files().stamps();
        let is_seen = stamps == self.seen;
        if is_seen && matches!(self.fault, Fault::Nothing) {
            return LookResult::Same;
        }
        // While there is a fault, the files are read at each look: the system may be at fault, and not the files.
        match Pair::read(self.pair.files().clone()) {
            Ok(pair) => {
                let was_logged = matches!(std::mem::replace(&mut self.fault, Fault::Nothing), Fault::Logged);
                let is_news = was_logged || !pair.is_the_same_as(&self.pair);
                self.seen = pair.stamps().clone();
                self.pair = pair;
                LookResult::Changed { is_news }
            }
            Err(error) => {
                self.seen = stamps;
                let (fault, looked) = match self.fault {
                    Fault::Logged if is_seen => (Fault::Logged, LookResult::Same),
                    Fault::NotLogged if is_seen => (Fault::Logged, LookResult::Fault(error)),
                    Fault::Nothing | Fault::NotLogged | Fault::Logged => (Fault::NotLogged, LookResult::Same),
                };
                self.fault = fault;
                looked
            }
        }
    }
}
