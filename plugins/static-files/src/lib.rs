//! `cargo plugin static-files`, then `curl -i http://127.0.0.1:8080/`: the `index.html` of the folder.
//!
//! A server of files. A request comes in through `plug`, `serve` says which file answers it, and `representation` what
//! is sent of that; `files` is the only module that opens one. The others are plain functions of their arguments.

#![cfg_attr(target_arch = "wasm32", no_std)]

#[macro_use]
extern crate alloc;

mod answer;
mod cache_rule;
mod config;
mod date;
mod fault;
mod media_type;
mod mount;
mod negotiation;
mod path;
#[cfg(not(test))]
mod plug;
mod precondition;
mod range;
mod representation;
mod request;
mod serve;
mod validators;
#[cfg(target_arch = "wasm32")]
mod without_std;

/// Files and folders. The unit tests put some in memory in their place.
#[cfg(not(test))]
mod files;
#[cfg(test)]
use memory_files as files;
#[cfg(test)]
mod memory_files;
#[cfg(test)]
mod tests;

/// Generated from `wit/`: unsafe where it hands memory to the host, and undocumented.
#[allow(unsafe_code, missing_docs, unreachable_pub, unused, clippy::all)]
mod bindings {
    #[cfg(target_family = "wasm")]
    use super::StaticFiles;

    wit_bindgen::generate!({
        path: ["../../wit/deps/config-0.2.0-rc.1", "wit"],
        world: "jackfield:static-files/static-files",
        generate_all,
    });
    // Only for a host: native linkers take no `:` in a name, and the tests call Rust functions.
    #[cfg(target_family = "wasm")]
    export!(StaticFiles);
}

/// The plug.
pub struct StaticFiles;
