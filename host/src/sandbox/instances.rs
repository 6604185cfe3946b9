//! The instances of one plugin of one revision, each for one call, or kept for the next: as it is, where the plugin
//! asks for that, and else only if it can be put back to its start (`restore/`).
//!
//! An instance is kept as it is only if its table of resources is empty but for standard streams and their pollables.
//! No other handle is safe to keep: a body, a future or a pollable leads to the caller, the connection or the budget of
//! the call that made it. Dropped handles leave nothing, for their tasks end with them. Standard streams lead to an
//! outlet, which is turned to the output of the call that runs.
//!
//! [`Instances`] owns the waiting ones: it cannot be cloned, its instances cannot be named outside this room, and no
//! function takes an instance from one and gives it to another. So no instance can serve two plugins, two revisions
//! or two tenants. The number of waiting instances on the whole host, and their order, are `idle.rs`'s.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use wasmtime::component::Instance as Started;
use wasmtime::{Engine, Store};
use wasmtime_wasi_http::p2::bindings::Proxy;

use super::bindings::{handler, request_filter, response_filter};
use super::call::Call;
use super::call_error::CallStop;
use super::component::Component;
use super::idle::{Idle, Ticket};
use super::ready::Ready;
use super::restore::{Images, Restorable, WriteTracker};
use super::state::{CallState, PerCall};
use crate::limits::Reuse;
use crate::observe::{EvictionReason, GaugeGuard, Plug, PluginMetrics};

/// The instances of a component, for one plugin of one revision.
pub struct Instances(Arc<Shelf>);

impl Instances {
    pub(super) fn new(
        engine: &Engine,
        images: &Images,
        idle: Arc<Idle<Shelf>>,
        component: Component,
        reuse: Option<Reuse>,
        metrics: Arc<PluginMetrics>,
    ) -> Self {
        let (engine, images) = (engine.clone(), images.clone());
        let stock = Mutex::new(Stock { is_closed: false, waiting: Vec::new() });
        let keeping = match reuse {
            Some(reuse) => Some(Keeping::Reused(reuse)),
            None if component.can_be_restored() => WriteTracker::of_this_process().map(Keeping::Restored),
            None => None,
        };
        Self(Arc::new(Shelf { engine, component, keeping, metrics, images, idle, stock }))
    }

    /// The component of the instances.
    pub fn component(&self) -> &Component {
        &self.0.component
    }

    /// Lets all waiting instances go, and keeps none from now on.
    pub fn close(&self) {
        self.0.close();
    }
}

impl Drop for Instances {
    fn drop(&mut self) {
        self.close();
    }
}

/// The shelf where a plugin's instances wait. Running calls hold it too, to give their instances back.
pub(super) struct Shelf {
    engine: Engine,
    component: Component,
    keeping: Option<Keeping>,
    metrics: Arc<PluginMetrics>,
    images: Images,
    idle: Arc<Idle<Shelf>>,
    stock: Mutex<Stock>,
}

