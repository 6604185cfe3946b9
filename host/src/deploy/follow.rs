//! The site's files, followed: what they say now is read, held to be whole, and published.
//!
//! Whether they have changed is told by `files.rs`, when to look by `watch.rs`. One thread does all of it; nothing else
//! waits for it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::{AbortHandle, JoinSet};

use super::change::{Change, Changes};
use super::files::{Files, paths, tenant_paths};
use super::refusal::{Refusal, diagnostics};
use super::settling::{SETTLE_TIME, Settling, Verdict};
use super::{Deployer, Origin};
use crate::config::{Diagnostics, HostSettings, Site, TenantSettings};
use crate::observe::Reload;
use crate::tenant::TenantName;

/// The files of a site, and what was made of them.
pub struct Follower {
    origin: Origin,
    /// `[host]` as it was at start, and as it was read last: what was told once is not told again.
    host: HostSettings,
    seen_host: HostSettings,
    seen_warnings: Vec<String>,
    /// Every file that the last reload read, or should have.
    files: Files,
    /// The text of the site that was taken last, and an edit of it that is withheld.
    settling: Settling,
    publishing: BTreeMap<TenantName, Publishing>,
}

/// A tenant that is being published: it goes on unless something else is wanted.
struct Publishing {
    settings: TenantSettings,
    files: Files,
    task: AbortHandle,
}

impl Follower {
    /// Follows the files of a site that was read from there, and is about to be loaded for the first time.
    pub fn new(origin: Origin, site: &Site) -> Self {
        let mut files = Files::look(paths(&origin, site));
        if let Origin::SiteFile(path) = &origin
            && std::fs::read_to_string(path).ok().as_deref() != Some(site.source.text())
        {
            // Edited since the caller read it: the first look at the files is to find that out.
            files.distrust(path);
        }
        Self {
            origin,
            host: site.host.clone(),
            seen_host: site.host.clone(),
            // The caller has told them.
            seen_warnings: warnings(site),
            files,
            settling: Settling::new(site.source.clone()),
            publishing: BTreeMap::new(),
        }
    }

