//! The follower: reads the site's files again, checks that the site file is complete, and publishes.
//!
//! Leaves to `files.rs` whether the files have changed, and to `watch.rs` when to look. One thread does all of it;
//! nothing else waits for it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::{AbortHandle, JoinSet};

use super::change::{Change, Changes};
use super::files::{Files, paths, tenant_paths};
use super::refusal::{Refusal, diagnostics};
use super::settling::{EditVerdict, SETTLE_TIME, Settling};
use super::{Deployer, Origin};
use crate::config::{Diagnostics, HostSettings, Site, TenantSettings};
use crate::observe::Reload;
use crate::tenant::TenantName;

/// The files of a site, and the state of their publication.
pub struct Follower {
    origin: Origin,
    /// `[host]` at start and as it was read last: a difference is reported once.
    host: HostSettings,
    seen_host: HostSettings,
    seen_warnings: Vec<String>,
    /// Every file that the last reload read, or should have.
    files: Files,
    /// The text of the site that was taken last, and an edit that is withheld.
    settling: Settling,
    publishing: BTreeMap<TenantName, Publishing>,
}

/// A tenant that is being published: it goes on unless the site wants something else.
struct Publishing {
    settings: TenantSettings,
    files: Files,
    task: AbortHandle,
}

impl Follower {
    /// A follower of a site that was read from `origin`, and is about to be loaded for the first time.
    pub fn new(origin: Origin, site: &Site) -> Self {
        let mut files = Files::look(paths(&origin, site));
        if let Origin::SiteFile(path) = &origin
            && std::fs::read_to_string(path).ok().as_deref() != Some(site.source.text())
        {
            // The file was edited after the caller read it: the first look at the files must find that.
            files.distrust(path);
        }
        Self {
            origin,
            host: site.host.clone(),
            seen_host: site.host.clone(),
            // The caller has reported the warnings.
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

    /// True if one of the files looks different from when it was last read.
    pub(super) fn has_changed(&self) -> bool {
        self.files.have_changed()
    }

    /// The time until a withheld edit may be taken.
    pub(super) fn is_due_in(&self) -> Option<Duration> {
        self.settling.is_due_in(Instant::now())
    }

    /// Reads the site again, and applies it. The operator's settings hold at once; a tenant's own change is published
    /// when it is loaded, whatever becomes of the others.
    pub(super) fn reload(&mut self, deployer: &Arc<Deployer>) {
        self.read_again(deployer, |_, _| EditVerdict::Take);
    }

    /// Reads the site again because a file has changed: keys that are missing may only not be written yet.
    pub(super) fn follow(&mut self, deployer: &Arc<Deployer>) {
        self.read_again(deployer, |settling, site| settling.judge(&site.source, Instant::now()));
    }

    fn read_again(
        &mut self,
        deployer: &Arc<Deployer>,
        judge: impl FnOnce(&mut Settling, &Site) -> EditVerdict,
    ) {
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
            EditVerdict::Take => {
                self.settling.took(site.source.clone());
                self.files = looked.instead(paths(&self.origin, &site));
                self.take_over(deployer, site);
            }
            // Other changed files are read when the edit is taken.
            EditVerdict::Wait => self.files = looked,
            EditVerdict::Withhold { left_out } => {
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
        let mut changes = match deployer.set_tenants(&site.tenants) {
            Ok(changes) => changes,
            Err(claimed) => {
                let log = &deployer.parts.log;
                let entry = log.error("a change of the site file was refused; what was live stays live");
                entry.block("diagnostics", &claimed).send();
                deployer.parts.metrics.reload(Reload::Refused);
                return;
            }
        };
        self.publishing
            .retain(|name, publishing| site.tenants.contains_key(name) && !publishing.task.is_finished());
        let wanted: BTreeSet<_> = site.tenants.keys().cloned().collect();
        let site = Arc::new(site);
        let mut reload = JoinSet::new();
        for (name, settings) in &site.tenants {
            let publishing = self.publishing.get(name);
            if publishing.is_none_or(|publishing| !publishing.comes_to(settings)) {
                // The stamps are taken before the reading: a file that changes while it is read has another one
                // afterwards.
                let files = Files::look(tenant_paths(settings));
                let publication = publish(deployer, &site, name, settings);
                let task = reload.spawn_on(publication, &deployer.runtime);
                self.publishing.insert(name.clone(), Publishing { settings: settings.clone(), files, task });
            }
        }
        // After the others, because a tenant that is removed may have to wait for one of them.
        changes.extend(deployer.remove_others(&wanted));
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

    /// Logs the warnings of the site file, and a change of `[host]`.
    fn tell_of(&mut self, deployer: &Deployer, site: &Site) {
        let log = &deployer.parts.log;
        // Without a site file, `[host]` comes from the command line.
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
    /// True if the publication is for these settings and the present files.
    fn comes_to(&self, settings: &TenantSettings) -> bool {
        (&self.settings.document, &self.settings.secrets) == (&settings.document, &settings.secrets)
            && !self.files.have_changed()
    }
}

/// Publishes a tenant as the site file has it. A refusal is reported with the places in the file.
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

/// Refuses an empty site file as not yet written: `generate > site.toml` empties the file first. The last tenant is
/// removed by a file that still has a `[host]`, or a comment.
fn not_half_written(site: Site) -> Result<Site, Diagnostics> {
    let is_written = !site.tenants.is_empty() || !site.source.text().trim().is_empty();
    if is_written {
        return Ok(site);
    }
    let help = "to remove every tenant, leave a comment in the file";
    Err(site.source.diagnostic(&(0..0), "the site file is empty", "", Some(help.into())).into())
}
