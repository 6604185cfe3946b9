//! The interface `jackfield:plugin/context`: the facts about this request.

use wasmtime::component::{HasData, Linker};

use crate::sandbox::bindings::imports::jackfield::plugin::{context, types};
use crate::sandbox::call::Context;

/// The facts about the request, and the plugin's name.
pub(in crate::sandbox) struct Facts<'a> {
    pub(in crate::sandbox) context: &'a Context,
    pub(in crate::sandbox) plugin: &'a str,
}

/// The key by which bindings find the view.
struct Borrowed;

impl HasData for Borrowed {
    type Data<'a> = Facts<'a>;
}

pub(in crate::sandbox) fn add_to_linker<T: 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> Facts<'_>,
) -> wasmtime::Result<()> {
    types::add_to_linker::<_, Borrowed>(linker, view)?;
    context::add_to_linker::<_, Borrowed>(linker, view)
}

impl types::Host for Facts<'_> {}

impl context::Host for Facts<'_> {
    fn request_id(&mut self) -> wasmtime::Result<String> {
        Ok(self.context.request_id.to_string())
    }

    fn client_address(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(self.context.client.map(|address| address.to_string()))
    }

    fn scheme(&mut self) -> wasmtime::Result<String> {
        Ok(self.context.scheme.to_owned())
    }

    fn authority(&mut self) -> wasmtime::Result<String> {
        Ok(self.context.authority.to_string())
    }

    fn route(&mut self) -> wasmtime::Result<String> {
        Ok(self.context.route.to_string())
    }

    fn plugin(&mut self) -> wasmtime::Result<String> {
        Ok(self.plugin.to_string())
    }

    fn captures(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        let captures = self.context.captures.iter();
        Ok(captures.map(|(name, value)| (name.to_string(), value.clone())).collect())
    }

    fn capture(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        let captures = &self.context.captures;
        Ok(captures.iter().find(|(known, _)| **known == *name).map(|(_, value)| value.clone()))
    }
}
