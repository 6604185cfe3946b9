//! A tenant's document → compiled plugins and the values of secrets, or everything that is wrong with it.
//!
//! Tenants take turns, one component at a time: a bounded number of components are loaded at once, and a tenant with
//! many components waits behind every other tenant after each of its own.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Display;
use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet, spawn_blocking};

use super::Origin;
use super::artifact_folder::ArtifactFolder;
use super::fit::{check_component, check_mounts, check_places};
use super::refusal::{AGAIN, Fault, diagnostics};
use super::secrets::{Environment, Secrets, read_secrets};
use crate::config::{Diagnostic, SecretSource, Site, TenantSettings};
use crate::document::{ComponentRef, Place, TenantDocument};
use crate::observe::{Compile, Metrics};
use crate::sandbox::{Compiler, Component, Digest, Provenance};
use crate::tenant::{PluginName, SecretName, TenantName};

/// The least number of components that are loaded at once: one component never takes all turns.
pub const LEAST_LOADERS: usize = 2;

/// The greatest number of components that are loaded at once; each has a thread that waits for the compiler.
const MOST_LOADERS: usize = 8;

/// The components of the plugins in Jackfield's repository, and their packages: a site may name one that was not built.
const BUNDLED: [(&str, &str); 4] = [
    ("bookstore.wasm", "bookstore"),
    ("rate_limit.wasm", "rate-limit"),
    ("redirect.wasm", "redirect"),
    ("static_files.wasm", "static-files"),
];

/// The result of loading a document: a tenant that can run, or all faults.
pub(super) type Loaded = Result<LoadedTenant, Vec<Fault>>;

/// A loaded tenant, which can run.
pub(super) struct LoadedTenant {
    /// The components of the tenant's plugins.
    pub(super) components: BTreeMap<PluginName, Component>,
    pub(super) secrets: Secrets,
}

/// A tenant's document, and the places of the secrets that it names.
#[derive(Debug, Clone)]
pub(super) struct Task {
    pub(super) document: Arc<TenantDocument>,
    pub(super) secrets: Arc<BTreeMap<SecretName, SecretSource>>,
    /// The secrets whose values came through the admin API.
    pub(super) given: Arc<Secrets>,
}

impl From<&TenantSettings> for Task {
    fn from(settings: &TenantSettings) -> Self {
        let TenantSettings { document, secrets, .. } = settings;
        Self {
            document: Arc::new(document.clone()),
            secrets: Arc::new(secrets.clone()),
            given: Arc::default(),
        }
    }
}

/// A loader of documents; clones share its turns.
#[derive(Clone)]
pub struct Loader {
    origin: Origin,
    compiler: Arc<Compiler>,
    environment: Environment,
    metrics: Metrics,
    artifacts: Option<ArtifactFolder>,
    turns: Arc<Semaphore>,
}

impl Loader {
    /// A loader that compiles with `compiler`, finds secrets in `environment`, and counts its loads in `metrics`.
    pub fn new(origin: Origin, compiler: Arc<Compiler>, environment: Environment, metrics: Metrics) -> Self {
        let cores = std::thread::available_parallelism().map_or(LEAST_LOADERS, NonZeroUsize::get);
        let turns = Arc::new(Semaphore::new(cores.clamp(LEAST_LOADERS, MOST_LOADERS)));
        Self { origin, compiler, environment, metrics, artifacts: None, turns }
    }

    /// The same loader, which finds artifacts in this folder.
    pub(super) fn with_artifacts(self, artifacts: Option<ArtifactFolder>) -> Self {
        Self { artifacts, ..self }
    }

    /// Loads all tenants of a site, each at its own pace.
    pub(super) async fn load_site(&self, site: &Site) -> BTreeMap<TenantName, Loaded> {
        let mut loads = JoinSet::new();
        for (name, settings) in &site.tenants {
            let (loader, name, task) = (self.clone(), name.clone(), Task::from(settings));
            loads.spawn(async move { (name, loader.load(&task, || true).await) });
        }
        let ended = loads.join_all().await;
        ended.into_iter().filter_map(|(name, loaded)| Some((name, loaded?))).collect()
    }

    /// The faults of a site beyond its text.
    pub async fn check(&self, site: &Site) -> Vec<Diagnostic> {
        diagnostics_of(self.load_site(site).await, site).1
    }

