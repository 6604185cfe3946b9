//! Capabilities: what a host that runs as root, or was given some, keeps of them.

use caps::errors::CapsError;
use caps::{CapSet, Capability, CapsHashSet};

/// What a host may need that starts with them: ports below 1024, files that are other users', and having threads back from
/// the background. Landlock bounds what it does to files; of how threads are scheduled, also those of others, seccomp
/// leaves it the choice between ordinary and background.
pub(super) const KEPT: [Capability; 4] = [
    Capability::CAP_NET_BIND_SERVICE,
    Capability::CAP_DAC_OVERRIDE,
    Capability::CAP_DAC_READ_SEARCH,
    Capability::CAP_SYS_NICE,
];

/// Gives back all but these. What it started with, and nobody else, can have them again: a program that this one starts
/// gains none, for it is started without new privileges.
pub(super) fn keep(kept: &[Capability]) -> Result<String, String> {
    give_back(kept).map_err(|error| format!("cannot give them back: {error}"))
}

fn give_back(kept: &[Capability]) -> Result<String, CapsError> {
    let had = caps::read(None, CapSet::Permitted)?;
    let has: CapsHashSet = had.iter().copied().filter(|capability| kept.contains(capability)).collect();
    caps::clear(None, CapSet::Ambient)?;
    caps::clear(None, CapSet::Inheritable)?;
    // In this order: what is in effect has to be permitted.
    caps::set(None, CapSet::Effective, &has)?;
    caps::set(None, CapSet::Permitted, &has)?;
    let mut names: Vec<String> = has.iter().map(ToString::to_string).collect();
    names.sort();
    Ok(if names.is_empty() { "none kept".to_owned() } else { format!("kept: {}", names.join(" ")) })
}