/// The way in which instances are kept for another call.
#[derive(Clone, Copy)]
enum Keeping {
    /// As their calls leave them: `instances = "reused"`.
    Reused(Reuse),
    /// Put back to their start.
    Restored(&'static WriteTracker),
}

impl Keeping {
    /// The bounds of an instance that is kept.
    fn bounds(self) -> Reuse {
        match self {
            Self::Reused(reuse) => reuse,
            Self::Restored(_) => Reuse::default(),
        }
    }
}

struct Stock {
    is_closed: bool,
    /// The waiting instances in the order of their tickets: the one that was used last is taken first, so that the
    /// others' time runs out.
    waiting: Vec<Waiting>,
}

struct Waiting {
    ticket: Ticket,
    until: Instant,
    live: Live,
    _counted: GaugeGuard,
}

/// An instance between its start and its end.
struct Live {
    /// Dropped before the store: see `restore/write_tracker.rs`. None if the instance is not put back to its start.
    restorable: Option<Restorable>,
    is_restored: bool,
    store: Store<CallState>,
    /// The code that the instance is made from. No other code's indices and image fit it.
    ready: Option<Arc<Ready>>,
    started: Option<Started>,
    plugs: Plugs,
    born: Instant,
    calls: u32,
    /// The bytes of the instance's memories at the end of its first call.
    first_bytes: u64,
}

/// The exports that were looked up on this instance.
#[derive(Default)]
struct Plugs {
    handler: Option<handler::Plug>,
    incoming_handler: Option<Proxy>,
    request_filter: Option<request_filter::Plug>,
    response_filter: Option<response_filter::Plug>,
}

/// An instance in a call. When it is dropped, it is gone, with all that the call has left in it.
pub(super) struct Instance {
    shelf: Arc<Shelf>,
    live: Live,
}

impl Instances {
    /// The instance for a call: the one that has waited for the shortest time, or a fresh one.
    pub(super) fn for_call(&self, call: Call) -> Instance {
        let shelf = self.0.clone();
        let call = PerCall::new(call);
        let live = match shelf.take() {
            Some(mut live) => {
                match shelf.keeping {
                    Some(Keeping::Restored(_)) => {
                        shelf.metrics.instance_started();
                        shelf.metrics.instance_restored();
                    }
                    Some(Keeping::Reused(_)) | None => shelf.metrics.call_reused(),
                }
                live.is_restored = false;
                live.store.data_mut().begin(call);
                live
            }
            None => {
                shelf.metrics.instance_started();
                Live {
                    restorable: None,
                    is_restored: false,
                    store: CallState::store(&shelf.engine, call),
                    ready: None,
                    started: None,
                    plugs: Plugs::default(),
                    born: Instant::now(),
                    calls: 0,
                    first_bytes: 0,
                }
            }
        };
        let mut instance = Instance { shelf, live };
        // The next tick is the first that the instance sees.
        instance.live.store.set_epoch_deadline(1);
        instance
    }
}

impl Idle<Shelf> {
    /// Lets instances go that have waited for a call as long as they may. Does not end.
    pub(super) async fn tend(&self) {
        loop {
            let leaving = self.overdue().await;
            for (shelf, ticket) in &leaving.who {
                shelf.let_go(*ticket, EvictionReason::TimeOver);
            }
            drop(leaving);
            tokio::task::yield_now().await;
        }
    }
}

impl Shelf {
    fn take(&self) -> Option<Live> {
        self.keeping?;
        let mut stock = self.stock();
        let Waiting { ticket, until, live, _counted } = stock.waiting.pop()?;
        self.idle.leave(ticket);
        drop(stock);
        if until <= Instant::now() {
            self.count_eviction(EvictionReason::TimeOver);
            return None;
        }
        Some(live)
    }

    fn keep(self: &Arc<Self>, reuse: Reuse, live: Live) -> Result<(), EvictionReason> {
        let now = Instant::now();
        // A time beyond the clock's range does not come.
        let dies = live.born.checked_add(reuse.age);
        let until = [now.checked_add(reuse.idle), dies].into_iter().flatten().min();
        let until = until.unwrap_or_else(|| far_from(now));
        if until <= now {
            return Err(EvictionReason::TimeOver);
        }
        let memory = &live.store.data().memory;
        let bytes = if live.is_restored { memory.first_bytes() } else { memory.used_bytes() };
        let mut stock = self.stock();
        if stock.is_closed {
            return Err(EvictionReason::Retired);
        }
        let entered = self.idle.enter(self, bytes, until);
        let (ticket, leaving) = entered.ok_or(EvictionReason::NoRoom)?;
        let counted = match self.keeping {
            Some(Keeping::Restored(_)) => self.metrics.restored_guard(),
            Some(Keeping::Reused(_)) | None => self.metrics.idle_guard(),
        };
        stock.waiting.push(Waiting { ticket, until, live, _counted: counted });
        drop(stock);
        for (shelf, ticket) in &leaving.who {
            shelf.let_go(*ticket, EvictionReason::NoRoom);
        }
        Ok(())
    }

    /// Drops the instance of this ticket, unless a call has taken it.
    fn let_go(&self, ticket: Ticket, why: EvictionReason) {
        let found = {
            let mut stock = self.stock();
            let place = stock.waiting.binary_search_by_key(&ticket, |waiting| waiting.ticket);
            place.ok().map(|place| stock.waiting.remove(place))
        };
        if found.is_some() {
            self.count_eviction(why);
        }
    }

    fn close(&self) {
        let (gone, leaving) = {
            let mut stock = self.stock();
            stock.is_closed = true;
            let leaving = self.idle.dismiss(stock.waiting.iter().map(|waiting| waiting.ticket));
            // Instances that another thread has going are that thread's to drop.
            let is_ours =
                |waiting: &mut Waiting| leaving.who.iter().any(|(_, ticket)| *ticket == waiting.ticket);
            (stock.waiting.extract_if(.., is_ours).collect::<Vec<_>>(), leaving)
        };
        gone.iter().for_each(|_| self.count_eviction(EvictionReason::Retired));
        drop(gone);
        drop(leaving);
    }

    /// Counts an instance that was not kept. One that was put back to its start is no loss to its plugin.
    fn count_eviction(&self, why: EvictionReason) {
        if let Some(Keeping::Reused(_)) = self.keeping {
            self.metrics.instance_let_go(why);
        }
    }