    /// Loads a document; none if the document is no longer wanted when its turn begins or ends.
    pub(super) async fn load(&self, task: &Task, is_wanted: impl Fn() -> bool) -> Option<Loaded> {
        let mut load = Load::new(task.clone());
        loop {
            // Only a closed semaphore returns an error, and this one is never closed.
            let turn = self.turns.clone().acquire_owned().await.ok()?;
            if !is_wanted() {
                return None;
            }
            let loader = self.clone();
            let step = spawn_blocking(move || {
                let step = load.step(&loader);
                drop(turn);
                step
            });
            match step.await {
                Ok(ControlFlow::Continue(next)) => load = next,
                Ok(ControlFlow::Break(loaded)) => return Some(loaded),
                Err(error) => return Some(Err(vec![Fault::of_the_host(&said(error))])),
            }
        }
    }

    /// Reads and loads one artifact, in the turns of documents.
    pub(super) async fn load_bytes(
        &self,
        read: impl FnOnce() -> io::Result<Vec<u8>> + Send + 'static,
    ) -> Result<Component, Fault> {
        let cause = |headline: String| Fault::new(Place::Document, headline).id("artifact");
        let ended = || cause("the host is stopping".to_owned());
        let turn = self.turns.clone().acquire_owned().await.map_err(|_| ended())?;
        let loader = self.clone();
        let step = spawn_blocking(move || {
            let read = read().map_err(|error| cause(format!("the artifact cannot be read: {error}")));
            let loaded = read.and_then(|bytes| {
                // It is only described: no call is ever made of it.
                let again = || Err(io::ErrorKind::NotFound.into());
                loader.compiled(&bytes, "the artifact", again, cause)
            });
            drop(turn);
            loaded
        });
        step.await.unwrap_or_else(|error| Err(Fault::of_the_host(&said(error))))
    }

    /// Ends all loads, for good.
    pub(super) fn stop(&self) {
        self.compiler.stop();
    }

    /// The component, read and compiled.
    fn component(
        &self,
        component: &ComponentRef,
        cause: impl Fn(String) -> Fault,
    ) -> Result<Component, Fault> {
        let bytes = match component {
            ComponentRef::File(path) => {
                read_component(path, self.compiler.most_artifact_bytes()).map_err(|error| {
                    let help = (error.kind() == io::ErrorKind::NotFound).then(|| self.where_to_look(path));
                    let fault = cause(format!("cannot read its component {}", path.display()));
                    fault.label(error.to_string()).help(help)
                })?
            }
            ComponentRef::Artifact(digest) => {
                read_artifact(self.artifacts.as_ref(), *digest).map_err(|error| match error.kind() {
                    io::ErrorKind::NotFound => cause(format!("the host has no artifact {digest}")),
                    _ => cause(format!("cannot read the artifact {digest}")).label(error.to_string()),
                })?
            }
        };
        let (again, most_bytes) = (component.clone(), self.compiler.most_artifact_bytes());
        let artifacts = self.artifacts.clone();
        let again = move || match &again {
            ComponentRef::File(path) => read_component(path, most_bytes),
            ComponentRef::Artifact(digest) => read_artifact(artifacts.as_ref(), *digest),
        };
        self.compiled(&bytes, component, again, cause)
    }

    /// The component of these bytes, which were read from `origin`, and can be read there again.
    fn compiled(
        &self,
        bytes: &[u8],
        origin: impl Display,
        again: impl Fn() -> io::Result<Vec<u8>> + Send + Sync + 'static,
        cause: impl Fn(String) -> Fault,
    ) -> Result<Component, Fault> {
        let loaded = self.compiler.load(bytes, again);
        match &loaded {
            Ok((_, Provenance::Live)) => {}
            Ok((_, Provenance::Cached)) => self.metrics.compile(Compile::Cached),
            Ok((_, Provenance::Compiled)) => self.metrics.compile(Compile::Compiled),
            Err(_) => self.metrics.compile(Compile::Refused),
        }
        loaded.map(|(component, _)| component).map_err(|error| {
            let headline = if error.is_of_host() {
                format!("{origin} cannot be loaded, by no fault of its own")
            } else {
                format!("{origin} is not a component that can run here")
            };
            cause(headline).label(error.to_string()).help(error.is_of_host().then(|| AGAIN.to_owned()))
        })
    }

    fn where_to_look(&self, path: &Path) -> String {
        let help = match self.origin {
            Origin::SiteFile(_) => {
                "the path is relative to the site file's folder; has the plugin been built?"
            }
            Origin::Component(_) => "has it been built?",
        };
        match BUNDLED.iter().find(|(file, _)| path.ends_with(file)) {
            Some((file, package)) => format!(
                "{help} `cargo plugin {package}` in a clone of Jackfield makes target/wasm32-wasip2/plugin/{file}"
            ),
            None => help.to_owned(),
        }
    }
}

