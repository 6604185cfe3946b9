//! The rollouts of tenants: the revision that is live, the one before it, and what was live when.
//!
//! A rollout is made in this order: its revision is loaded, its record is on disk, its pointer is swapped, its caller is
//! answered. If it is unknown whether the record is on disk, the record is read again before anything else of the tenant
//! changes, and what it says goes live.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::audit::{Actor, AuditEvent};
use super::record::{Page, PageRequest, key, keys_of, last, now, ordered, parse, written};
use super::revision_records::went_live;
use super::rollout::{Rollout, rollout_in};
use super::{ControlError, ControlPlane, Refused, TurnOf};
use crate::sandbox::Digest;
use crate::store::{Edit, Order, Stop, StoreError, Table};
use crate::tenant::TenantName;

/// The most rollouts of one tenant that are remembered.
const MOST_ROLLOUTS: u64 = 10_000;

/// The longest reason, in bytes.
const MAX_WHY_BYTES: usize = 1000;

/// A rollout that is asked for.
#[derive(Debug, Clone)]
pub struct RolloutRequest {
    /// The revision that is to be live.
    pub live: Digest,
    /// The reason, if one is given.
    pub why: Option<String>,
    /// The numbers of rollouts of which it replaces one; none if any.
    pub instead_of: Option<BTreeSet<u64>>,
}

impl ControlPlane {
    /// The rollout of a tenant; none before the first one.
    pub async fn rollout(&self, tenant: &TenantName) -> Result<Option<Rollout>, ControlError> {
        self.known(tenant).await?;
        let tenant = tenant.clone();
        Ok(self.records.read(move |view| rollout_in(view, &tenant)).await?)
    }

    /// The rollouts of a tenant, latest first.
    pub async fn rollouts(
        &self,
        tenant: &TenantName,
        page: PageRequest,
    ) -> Result<Page<Rollout>, ControlError> {
        self.known(tenant).await?;
        let tenant = tenant.clone();
        let read = self.records.read(move |view| {
            page.read::<Rollout>(view, Table::Rollouts, &keys_of(&tenant), Order::Descending)
        });
        Ok(read.await?.map(|(_, rollout)| rollout))
    }

    /// Makes a revision live.
    pub async fn set_rollout(
        self: &Arc<Self>,
        tenant: &TenantName,
        request: RolloutRequest,
        by: &Actor,
    ) -> Result<Rollout, ControlError> {
        let (plane, tenant, by) = (self.clone(), tenant.clone(), by.clone());
        let turn = self.turn(&tenant, TurnOf::Changes).await?;
        Self::whole(async move {
            let made = plane.roll_out(tenant, request, by).await;
            drop(turn);
            made
        })
        .await
    }

    async fn roll_out(
        self: Arc<Self>,
        tenant: TenantName,
        mut request: RolloutRequest,
        by: Actor,
    ) -> Result<Rollout, ControlError> {
        let spec = self.managed(&tenant).await?;
        self.keep_up(&tenant).await?;
        if let Some(why) = &mut request.why {
            why.truncate(why.floor_char_boundary(MAX_WHY_BYTES));
        }
        let present = self.rollout(&tenant).await?;
        request.is_of(present.as_ref())?;
        let revision = self.revision(&tenant, request.live).await?;
        if let Some(present) = present.filter(|present| present.live == request.live) {
            // It is not live if it could not run at the start of the host.
            self.catch_up(&tenant).await?;
            return Ok(present);
        }
        // What was allowed when the revision was added may not be allowed any more.
        let faults = self.allowance_faults(&tenant, &spec, &revision.document).await?;
        ControlError::refuse_if_any(Refused::Document, faults)?;
        self.refuse_held(&tenant, &spec, request.live).await?;
        let prepared = self.prepare(&tenant, &spec, &revision.document).await?;
        let owner = tenant.clone();
        let committed =
            self.change(&tenant, &by.clone(), move |edit| commit(edit, &owner, request, by)).await;
        match committed {
            Ok(rollout) => {
                self.deployer.go_live(&tenant, prepared);
                Ok(rollout)
            }
            Err(error) => {
                self.catch_up_if_unknown(&tenant, &error).await;
                Err(error)
            }
        }
    }

    /// Makes what the records say live, if it is not. They are ahead of what is live only after a failure of the store.
    pub(super) async fn catch_up(&self, tenant: &TenantName) -> Result<(), ControlError> {
        let spec = self.managed(tenant).await?;
        self.deployer.set_managed(tenant, &spec);
        let Some(rollout) = self.rollout(tenant).await? else { return Ok(()) };
        if self.deployer.runs(tenant, rollout.live) {
            return Ok(());
        }
        let revision = self.revision(tenant, rollout.live).await?;
        let prepared = self.prepare(tenant, &spec, &revision.document).await?;
        self.deployer.go_live(tenant, prepared);
        Ok(())
    }

    /// Catches up before another change. A revision that cannot run any more does not stand in the way of the change.
    pub(super) async fn keep_up(&self, tenant: &TenantName) -> Result<(), ControlError> {
        match self.catch_up(tenant).await {
            Err(ControlError::Refused { .. } | ControlError::NotFound { .. }) => Ok(()),
            caught_up => caught_up,
        }
    }

    /// Catches up soon, if the record may be on disk. If the store cannot be read now, the next change does it.
    async fn catch_up_if_unknown(&self, tenant: &TenantName, error: &ControlError) {
        if matches!(error, ControlError::Store(StoreError::Unavailable { .. })) {
            let _ = self.catch_up(tenant).await;
        }
    }
}

impl RolloutRequest {
    /// Refuses if the request is for another rollout than the present one.
    fn is_of(&self, present: Option<&Rollout>) -> Result<(), ControlError> {
        let number = present.map_or(0, |present| present.number);
        match &self.instead_of {
            Some(expected) if !expected.contains(&number) => Err(ControlError::RolloutChanged { number }),
            _ => Ok(()),
        }
    }
}

/// Stages a rollout. It is checked again, for the state that it is written to.
fn commit(
    edit: &mut Edit<'_>,
    tenant: &TenantName,
    request: RolloutRequest,
    by: Actor,
) -> Result<(Rollout, Option<AuditEvent>), Stop<ControlError>> {
    let prefix = keys_of(tenant);
    let present = edit.list(Table::Rollouts, last(&prefix))?.pop();
    let present = present.map(|(_, record)| parse::<Rollout>(&record)).transpose()?;
    request.is_of(present.as_ref())?;
    let RolloutRequest { live, why, instead_of: _ } = request;
    went_live(edit, tenant, live)?;
    let previous = present.as_ref().map(|present| present.live);
    let number = present.map_or(0, |present| present.number).saturating_add(1);
    let rollout = Rollout { number, live, previous, by, at: now(), why: why.clone() };
    edit.put(Table::Rollouts, key(tenant, ordered(number)), written(&rollout)?);
    if let Some(oldest) = number.checked_sub(MOST_ROLLOUTS) {
        edit.remove(Table::Rollouts, key(tenant, ordered(oldest)));
    }
    Ok((rollout, Some(AuditEvent::Rollout { rollout: number, from: previous, to: live, why })))
}
