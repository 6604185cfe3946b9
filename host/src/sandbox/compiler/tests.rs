use std::hash::Hash;

use sha2::{Digest as _, Sha256};

use super::fingerprint::Sum;
use super::*;
use crate::sandbox::PoolSettings;
use crate::sandbox::configuration::compiling_engine;

#[test]
fn the_child_makes_code_for_the_very_engine_that_runs_it() {
    let settings = PoolSettings { slots: 2, idle: 1, memory_bytes: 1 << 30 };
    let sandbox = Sandbox::new(settings).unwrap();
    let sum = |engine: &wasmtime::Engine| {
        let mut sum = Sum(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut sum);
        <[u8; 32]>::from(sum.0.finalize())
    };
    assert_eq!(sum(&sandbox.engine), sum(&compiling_engine(sandbox.code).unwrap()));
    let component = b"\0asm\x0d\0\x01\0";
    let code = compiling_engine(sandbox.code).unwrap().precompile_component(component).unwrap();
    assert!(CompiledCode(&code).load(&sandbox.engine).is_ok());
}