    /// The files that the site is made from.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        self.files.paths()
    }

    /// Whether one of them looks other than when it was last read.
    pub(super) fn has_changed(&self) -> bool {
        self.files.have_changed()
    }

    /// How long until an edit that is withheld may be taken.
    pub(super) fn is_due_in(&self) -> Option<Duration> {
        self.settling.is_due_in(Instant::now())
    }

    /// Reads the site again, and takes what it says. What is the operator's holds at once; a tenant's own change is
    /// published when it is loaded, whatever becomes of the others.
    pub(super) fn reload(&mut self, deployer: &Arc<Deployer>) {
        self.read_again(deployer, |_, _| Verdict::Take);
    }

    /// Reads the site again because a file has changed: what it leaves out may only not be written yet.
    pub(super) fn follow(&mut self, deployer: &Arc<Deployer>) {
        self.read_again(deployer, |settling, site| settling.judge(&site.source, Instant::now()));
    }

    fn read_again(&mut self, deployer: &Arc<Deployer>, judge: impl FnOnce(&mut Settling, &Site) -> Verdict) {
        let log = &deployer.parts.log;
        let looked = self.files.look_again();
        let site = match self.origin.read().and_then(not_half_written) {
            Ok(site) => site,
            Err(diagnostics) => {
                self.settling.refused();
                self.files = looked;
                let entry = log.error("a change of the site file was refused; what was live stays live");
                entry.block("diagnostics", &diagnostics.render(false)).send();
                deployer.parts.metrics.reload(Reload::Refused);
                return;
            }
        };
        match judge(&mut self.settling, &site) {
            Verdict::Take => {
                self.settling.took(site.source.clone());
                self.files = looked.instead(paths(&self.origin, &site));
                self.take_over(deployer, site);
            }
            // Whatever else has changed is read when the edit is taken.
            Verdict::Wait => self.files = looked,
            Verdict::Withhold { left_out } => {
                self.files = looked;
                let what = format!(
                    "the site file leaves out what it had: if it stays so for {} s, or on SIGHUP, that is taken",
                    SETTLE_TIME.as_secs()
                );
                log.info(&what).field("left-out", left_out.as_str()).send();
            }
        }
    }

    fn take_over(&mut self, deployer: &Arc<Deployer>, site: Site) {
        self.tell_of(deployer, &site);
        let mut changes = deployer.set_tenants(&site.tenants);
        self.publishing
            .retain(|name, publishing| site.tenants.contains_key(name) && !publishing.task.is_finished());
        let wanted = site.tenants.keys().cloned().collect();
        let site = Arc::new(site);
        let mut reload = JoinSet::new();
        for (name, settings) in &site.tenants {
            let publishing = self.publishing.get(name);
            if publishing.is_none_or(|publishing| !publishing.comes_to(settings)) {
                // Looked at before they are read: one that changes while it is read has changed since.
                let files = Files::look(tenant_paths(settings));
                let publication = publish(deployer, &site, name, settings);
                let task = reload.spawn_on(publication, &deployer.runtime);
                self.publishing.insert(name.clone(), Publishing { settings: settings.clone(), files, task });
            }
        }
        // Behind the others: what is gone may have to wait for one of these.
        changes.extend(deployer.remove_others(wanted));
        let metrics = deployer.parts.metrics.clone();
        deployer.runtime.spawn(async move {
            let ended = reload.join_all().await;
            let is_changed = !changes.is_empty() || ended.contains(&Reload::Published);
            metrics.reload(match ended.contains(&Reload::Refused) {
                true => Reload::Refused,
                false if is_changed => Reload::Published,
                false => Reload::Unchanged,
            });
        });
    }

    /// Tells the log what is to be told of the file itself.
    fn tell_of(&mut self, deployer: &Deployer, site: &Site) {
        let log = &deployer.parts.log;
        // Of a component, `[host]` is what the command line said.
        let is_told = std::mem::replace(&mut self.seen_host, site.host.clone()) == site.host;
        if site.host != self.host && !is_told && matches!(self.origin, Origin::SiteFile(_)) {
            log.warn("[host] was changed: that needs a restart; the rest of the site file is taken over")
                .send();
        }
        let warnings = warnings(site);
        for warning in warnings.iter().filter(|warning| !self.seen_warnings.contains(warning)) {
            log.warn("the site file has a warning").block("diagnostic", warning).send();
        }
        self.seen_warnings = warnings;
    }
}

impl Publishing {
    /// Whether what comes of it is what these settings and the files say now.
    fn comes_to(&self, settings: &TenantSettings) -> bool {
        (&self.settings.document, &self.settings.secrets) == (&settings.document, &settings.secrets)
            && !self.files.have_changed()
    }
}

/// Publishes a tenant as the site file has it. A refusal is told with the places in the file.
fn publish(
    deployer: &Arc<Deployer>,
    site: &Arc<Site>,
    name: &TenantName,
    settings: &TenantSettings,
) -> impl Future<Output = Reload> + Send + use<> {
    let published = deployer.publish(name, settings.document.clone());
    let (site, tenant, told): (_, _, Changes) = (site.clone(), name.clone(), deployer.changes.clone());
    async move {
        match published.await {
            Ok(published) if published.changes.is_empty() => Reload::Unchanged,
            Ok(_) => Reload::Published,
            Err(Refusal::Superseded | Refusal::NoTenant(_)) => Reload::Unchanged,
            Err(Refusal::Faulty { live, faults }) => {
                let found = Diagnostics::from(diagnostics(faults, &tenant, &site.source, &site.spans));
                told.tell(&Change::Refused { tenant, live, reasons: found.render(false) });
                Reload::Refused
            }
        }
    }
}

fn warnings(site: &Site) -> Vec<String> {
    site.warnings.iter().map(|warning| warning.render(false)).collect()
}

/// A site file without a word is not yet written: `generate > site.toml` empties it first. The last tenant
/// is removed by a file that still has a `[host]`, or a comment.
fn not_half_written(site: Site) -> Result<Site, Diagnostics> {
    let is_written = !site.tenants.is_empty() || !site.source.text().trim().is_empty();
    if is_written {
        return Ok(site);
    }
    let help = "to remove every tenant, leave a comment in the file";
    Err(site.source.diagnostic(&(0..0), "the site file is empty", "", Some(help.into())).into())
}
