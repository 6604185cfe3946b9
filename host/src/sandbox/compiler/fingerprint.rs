//! The part of the cache's keys that changes with this program and its settings.

use std::hash::{Hash, Hasher};

use sha2::{Digest as _, Sha256};

use crate::sandbox::artifact::Digest;
use crate::sandbox::engine::Sandbox;
use crate::sandbox::imports;
use crate::sandbox::intake::Rule;
use crate::sandbox::interface::Interface;
use crate::sandbox::{description, rewrite};

/// The digest of everything that decides if kept code is the code that compiling would give, and if its description is
/// that which linking would give: the engine, the rules of intake, the changes before compilation, and the interfaces
/// of this host.
pub(super) fn fingerprint(sandbox: &Sandbox) -> Digest {
    let mut sum = Sum(Sha256::new());
    sandbox.engine.precompile_compatibility_hash().hash(&mut sum);
    env!("CARGO_PKG_VERSION").hash(&mut sum);
    Rule::ALL.map(|rule| (rule, rule.most())).hash(&mut sum);
    (rewrite::REVISION, rewrite::PIECES, sandbox.code.reads_pages, sandbox.code.restores).hash(&mut sum);
    (description::REVISION, Interface::ALL.map(Interface::name)).hash(&mut sum);
    imports::offered().for_each(|name| name.hash(&mut sum));
    Digest::from(<[u8; 32]>::from(sum.0.finalize()))
}

/// SHA-256 as a hasher of std's traits. The sum is read from the inner value.
pub(super) struct Sum(pub(super) Sha256);

impl Hasher for Sum {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}
