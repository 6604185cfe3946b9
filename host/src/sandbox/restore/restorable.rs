//! One instance that can be put back: the calls of its added exports, and its memory.

use wasmtime::component::{Instance as Started, Linker, TypedFunc, WasmList};
use wasmtime::{Store, StoreContextMut};

use super::image::Images;
use super::plan::RestorePlan;
use super::shown_memory::ShownMemory;
use super::write_tracker::{Tracked, WriteTracker};
use crate::sandbox::pool::RESTORED_MEMORY_BYTES;
use crate::sandbox::rewrite::restore::{HOST, MEMORY};
use crate::sandbox::state::CallState;

/// The most handles that a call may have had for its instance to be put back: each costs some 60 ns.
const MOST_HANDLES: u32 = 256;

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
    /// There was an image when the instance began, of which it is known to be alike.
    has_image: bool,
    /// The most handles that the instance can have had at once.
    handles: u32,
    /// None before the instance is first put back.
    tracked: Option<Tracked>,
}

impl Restorable {
    /// Saves the start of an instance that was just made. None if the start may hold what the host told one caller, or is
    /// not that of every instance.
    pub(in crate::sandbox) async fn begin(
        plan: &RestorePlan,
        instance: Started,
        store: &mut Store<CallState>,
        images: &Images,
    ) -> wasmtime::Result<Option<Self>> {
        if store.data().host_calls > 0 || store.data().memory.was_short() {
            return Ok(None);
        }
        let begin = instance.get_typed_func::<(u32,), ()>(&mut *store, &plan.exports.begin)?;
        let restore = instance.get_typed_func::<(u32,), ()>(&mut *store, &plan.exports.restore)?;
        // The room is all zeros, so the image need not have it; and it is not the same under each limit.
        let first_bytes = usize::try_from(store.data().memory.used_bytes()).unwrap_or(usize::MAX);
        let room = store.data_mut().memory.take_room();
        begin.call_async(&mut *store, (room,)).await?;
        let Some(memory) = store.data_mut().shown.take() else { return Ok(None) };
        let most_bytes = usize::try_from(RESTORED_MEMORY_BYTES).unwrap_or(usize::MAX);
        if memory.bytes > most_bytes || store.data().memory.was_short() {
            return Ok(None);
        }
        let Some(content) = memory.content(store).get(..first_bytes) else { return Ok(None) };
        let has_image = match plan.image_of(content, images) {
            Some(image) if image.len_bytes() != first_bytes => return Ok(None),
            image => image.is_some(),
        };
        Ok(Some(Self { restore, memory, has_image, handles: 0, tracked: None }))
    }

    /// Puts the instance back to its start. False if that cannot be done: the instance is to be dropped then.
    pub(in crate::sandbox) async fn restore(
        &mut self,
        store: &mut Store<CallState>,
        plan: &RestorePlan,
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
        plan.promise();
        let Some(image) = plan.image().filter(|_| self.has_image) else { return false };
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
