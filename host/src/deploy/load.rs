//! A site → compiled plugins and their secrets, or everything that is wrong with it, by tenant.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::secrets::{Environment, Secrets, read_secrets};
use crate::config::{Diagnostic, PluginSite, Site, Source, TenantSite};
use crate::observe::Plug;
use crate::sandbox::{Component, Digest, Interface, MAX_ARTIFACT_BYTES, Sandbox};
use crate::tenant::{PluginName, TenantName};

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
    /// Everything that is wrong, of all tenants.
    pub fn diagnostics(&self) -> impl Iterator<Item = &Diagnostic> {
        self.tenants.values().filter_map(|tenant| tenant.as_ref().err()).flatten()
    }
}

/// Compiles what `site` names. What is among `known` is not compiled again. Takes seconds: not for an
/// async worker.
pub fn load(
    site: Site,
    sandbox: &Sandbox,
    environment: &Environment,
    known: impl IntoIterator<Item = Component>,
) -> Loaded {
    let known = known.into_iter().map(|component| (component.digest(), component)).collect();
    let source = site.source.clone();
    let mut loader = Loader { source, sandbox, environment, known, read: BTreeMap::new() };
    let tenants = site.tenants.iter().map(|(name, tenant)| (name.clone(), loader.tenant(tenant))).collect();
    Loaded { site, tenants }
}

struct Loader<'a> {
    source: Arc<Source>,
    sandbox: &'a Sandbox,
    environment: &'a Environment,
    known: BTreeMap<Digest, Component>,
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

impl Loader<'_> {
    fn tenant(&mut self, tenant: &TenantSite) -> Result<LoadedTenant, Vec<Diagnostic>> {
        let mut components = BTreeMap::new();
        let mut faults = Vec::new();
        for (name, plugin) in &tenant.plugins {
            match self.component(&plugin.component) {
                Ok(component) => {
                    self.check_imports(name, plugin, &component, &mut faults);
                    components.insert(name.clone(), component);
                }
                Err(fault) => faults.push(self.source.diagnostic(
                    &plugin.component_span,
                    format!("plugin `{name}`: {}", fault.headline),
                    fault.label,
                    fault.help,
                )),
            }
        }
        self.check_places(tenant, &components, &mut faults);
        let secrets = read_secrets(tenant, self.environment, &self.source, &mut faults);
        if faults.is_empty() { Ok(LoadedTenant { components, secrets }) } else { Err(faults) }
    }

    fn component(&mut self, path: &Path) -> Result<Component, Fault> {
        if let Some(read) = self.read.get(path) {
            return read.clone();
        }
        let component = self.compile(path);
        self.read.insert(path.to_owned(), component.clone());
        component
    }

    fn compile(&mut self, path: &Path) -> Result<Component, Fault> {
        let bytes = read_component(path).map_err(|error| Fault {
            headline: format!("cannot read its component {}", path.display()),
            label: error.to_string(),
            help: (error.kind() == std::io::ErrorKind::NotFound).then(|| self.where_to_look().into()),
        })?;
        if let Some(component) = self.known.get(&Digest::of(&bytes)) {
            return Ok(component.clone());
        }
        let component = self.sandbox.compile(&bytes).map_err(|error| Fault {
            headline: format!("{} is not a component that can run here", path.display()),
            label: error.to_string(),
            help: None,
        })?;
        self.known.insert(component.digest(), component.clone());
        Ok(component)
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

    fn check_imports(
        &self,
        name: &PluginName,
        plugin: &PluginSite,
        component: &Component,
        faults: &mut Vec<Diagnostic>,
    ) {
        for refused in component.refused_imports(plugin.grants) {
            let help = refused.grant().map(|grant| format!("grant it: `grants = {{ {grant} = true }}`"));
            faults.push(self.source.diagnostic(
                &plugin.component_span,
                format!("plugin `{name}` cannot run: {refused}"),
                "this component",
                help,
            ));
        }
    }

    /// A component's place in a route must be one that it can take.
    fn check_places(
        &self,
        tenant: &TenantSite,
        components: &BTreeMap<PluginName, Component>,
        faults: &mut Vec<Diagnostic>,
    ) {
        const FILTERS: &[Plug] = &[Plug::RequestFilter, Plug::ResponseFilter];
        // The routes of one component without a site file would all say the same.
        let told = if self.has_site_file() { usize::MAX } else { 1 };
        for route in tenant.routes.iter().take(told) {
            let filters =
                route.filters.iter().zip(&route.filter_spans).map(|(name, span)| (name, span, FILTERS));
            let plugin = (&route.plugin, &route.plugin_span, &[Plug::Handler][..]);
            for (name, span, wanted) in filters.chain([plugin]) {
                let Some(component) = components.get(name) else { continue };
                if wanted.iter().any(|plug| component.is(*plug)) {
                    continue;
                }
                let place = if wanted == FILTERS { "filter" } else { "plugin" };
                let would_do =
                    Interface::ALL.into_iter().filter(|interface| wanted.contains(&interface.plug()));
                let exports: Vec<_> = would_do.map(|interface| format!("`{}`", interface.name())).collect();
                let plugs = Plug::ALL.into_iter().filter(|plug| component.is(*plug));
                let is: Vec<_> = plugs.map(|plug| format!("a {}", plug.as_str())).collect();
                let is = if is.is_empty() { "nothing that a route can use".into() } else { is.join(" and ") };
                let help = (!self.has_site_file() && FILTERS.iter().any(|plug| component.is(*plug)))
                    .then(|| "a filter stands before a plugin: name both in a route of a site file".into());
                faults.push(self.source.diagnostic(
                    span,
                    format!(
                        "`{name}` cannot be the {place} of a route: it does not export {}",
                        exports.join(" or ")
                    ),
                    format!("it is {is}"),
                    help,
                ));
            }
        }
    }
}

