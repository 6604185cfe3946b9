//! Mounts: folders of the site that a plugin may read, and nothing outside them.
//!
//! Owns the rules of a mount, in plain Rust. A path is resolved below its mount, by the kernel (openat2(2) with
//! `RESOLVE_BENEATH`): no link and no `..` leads out. Only plain files and folders are opened. A file that was changed
//! since it was opened is not read any further, so that nobody takes two versions for one; a file that was deleted is
//! read to its end. Each operation looks at the folder as it is then: a folder that was replaced, or a link to it that
//! was turned, is seen by the next operation.
//!
//! What the kernel has in memory is looked up and read on the thread that asks, which is the guest's CPU. What it
//! would wait for, is done on a thread for blocking work; a tenant has only [`MAX_BLOCKED`] of these at once, so that
//! a file system that does not answer holds up its own tenant.
//!
//! | file | owns |
//! |---|---|
//! | `name.rs`, `error.rs` | the name of a mount; the failure of an operation |
//! | `share.rs` | the files that a call, a tenant and the host have open, and the threads that wait for file systems |
//! | `stat.rs` | the metadata of a file or folder, its hash, and its stamp |
//! | `lookup.rs` | a path → an open file or folder |
//! | `file.rs` | an open file, and how it is read |
//! | `listing.rs` | the entries of a folder |
//! | `folder.rs` | a plugin's mounts, and the folders below them |

mod error;
mod file;
mod folder;
mod listing;
mod lookup;
mod name;
mod share;
mod stat;

pub use error::FileError;
pub use file::{File, MAX_READ_BYTES, Read};
pub use folder::{Folder, Mounts, Node, check_folder};
pub use listing::{Entry, Listing};
pub use name::{MountName, MountNameError};
pub use share::{CallFiles, FileShare, MAX_BLOCKED, OpenFiles};
pub use stat::{Kind, Stat, Time};

#[cfg(test)]
mod tests;
