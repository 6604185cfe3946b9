//! The interface `wasi:config/store`, in both of the versions that are in use: the plugin's own configuration.

use wasmtime::component::{HasData, Linker};

use crate::sandbox::bindings::{config_draft, config_rc};
use crate::sandbox::call::Abilities;

/// The plugin's abilities, among them its configuration.
pub(in crate::sandbox) struct Config<'a>(pub(in crate::sandbox) &'a Abilities);

/// The key by which bindings find the view.
struct Borrowed;

impl HasData for Borrowed {
    type Data<'a> = Config<'a>;
}

pub(in crate::sandbox) fn add_to_linker<T: 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> Config<'_>,
) -> wasmtime::Result<()> {
    config_rc::wasi::config::store::add_to_linker::<_, Borrowed>(linker, view)?;
    config_draft::wasi::config::store::add_to_linker::<_, Borrowed>(linker, view)
}

macro_rules! config_store {
    ($store:path) => {
        impl $store for Config<'_> {
            fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<String>, Error>> {
                Ok(Ok(self.0.config_value(&key)))
            }

            fn get_all(&mut self) -> wasmtime::Result<Result<Vec<(String, String)>, Error>> {
                Ok(Ok(self.0.config_values()))
            }
        }
    };
}

mod rc {
    use super::{Config, config_rc};
    use config_rc::wasi::config::store::Error;
    config_store!(config_rc::wasi::config::store::Host);
}

mod draft {
    use super::{Config, config_draft};
    use config_draft::wasi::config::store::Error;
    config_store!(config_draft::wasi::config::store::Host);
}
