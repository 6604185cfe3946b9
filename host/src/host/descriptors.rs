//! Descriptors: the limit of this process, and the shares of clients and of plugins' connections.
//!
//! A call takes no descriptor: an instance is only memory. A component that was called keeps one for the initial
//! content of its memory, and each connection takes one. Without these shares, the connections of one client could
//! take all, and then no connection is accepted, no probe answered, nothing compiled and no plugin called for the
//! first time.

use rustix::process::{Resource, Rlimit, setrlimit};

use crate::admin::AdminServer;
use crate::config::HostSettings;
use crate::listen::Probes;
#[cfg(target_os = "linux")]
use crate::sandbox::{DESCRIPTORS, ProcessLimits};

/// Descriptors of any host, and some to spare: a host with a listener and a probe's address has 22.
const OF_EVERY_HOST: usize = 64;

/// Connections to the admin API.
const OF_ADMIN: usize = AdminServer::MAX_CONNECTIONS + AdminServer::MAX_CONNECTIONS_AT_SOCKETS;

/// Descriptors of up to eight compiler processes at once: three pipes for each, with both ends while it starts, and
/// the descriptors that report whether it started.
const OF_COMPILERS: usize = 8 * 9;

/// A socket and a file of each of the 32 names that may be looked up at once.
const OF_LOOKUPS: usize = 2 * 32;

/// Descriptors of a component: its own, and that of its successor during a change.
const OF_A_COMPONENT: usize = 2;

/// The divisor for plugins' connections to other servers: they get this part of all descriptors.
const ONE_IN_OUTBOUND: usize = 4;

/// The divisor for files that guests hold open: they get this part of all descriptors.
const ONE_IN_FILES: usize = 16;

/// The divisor for clients' connections: they get at least this part of all descriptors.
const LEAST_ONE_IN_CONNECTIONS: usize = 4;

/// The most descriptors of a process on macOS whose limit is called unlimited.
const MOST_OF_UNLIMITED: u64 = 10_240;

/// The shares of the descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DescriptorShares {
    /// The most descriptors of the process.
    pub(super) limit: usize,
    /// The most connections of clients: those of `[host]`, or fewer.
    pub(super) connections: usize,
    /// The most connections of one client: those of `[host]`, or fewer.
    pub(super) connections_per_client: usize,
    /// The most connections of all plugins to other servers.
    pub(super) outbound: usize,
    /// The most files and folders of mounts that guests hold open.
    pub(super) files: usize,
    /// The limit at which `[host]`'s connections would fit.
    pub(super) wanted: usize,
}

/// Raises this process's limit to the highest value that it may set itself, and returns it.
pub(super) fn raise_limit() -> usize {
    let now = limit();
    for most in [now.maximum, Some(MOST_OF_UNLIMITED)] {
        let is_more = now.current.is_some_and(|current| most.is_none_or(|most| most > current));
        if is_more && setrlimit(Resource::Nofile, Rlimit { current: most, ..now }).is_ok() {
            break;
        }
    }
    limit().current.and_then(|current| usize::try_from(current).ok()).unwrap_or(usize::MAX)
}

/// This process's limit, from the system's list: `getrlimit` may be refused, and rustix 1.1 panics then.
#[cfg(target_os = "linux")]
fn limit() -> Rlimit {
    let limits = ProcessLimits::of_this();
    Rlimit { current: limits.soft(DESCRIPTORS), maximum: limits.hard(DESCRIPTORS) }
}

#[cfg(not(target_os = "linux"))]
fn limit() -> Rlimit {
    rustix::process::getrlimit(Resource::Nofile)
}

