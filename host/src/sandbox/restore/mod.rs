//! Instances that are put back to their start after a call, in place of being made anew: `instances = "fresh"` at the
//! price of a reused instance.
//!
//! A component that can be put back has parts of the host's own (`rewrite/restore/`): one function that saves the
//! globals when an instance begins, and one that sets them again, and brings the table of handles into its first
//! order. Memory is the host's to put back: the kernel tells which pages were written (`write_tracker.rs`), and the
//! memory's image has their first content (`image.rs`). `restorable.rs` has the steps.
//!
//! An instance is put back only if this is proven to be all of it. It is dropped, and the next call gets a new one, if
//! its call failed; if its memory has grown beyond its room; if it called the host while it began, for then its start may
//! hold what was told to one caller; if a handle is left; if the images of all components would take more memory than they
//! may; or if the system refuses to say what was written. Everything that the host holds for an instance is made anew
//! (`CallState::wipe`).

mod image;
mod plan;
mod restorable;
mod shown_memory;
#[cfg_attr(not(target_os = "linux"), path = "no_write_tracker.rs")]
mod write_tracker;

pub(super) use image::Images;
pub use image::{MAX_IMAGE_BYTES, MAX_IMAGES_BYTES};
pub(super) use plan::{Exports, RestorePlan};
pub(super) use restorable::{Restorable, add_to_linker};
pub(super) use shown_memory::ShownMemory;
pub(super) use write_tracker::WriteTracker;

#[cfg(test)]
mod tests;
