//! The fit of a component's exports and imports to the types that this host has for them.
//!
//! Owns the words about those that do not fit, and about exports that a route could nearly use. wasmtime (50.0.1)
//! looks at the names alone of exports before there is an instance, which is when the first call is made: the types
//! are compared here.

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component as WasmComponent, InstancePre, Resource};
use wasmtime_wasi_http::p2::types::{HostIncomingRequest, HostResponseOutparam};

use super::bindings::message::{HeaderChange, Request, RequestHead, Response, ResponseHead, Verdict};
use super::component_error::ComponentError;
use super::intake::{self, is_wasi_0_3};
use super::interface::Interface;
use super::state::CallState;
use super::wit::{self, NamedResource};

/// The most characters of wasmtime's words that are repeated.
const MOST_SAID: usize = 160;

/// The one function of an interface, and its type as WIT has it.
fn function(of: Interface) -> (&'static str, &'static str) {
    match of {
        Interface::Handler => ("handle", "func(request: request) -> result<response, string>"),
        Interface::IncomingHandler => {
            ("handle", "func(request: incoming-request, response-out: response-outparam)")
        }
        Interface::RequestFilter => ("on-request", "func(request: request-head) -> verdict"),
        Interface::ResponseFilter => (
            "on-response",
            "func(request: request-head, response: response-head) -> result<list<header-change>, string>",
        ),
    }
}

/// Checks the type of an export that has the interface's name.
pub(super) fn check_export(
    instance: &InstancePre<CallState>,
    interface: Interface,
) -> Result<(), ComponentError> {
    let (name, wants) = function(interface);
    let component = instance.component();
    let misfit = |has: String| ComponentError::ExportMismatch {
        interface: interface.name(),
        has,
        wants: format!("`{name}: {wants}`"),
    };
    let exported = component
        .get_export(None, interface.name())
        .and_then(|(_, index)| component.get_export(Some(&index), name));
    let Some((item, _)) = exported else {
        return Err(misfit(format!("no `{name}`")));
    };
    let compared = match &item {
        ComponentItem::ComponentFunc(found) => {
            let types = instance.instance_type();
            match interface {
                Interface::Handler => found.typecheck::<(&Request,), (Result<Response, String>,)>(&types),
                Interface::IncomingHandler => found
                    .typecheck::<(Resource<HostIncomingRequest>, Resource<HostResponseOutparam>), ()>(&types),
                Interface::RequestFilter => found.typecheck::<(&RequestHead,), (Verdict,)>(&types),
                Interface::ResponseFilter => found
                    .typecheck::<(&RequestHead, &ResponseHead), (Result<Vec<HeaderChange>, String>,)>(&types),
            }
        }
        _ => Err(wasmtime::Error::msg("it is no function")),
    };
    compared.map_err(|difference| {
        let has = wit::item(&item, &resources(component));
        misfit(format!("`{name}: {has}` ({})", said(&format!("{difference:#}"))))
    })
}

/// The error for imports that wasmtime has found to differ from the host's under their names. It tells of the first.
pub(super) fn explain_imports(component: &WasmComponent, error: &wasmtime::Error) -> ComponentError {
    let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    let found = || {
        // The causes are "component imports instance `NAME`, but …", "instance export `ITEM` has the wrong type", and
        // the difference.
        let import = in_backquotes(causes.first()?)?;
        let item = in_backquotes(causes.get(1)?)?;
        let engine = component.engine();
        let kind = component.component_type();
        let ComponentItem::ComponentInstance(instance) = kind.get_import(engine, import)?.ty else {
            return None;
        };
        let has = wit::item(&instance.get_export(engine, item)?.ty, &resources(component));
        let difference = causes.get(2..)?.join(": ");
        let offers = if difference.contains("implementation is missing") {
            "this host has nothing of that name there".to_owned()
        } else {
            format!("this host has it with another type: {}", said(&difference))
        };
        let has = format!("`{}: {has}`", said(item));
        Some(ComponentError::ImportMismatch { import: import.to_owned(), has, offers })
    };
    let import = "one of its interfaces".to_owned();
    found().unwrap_or_else(|| ComponentError::ImportMismatch {
        import,
        has: "another type".into(),
        offers: said(&format!("{error:#}")),
    })
}

fn in_backquotes(text: &str) -> Option<&str> {
    text.split('`').nth(1)
}

/// The start of wasmtime's words, which repeat names of the component's.
fn said(text: &str) -> String {
    match text.char_indices().nth(MOST_SAID) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// The resources of a component's imported interfaces, by their names.
fn resources(component: &WasmComponent) -> Vec<NamedResource> {
    let engine = component.engine();
    let kind = component.component_type();
    let mut resources = Vec::new();
    for (_, import) in kind.imports(engine) {
        let ComponentItem::ComponentInstance(instance) = import.ty else { continue };
        for (name, export) in instance.exports(engine) {
            if let ComponentItem::Resource(resource) = export.ty {
                resources.push((resource, name.to_owned()));
            }
        }
    }
    resources
}

/// The advice to an author whose component exports nothing that a route can use.
pub(super) fn hint(exports: &[String]) -> Option<&'static str> {
    let begins = |start: &str| exports.iter().any(|name| name.starts_with(start));
    if exports.iter().any(|name| is_wasi_0_3(name)) {
        return Some(intake::WASI_0_2);
    }
    if begins("jackfield:plugin/") {
        return Some(
            "this host's version of `jackfield:plugin` is 0.1: build it with the WIT that `jackfield new` writes",
        );
    }
    if begins("wasi:http/incoming-handler") {
        return Some("this host's version of `wasi:http` is 0.2: build it with a toolchain for that");
    }
    if begins("wasi:cli/run@") {
        return Some(
            "it is a program for the command line, which answers nothing over HTTP: export a handler instead; \
             `jackfield new` writes one to start from",
        );
    }
    let is_bare = ["handle", "handler", "incoming-handler", "on-request", "on-response"];
    if exports.iter().any(|name| is_bare.contains(&name.as_str())) {
        return Some(
            "export the interface by its full name, package and version included, not a function or interface of your own",
        );
    }
    None
}