    fn stock(&self) -> MutexGuard<'_, Stock> {
        self.stock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A time beyond every limit that a site file can set.
fn far_from(now: Instant) -> Instant {
    now.checked_add(Duration::from_secs(1 << 31)).unwrap_or(now)
}

/// Methods of an instance, one a plug: the plug is instantiated and looked up when it is first called.
macro_rules! plug {
    ($name:ident, $plug:ident, $type:ty) => {
        pub(super) async fn $name(&mut self) -> Result<(&mut Store<CallState>, &$type), CallStop> {
            let Self { shelf, live } = self;
            let ready = live.ready(&shelf.component).await?;
            let indices = ready.$name.as_ref().ok_or(CallStop::NotThisPlug(Plug::$plug))?;
            let started = live.started(&ready, shelf.keeping, &shelf.images).await?;
            let Live { store, plugs, .. } = live;
            let plug = match &mut plugs.$name {
                Some(plug) => plug,
                none => none.insert(indices.load(&mut *store, &started).map_err(CallStop::Start)?),
            };
            Ok((store, plug))
        }
    };
}

impl Instance {
    plug!(handler, Handler, handler::Plug);
    plug!(incoming_handler, Handler, Proxy);
    plug!(request_filter, RequestFilter, request_filter::Plug);
    plug!(response_filter, ResponseFilter, response_filter::Plug);

    pub(super) fn state(&self) -> &CallState {
        self.live.store.data()
    }

    pub(super) fn state_mut(&mut self) -> &mut CallState {
        self.live.store.data_mut()
    }

    /// Takes the instance back from a call that has succeeded: it is kept for the next call, or dropped.
    pub(super) fn give_back(self) {
        let Self { shelf, mut live } = self;
        let Some(keeping) = shelf.keeping else { return };
        let bounds = keeping.bounds();
        let ended = match keeping {
            Keeping::Reused(_) => live.end_call(bounds),
            Keeping::Restored(_) if !live.is_restored => return,
            Keeping::Restored(_) => live.end_restored(bounds),
        };
        if let Err(why) = ended.and_then(|()| shelf.keep(bounds, live)) {
            shelf.count_eviction(why);
        }
    }

    /// Puts the instance back to its start behind a call that has succeeded, if its component can be put back.
    pub(super) async fn restore(&mut self) {
        let Self { shelf, live } = self;
        let Some(Keeping::Restored(tracker)) = shelf.keeping else { return };
        let plan = live.ready.as_ref().and_then(|ready| ready.restore.as_ref());
        let (Some(restorable), Some(plan)) = (&mut live.restorable, plan) else { return };
        live.is_restored = restorable.restore(&mut live.store, plan, tracker).await;
    }
}

impl Live {
    async fn ready(&mut self, component: &Component) -> Result<Arc<Ready>, CallStop> {
        if let Some(ready) = &self.ready {
            component.note_use();
            return Ok(ready.clone());
        }
        let ready = component.ready().await?;
        self.ready = Some(ready.clone());
        Ok(ready)
    }

    async fn started(
        &mut self,
        ready: &Ready,
        keeping: Option<Keeping>,
        images: &Images,
    ) -> Result<Started, CallStop> {
        if let Some(started) = self.started {
            return Ok(started);
        }
        // The arguments of the call may be in the store already.
        self.store.data_mut().host_calls = 0;
        let started = ready.instance.instantiate_async(&mut self.store).await.map_err(CallStop::Start)?;
        if let (Some(plan), Some(Keeping::Restored(_))) = (&ready.restore, keeping) {
            let restorable = Restorable::begin(plan, started, &mut self.store, images).await;
            self.restorable = restorable.map_err(CallStop::Start)?;
        }
        self.started = Some(started);
        Ok(started)
    }

    /// Ends the call of an instance that was put back to its start; or says why it cannot have another call.
    fn end_restored(&mut self, bounds: Reuse) -> Result<(), EvictionReason> {
        self.calls = self.calls.saturating_add(1);
        if self.calls >= bounds.calls {
            return Err(EvictionReason::Calls);
        }
        let state = self.store.data_mut();
        state.end();
        state.wipe();
        Ok(())
    }

    /// Ends the instance's call, of which nothing may be left; or says why the instance cannot have another call.
    fn end_call(&mut self, reuse: Reuse) -> Result<(), EvictionReason> {
        self.calls = self.calls.saturating_add(1);
        if self.calls >= reuse.calls {
            return Err(EvictionReason::Calls);
        }
        let state = self.store.data_mut();
        if state.has_left_overs() {
            return Err(EvictionReason::LeftOvers);
        }
        if self.calls == 1 {
            self.first_bytes = state.memory.used_bytes();
        }
        if state.memory.has_outgrown(self.first_bytes) {
            return Err(EvictionReason::Memory);
        }
        state.end();
        Ok(())
    }
}
