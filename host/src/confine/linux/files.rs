//! Landlock: bounds which files may be written to and executed, which ports bound, which processes signalled.
//!
//! Rules name files that exist when the rules are made: a folder that is deleted and made anew has no rule. Open
//! descriptors, standard error among them, are not restricted. Renaming and linking are permitted within one folder
//! and not from one to another, because the oldest kernels that have Landlock always refuse the latter.

use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, LandlockStatus, NetPort, PathBeneath, PathFd,
    RestrictionStatus, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus,
    Scope,
};

use super::own_program::{PROGRAM, loader};
use crate::confine::Needs;

/// The newest version of the kernel's interface whose restrictions were all tried with these rules.
const NEWEST: ABI = ABI::V6;

/// The accesses that a kernel with an older interface leaves open, each with the Linux version that can refuse it.
const LEFT_OPEN: [(ABI, &str); 4] = [
    (ABI::V3, "files can be truncated (Linux 6.2 can refuse it)"),
    (ABI::V4, "any TCP port can be bound (Linux 6.7 can refuse it)"),
    (ABI::V5, "devices can be controlled (Linux 6.10 can refuse it)"),
    (ABI::V6, "any process of the user can be signalled (Linux 6.12 can refuse it)"),
];

/// The file that `Command` opens for a child's standard streams.
const NOWHERE: &str = "/dev/null";

/// The result of the restriction.
pub(super) struct Restricted {
    /// The extent of what holds; none if the kernel has no Landlock.
    pub(super) extent: Option<String>,
    /// The accesses that stay open.
    pub(super) gaps: Vec<String>,
    /// True if started programs gain no privileges.
    pub(super) no_new_privileges: bool,
}

/// Restricts the files of a host. Reading is not restricted, so it is permitted everywhere: a reload may name
/// components, secrets and certificates that are unknown now.
pub(super) fn host(needs: &Needs) -> Result<Restricted, String> {
    let restrict = || -> Result<RestrictionStatus, RulesetError> {
        let rules = Ruleset::default()
            .handle_access(AccessFs::from_write(NEWEST) | AccessFs::Execute)?
            .handle_access(AccessNet::BindTcp)?
            .scope(Scope::from_all(NEWEST))?
            .create()?;
        let write = AccessFs::WriteFile | AccessFs::Truncate;
        let make_and_remove =
            AccessFs::MakeReg | AccessFs::MakeDir | AccessFs::RemoveFile | AccessFs::RemoveDir;
        let mut rules = permit(rules, &needs.state, write | make_and_remove)?;
        for folder in &needs.socket_folders {
            rules = permit(rules, folder, AccessFs::MakeSock | AccessFs::RemoveFile)?;
        }
        rules = permit(rules, NOWHERE, AccessFs::WriteFile.into())?;
        rules = permit(rules, PROGRAM, AccessFs::Execute.into())?;
        if let Some(loader) = loader() {
            rules = permit(rules, loader, AccessFs::Execute.into())?;
        }
        for port in &needs.tcp_ports {
            rules = rules.add_rule(NetPort::new(*port, AccessNet::BindTcp))?;
        }
        rules.restrict_self()
    };
    told(restrict())
}

/// Restricts the files of a compiler: all access is handled, and none permitted.
pub(super) fn compiler() -> Result<Restricted, String> {
    let restrict = || -> Result<RestrictionStatus, RulesetError> {
        Ruleset::default()
            .handle_access(AccessFs::from_all(NEWEST))?
            .handle_access(AccessNet::from_all(NEWEST))?
            .scope(Scope::from_all(NEWEST))?
            .create()?
            .restrict_self()
    };
    told(restrict())
}

/// Permits `access` beneath `path`. A missing path needs no rule: the code that wants to use it reports the error.
fn permit(
    rules: RulesetCreated,
    path: impl AsRef<Path>,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    match PathFd::new(path) {
        Ok(place) => rules.add_rule(PathBeneath::new(place, access)),
        Err(_) => Ok(rules),
    }
}

fn told(status: Result<RestrictionStatus, RulesetError>) -> Result<Restricted, String> {
    let status = status.map_err(|error| format!("the kernel refuses the rules: {error}"))?;
    let no_new_privileges = status.no_new_privs;
    let none = |why: &str| Restricted { extent: None, gaps: vec![why.to_owned()], no_new_privileges };
    Ok(match status.landlock {
        LandlockStatus::Available { effective_abi, .. } if status.ruleset != RulesetStatus::NotEnforced => {
            let open = LEFT_OPEN.into_iter().filter(|(since, _)| effective_abi < *since);
            Restricted {
                extent: Some(format!("ABI {effective_abi}")),
                gaps: open.map(|(_, what)| what.to_owned()).collect(),
                no_new_privileges,
            }
        }
        LandlockStatus::Available { .. } => none("the kernel does not enforce the rules"),
        LandlockStatus::NotEnabled => none("it is switched off: name it in the kernel's parameter `lsm=`"),
        LandlockStatus::NotImplemented => {
            none("the kernel has none (Linux 5.13 and later can), or a container's own filter hides it")
        }
    })
}
