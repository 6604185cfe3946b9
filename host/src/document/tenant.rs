//! The operator's part of a tenant: its hosts, its quota, and what its plugins may be given. A site file writes it in
//! TOML; this is its JSON form, with sizes in bytes and durations in nanoseconds.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::plugin::GrantsForm;
use super::text;
use crate::limits::{Ceilings, Limit, Quantity as _};
use crate::snapshot::HostPattern;
use crate::tenant::{Quota, Storage};

/// The bytes of artifacts that a tenant may keep, if its operator says nothing else.
const ARTIFACT_BYTES: u64 = 1 << 30;

/// The revisions of a tenant that are kept, if its operator says nothing else, and at most.
const REVISIONS: usize = 1000;
const MOST_REVISIONS: usize = 100_000;

/// The greatest counts and times that a quota may have: those of the site file.
const MOST: usize = 1_000_000;
const MOST_WEIGHT: u32 = 1000;
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// The most hosts of a tenant.
const MOST_HOSTS: usize = 1000;

/// The operator's part of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantSpec {
    /// The hosts that the tenant answers for: at least one, each once.
    #[serde(with = "hosts")]
    pub hosts: Vec<HostPattern>,
    /// The growths of a revision that the operator wants to approve.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub approve: BTreeSet<Approval>,
    /// The ceilings on the tenant, and what its plugins may be given.
    #[serde(default)]
    pub quota: TenantQuota,
}

/// A growth of a revision that waits for the operator's approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Approval {
    /// Grants and origins that the live revision does not have.
    Grants,
}

/// The ceilings on a tenant as a whole, and on what its plugins may be given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "QuotaForm", into = "QuotaForm")]
pub struct TenantQuota {
    /// The quota that requests and key-value data are held to.
    pub quota: Quota,
    /// `artifacts`: the most bytes of the tenant's artifacts.
    pub artifact_bytes: u64,
    /// `revisions`: the most revisions that are kept.
    pub revisions: usize,
    /// `grants`: what plugins may be granted; none allows all but origins.
    pub allowed: Option<AllowedGrants>,
    /// `limits`: the ceilings of plugins' limits.
    pub ceilings: Ceilings,
}

/// The grants that an operator allows: those of one plugin's at most.
pub type AllowedGrants = GrantsForm;

impl Default for TenantQuota {
    fn default() -> Self {
        Self {
            quota: Quota::default(),
            artifact_bytes: ARTIFACT_BYTES,
            revisions: REVISIONS,
            allowed: None,
            ceilings: Ceilings::new(),
        }
    }
}

/// The JSON form of a quota.
#[derive(Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
struct QuotaForm {
    concurrency: usize,
    queue: usize,
    queue_wait: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu: Option<u64>,
    weight: u32,
    storage: StorageForm,
    artifacts: u64,
    revisions: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    grants: Option<AllowedGrants>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    limits: BTreeMap<String, u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct StorageForm {
    bytes: u64,
    keys: u64,
}

impl Default for StorageForm {
    fn default() -> Self {
        let Storage { bytes, keys } = Storage::default();
        Self { bytes, keys }
    }
}

impl Default for QuotaForm {
    fn default() -> Self {
        TenantQuota::default().into()
    }
}

impl From<TenantQuota> for QuotaForm {
    fn from(quota: TenantQuota) -> Self {
        let TenantQuota { quota, artifact_bytes, revisions, allowed, ceilings } = quota;
        let Quota { concurrency, queue, queue_wait, cpu, weight, storage } = quota;
        let Storage { bytes, keys } = storage;
        Self {
            concurrency,
            queue,
            queue_wait: queue_wait.parts(),
            cpu: cpu.map(Duration::parts),
            weight: weight.get(),
            storage: StorageForm { bytes, keys },
            artifacts: artifact_bytes,
            revisions,
            grants: allowed,
            limits: ceilings.into_iter().map(|(limit, parts)| (limit.name().to_owned(), parts)).collect(),
        }
    }
}

impl TryFrom<QuotaForm> for TenantQuota {
    type Error = String;

    fn try_from(form: QuotaForm) -> Result<Self, String> {
        let counted = |name: &str, value: usize, least: usize, most: usize| {
            let is_within = (least..=most).contains(&value);
            is_within.then_some(value).ok_or_else(|| format!("`{name}` is {value}: write {least} to {most}"))
        };
        let timed = |name: &str, nanoseconds: u64| {
            let time = Duration::from_nanos(nanoseconds);
            let most = LONGEST.parts();
            (time <= LONGEST)
                .then_some(time)
                .ok_or_else(|| format!("`{name}` is {nanoseconds}: write 0 to {most}, which are nanoseconds"))
        };
        let weight = NonZeroU32::new(form.weight).filter(|weight| weight.get() <= MOST_WEIGHT);
        let cpu = form.cpu.map(|cpu| timed("cpu", cpu)).transpose()?;
        if cpu.is_some_and(|cpu| cpu.is_zero()) {
            return Err("`cpu` is 0: leave it out for no quota, or write nanoseconds a second".into());
        }
        Ok(Self {
            quota: Quota {
                concurrency: counted("concurrency", form.concurrency, 1, MOST)?,
                queue: counted("queue", form.queue, 0, MOST)?,
                queue_wait: timed("queue-wait", form.queue_wait)?,
                cpu,
                weight: weight
                    .ok_or_else(|| format!("`weight` is {}: write 1 to {MOST_WEIGHT}", form.weight))?,
                storage: Storage { bytes: form.storage.bytes, keys: form.storage.keys },
            },
            artifact_bytes: form.artifacts,
            revisions: counted("revisions", form.revisions, 2, MOST_REVISIONS)?,
            allowed: form.grants,
            ceilings: form
                .limits
                .iter()
                .map(|(name, parts)| ceiling(name, *parts))
                .collect::<Result<_, _>>()?,
        })
    }
}

fn ceiling(name: &str, parts: u64) -> Result<(Limit, u64), String> {
    let limit = Limit::ALL.iter().find(|limit| limit.name() == name).copied();
    let limit = limit.ok_or_else(|| {
        let names: Vec<_> = Limit::ALL.iter().map(|limit| limit.name()).collect();
        format!("`{name}` is not a limit: the limits are {}", names.join(", "))
    })?;
    let (least, most) = (limit.row().least, limit.row().most);
    if (least..=most).contains(&parts) {
        Ok((limit, parts))
    } else {
        Err(format!("the limit `{name}` is {parts}: write {least} to {most}"))
    }
}

mod hosts {
    use super::*;

    pub(super) fn serialize<S: Serializer>(
        hosts: &Vec<HostPattern>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        text::list::serialize(hosts, serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<HostPattern>, D::Error> {
        let hosts: Vec<HostPattern> = text::list::deserialize(deserializer)?;
        if hosts.is_empty() || hosts.len() > MOST_HOSTS {
            return Err(D::Error::custom(format_args!("`hosts` takes 1 to {MOST_HOSTS} hosts")));
        }
        let distinct: BTreeSet<_> = hosts.iter().collect();
        if distinct.len() < hosts.len() {
            return Err(D::Error::custom("a host is there twice in `hosts`: take one away"));
        }
        Ok(hosts)
    }
}
