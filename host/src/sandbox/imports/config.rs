//! `wasi:config/store`, in both of the versions that are in use: the plugin's own configuration.

use crate::sandbox::bindings::{config_draft, config_rc};
use crate::sandbox::state::CallState;

macro_rules! config_store {
    ($store:path) => {
        impl $store for CallState {
            fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<String>, Error>> {
                Ok(Ok(self.call.abilities.config_value(&key)))
            }

            fn get_all(&mut self) -> wasmtime::Result<Result<Vec<(String, String)>, Error>> {
                Ok(Ok(self.call.abilities.config_values()))
            }
        }
    };
}

mod rc {
    use super::{CallState, config_rc};
    use config_rc::wasi::config::store::Error;
    config_store!(config_rc::wasi::config::store::Host);
}

mod draft {
    use super::{CallState, config_draft};
    use config_draft::wasi::config::store::Error;
    config_store!(config_draft::wasi::config::store::Host);
}
