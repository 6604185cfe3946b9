//! The ways to get a site: from its file, from a text, or from one component without a file.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::diagnostic::Diagnostics;
use super::findings::Findings;
use super::site::{Site, TenantSettings};
use super::source::Source;
use super::{read, resolve};
use crate::capability::Grants;
use crate::document::{ComponentRef, PluginSpec, RouteSpec, TenantDocument};
use crate::snapshot::{HostPattern, RoutePattern};
use crate::tenant::{PluginName, Quota, TenantName};

impl Site {
    /// Reads the site file at `path`: all that is wrong with it, or a site.
    pub fn load(path: &Path) -> Result<Self, Diagnostics> {
        Self::from_source(Source::read(path)?)
    }

    /// Takes `text` as that of a site file at `path`, which need not exist.
    pub fn parse(path: &Path, text: String) -> Result<Self, Diagnostics> {
        Self::from_source(Source::new(path, text))
    }

    /// The site of one component without a site file: it answers every path of every host, with every grant
    /// but origins.
    ///
    /// The tenant is `default`; the plugin is named after the file, or `plugin` where that gives no name. State is
    /// kept beside the component.
    pub fn for_component(path: &Path) -> Self {
        let source = Source::new(path, String::new());
        let component = source.folder().join(path.file_name().unwrap_or(path.as_os_str()));
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let named = read::name_like(&stem).and_then(|name| PluginName::parse(&name).ok());
        let mut plugin = PluginSpec::new(ComponentRef::File(component));
        plugin.grants = Grants { keyvalue: true, keyvalue_shared: true, limiter: true };
        let patterns = ["/", "/{*rest}"].into_iter().filter_map(|path| RoutePattern::parse(path).ok());
        let plugin_name = named.or_else(|| PluginName::parse("plugin").ok());
        let tenant = plugin_name.map(|name| TenantSettings {
            hosts: HostPattern::parse("*").into_iter().collect(),
            quota: Quota::default(),
            secrets: BTreeMap::new(),
            document: TenantDocument {
                routes: patterns.map(|pattern| RouteSpec::new(pattern, name.clone())).collect(),
                plugins: BTreeMap::from([(name, plugin)]),
            },
        });
        let (host, spans) = resolve::host_settings(&Default::default(), &mut Findings::new(source.clone()));
        let tenants = TenantName::parse("default").ok().zip(tenant).into_iter().collect();
        Self { source, host, tenants, spans: Arc::new(spans), warnings: Vec::new() }
    }

    fn from_source(source: Arc<Source>) -> Result<Self, Diagnostics> {
        let mut findings = Findings::new(source.clone());
        let document = read::document(&mut findings);
        // Of half a file it cannot be told what fits together.
        let resolved = (!findings.is_broken()).then(|| resolve::site(&document, &mut findings));
        match resolved {
            Some((host, tenants, spans)) if findings.errors() == 0 => {
                let warnings = Diagnostics::from(findings.into_list()).into_iter().collect();
                Ok(Self { source, host, tenants, spans: Arc::new(spans), warnings })
            }
            _ => Err(findings.into_list().into()),
        }
    }
}
