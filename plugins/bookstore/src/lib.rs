//! A bookshop's catalogue as a JSON API: which call goes where, and who may make it.
//!
//! A call comes in through `Bookstore::handle`, `dispatch` picks one function of `api`, and what
//! went wrong becomes an answer in `problem` alone. `store` is the only module that touches the
//! key-value store; the others are plain functions of their arguments.

mod answer;
mod api;
mod auth;
mod book;
mod conditional;
mod content;
mod date;
mod digest;
mod problem;
mod query;
mod resource;
mod store;

#[cfg(test)]
mod tests;

#[allow(unsafe_code, missing_docs, unreachable_pub, unused, clippy::all)]
mod bindings {
    wit_bindgen::generate!({
        inline: "
            package jackfield:bookstore;

            world bookstore {
                import jackfield:plugin/context@0.1.0;
                import wasi:config/store@0.2.0-rc.1;
                import wasi:keyvalue/store@0.2.0-draft2;
                import wasi:keyvalue/atomics@0.2.0-draft2;
                import wasi:keyvalue/batch@0.2.0-draft2;
                import wasi:logging/logging@0.1.0-draft;
                export jackfield:plugin/handler@0.1.0;
            }
        ",
        path: "../../wit",
        generate_all,
    });

    #[cfg(target_family = "wasm")]
    export!(Bookstore);
    use super::Bookstore;
}

/// What the plugin asks of its host. The unit tests put a host in memory in its place. The numbers in the
/// names tell these versions from the others that lie in `wit/`.
#[cfg(not(test))]
mod host {
    pub(crate) use crate::bindings::jackfield::plugin::context;
    pub(crate) use crate::bindings::wasi::config0_2_0_rc_1::store as config;
    pub(crate) use crate::bindings::wasi::keyvalue0_2_0_draft2::{atomics, batch, store};
    pub(crate) use crate::bindings::wasi::logging::logging;
}
#[cfg(test)]
#[path = "memory_host.rs"]
mod host;

use auth::Role;
use bindings::exports::jackfield::plugin::handler::{Guest, Request, Response};
use problem::{Failure, Problem};
use resource::Resource;

struct Bookstore;

impl Guest for Bookstore {
    fn handle(request: Request) -> Result<Response, String> {
        dispatch(&request).or_else(Failure::into_response)
    }
}

fn dispatch(request: &Request) -> Result<Response, Failure> {
    let head = &request.head;
    let resource = Resource::at(&head.path).ok_or_else(Problem::no_such_resource)?;
    match (&resource, head.method.as_str()) {
        (Resource::Books, "GET" | "HEAD") => api::list(head),
        (Resource::Book(id), "GET" | "HEAD") => api::read(head, id),
        (Resource::Import(id), "GET" | "HEAD") => {
            auth::require(Role::Viewer, head)?;
            api::import_status(head, id)
        }
        (Resource::Books, "POST") => {
            auth::require(Role::Editor, head)?;
            api::create(request)
        }
        (Resource::Imports, "POST") => {
            auth::require(Role::Editor, head)?;
            api::import(request)
        }
        (Resource::Book(id), "PUT") => {
            auth::require(Role::Editor, head)?;
            api::replace(request, id)
        }
        (Resource::Book(id), "PATCH") => {
            auth::require(Role::Editor, head)?;
            api::patch(request, id)
        }
        (Resource::Book(id), "DELETE") => {
            auth::require(Role::Editor, head)?;
            api::delete(head, id)
        }
        (resource, "OPTIONS") => Ok(api::options(resource)),
        (resource, _) => Err(Problem::method_not_allowed(resource.allow()).into()),
    }
    .map(answer::Answer::into_response)
}
