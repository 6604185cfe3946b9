//! The proposals that are turned off, in words that an author of a component knows.

use wasmparser::{BinaryReaderError, Parser, Payload, WasmFeatures};

use super::error::IntakeError;

/// The names of proposals as their users call them.
const WORDS: [(WasmFeatures, &str); 23] = [
    (WasmFeatures::CM_THREADING, "threads of the component model"),
    (WasmFeatures::CM_ERROR_CONTEXT, "`error-context` of the component model"),
    (WasmFeatures::CM_FIXED_LENGTH_LISTS, "lists of a fixed length (in WIT `list<T, N>`)"),
    (WasmFeatures::CM_MAP, "maps (in WIT `map<K, V>`)"),
    (WasmFeatures::CM_VALUES, "values that components import and export"),
    (WasmFeatures::CM_NESTED_NAMES, "nested names of imports and exports"),
    (WasmFeatures::CM_IMPLEMENTS, "interfaces under other names (`implements`)"),
    (WasmFeatures::CM_ACCESSORS, "getters and setters (names with `[get]` or `[set]`)"),
    (WasmFeatures::CM_GC, "garbage-collected values between components"),
    (WasmFeatures::CM64, "64-bit memories between components"),
    (WasmFeatures::THREADS, "threads (shared memory, atomics)"),
    (WasmFeatures::SHARED_EVERYTHING_THREADS, "threads (`shared-everything`)"),
    (WasmFeatures::EXCEPTIONS, "exceptions (of C++, or `setjmp` of C)"),
    (WasmFeatures::LEGACY_EXCEPTIONS, "exceptions in their old form (of C++, or `setjmp` of C)"),
    (WasmFeatures::MEMORY64, "64-bit memories (`wasm64`)"),
    (WasmFeatures::GC, "garbage collection (of Kotlin, Dart, Java)"),
    (WasmFeatures::GC_TYPES, "references to the host's values (`externref`)"),
    (WasmFeatures::FUNCTION_REFERENCES, "typed references to functions"),
    (WasmFeatures::RELAXED_SIMD, "relaxed SIMD"),
    (WasmFeatures::WIDE_ARITHMETIC, "wide arithmetic"),
    (WasmFeatures::STACK_SWITCHING, "stack switching"),
    (WasmFeatures::CUSTOM_PAGE_SIZES, "memory pages of other sizes"),
    (WasmFeatures::COMPACT_IMPORTS, "imports in their compact form"),
];

/// The proposals that only components for WASI 0.3 use.
const OF_WASI_0_3: WasmFeatures = WasmFeatures::CM_ASYNC
    .union(WasmFeatures::CM_ASYNC_STACKFUL)
    .union(WasmFeatures::CM_MORE_ASYNC_BUILTINS)
    .union(WasmFeatures::CM_FORWARD);

/// The meaning of a validator's error: a proposal that is turned off, or broken bytes.
pub(super) fn explain(error: &BinaryReaderError, bytes: &[u8]) -> IntakeError {
    let offset = error.offset();
    let Some(missing) = error.missing_wasm_feature() else {
        return IntakeError::Invalid(error.to_string());
    };
    if OF_WASI_0_3.intersects(missing) {
        let sign = name_of_wasi_0_3(bytes)
            .unwrap_or_else(|| format!("it uses `async` of the component model at offset {offset:#x}"));
        return IntakeError::Wasi03 { sign };
    }
    let words = WORDS.iter().find(|(each, _)| each.intersects(missing)).map(|(_, words)| (*words).to_owned());
    let by_name = || missing.iter_names().map(|(name, _)| name.to_lowercase()).next();
    let uses = words.or_else(by_name).unwrap_or_default();
    IntakeError::Proposal { uses, message: error.to_string() }
}

/// The first interface of WASI 0.3 that the component itself imports or exports, in words.
fn name_of_wasi_0_3(bytes: &[u8]) -> Option<String> {
    let mut depth: usize = 0;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.ok()? {
            Payload::Version { .. } => depth = depth.saturating_add(1),
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 1 => {
                let mut names = section.into_iter().filter_map(|import| Some(import.ok()?.name.name));
                if let Some(name) = names.find(|name| is_wasi_0_3(name)) {
                    return Some(format!("it imports `{name}`"));
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                let mut names = section.into_iter().filter_map(|export| Some(export.ok()?.name.name));
                if let Some(name) = names.find(|name| is_wasi_0_3(name)) {
                    return Some(format!("it exports `{name}`"));
                }
            }
            _ => {}
        }
    }
    None
}

/// True if an import or export of this name belongs to WASI 0.3, release candidates included.
pub(in crate::sandbox) fn is_wasi_0_3(name: &str) -> bool {
    name.starts_with("wasi:") && name.split_once('@').is_some_and(|(_, version)| version.starts_with("0.3."))
}
