//! A compiled component: the plugs that it can be, its imports, and the imports that keep it from running here.
//!
//! Its description stays in memory (`description.rs`), its code only while calls need it (`code.rs`). Compiling is in
//! `compiler/`; the reasons why bytes are no component are in `component_error.rs`.

use std::sync::{Arc, Mutex, PoisonError};

use super::artifact::Digest;
use super::call_error::CallStop;
use super::code::{Code, Supply};
use super::description::{Description, Import};
use super::fit;
use super::footprint::Footprint;
use super::imports::{self, Need};
use super::intake;
use super::interface::Interface;
use super::ready::Ready;
use crate::capability::{Grant, Grants};
use crate::observe::{FEW, Plug, few};

/// An import that stands in the way of running a component.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportRefused {
    /// The import needs a grant that the plugin does not have.
    #[error("it imports `{import}`, which needs the grant `{grant}`")]
    NotGranted {
        /// The import's full name.
        import: String,
        /// The grant.
        grant: Grant,
    },
    /// This host offers no such interface.
    #[error("it imports `{import}`, which this host does not offer")]
    Unknown {
        /// The import's full name.
        import: String,
    },
}

impl ImportRefused {
    /// The import's full name.
    pub fn import(&self) -> &str {
        match self {
            Self::NotGranted { import, .. } | Self::Unknown { import } => import,
        }
    }

    /// The correction, for an interface that no grant opens.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotGranted { .. } => None,
            Self::Unknown { import } if intake::is_wasi_0_3(import) => Some(intake::WASI_0_2.into()),
            Self::Unknown { import } => {
                let versions = imports::versions(import);
                let offered = few(versions.iter().copied(), FEW);
                (!versions.is_empty()).then(|| format!("the versions of it that this host has: {offered}"))
            }
        }
    }

    /// The missing grant, if one would help.
    pub fn grant(&self) -> Option<Grant> {
        match self {
            Self::NotGranted { grant, .. } => Some(*grant),
            Self::Unknown { .. } => None,
        }
    }
}

/// A compiled component. Its code is freed when the last clone and the last call are gone.
#[derive(Clone)]
pub struct Component {
    shared: Arc<SharedComponent>,
    /// The way to the code by this clone's own file: another plugin's file of the same bytes may change.
    supply: Option<Supply>,
}

/// A component without the file that it came from: that of all plugins whose files have the same bytes.
pub(super) struct SharedComponent {
    pub(super) digest: Digest,
    bytes: usize,
    pub(super) description: Description,
    /// None if the component cannot run here, because imports are not offered.
    code: Option<Arc<Code>>,
    /// The sum of the code that is kept on disk. None if the code is in memory alone: it stays there.
    kept: Mutex<Option<Digest>>,
}

impl SharedComponent {
    /// The component of this description, which is that of an artifact with this digest and length.
    pub(super) fn new(
        (digest, bytes): (Digest, usize),
        description: Description,
        ready: Option<Ready>,
        kept: Option<Digest>,
    ) -> Arc<Self> {
        let code = description.can_run().then(|| Code::new(ready));
        Arc::new(Self { digest, bytes, description, code, kept: Mutex::new(kept) })
    }

    /// Drops the code, if it is kept on disk and nobody has used it since the last look. True if it was dropped.
    pub(super) fn drop_unused_code(&self) -> bool {
        self.kept().is_some() && self.code.as_ref().is_some_and(|code| code.drop_if_unused())
    }

    /// The sum of the code that is kept on disk, if any is.
    pub(super) fn kept(&self) -> Option<Digest> {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that this code is kept on disk now, or that none can be kept.
    pub(super) fn set_kept(&self, kept: Option<Digest>) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = kept;
    }
}

impl Component {
    /// A component with its way to the code. None if the code stays in memory.
    pub(super) fn new(shared: Arc<SharedComponent>, supply: Option<Supply>) -> Self {
        Self { shared, supply }
    }

    /// The digest of the component's artifact.
    pub fn digest(&self) -> Digest {
        self.shared.digest
    }

    /// The artifact's size.
    pub fn len_bytes(&self) -> usize {
        self.shared.bytes
    }

    /// The footprint of each of the component's instances.
    pub fn footprint(&self) -> Footprint {
        self.shared.description.footprint
    }

    /// The interfaces that the component exports and a route can use. Empty if there is none.
    pub fn interfaces(&self) -> &[Interface] {
        &self.shared.description.interfaces
    }

    /// The names of all exports but types.
    pub fn exports(&self) -> &[String] {
        &self.shared.description.exports
    }

    /// The advice to the component's author, if it exports nothing that a route can use.
    pub fn hint(&self) -> Option<&'static str> {
        if self.shared.description.interfaces.is_empty() {
            fit::hint(&self.shared.description.exports)
        } else {
            None
        }
    }

    /// True if the component can be this plug.
    pub fn is(&self, plug: Plug) -> bool {
        self.shared.description.interfaces.iter().any(|interface| interface.plug() == plug)
    }

    /// True if the component's handler takes and gives bodies as streams.
    pub fn streams(&self) -> bool {
        let handler =
            self.shared.description.interfaces.iter().find(|interface| interface.plug() == Plug::Handler);
        handler == Some(&Interface::IncomingHandler)
    }

    /// True if the component can send requests to other servers, if it is granted any.
    pub fn calls_out(&self) -> bool {
        self.shared
            .description
            .imports
            .iter()
            .any(|import| import.name.starts_with("wasi:http/outgoing-handler@"))
    }

    /// All imports, in the component's own order.
    pub fn imports(&self) -> &[Import] {
        &self.shared.description.imports
    }

    /// All imports that these grants do not cover, by name.
    pub fn refused_imports(&self, grants: Grants) -> Vec<ImportRefused> {
        let refused = |import: &Import| match import.need() {
            Need::Nothing => None,
            Need::Grant(grant) if imports::is_opened(grants, grant) => None,
            Need::Grant(grant) => Some(ImportRefused::NotGranted { import: import.name.clone(), grant }),
            Need::Unknown => Some(ImportRefused::Unknown { import: import.name.clone() }),
        };
        self.shared.description.imports.iter().filter_map(refused).collect()
    }

    /// All imports that no grant covers, by name.
    pub fn unknown_imports(&self) -> Vec<ImportRefused> {
        let unknown = self.shared.description.imports.iter().filter(|import| import.need() == Need::Unknown);
        unknown.map(|import| ImportRefused::Unknown { import: import.name.clone() }).collect()
    }

    /// True if the component's code has the parts by which instances are put back to their start.
    pub(super) fn can_be_restored(&self) -> bool {
        self.shared.description.can_be_restored
    }

    /// The component's code, for an instance that begins. It is waited for if it is not in memory.
    pub(super) async fn ready(&self) -> Result<Arc<Ready>, CallStop> {
        let code = self.shared.code.as_ref().ok_or(CallStop::NotReady)?;
        code.ready(self.supply.as_ref()).await.map_err(CallStop::NoCode)
    }

    /// Notes a call of an instance that has the code already.
    pub(super) fn note_use(&self) {
        if let Some(code) = &self.shared.code {
            code.note_use();
        }
    }
}
