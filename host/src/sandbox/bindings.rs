//! Rust types and traits generated from `wit/`. Only the choice of the interfaces is written by hand.

/// The interfaces that the host offers to guests.
pub(super) mod imports {
    wasmtime::component::bindgen!({
        path: "../wit",
        inline: "
            package jackfield:host;
            world imports {
                include jackfield:plugin/imports@0.1.0;
                import jackfield:plugin/types@0.1.0;
                include wasi:logging/imports@0.1.0-draft;
            }
        ",
        world: "jackfield:host/imports",
        imports: { default: trappable },
    });
}

/// `wasi:config` in the version of wasmtime's own crate.
pub(super) mod config_rc {
    wasmtime::component::bindgen!({
        path: "../wit/deps/config-0.2.0-rc.1",
        world: "wasi:config/imports",
        imports: { default: trappable },
    });
}

/// `wasi:config` in the version of Spin's SDK.
pub(super) mod config_draft {
    wasmtime::component::bindgen!({
        path: "../wit/deps/config-0.2.0-draft-2024-09-27",
        world: "wasi:config/imports",
        imports: { default: trappable },
    });
}

/// `wasi:keyvalue` with compare-and-swap, in the version of Spin's SDK.
pub(super) mod keyvalue_draft2 {
    wasmtime::component::bindgen!({
        path: "../wit/deps/keyvalue-0.2.0-draft2",
        world: "wasi:keyvalue/imports",
        imports: { default: async | trappable },
        with: {
            "wasi:keyvalue/store.bucket": crate::capability::Bucket,
            "wasi:keyvalue/atomics.cas": crate::sandbox::stored::Cas,
        },
        trappable_error_type: {
            "wasi:keyvalue/store.error" => crate::sandbox::stored::StoreError,
            "wasi:keyvalue/atomics.cas-error" => crate::sandbox::stored::CasError,
        },
    });
}

/// `wasi:keyvalue` in the version of wasmtime's own crate.
pub(super) mod keyvalue_draft {
    wasmtime::component::bindgen!({
        path: "../wit/deps/keyvalue-0.2.0-draft",
        world: "wasi:keyvalue/imports",
        imports: { default: async | trappable },
        with: { "wasi:keyvalue/store.bucket": crate::capability::Bucket },
        trappable_error_type: {
            "wasi:keyvalue/store.error" => crate::sandbox::stored::StoreError,
        },
    });
}

macro_rules! plug {
    ($module:ident, $interface:literal) => {
        pub(super) mod $module {
            wasmtime::component::bindgen!({
                path: "../wit",
                inline: $interface,
                world: "jackfield:host/plug",
                exports: { default: async },
                with: { "jackfield:plugin/types@0.1.0": super::imports::jackfield::plugin::types },
            });
        }
    };
}

plug!(handler, "package jackfield:host; world plug { export jackfield:plugin/handler@0.1.0; }");
plug!(request_filter, "package jackfield:host; world plug { export jackfield:plugin/request-filter@0.1.0; }");
plug!(
    response_filter,
    "package jackfield:host; world plug { export jackfield:plugin/response-filter@0.1.0; }"
);

/// The messages that calls take and give: plain data, without a trace of wasmtime.
pub mod message {
    pub use super::imports::jackfield::plugin::types::{
        HeaderChange, Request, RequestHead, Response, ResponseHead,
    };
    pub use super::request_filter::exports::jackfield::plugin::request_filter::{Forward, Verdict};
}