/// Reads a component's file, but no more of it than the sandbox would look at.
pub fn read_component(path: &Path) -> std::io::Result<Vec<u8>> {
    let file = std::fs::File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(std::io::ErrorKind::IsADirectory.into());
    }
    let mut bytes = Vec::new();
    // One byte more than is allowed, so that the sandbox sees and says that it is too large.
    let most = u64::try_from(MAX_ARTIFACT_BYTES).unwrap_or(u64::MAX);
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::PoolSettings;

    /// The smallest component there is.
    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn a_change_of_limits_or_of_the_files_name_compiles_nothing() {
        let folder = tempfile::TempDir::new().unwrap();
        for name in ["empty.wasm", "copy.wasm"] {
            std::fs::write(folder.path().join(name), EMPTY).unwrap();
        }
        let sandbox = Sandbox::new(PoolSettings { slots: 1, memory_bytes: 1 << 20, idle: 0 }).unwrap();
        let loaded = |component: &str, limits: &str, known: Vec<Component>| {
            let text = format!(
                "[tenants.a]\nhosts = ['*']\nplugins.p = {{ component = '{component}', limits = {{ {limits} }} }}"
            );
            let site = Site::parse(&folder.path().join("site.toml"), text).unwrap();
            let environment = Environment::default();
            let mut loaded = load(site, &sandbox, &environment, known);
            let tenant = loaded.tenants.pop_first().unwrap().1.unwrap();
            tenant.components.into_values().next().unwrap()
        };
        let first = loaded("empty.wasm", "", Vec::new());
        for (component, limits) in [
            ("empty.wasm", "cpu = '1s', memory = '1MiB', handles = 16, fields = '1KiB'"),
            ("copy.wasm", "concurrency = 1, log-lines = 0"),
        ] {
            let again = loaded(component, limits, vec![first.clone()]);
            assert!(again.is_the_same_code_as(&first), "{component}, {limits}");
        }
        assert!(
            !loaded("empty.wasm", "", Vec::new()).is_the_same_code_as(&first),
            "without it there is none"
        );
    }
}