/// The tenants of a site that can run, and the diagnostics of the others.
pub(super) fn diagnostics_of(
    loaded: BTreeMap<TenantName, Loaded>,
    site: &Site,
) -> (BTreeMap<TenantName, LoadedTenant>, Vec<Diagnostic>) {
    let (mut sound, mut found) = (BTreeMap::new(), Vec::new());
    for (name, loaded) in loaded {
        match loaded {
            Ok(loaded) => drop(sound.insert(name, loaded)),
            Err(faults) => found.extend(diagnostics(faults, &name, &site.source, &site.spans)),
        }
    }
    (sound, found)
}

/// The message of a step that panicked.
fn said(error: JoinError) -> String {
    let Ok(panic) = error.try_into_panic() else { return "it was cancelled".into() };
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    let said = owned.or_else(|| panic.downcast_ref::<&str>().copied());
    said.unwrap_or("it panicked without a word").to_owned()
}

/// A document that is being loaded.
struct Load {
    task: Task,
    left: VecDeque<PluginName>,
    components: BTreeMap<PluginName, Component>,
    faults: Vec<Fault>,
    /// The components of this load: two plugins with the same file run the same bytes, even if the file changes in
    /// between.
    read: BTreeMap<ComponentRef, Result<Component, Fault>>,
}

impl Load {
    fn new(task: Task) -> Self {
        Self {
            left: task.document.plugins.keys().cloned().collect(),
            task,
            components: BTreeMap::new(),
            faults: Vec::new(),
            read: BTreeMap::new(),
        }
    }

    /// Loads the next plugin's component; after the last one, the secrets.
    fn step(mut self, loader: &Loader) -> ControlFlow<Loaded, Self> {
        let document = self.task.document.clone();
        if let Some(name) = self.left.pop_front()
            && let Some(plugin) = document.plugins.get(&name)
        {
            match self.component(&name, &plugin.component, loader) {
                Ok(component) => {
                    self.faults.extend(check_component(&name, plugin, &component));
                    self.faults.extend(check_mounts(&name, plugin));
                    self.components.insert(name, component);
                }
                Err(fault) => self.faults.push(fault),
            }
        }
        if !self.left.is_empty() {
            return ControlFlow::Continue(self);
        }
        self.faults.extend(check_places(&document, &self.components, &loader.origin));
        let secrets = {
            let Task { secrets, given, .. } = &self.task;
            read_secrets(&document, secrets, given, &loader.environment, &mut self.faults)
        };
        let Self { components, faults, .. } = self;
        ControlFlow::Break(if faults.is_empty() {
            Ok(LoadedTenant { components, secrets })
        } else {
            Err(faults)
        })
    }

    fn component(
        &mut self,
        name: &PluginName,
        component: &ComponentRef,
        loader: &Loader,
    ) -> Result<Component, Fault> {
        let cause = |headline: String| Fault::new(Place::Component(name.clone()), headline);
        let read = self.read.get(component).cloned().unwrap_or_else(|| {
            let read = loader.component(component, cause);
            self.read.insert(component.clone(), read.clone());
            read
        });
        read.map_err(|fault| Fault {
            place: Place::Component(name.clone()),
            headline: format!("plugin `{name}`: {}", fault.headline),
            ..fault
        })
    }
}

/// Reads an artifact, if there is a folder of artifacts that has it.
fn read_artifact(artifacts: Option<&ArtifactFolder>, digest: Digest) -> io::Result<Vec<u8>> {
    artifacts.map_or_else(|| Err(io::ErrorKind::NotFound.into()), |artifacts| artifacts.read(digest))
}

/// Reads a component's file up to one byte more than `most_bytes`, so that the compiler sees that the file is too
/// large.
pub fn read_component(path: &Path, most_bytes: u64) -> io::Result<Vec<u8>> {
    // Opening a pipe without a writer would wait for ever.
    let wait_for_nobody = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = std::fs::File::options().read(true).custom_flags(wait_for_nobody).open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a plain file"));
    }
    let mut bytes = Vec::new();
    file.take(most_bytes.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_step_that_panics_is_a_fault_of_its_tenant_in_its_own_words() {
        for (said_by, says) in [
            (spawn_blocking(|| panic!("as no {} should", "load")), "as no load should"),
            (spawn_blocking(|| panic!("a word")), "a word"),
            (spawn_blocking(|| std::panic::panic_any(1)), "without a word"),
        ] {
            let error: JoinError = said_by.await.map(|(): ()| ()).unwrap_err();
            let fault = Fault::of_the_host(&said(error));
            assert!(fault.headline.contains(says), "{fault:?}");
        }
    }
}
