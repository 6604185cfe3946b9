//! The files of a component in the cache: its code, and its description by which a start need not read the code.
//!
//! A description names the sum of its code, and is believed only if that code is there. What of both is damaged is
//! thrown away, and the log is told so; then the component is loaded by what is left.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::cache::{Cache, Found, Key, Kind};
use crate::observe::Log;
use crate::sandbox::artifact::Digest;
use crate::sandbox::component_error::ComponentError;
use crate::sandbox::description::Description;

/// The files that are kept of components.
pub(super) struct Kept {
    /// None if nothing is kept.
    cache: Option<Cache>,
    engine: Digest,
    log: Log,
}

/// A component's description, and the sum of its code, which is kept.
pub(super) struct Described {
    pub(super) code: Digest,
    pub(super) description: Description,
}

/// The content of a description's file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    code: String,
    description: Description,
}

impl Described {
    fn read(bytes: &[u8]) -> Option<Self> {
        let File { code, description } = serde_json::from_slice(bytes).ok()?;
        Some(Self { code: code.parse().ok()?, description })
    }
}

impl Kept {
    /// The files in a folder, of components that were compiled for this engine. None are kept in a folder that cannot be
    /// trusted, and the log is told so.
    pub(super) fn new(folder: Option<PathBuf>, engine: Digest, log: Log) -> Self {
        let cache = folder.and_then(|path| match Cache::open(&path) {
            Ok(cache) => Some(cache),
            Err(error) => {
                log.warn("compiled code is not kept: every start compiles anew")
                    .display("folder", path.display())
                    .display("reason", &error)
                    .send();
                None
            }
        });
        Self { cache, engine, log }
    }

    /// The description of a component whose code is kept too.
    pub(super) fn description(&self, artifact: Digest) -> Option<Described> {
        let (cache, key) = (self.cache.as_ref()?, self.key(artifact));
        let wrong = match cache.find(&key, Kind::Description) {
            Ok(Found::Nothing) => return None,
            Ok(Found::Whole(bytes)) => match Described::read(&bytes) {
                None => "it is no description".to_owned(),
                Some(described) => match cache.has_code(&key, described.code) {
                    Ok(true) => return Some(described),
                    Ok(false) => return None,
                    Err(error) => error.to_string(),
                },
            },
            Ok(Found::Damaged) => "it was not as it was written".to_owned(),
            Err(error) => error.to_string(),
        };
        let entry = self.log.warn("the kept description of a component is of no use: its code is looked at");
        entry.display("artifact", artifact).field("reason", wrong.as_str()).send();
        None
    }

    /// Keeps a component's description, in place of earlier ones.
    pub(super) fn keep_description(&self, artifact: Digest, code: Digest, description: &Description) {
        let (Some(cache), key) = (&self.cache, self.key(artifact)) else { return };
        let file = File { code: code.to_string(), description: description.clone() };
        let kept = serde_json::to_vec(&file).map_err(io::Error::from).and_then(|bytes| {
            cache.forget(&key, Kind::Description)?;
            cache.keep(&key, Kind::Description, &bytes)
        });
        if let Err(error) = kept {
            let entry =
                self.log.warn("a component's description was not kept: the next start looks at its code");
            entry.display("artifact", artifact).display("reason", error).send();
        }
    }

    /// Keeps code. Its sum, if it is kept.
    pub(super) fn keep_code(&self, artifact: Digest, code: &[u8]) -> Option<Digest> {
        match self.cache.as_ref()?.keep(&self.key(artifact), Kind::Code, code) {
            Ok(()) => Some(Digest::of(code)),
            Err(error) => {
                let entry = self.log.warn("compiled code was not kept: the next start compiles it anew");
                entry.display("artifact", artifact).display("reason", error).send();
                None
            }
        }
    }

    /// The result of `take` on a component's code. None if there is no code of use, which is thrown away then.
    pub(super) fn code<T>(
        &self,
        artifact: Digest,
        take: impl FnOnce(&[u8]) -> Result<T, ComponentError>,
    ) -> Result<Option<T>, ComponentError> {
        let Some(cache) = &self.cache else { return Ok(None) };
        self.taken(cache, artifact, cache.find(&self.key(artifact), Kind::Code), take)
    }

    /// The same, of code that probably has this sum.
    pub(super) fn code_of_sum<T>(
        &self,
        artifact: Digest,
        sum: Digest,
        take: impl FnOnce(&[u8]) -> Result<T, ComponentError>,
    ) -> Result<Option<T>, ComponentError> {
        let (Some(cache), key) = (&self.cache, self.key(artifact)) else { return Ok(None) };
        let found = match cache.find_code(&key, sum) {
            // If the code was compiled again, other bytes may have come of it.
            Ok(Found::Nothing) => cache.find(&key, Kind::Code),
            found => found,
        };
        self.taken(cache, artifact, found, take)
    }

    fn taken<T>(
        &self,
        cache: &Cache,
        artifact: Digest,
        found: io::Result<Found>,
        take: impl FnOnce(&[u8]) -> Result<T, ComponentError>,
    ) -> Result<Option<T>, ComponentError> {
        let wrong = match found {
            Ok(Found::Nothing) => return Ok(None),
            Ok(Found::Whole(code)) => match take(&code) {
                Ok(taken) => return Ok(Some(taken)),
                // Other code would fare no better on this host.
                Err(error) if error.is_of_host() => return Err(error),
                Err(error) => {
                    let forgotten = cache.forget(&self.key(artifact), Kind::Code).err();
                    let forgotten = forgotten.map(|error| format!("; {error}"));
                    format!("{error}{}", forgotten.unwrap_or_default())
                }
            },
            Ok(Found::Damaged) => "it was not as it was written".to_owned(),
            // Compiling takes more memory than reading.
            Err(error) if error.kind() == io::ErrorKind::OutOfMemory => {
                return Err(ComponentError::NoInstance(format!("its compiled code cannot be read: {error}")));
            }
            Err(error) => error.to_string(),
        };
        let entry = self.log.warn("compiled code that was kept is of no use: it is compiled anew");
        entry.display("artifact", artifact).field("reason", wrong.as_str()).send();
        Ok(None)
    }

    fn key(&self, artifact: Digest) -> Key {
        Key { artifact, engine: self.engine }
    }
}
