//! A site → compiled plugins and their secrets, or everything that is wrong with it, tenant by tenant.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::channel;

use super::secrets::{Environment, Secrets, read_secrets};
use super::turns::{Progress, Turns, Work};
use crate::config::{Diagnostic, Findings, PluginSite, Site, Source, TenantSite};
use crate::observe::{Compile, FEW, Metrics, Plug, few};
use crate::sandbox::{Compiler, Component, Footprint, Interface, Provenance, Size};
use crate::tenant::{PluginName, TenantName};

/// What helps when the host itself was at fault.
const AGAIN: &str = "it is loaded again with the next change of its files";

/// A site with its components.
pub struct Loaded {
    /// The site.
    pub site: Site,
    /// Its tenants: what can run, or what is wrong.
    pub tenants: BTreeMap<TenantName, Result<LoadedTenant, Vec<Diagnostic>>>,
}

/// A tenant that can run.
pub struct LoadedTenant {
    /// The components of its plugins.
    pub components: BTreeMap<PluginName, Component>,
    pub(super) secrets: Secrets,
}

impl Loaded {
    /// A site, and what came of its tenants. Of whom nothing came, that is what is wrong.
    fn new(site: Site, mut tenants: BTreeMap<TenantName, Result<LoadedTenant, Vec<Diagnostic>>>) -> Self {
        for name in site.tenants.keys() {
            let silent =
                || Err(vec![fault_of_the_host(&site.source, &format!("nothing came of loading `{name}`"))]);
            tenants.entry(name.clone()).or_insert_with(silent);
        }
        Self { site, tenants }
    }

    /// Everything that is wrong, of all tenants.
    pub fn diagnostics(&self) -> impl Iterator<Item = &Diagnostic> {
        self.tenants.values().filter_map(|tenant| tenant.as_ref().err()).flatten()
    }
}

/// Loads tenants, each at its own pace; clones share their turns.
#[derive(Clone)]
pub struct Loader {
    compiler: Arc<Compiler>,
    environment: Environment,
    metrics: Metrics,
    turns: Turns,
}

impl Loader {
    /// One that has this compile, finds secrets in this environment, and counts what it loads here.
    pub fn new(compiler: Arc<Compiler>, environment: Environment, metrics: Metrics) -> Self {
        Self { compiler, environment, metrics, turns: Turns::new() }
    }

    /// Loads a whole site, to its last tenant. Takes seconds: not for an async worker.
    pub fn load(&self, site: Site) -> Loaded {
        let (done, ended) = channel();
        for (name, tenant) in &site.tenants {
            let (tell, of) = (done.clone(), name.clone());
            let take = move |loaded| {
                // Somebody hears: the other end waits for everybody who has this one.
                let _ = tell.send((of, loaded));
            };
            let load = TenantLoad::new(&site.source, tenant.clone());
            if let Err(error) = self.begin(name.clone(), load, || true, take) {
                let _ = done.send((name.clone(), Err(vec![no_thread(&site.source, &error)])));
            }
        }
        drop(done);
        Loaded::new(site, ended.into_iter().collect())
    }

    /// Begins to load a tenant, in place of what it is loading. `take` is given what comes of it, unless other work
    /// replaces this, or it is not wanted any more when its turn comes.
    ///
    /// # Errors
    /// If there is no thread to do it.
    pub(super) fn begin(
        &self,
        name: TenantName,
        load: TenantLoad,
        is_wanted: impl Fn() -> bool + Send + 'static,
        take: impl FnOnce(Result<LoadedTenant, Vec<Diagnostic>>) + Send + 'static,
    ) -> io::Result<()> {
        let under_way = Some((load, take));
        self.turns.give(name, Box::new(Loading { loader: self.clone(), is_wanted, under_way }))
    }

    /// Ends what is under way, for good.
    pub(super) fn stop(&self) {
        self.compiler.stop();
    }
}

/// The work of loading a tenant, until what came of it is told.
struct Loading<W, T> {
    loader: Loader,
    is_wanted: W,
    under_way: Option<(TenantLoad, T)>,
}

