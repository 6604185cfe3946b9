//! A first instance of a component, before anybody calls it.
//!
//! Resources that the system refuses an instance (a descriptor, a mapping, a memfd) are missed when the component is
//! published, by its publisher, and not by each of its callers. A component that was tried out by an earlier process is
//! not tried out again, unless it is the first of this one. No code of the guest runs: the epoch's deadline has
//! passed when it would begin. The component's own faults are left to its calls.

use std::future::Future;
use std::pin::pin;
use std::sync::PoisonError;
use std::task::{Context, Poll, Waker};

use wasmtime::component::{Component as WasmComponent, Linker};
use wasmtime::{PoolConcurrencyLimitError, Store};

use super::engine::Sandbox;
use super::refusal::{advice, of_system};

impl Sandbox {
    /// Makes an instance and drops it. An error names the system's refusal, and the remedy. One at a time, for the
    /// pool has one slot for trials.
    pub(super) fn try_out(&self, component: &WasmComponent) -> Result<(), String> {
        let _alone = self.trial.lock().unwrap_or_else(PoisonError::into_inner);
        match self.first_instance(component) {
            Ok(()) => Ok(()),
            Err(error) => match of_system(&error) {
                Some(errno) => Err(format!("{error:#}; {}", advice(errno))),
                None if error.is::<PoolConcurrencyLimitError>() => Err(format!("{error:#}")),
                None => Ok(()),
            },
        }
    }

    fn first_instance(&self, component: &WasmComponent) -> wasmtime::Result<()> {
        let mut linker = Linker::<()>::new(&self.engine);
        linker.define_unknown_imports_as_traps(component)?;
        let instance = linker.instantiate_pre(component)?;
        let mut store = Store::new(&self.engine, ());
        store.set_epoch_deadline(0);
        let started = pin!(instance.instantiate_async(&mut store));
        match started.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(started) => started.map(drop),
            // A guest cannot wait here, for none runs.
            Poll::Pending => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::PoolSettings;

    #[test]
    fn no_code_of_a_component_runs_and_its_own_faults_are_not_the_systems() {
        let sandbox = Sandbox::new(PoolSettings { slots: 1, idle: 0, memory_bytes: 1 << 20 }).unwrap();
        for module in [
            "(func $f (loop $again (br $again))) (start $f)",
            "(func $f unreachable) (start $f)",
            r#"(memory 1) (data (i32.const 65535) "beyond")"#,
            "(table 1 funcref) (func $f) (elem (i32.const 1) $f)",
            "(memory 1) (table 9 funcref)",
        ] {
            let text = format!("(component (core module $m {module}) (core instance (instantiate $m)))");
            let component = WasmComponent::new(&sandbox.engine, wat::parse_str(&text).unwrap()).unwrap();
            assert_eq!(sandbox.try_out(&component), Ok(()), "{module}");
        }
    }
}
