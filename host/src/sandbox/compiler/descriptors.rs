//! The descriptors that a process was started with, closed but for the standard three.
//!
//! The host's own are all closed as a child starts; whoever started the host may have left it others.
#![allow(unsafe_code)]

use std::io;

/// Where a process finds its own descriptors, on Linux and elsewhere.
const OWN: [&str; 2] = ["/proc/self/fd", "/dev/fd"];

/// Closes every descriptor above standard error. For a process that has opened none itself, as its first act.
pub(super) fn close_inherited() -> io::Result<()> {
    let listed = OWN.into_iter().find_map(|folder| std::fs::read_dir(folder).ok());
    let listed = listed.ok_or_else(|| io::Error::other("this process cannot list its descriptors"))?;
    let names = listed.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
    let numbers = names.iter().filter_map(|name| name.to_str()?.parse::<i32>().ok());
    for descriptor in numbers.filter(|number| *number > 2) {
        // SAFETY: nothing in this process owns it: it was inherited, or it is that of the listing, which is closed
        // already and whose number nobody has taken since, for this is the only thread.
        unsafe { rustix::io::close(descriptor) };
    }
    Ok(())
}
