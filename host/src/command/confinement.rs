//! The confinement of `serve`: as the site file asks for it, with a report of the result.
//!
//! The process is confined before it has a second thread, and so before it has a log: the report is kept until the
//! host serves.

use super::answer::{Exit, refuse, with_causes};
use crate::config::HostSettings;
use crate::confine::{self, Confined, Confinement, Means};
use crate::host::{self, Host};
#[cfg(target_os = "linux")]
use crate::listen::group_id;
use crate::observe::Log;

/// The result of confining; none if confinement is off.
pub(super) struct ConfinementReport(Option<Confined>);

/// Confines this thread, and all threads and programs that it starts from now on, by these settings.
pub(super) fn confine(settings: &HostSettings) -> Result<ConfinementReport, Exit> {
    if settings.confinement == Confinement::Off {
        return Ok(ConfinementReport(None));
    }
    join_groups_of_sockets(settings);
    let needs = host::needs(settings).map_err(|error| refuse(with_causes(&error)))?;
    let confined = confine::host(&needs);
    if settings.confinement == Confinement::Required && !confined.gaps.is_empty() {
        let help = "serve where there is, or write `confinement = \"best-effort\"` in [host]";
        let gaps = listed(&confined.gaps);
        return Err(refuse(format_args!(
            "confinement is required, and cannot be had in full: {gaps}; {help}"
        )));
    }
    Ok(ConfinementReport(Some(confined)))
}

/// Joins the groups of the sockets. Root may give a file to any group, but loses that right by the confinement; then
/// it must be in the groups of its sockets. If joining is refused, making the socket reports it.
#[cfg(target_os = "linux")]
fn join_groups_of_sockets(settings: &HostSettings) {
    let named = settings.listen.iter().filter_map(|listener| listener.group.as_deref());
    let wanted: Vec<_> =
        named.filter_map(|group| group_id(group).ok()).map(rustix::process::Gid::from_raw).collect();
    if !wanted.is_empty()
        && rustix::process::geteuid().is_root()
        && let Ok(mut groups) = rustix::process::getgroups()
    {
        groups.extend(wanted);
        let _ = rustix::thread::set_thread_groups(&groups);
    }
}

#[cfg(not(target_os = "linux"))]
fn join_groups_of_sockets(_: &HostSettings) {}

impl ConfinementReport {
    /// Reports the result to the log and the metrics of the confined host.
    pub(super) fn tell(&self, host: &Host, log: &Log) {
        if rustix::process::geteuid().is_root() {
            // Root is not refused: in most containers everything runs as root, and cannot tell from inside which root
            // it is.
            log.warn("running as root")
                .field("instead", "a user of its own; ports below 1024 take CAP_NET_BIND_SERVICE alone")
                .send();
        }
        let Some(confined) = &self.0 else {
            return log.warn("not confined").field("why", "it is switched off in [host]").send();
        };
        for means in Means::ALL {
            host.metrics().confined(means.name(), confined.holds(means));
        }
        if !confined.held.is_empty() {
            log.info("confined").field("by", listed(&confined.held)).send();
        }
        if !confined.gaps.is_empty() {
            log.warn("not confined in full").field("missing", listed(&confined.gaps)).send();
        }
    }
}

fn listed(told: &[(Means, String)]) -> String {
    let each = told.iter().map(
        |(means, what)| {
            if what.is_empty() { means.to_string() } else { format!("{means} ({what})") }
        },
    );
    each.collect::<Vec<_>>().join(", ")
}
