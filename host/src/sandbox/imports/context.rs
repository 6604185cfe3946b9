//! `jackfield:plugin/context`: the facts about this request.

use crate::sandbox::bindings::imports::jackfield::plugin::{context, types};
use crate::sandbox::state::CallState;

impl types::Host for CallState {}

impl context::Host for CallState {
    fn request_id(&mut self) -> wasmtime::Result<String> {
        Ok(self.call.context.request_id.to_string())
    }

    fn client_address(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(self.call.context.client.map(|address| address.to_string()))
    }

    fn scheme(&mut self) -> wasmtime::Result<String> {
        Ok(self.call.context.scheme.to_owned())
    }

    fn authority(&mut self) -> wasmtime::Result<String> {
        Ok(self.call.context.authority.to_string())
    }

    fn route(&mut self) -> wasmtime::Result<String> {
        Ok(self.call.context.route.to_string())
    }

    fn plugin(&mut self) -> wasmtime::Result<String> {
        Ok(self.call.abilities.plugin.to_string())
    }

    fn captures(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        let captures = self.call.context.captures.iter();
        Ok(captures.map(|(name, value)| (name.to_string(), value.clone())).collect())
    }

    fn capture(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        let captures = &self.call.context.captures;
        Ok(captures.iter().find(|(known, _)| **known == *name).map(|(_, value)| value.clone()))
    }
}
