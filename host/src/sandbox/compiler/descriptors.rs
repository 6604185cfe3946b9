//! The descriptors that a process was started with, closed but for the standard three.
//!
//! The host's own descriptors are all closed when a child starts. The process that started the host may have left it
//! others.
#![allow(unsafe_code)]

use std::io;
use std::path::Path;

/// The folder where a process finds its own descriptors, on Linux and elsewhere.
const OWN: [&str; 2] = ["/proc/self/fd", "/dev/fd"];

/// Closes every descriptor above standard error. For a process that has opened none itself, as its first act.
pub(super) fn close_inherited() -> io::Result<()> {
    let listing = OWN.into_iter().map(Path::new).find_map(|own| Some((own, std::fs::read_dir(own).ok()?)));
    let (own, listed) =
        listing.ok_or_else(|| io::Error::other("this process cannot list its descriptors"))?;
    let names = listed.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
    let numbers = names.iter().filter_map(|name| name.to_str()?.parse::<i32>().ok());
    for descriptor in numbers.filter(|number| *number > 2) {
        // The descriptor of the listing itself is closed already.
        if std::fs::symlink_metadata(own.join(descriptor.to_string())).is_err() {
            continue;
        }
        // SAFETY: the descriptor is open, and nothing in this process owns it: it was inherited, for this is the
        // first act of the only thread.
        unsafe { rustix::io::close(descriptor) };
    }
    Ok(())
}
