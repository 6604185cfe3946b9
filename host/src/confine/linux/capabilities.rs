//! Capabilities: those that a host keeps if it runs as root, or was given some.

use caps::errors::CapsError;
use caps::{CapSet, Capability, CapsHashSet};

/// The capabilities that a host keeps if it starts with them: for ports below 1024, for other users' files, and for
/// moving its threads back from the background. Landlock bounds what the host does to files. For scheduling, of its
/// own and others' threads, seccomp leaves the host only the choice between ordinary and background.
pub(super) const KEPT: [Capability; 4] = [
    Capability::CAP_NET_BIND_SERVICE,
    Capability::CAP_DAC_OVERRIDE,
    Capability::CAP_DAC_READ_SEARCH,
    Capability::CAP_SYS_NICE,
];

/// Drops all capabilities except `kept`, for good: programs that this process starts gain none either, because they
/// start without new privileges.
pub(super) fn keep(kept: &[Capability]) -> Result<String, String> {
    give_back(kept).map_err(|error| format!("cannot give them back: {error}"))
}

fn give_back(kept: &[Capability]) -> Result<String, CapsError> {
    let had = caps::read(None, CapSet::Permitted)?;
    let has: CapsHashSet = had.iter().copied().filter(|capability| kept.contains(capability)).collect();
    caps::clear(None, CapSet::Ambient)?;
    caps::clear(None, CapSet::Inheritable)?;
    // In this order, because an effective capability must be permitted.
    caps::set(None, CapSet::Effective, &has)?;
    caps::set(None, CapSet::Permitted, &has)?;
    let mut names: Vec<String> = has.iter().map(ToString::to_string).collect();
    names.sort();
    Ok(if names.is_empty() { "none kept".to_owned() } else { format!("kept: {}", names.join(" ")) })
}
