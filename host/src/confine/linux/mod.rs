//! Linux: the order in which the means of confinement are applied, and the report of each.

mod capabilities;
mod files;
mod own_program;
mod system_calls;

use super::{Confined, Means, Needs};
use files::Restricted;

pub(super) fn host(needs: &Needs) -> Confined {
    confined(&capabilities::KEPT, || files::host(needs), system_calls::host)
}

pub(super) fn compiler() -> Confined {
    confined(&[], files::compiler, system_calls::compiler)
}

/// Applies system calls last: the other means need some of the calls that are then denied.
fn confined(
    kept: &[caps::Capability],
    files: impl FnOnce() -> Result<Restricted, String>,
    system_calls: impl FnOnce() -> Result<String, String>,
) -> Confined {
    let capabilities = capabilities::keep(kept);
    let files = files();
    let system_calls = system_calls();
    // Landlock and seccomp each set it first, because neither is permitted to an ordinary user without it.
    let is_set = system_calls.is_ok() || files.as_ref().is_ok_and(|files| files.no_new_privileges);

    let mut confined = Confined::default();
    let no_new_privileges = is_set.then(String::new).ok_or_else(|| "the kernel refuses it".to_owned());
    confined.note(Means::NoNewPrivileges, no_new_privileges);
    confined.note(Means::Capabilities, capabilities);
    match files {
        Ok(Restricted { extent, gaps, no_new_privileges: _ }) => {
            if let Some(extent) = extent {
                confined.note(Means::Landlock, Ok(extent));
            }
            for gap in gaps {
                confined.note(Means::Landlock, Err(gap));
            }
        }
        Err(why) => confined.note(Means::Landlock, Err(why)),
    }
    confined.note(Means::Seccomp, system_calls);
    confined
}