impl<W, T> Work for Loading<W, T>
where
    W: Fn() -> bool + Send,
    T: FnOnce(Result<LoadedTenant, Vec<Diagnostic>>) + Send,
{
    fn step(&mut self) -> Progress {
        let Some((load, _)) = &mut self.under_way else { return Progress::Done };
        if !(self.is_wanted)() {
            return Progress::Done;
        }
        if load.step(&self.loader) == Progress::More {
            return Progress::More;
        }
        let loaded = load.end(&self.loader);
        if let Some((_, take)) = self.under_way.take()
            && (self.is_wanted)()
        {
            take(loaded);
        }
        Progress::Done
    }

    fn panicked(self: Box<Self>, said: &str) {
        if let Some((load, take)) = self.under_way
            && (self.is_wanted)()
        {
            take(Err(vec![fault_of_the_host(&load.source, said)]));
        }
    }
}

/// What is said of a tenant that the host itself failed to load.
fn fault_of_the_host(source: &Arc<Source>, said: &str) -> Diagnostic {
    let headline = format!("a tenant cannot be loaded, by a fault of the host itself: {said}");
    source.diagnostic(&(0..0), headline, "", Some(AGAIN.into()))
}

/// What is said of a tenant for which there is no thread.
pub(super) fn no_thread(source: &Arc<Source>, error: &io::Error) -> Diagnostic {
    let headline = format!("a tenant cannot be loaded: the system gives no thread: {error}");
    source.diagnostic(&(0..0), headline, "", Some("reload when it is less busy".into()))
}

/// One tenant that is being loaded.
pub(super) struct TenantLoad {
    source: Arc<Source>,
    tenant: TenantSite,
    left: VecDeque<PluginName>,
    components: BTreeMap<PluginName, Component>,
    faults: Findings,
    /// Files of this load: two plugins of one file run the same bytes, even if it changes in between.
    read: BTreeMap<PathBuf, Result<Component, Fault>>,
}

/// Why a file is no component; what is said of it in every place that names it.
#[derive(Debug, Clone)]
struct Fault {
    headline: String,
    label: String,
    help: Option<String>,
}

impl TenantLoad {
    pub(super) fn new(source: &Arc<Source>, tenant: TenantSite) -> Self {
        Self {
            source: source.clone(),
            left: tenant.plugins.keys().cloned().collect(),
            tenant,
            components: BTreeMap::new(),
            faults: Findings::new(source.clone()),
            read: BTreeMap::new(),
        }
    }

    /// Loads the next plugin's component.
    fn step(&mut self, loader: &Loader) -> Progress {
        let plugin = self.left.pop_front().and_then(|name| {
            let plugin = self.tenant.plugins.get(&name)?.clone();
            Some((name, plugin))
        });
        if let Some((name, plugin)) = plugin {
            match self.component(&plugin.component, loader) {
                Ok(component) => {
                    self.check_imports(&name, &plugin, &component);
                    self.check_footprint(&name, &plugin, &component);
                    self.components.insert(name, component);
                }
                Err(fault) => self.faults.push(self.source.diagnostic(
                    &plugin.component_span,
                    format!("plugin `{name}`: {}", fault.headline),
                    fault.label,
                    fault.help,
                )),
            }
        }
        if self.left.is_empty() { Progress::Done } else { Progress::More }
    }

    /// What came of it.
    fn end(&mut self, loader: &Loader) -> Result<LoadedTenant, Vec<Diagnostic>> {
        self.check_places();
        let mut of_secrets = Vec::new();
        let secrets = read_secrets(&self.tenant, &loader.environment, &self.source, &mut of_secrets);
        of_secrets.into_iter().for_each(|fault| self.faults.push(fault));
        let components = std::mem::take(&mut self.components);
        let faults = std::mem::replace(&mut self.faults, Findings::new(self.source.clone())).into_list();
        if faults.is_empty() { Ok(LoadedTenant { components, secrets }) } else { Err(faults) }
    }

    fn component(&mut self, path: &Path, loader: &Loader) -> Result<Component, Fault> {
        if let Some(read) = self.read.get(path) {
            return read.clone();
        }
        let component = self.load(path, loader);
        self.read.insert(path.to_owned(), component.clone());
        component
    }

