//! The interfaces of `wasi:http` as wasmtime's crate links them, and the replacement of single functions.

use wasmtime::component::{ComponentNamedList, Lift, Linker, LinkerInstance, Lower, ResourceTable};
use wasmtime_wasi_http::{WasiHttpCtxView, WasiHttpView};

use crate::sandbox::http::HttpState;
use crate::sandbox::totals::Totals;

/// The name that wasmtime's crate gives the interface. With another name, the replacing functions would stand beside
/// those that guests call: the suite notices.
pub(super) const TYPES: &str = "wasi:http/types@0.2.12";

/// The HTTP messages of one call, and the totals that their parts are paid from.
pub(in crate::sandbox) struct Messages<'a> {
    pub(in crate::sandbox) http: &'a mut HttpState,
    pub(in crate::sandbox) totals: &'a mut Totals,
    pub(in crate::sandbox) table: &'a mut ResourceTable,
}

impl Messages<'_> {
    /// wasmtime's own view, for one call of the interface.
    pub(super) fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.http.view(self.table)
    }
}

pub(in crate::sandbox) type View<T> = fn(&mut T) -> Messages<'_>;

pub(in crate::sandbox) fn add_to_linker<T: WasiHttpView + 'static>(
    linker: &mut Linker<T>,
) -> wasmtime::Result<()> {
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)
}

/// Replaces the function of this name by `function`. Shadowing must be allowed.
pub(super) fn replace<T, P, R>(
    types: &mut LinkerInstance<'_, T>,
    view: View<T>,
    name: &str,
    function: fn(Messages<'_>, P) -> wasmtime::Result<R>,
) -> wasmtime::Result<()>
where
    T: 'static,
    P: ComponentNamedList + Lift + 'static,
    R: ComponentNamedList + Lower + 'static,
{
    types.func_wrap(name, move |mut store, parameters| function(view(store.data_mut()), parameters))
}
