//! A component's code, ready to be called: imports resolved and exports found, once for all calls.
//!
//! The indices and the image of a [`Ready`] belong to its code: an instance must use those of the very `Ready` that it
//! was made from, and no others of the same component.

use wasmtime::component::{Component as WasmComponent, InstancePre, Linker};
use wasmtime_wasi_http::p2::bindings::ProxyIndices;

use super::bindings::{handler, request_filter, response_filter};
use super::component_error::ComponentError;
use super::description::Description;
use super::fit;
use super::interface::Interface;
use super::restore::{Exports, RestorePlan};
use super::state::CallState;

/// The start of every call.
pub(super) struct Ready {
    pub(super) instance: InstancePre<CallState>,
    pub(super) handler: Option<handler::PlugIndices>,
    pub(super) incoming_handler: Option<ProxyIndices>,
    pub(super) request_filter: Option<request_filter::PlugIndices>,
    pub(super) response_filter: Option<response_filter::PlugIndices>,
    /// None if the component's instances cannot be put back to their start.
    pub(super) restore: Option<RestorePlan>,
}

impl Ready {
    /// Links the code of a component that has this description.
    pub(super) fn link(
        linker: &Linker<CallState>,
        compiled: &WasmComponent,
        description: &Description,
    ) -> Result<Self, ComponentError> {
        let invalid = |error: wasmtime::Error| ComponentError::Invalid(format!("{error:#}"));
        let restore = if description.can_be_restored { Exports::of(compiled) } else { None };
        let instance = linker.instantiate_pre(compiled);
        let instance = instance.map_err(|error| fit::explain_imports(compiled, &error))?;
        let mut ready = Self {
            instance,
            handler: None,
            incoming_handler: None,
            request_filter: None,
            response_filter: None,
            restore: restore.map(RestorePlan::new),
        };
        let instance = &ready.instance;
        for interface in &description.interfaces {
            fit::check_export(instance, *interface)?;
            match interface {
                Interface::Handler => {
                    ready.handler = Some(handler::PlugIndices::new(instance).map_err(invalid)?);
                }
                Interface::IncomingHandler => {
                    ready.incoming_handler = Some(ProxyIndices::new(instance).map_err(invalid)?);
                }
                Interface::RequestFilter => {
                    ready.request_filter = Some(request_filter::PlugIndices::new(instance).map_err(invalid)?);
                }
                Interface::ResponseFilter => {
                    ready.response_filter =
                        Some(response_filter::PlugIndices::new(instance).map_err(invalid)?);
                }
            }
        }
        Ok(ready)
    }
}