    fn load(&self, path: &Path, loader: &Loader) -> Result<Component, Fault> {
        let bytes = read_component(path, loader.compiler.most_artifact_bytes()).map_err(|error| Fault {
            headline: format!("cannot read its component {}", path.display()),
            label: error.to_string(),
            help: (error.kind() == io::ErrorKind::NotFound).then(|| self.where_to_look().into()),
        })?;
        let loaded = loader.compiler.load(&bytes);
        match &loaded {
            Ok((_, Provenance::Live)) => {}
            Ok((_, Provenance::Cached)) => loader.metrics.compile(Compile::Cached),
            Ok((_, Provenance::Compiled)) => loader.metrics.compile(Compile::Compiled),
            Err(_) => loader.metrics.compile(Compile::Refused),
        }
        loaded.map(|(component, _)| component).map_err(|error| Fault {
            headline: if error.is_of_host() {
                format!("{} cannot be loaded, by no fault of its own", path.display())
            } else {
                format!("{} is not a component that can run here", path.display())
            },
            label: error.to_string(),
            help: error.is_of_host().then(|| AGAIN.into()),
        })
    }

    fn where_to_look(&self) -> &'static str {
        if self.has_site_file() {
            "the path is relative to the site file's folder; has the plugin been built?"
        } else {
            "has it been built?"
        }
    }

    /// A site of one component has no text.
    fn has_site_file(&self) -> bool {
        !self.source.text().is_empty()
    }

    fn check_imports(&mut self, name: &PluginName, plugin: &PluginSite, component: &Component) {
        let mut all_refused = component.refused_imports(plugin.grants);
        // What the tenant can mend itself comes first.
        all_refused.sort_by_key(|refused| refused.grant().is_none());
        for refused in all_refused.iter().take(FEW) {
            let help = refused.grant().map(|grant| format!("grant it: `grants = {{ {grant} = true }}`"));
            let help = help.or_else(|| refused.hint());
            self.faults.push(self.source.diagnostic(
                &plugin.component_span,
                format!("plugin `{name}` cannot run: {refused}"),
                "this component",
                help,
            ));
        }
        let more = all_refused.len().saturating_sub(FEW);
        if more > 0 {
            let headline = format!("plugin `{name}` cannot run: {more} more of its imports are refused");
            let help = "`jackfield inspect` tells what a component imports".to_owned();
            self.faults.push(self.source.diagnostic(
                &plugin.component_span,
                headline,
                "this component",
                Some(help),
            ));
        }
    }

    /// What would fail each of its calls.
    fn check_footprint(&mut self, name: &PluginName, plugin: &PluginSite, component: &Component) {
        let Footprint { memory_bytes, table_elements } = component.footprint();
        let memory = plugin.limits.memory;
        if memory_bytes > memory {
            let (begins, allows) = (Size(memory_bytes), Size(memory));
            let headline = format!("it begins with {begins} of memory, and its limit `memory` is {allows}");
            self.too_small(name, plugin, &headline, &format!("memory = \"{begins}\""));
        }
        let tables = u64::try_from(plugin.limits.tables).unwrap_or(u64::MAX);
        if table_elements > tables {
            let headline = format!(
                "its tables begin with {table_elements} elements, and its limit `tables` is {tables}"
            );
            self.too_small(name, plugin, &headline, &format!("tables = {table_elements}"));
        }
    }

    fn too_small(&mut self, name: &PluginName, plugin: &PluginSite, headline: &str, least: &str) {
        self.faults.push(self.source.diagnostic(
            &plugin.component_span,
            format!("plugin `{name}` cannot run: {headline}"),
            "this component",
            Some(format!("the least that lets it begin: `limits = {{ {least} }}`")),
        ));
    }

    /// A component's place in a route must be one that it can take.
    fn check_places(&mut self) {
        const FILTERS: &[Plug] = &[Plug::RequestFilter, Plug::ResponseFilter];
        // The routes of one component without a site file would all say the same.
        let told = if self.has_site_file() { usize::MAX } else { 1 };
        for route in self.tenant.routes.iter().take(told) {
            let filters =
                route.filters.iter().zip(&route.filter_spans).map(|(name, span)| (name, span, FILTERS));
            let plugin = (&route.plugin, &route.plugin_span, &[Plug::Handler][..]);
            for (name, span, wanted) in filters.chain([plugin]) {
                let Some(component) = self.components.get(name) else { continue };
                if wanted.iter().any(|plug| component.is(*plug)) {
                    continue;
                }
                let place = if wanted == FILTERS { "filter" } else { "plugin" };
                let would_do =
                    Interface::ALL.into_iter().filter(|interface| wanted.contains(&interface.plug()));
                let exports: Vec<_> = would_do.map(|interface| format!("`{}`", interface.name())).collect();
                let plugs = Plug::ALL.into_iter().filter(|plug| component.is(*plug));
                let is: Vec<_> = plugs.map(|plug| format!("a {}", plug.as_str())).collect();
                let is = match (is.is_empty(), component.exports()) {
                    (false, _) => format!("it is {}", is.join(" and ")),
                    (true, []) => "it exports nothing".into(),
                    (true, exports) => format!("it exports {}", few(exports, FEW)),
                };
                let hint = component.hint().map(Into::into);
                let help = (!self.has_site_file() && FILTERS.iter().any(|plug| component.is(*plug)))
                    .then(|| "a filter stands before a plugin: name both in a route of a site file".into())
                    .or(hint);
                self.faults.push(self.source.diagnostic(
                    span,
                    format!(
                        "`{name}` cannot be the {place} of a route: it does not export {}",
                        exports.join(" or ")
                    ),
                    is,
                    help,
                ));
            }
        }
    }
}

