//! Publishing a tenant's document: one call, which answers when its revision is live.
//!
//! A tenant that publishes has one task, which loads the tenant's documents one after the other, always the latest.
//! Leaves to `load.rs` whose turn it is to load.

use std::sync::{Arc, Weak};

use tokio::sync::oneshot;

use super::deployer::Deployer;
use super::load::{Loaded, Loader};
use super::publications::{Publication, Published};
use super::refusal::Refusal;
use crate::document::TenantDocument;
use crate::tenant::TenantName;

impl Deployer {
    /// Publishes a document in place of the tenant's live one. Publishing begins with the call; the answer comes when
    /// the revision is live, or when it is clear that it will not be.
    pub fn publish(
        self: &Arc<Self>,
        tenant: &TenantName,
        document: TenantDocument,
    ) -> impl Future<Output = Result<Published, Refusal>> + Send + use<> {
        let answered = self.begin(tenant, document);
        async move { answered?.await.unwrap_or(Err(Refusal::Superseded)) }
    }

    fn begin(
        self: &Arc<Self>,
        name: &TenantName,
        document: TenantDocument,
    ) -> Result<oneshot::Receiver<Result<Published, Refusal>>, Refusal> {
        let mut live = self.live();
        let tenant = live.wanted(name).ok_or_else(|| Refusal::NoTenant(name.clone()))?;
        let (answer, answered) = oneshot::channel();
        let publication = Publication { task: tenant.task(document), answer };
        if let Some(first) = tenant.publications.take(publication) {
            // The task holds no deployer alive, whatever is being loaded.
            let (deployer, loader) = (Arc::downgrade(self), self.loader.clone());
            self.runtime.spawn(publish_in_turn(deployer, loader, name.clone(), first));
        }
        Ok(answered)
    }

    /// True if the publication that is under way is the tenant's latest.
    fn is_latest(&self, name: &TenantName) -> bool {
        self.live().wanted(name).is_some_and(|tenant| tenant.publications.are_up_to_date())
    }

    /// Publishes a document that was loaded, or given up, unless another one came meanwhile. Returns the next
    /// publication, which is to begin.
    fn loaded(
        &self,
        name: &TenantName,
        publication: Publication,
        loaded: Option<Loaded>,
    ) -> Option<Publication> {
        let mut live = self.live();
        let next = live.tenants.get_mut(name)?.publications.next();
        let Publication { task, answer } = publication;
        let Some((tenant, loaded)) = live.wanted(name).zip(loaded).filter(|_| next.is_none()) else {
            live.forget_gone();
            return next;
        };
        let answered = match loaded {
            Ok(loaded) => {
                let mut changes = self.renew(name, tenant, &task.document, loaded);
                let revision = tenant.live_id();
                self.settle(&mut live, &mut changes);
                revision.map(|revision| Ok(Published { revision, changes }))
            }
            Err(faults) => {
                let refused = Refusal::Faulty { live: tenant.live_id(), faults };
                // The first load is over: a removed tenant that stayed until then goes now.
                self.settle(&mut live, &mut Vec::new());
                Some(Err(refused))
            }
        };
        drop(live);
        // The caller may have stopped waiting for the answer.
        answered.map(|answered| answer.send(answered));
        None
    }
}

/// The task of a tenant that publishes.
async fn publish_in_turn(
    deployer: Weak<Deployer>,
    loader: Loader,
    name: TenantName,
    mut publication: Publication,
) {
    let is_wanted = || deployer.upgrade().is_some_and(|deployer| deployer.is_latest(&name));
    loop {
        let loaded = loader.load(&publication.task, is_wanted).await;
        let next = deployer.upgrade().and_then(|deployer| deployer.loaded(&name, publication, loaded));
        match next {
            Some(next) => publication = next,
            None => return,
        }
    }
}
