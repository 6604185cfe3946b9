//! One instance that can be put back: the calls of its added exports, and its memory.

use std::sync::OnceLock;

use wasmtime::component::{
    Component as WasmComponent, ComponentExportIndex, Instance as Started, Linker, TypedFunc, WasmList,
};
use wasmtime::{Store, StoreContextMut};

use super::image::{Image, Images};
use super::shown_memory::ShownMemory;
use super::write_tracker::{Tracked, WriteTracker};
use crate::sandbox::pool::RESTORED_MEMORY_BYTES;
use crate::sandbox::rewrite::restore::{BEGIN, HOST, MEMORY, RESTORE};
use crate::sandbox::state::CallState;

/// The most handles that a call may have had for its instance to be put back: each costs some 60 ns.
const MOST_HANDLES: u32 = 256;

/// The added exports of a component.
pub(in crate::sandbox) struct Exports {
    begin: ComponentExportIndex,
    restore: ComponentExportIndex,
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

/// Adds the import by which an instance shows its memory.
pub(in crate::sandbox) fn add_to_linker(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    let show = |mut store: StoreContextMut<'_, CallState>, (begin, pages): (WasmList<u8>, u32)| {
        let shown = ShownMemory::of(begin.as_le_slice(&store), pages);
        store.data_mut().shown = Some(shown);
        Ok(())
    };
    linker.instance(HOST)?.func_wrap(MEMORY, show)
}

/// An instance that can be put back.
pub(in crate::sandbox) struct Restorable {
    restore: TypedFunc<(u32,), ()>,
    pub(super) memory: ShownMemory,
    /// The most handles that the instance can have had at once.
    handles: u32,
    /// None before the instance is first put back.
    tracked: Option<Tracked>,
}

impl Restorable {
    /// Saves the start of an instance that was just made. None if the start may hold what the host told one caller.
    pub(in crate::sandbox) async fn begin(
        exports: &Exports,
        instance: Started,
        store: &mut Store<CallState>,
        image: &OnceLock<Option<Image>>,
        images: &Images,
    ) -> wasmtime::Result<Option<Self>> {
        if store.data().host_calls > 0 {
            return Ok(None);
        }
        let begin = instance.get_typed_func::<(u32,), ()>(&mut *store, &exports.begin)?;
        let restore = instance.get_typed_func::<(u32,), ()>(&mut *store, &exports.restore)?;
        let room = store.data().memory.room_pages();
        begin.call_async(&mut *store, (room,)).await?;
        let Some(memory) = store.data_mut().shown.take() else { return Ok(None) };
        if memory.bytes > usize::try_from(RESTORED_MEMORY_BYTES).unwrap_or(usize::MAX) {
            return Ok(None);
        }
        let image = image.get_or_init(|| images.add(memory.content(store)));
        let is_alike = image.as_ref().is_some_and(|image| image.len_bytes() == memory.bytes);
        Ok(is_alike.then_some(Self { restore, memory, handles: 0, tracked: None }))
    }

    /// Puts the instance back to its start. False if that cannot be done: the instance is to be dropped then.
    pub(in crate::sandbox) async fn restore(
        &mut self,
        store: &mut Store<CallState>,
        image: &Image,
        tracker: &'static WriteTracker,
    ) -> bool {
        let state = store.data_mut();
        // A handle that is left is found below as well; but the trap that tells of it takes 12 µs.
        if state.has_unfinished_body() || state.memory.was_short() || state.may_have_handles() {
            return false;
        }
        self.handles = self.handles.max(state.most_handles());
        if self.handles > MOST_HANDLES {
            return false;
        }
        store.data_mut().shown = None;
        let restored = self.restore.call_async(&mut *store, (self.handles,)).await;
        if restored.is_err() || store.data_mut().shown.take() != Some(self.memory) {
            return false;
        }
        match &mut self.tracked {
            Some(tracked) => tracked.put_back(store, image).is_ok(),
            None => match tracker.put_back_and_track(store, self.memory, image) {
                Ok(tracked) => {
                    self.tracked = Some(tracked);
                    true
                }
                Err(_) => false,
            },
        }
    }
}
