//! The reasons for which bytes are not compiled.

use super::rule::Rule;

/// What an author of a component for WASI 0.3 can do.
pub(in crate::sandbox) const WASI_0_2: &str = "This host runs WASI 0.2: export `wasi:http/incoming-handler@0.2.x` or \
    `jackfield:plugin/handler@0.1.0`, with a toolchain that makes it: Rust's target wasm32-wasip2 without `async` \
    in the WIT, the Rust SDK of Spin up to 5, componentize-js, componentize-py";

/// A reason for which bytes are not compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IntakeError {
    /// More of something than any honest component has.
    #[error("it has {found} of `{rule}`, and {} are the most that is compiled", rule.most())]
    TooMuch {
        /// Of what.
        rule: Rule,
        /// How much; of what is counted part by part, what was counted when it became too much.
        found: u64,
    },
    /// Broken.
    #[error("its bytes are not valid WebAssembly: {0}")]
    Invalid(String),
    /// Made for another WASI than this host's.
    #[error("it is made for WASI 0.3: {sign}. {WASI_0_2}")]
    Wasi03 {
        /// By what that is known.
        sign: String,
    },
    /// Of a proposal that is turned off.
    #[error("it uses {uses}, which no component can here: build it without that. {message}")]
    Proposal {
        /// What it uses, in its author's words.
        uses: String,
        /// The validator's words, which say where.
        message: String,
    },
    /// A component that is not known before it is instantiated can be anything, and any number of times.
    #[error("it takes a component or module as an import or from an instance, which no host provides")]
    ComponentAsValue,
}
