//! The reasons for which bytes are not compiled.

use super::rule::Rule;

/// The advice to the author of a component for WASI 0.3.
pub(in crate::sandbox) const WASI_0_2: &str = "This host runs WASI 0.2: export `wasi:http/incoming-handler@0.2.x` or \
    `jackfield:plugin/handler@0.1.0`, with a toolchain that makes it: Rust's target wasm32-wasip2 without `async` \
    in the WIT, the Rust SDK of Spin up to 5, componentize-js, componentize-py";

/// A reason for which bytes are not compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IntakeError {
    /// The component has more of a part than any honest component.
    #[error("it has {found} of `{rule}`, and {} are the most that is compiled", rule.most())]
    TooMuch {
        /// The rule that bounds the part.
        rule: Rule,
        /// The number found. If parts are counted one by one, the number when it became too much.
        found: u64,
    },
    /// The bytes are broken.
    #[error("its bytes are not valid WebAssembly: {0}")]
    Invalid(String),
    /// The component was made for another WASI than this host's.
    #[error("it is made for WASI 0.3: {sign}. {WASI_0_2}")]
    Wasi03 {
        /// The sign by which that is known.
        sign: String,
    },
    /// The component uses a proposal that is turned off.
    #[error("it uses {uses}, which no component can here: build it without that. {message}")]
    Proposal {
        /// The proposal, in its author's words.
        uses: String,
        /// The validator's words, which tell the place.
        message: String,
    },
    /// The component takes a component as a value. Such a one could be anything, and be instantiated any number of
    /// times.
    #[error("it takes a component or module as an import or from an instance, which no host provides")]
    ComponentAsValue,
}