impl DescriptorShares {
    /// Divides `limit` for a host of these settings with `components` components.
    pub(super) fn within(limit: usize, settings: &HostSettings, components: usize) -> Self {
        // Each listener takes one, and one more for the connection that it accepts next.
        let listeners = settings.listen.len().saturating_add(settings.admin.len()).saturating_mul(2);
        let kept = [
            OF_EVERY_HOST,
            OF_COMPILERS,
            OF_LOOKUPS,
            settings.probes.map_or(0, |_| Probes::MAX_CONNECTIONS),
            if settings.admin.is_empty() { 0 } else { OF_ADMIN },
            listeners,
            components.saturating_mul(OF_A_COMPONENT),
        ]
        .into_iter()
        .fold(0, usize::saturating_add);
        let outbound = limit.div_euclid(ONE_IN_OUTBOUND).max(1);
        let files = limit.div_euclid(ONE_IN_FILES).max(1);
        let left = limit.saturating_sub(outbound).saturating_sub(files).saturating_sub(kept);
        let left = left.max(limit.div_euclid(LEAST_ONE_IN_CONNECTIONS)).max(1);
        let connections = settings.connections.min(left);
        // A setting of more than half for one client is intended.
        let is_half = settings.connections_per_client.saturating_mul(2) <= settings.connections;
        let of_a_client = if is_half { connections.div_euclid(2).max(1) } else { connections };
        let wanted = settings.connections.saturating_add(kept);
        Self {
            limit,
            connections,
            connections_per_client: settings.connections_per_client.min(of_a_client),
            outbound,
            files,
            // Of 16 parts of the limit 4 are for requests to other servers and 1 is for files.
            wanted: wanted.saturating_mul(16).div_ceil(11),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Site;

    fn settings(host: &str) -> HostSettings {
        let text = format!("[host]\nprobes = \"127.0.0.1:1\"\n{host}\n[tenants.a]\nhosts = [\"*\"]\n");
        Site::parse(std::path::Path::new("/site.toml"), text).unwrap().host
    }

    #[test]
    fn clients_have_what_the_rest_leaves_and_one_client_has_half_of_it() {
        let default = settings("");
        let many = DescriptorShares::within(524_288, &default, 100);
        assert_eq!((many.connections, many.connections_per_client), (10_000, 1000));
        let few = DescriptorShares::within(1024, &default, 5);
        assert_eq!(
            (few.connections, few.connections_per_client, few.outbound, few.files),
            (428, 214, 256, 64)
        );
        let next_to_none = DescriptorShares::within(128, &default, 5000);
        assert_eq!((next_to_none.connections, next_to_none.connections_per_client), (32, 16));
        let meant = settings("connections = 500\nconnections-per-client = 400");
        assert_eq!(DescriptorShares::within(1024, &meant, 5).connections_per_client, 400);
        let meant = settings("connections = 500\nconnections-per-client = 100");
        assert_eq!(DescriptorShares::within(1024, &meant, 5).connections_per_client, 100);
    }

    #[test]
    fn the_limit_that_is_asked_for_is_enough_and_not_much_more() {
        for connections in [1, 500, 10_000, 1_000_000] {
            let settings = settings(&format!("connections = {connections}"));
            for components in [0, 7, 2000] {
                let wanted = DescriptorShares::within(1, &settings, components).wanted;
                assert_eq!(DescriptorShares::within(wanted, &settings, components).connections, connections);
                let less = wanted.saturating_sub(8);
                let least = less / LEAST_ONE_IN_CONNECTIONS;
                assert!(
                    DescriptorShares::within(less, &settings, components).connections
                        < connections.max(least + 1)
                );
            }
        }
    }

    #[test]
    fn whatever_the_limit_all_shares_fit_it_but_where_next_to_nothing_is_left() {
        let settings = settings("connections = 1_000_000");
        for limit in [600, 1024, 4096, 20_000, 1_048_576] {
            let room = DescriptorShares::within(limit, &settings, 20);
            assert!(room.connections + room.outbound + OF_EVERY_HOST + OF_COMPILERS + OF_LOOKUPS <= limit);
            assert!(room.connections_per_client * 2 <= room.connections.max(2));
        }
    }
}
