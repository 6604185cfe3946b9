//! Thin bindings from WIT interfaces to the capability room: one file an interface, no behaviour.
//!
//! The amounts that one call may use up are in `totals.rs`; the things that it may hold are counted where they are
//! held. The bytes that one host call passes are bounded by hostcall fuel (`state.rs`), and need no total: bytes that
//! are not kept are gone with the host call, and copying them is the guest's `cpu`.

pub(super) mod config;
pub(super) mod context;
pub(super) mod fields;
pub(super) mod filesystem;
pub(super) mod keyvalue;
pub(super) mod limiter;
pub(super) mod logging;
pub(super) mod messages;
pub(super) mod random;
pub(super) mod response_body;
pub(super) mod wasi;

pub use fields::FIELD_BYTES;
pub use response_body::has_no_body;

use std::iter;

use crate::capability::{Grant, Grants};

/// The need of an import: what a plugin must have for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The import needs nothing: every plugin has it.
    Nothing,
    /// The import needs this grant.
    Grant(Grant),
    /// The host does not know the import.
    Unknown,
}

/// The interfaces and their needs. Prereleases match by their whole name, published versions by semver's rules.
const INTERFACES: &[(&str, Need)] = &[
    ("jackfield:plugin/context@0.1.", Need::Nothing),
    ("jackfield:plugin/limiter@0.1.", Need::Grant(Grant::Limiter)),
    ("wasi:config/store@0.2.0-rc.1", Need::Nothing),
    ("wasi:config/store@0.2.0-draft-2024-09-27", Need::Nothing),
    ("wasi:logging/logging@0.1.0-draft", Need::Nothing),
    ("wasi:keyvalue/store@0.2.0-draft2", Need::Grant(Grant::KeyValue)),
    ("wasi:keyvalue/atomics@0.2.0-draft2", Need::Grant(Grant::KeyValue)),
    ("wasi:keyvalue/batch@0.2.0-draft2", Need::Grant(Grant::KeyValue)),
    ("wasi:keyvalue/store@0.2.0-draft", Need::Grant(Grant::KeyValue)),
    ("wasi:keyvalue/atomics@0.2.0-draft", Need::Grant(Grant::KeyValue)),
    ("wasi:keyvalue/batch@0.2.0-draft", Need::Grant(Grant::KeyValue)),
];

/// The interfaces of WASI 0.2 that toolchains import. All of them but clocks, random, HTTP and the file system are
/// empty or refuse; without mounts the file system is empty too.
/// `wasi:http/outgoing-handler` reaches the granted origins and denies the rest, for many toolchains import it
/// unasked.
const WASI: &[(&str, &[&str])] = &[
    (
        "wasi:cli",
        &[
            "environment",
            "exit",
            "stdin",
            "stdout",
            "stderr",
            "terminal-input",
            "terminal-output",
            "terminal-stdin",
            "terminal-stdout",
            "terminal-stderr",
        ],
    ),
    ("wasi:clocks", &["monotonic-clock", "wall-clock"]),
    ("wasi:filesystem", &["types", "preopens"]),
    ("wasi:http", &["types", "outgoing-handler"]),
    ("wasi:io", &["error", "poll", "streams"]),
    ("wasi:random", &["random", "insecure", "insecure-seed"]),
    (
        "wasi:sockets",
        &[
            "instance-network",
            "ip-name-lookup",
            "network",
            "tcp",
            "tcp-create-socket",
            "udp",
            "udp-create-socket",
        ],
    ),
];

/// The need of an import of this name. Types alone need nothing, whatever their name.
pub(super) fn need(import: &str, is_types_only: bool) -> Need {
    if is_types_only {
        return Need::Nothing;
    }
    for (name, need) in INTERFACES {
        let fits = if name.ends_with('.') { import.starts_with(name) } else { import == *name };
        if fits {
            return *need;
        }
    }
    let (interface, version) = import.split_once('@').unwrap_or((import, ""));
    let is_published = version.starts_with("0.2.") && !version.contains('-');
    if is_wasi(interface) && is_published { Need::Nothing } else { Need::Unknown }
}

/// The names of all interfaces that the host offers.
pub(super) fn offered() -> impl Iterator<Item = &'static str> {
    let of_wasi = WASI.iter().flat_map(|(package, names)| iter::once(*package).chain(names.iter().copied()));
    INTERFACES.iter().map(|(name, _)| *name).chain(of_wasi)
}

/// True if the host has this interface of WASI 0.2. The name has no version.
fn is_wasi(interface: &str) -> bool {
    let (package, name) = interface.split_once('/').unwrap_or((interface, ""));
    WASI.iter().any(|(known, names)| *known == package && names.contains(&name))
}

/// The host's versions of an interface that it does not have in the imported version.
pub(super) fn versions(import: &str) -> Vec<&'static str> {
    let interface = import.split('@').next().unwrap_or_default();
    if is_wasi(interface) {
        return vec!["0.2"];
    }
    let known = INTERFACES.iter().filter_map(|(name, _)| name.split_once('@'));
    known.filter(|(name, _)| *name == interface).map(|(_, version)| version.trim_end_matches('.')).collect()
}

/// True if these grants open an interface that needs `grant`. `keyvalue-shared` alone opens `wasi:keyvalue` too; the
/// right to a single store is checked when the store is opened.
pub(super) fn is_opened(grants: Grants, grant: Grant) -> bool {
    grants.hold(grant) || (grant == Grant::KeyValue && grants.hold(Grant::KeyValueShared))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_import_is_known_by_its_name_and_version() {
        let table = [
            ("jackfield:plugin/context@0.1.0", Need::Nothing),
            ("jackfield:plugin/limiter@0.1.7", Need::Grant(Grant::Limiter)),
            ("jackfield:plugin/limiter@0.2.0", Need::Unknown),
            ("wasi:keyvalue/store@0.2.0-draft", Need::Grant(Grant::KeyValue)),
            ("wasi:keyvalue/store@0.2.0-draft2", Need::Grant(Grant::KeyValue)),
            ("wasi:keyvalue/store@0.2.0-draft3", Need::Unknown),
            ("wasi:io/streams@0.2.6", Need::Nothing),
            ("wasi:io/streams@0.3.0", Need::Unknown),
            ("wasi:http/types@0.2.0", Need::Nothing),
            ("wasi:http/types@0.2.0-rc-2023-12-05", Need::Unknown),
            ("wasi:cli/run@0.2.0", Need::Unknown),
            ("wasi:http/outgoing-handler@0.2.12", Need::Nothing),
            ("wasi:http/handler@0.3.0", Need::Unknown),
            ("wasi:http/incoming-handler@0.2.0", Need::Unknown),
            ("acme:vault/secrets", Need::Unknown),
        ];
        for (import, expected) in table {
            assert_eq!(need(import, false), expected, "{import}");
        }
        assert_eq!(need("acme:vault/types", true), Need::Nothing);
    }

    #[test]
    fn what_is_here_in_other_versions_is_said() {
        assert_eq!(versions("jackfield:plugin/limiter@0.2.0"), ["0.1"]);
        assert_eq!(versions("wasi:keyvalue/store@0.1.0"), ["0.2.0-draft2", "0.2.0-draft"]);
        assert_eq!(versions("wasi:io/poll@1.0.0"), ["0.2"]);
        assert_eq!(versions("wasi:io/pole@0.2.0"), [""; 0]);
        assert_eq!(versions("acme:vault/secrets"), [""; 0]);
    }
}