/// Reads a component's file, but no more of it than a compiler would look at, and one byte: so that it sees and says
/// that it is too large.
pub fn read_component(path: &Path, most_bytes: u64) -> io::Result<Vec<u8>> {
    // A pipe that nobody writes to would be waited for without end.
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
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;
    use crate::limits::IntakeLimits;
    use crate::observe::Log;
    use crate::sandbox::{CompilerProgram, CompilerSettings, PoolSettings, Sandbox};

    fn site() -> Site {
        Site::for_component(Path::new("nowhere/component.wasm"))
    }

    fn loader() -> Loader {
        let (log, _) = Log::capture();
        let sandbox = Sandbox::new(PoolSettings { slots: 1, idle: 0, memory_bytes: 1 << 20 }).unwrap();
        let settings = CompilerSettings {
            program: CompilerProgram::at("no compiler".into()),
            limits: IntakeLimits::default(),
            is_confined: false,
            cache: None,
            log,
        };
        let compiler = Compiler::new(sandbox, settings).unwrap();
        Loader::new(Arc::new(compiler), Environment::default(), Metrics::default())
    }

    fn headlines(loaded: &Result<LoadedTenant, Vec<Diagnostic>>) -> Vec<String> {
        let faults = loaded.as_ref().err().into_iter().flatten();
        faults.map(|fault| fault.render(false)).collect()
    }

    #[test]
    fn a_load_that_panics_is_a_fault_of_its_tenant() {
        let (site, (tell, hear)) = (site(), channel());
        let (name, tenant) = site.tenants.first_key_value().unwrap();
        let load = TenantLoad::new(&site.source, tenant.clone());
        let asked = std::sync::atomic::AtomicUsize::new(0);
        let is_wanted = move || {
            let is_first = asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
            assert!(!is_first, "as no load should");
            true
        };
        let take = move |loaded| tell.send(loaded).unwrap();
        loader().begin(name.clone(), load, is_wanted, take).unwrap();
        let told = headlines(&hear.recv_timeout(Duration::from_secs(20)).unwrap());
        assert!(told.len() == 1 && told[0].contains("as no load should"), "{told:?}");
    }

    #[test]
    fn a_tenant_of_which_nothing_came_is_at_fault() {
        let loaded = Loaded::new(site(), BTreeMap::new());
        let told: Vec<_> = loaded.tenants.values().flat_map(headlines).collect();
        assert!(told.len() == 1 && told[0].contains("nothing came of loading"), "{told:?}");
    }
}
