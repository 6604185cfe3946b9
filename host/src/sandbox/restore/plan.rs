//! The plan by which the instances of a component are put back: its added exports, and the image of its memory.
//!
//! The image is taken of the second instance, once the first has ended as one that could have been put back: a component
//! whose calls always leave a handle gets none.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use wasmtime::component::{Component as WasmComponent, ComponentExportIndex};

use super::image::{Image, Images};
use crate::sandbox::rewrite::restore::{BEGIN, RESTORE};

/// The added exports of a component.
pub(in crate::sandbox) struct Exports {
    pub(super) begin: ComponentExportIndex,
    pub(super) restore: ComponentExportIndex,
}

impl Exports {
    /// The exports of a component. None if it has none.
    pub(in crate::sandbox) fn of(component: &WasmComponent) -> Option<Self> {
        let export = |name| component.get_export_index(None, name);
        Some(Self { begin: export(BEGIN)?, restore: export(RESTORE)? })
    }

    /// True if this is the name of an added export.
    pub(in crate::sandbox) fn is_name(name: &str) -> bool {
        name == BEGIN || name == RESTORE
    }
}

/// The plan of a component.
pub(in crate::sandbox) struct RestorePlan {
    pub(super) exports: Exports,
    image: OnceLock<Image>,
    /// An instance has ended a call as it must to be put back.
    is_promising: AtomicBool,
    /// The number of images that had gone when there was no room for this one, and one more. Zero if there was no refusal.
    refused_at: AtomicUsize,
}

impl RestorePlan {
    /// The plan of a component with these exports.
    pub(in crate::sandbox) fn new(exports: Exports) -> Self {
        Self {
            exports,
            image: OnceLock::new(),
            is_promising: AtomicBool::new(false),
            refused_at: AtomicUsize::new(0),
        }
    }

    /// The image, if it was taken.
    pub(in crate::sandbox) fn image(&self) -> Option<&Image> {
        self.image.get()
    }

    /// Notes that an instance has ended a call as it must to be put back.
    pub(super) fn promise(&self) {
        if !self.is_promising.load(Ordering::Relaxed) {
            self.is_promising.store(true, Ordering::Relaxed);
        }
    }

    /// The image; it is taken of this memory if there is none, and if there is room.
    pub(super) fn image_of(&self, memory: &[u8], images: &Images) -> Option<&Image> {
        if let Some(image) = self.image.get() {
            return Some(image);
        }
        let gone = images.gone().saturating_add(1);
        if !self.is_promising.load(Ordering::Relaxed) || self.refused_at.load(Ordering::Relaxed) == gone {
            return None;
        }
        match images.add(memory) {
            // Another instance may have been first: all begin alike.
            Some(image) => Some(self.image.get_or_init(|| image)),
            None => {
                self.refused_at.store(gone, Ordering::Relaxed);
                None
            }
        }
    }
}
