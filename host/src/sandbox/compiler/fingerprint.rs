//! The part of the cache's keys that changes with this program and its settings.

use std::hash::{Hash, Hasher};

use sha2::{Digest as _, Sha256};

use crate::sandbox::artifact::Digest;
use crate::sandbox::engine::Sandbox;
use crate::sandbox::imports;
use crate::sandbox::intake::Rule;
use crate::sandbox::interface::Interface;
use crate::sandbox::{description, pool, rewrite};

/// The text of all interfaces in `wit/`. Kept components were compared with the types that are there.
const WIT: [&str; 12] = [
    include_str!("../../../../wit/context.wit"),
    include_str!("../../../../wit/deps/config-0.2.0-draft-2024-09-27/config.wit"),
    include_str!("../../../../wit/deps/config-0.2.0-rc.1/config.wit"),
    include_str!("../../../../wit/deps/keyvalue-0.2.0-draft/keyvalue.wit"),
    include_str!("../../../../wit/deps/keyvalue-0.2.0-draft2/keyvalue.wit"),
    include_str!("../../../../wit/deps/logging-0.1.0-draft/logging.wit"),
    include_str!("../../../../wit/handler.wit"),
    include_str!("../../../../wit/limiter.wit"),
    include_str!("../../../../wit/request-filter.wit"),
    include_str!("../../../../wit/response-filter.wit"),
    include_str!("../../../../wit/types.wit"),
    include_str!("../../../../wit/worlds.wit"),
];

/// The digest of everything that decides if kept code is the code that compiling would give, and if its description is
/// that which linking would give: the engine and the pool, the rules of intake, the changes before compilation, and the
/// interfaces of this host.
pub(super) fn fingerprint(sandbox: &Sandbox) -> Digest {
    let mut sum = Sum(Sha256::new());
    sandbox.engine.precompile_compatibility_hash().hash(&mut sum);
    env!("CARGO_PKG_VERSION").hash(&mut sum);
    Rule::ALL.map(|rule| (rule, rule.most())).hash(&mut sum);
    (rewrite::REVISION, rewrite::PIECES, sandbox.code.reads_pages, sandbox.code.restores).hash(&mut sum);
    (description::REVISION, Interface::ALL.map(Interface::name), WIT).hash(&mut sum);
    (pool::MEMORIES_PER_COMPONENT, pool::TABLES_PER_COMPONENT, pool::CORE_INSTANCES_PER_COMPONENT)
        .hash(&mut sum);
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn no_text_of_an_interface_is_missing() {
        let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit")];
        let mut count = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "wit") {
                    let text = std::fs::read_to_string(&path).unwrap();
                    assert!(WIT.contains(&text.as_str()), "{}", path.display());
                    count += 1;
                }
            }
        }
        assert_eq!(count, WIT.len());
    }
}
