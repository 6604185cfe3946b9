//! The check whether a component suits the plugin and the routes that name it.

use std::collections::BTreeMap;

use rustix::io::Errno;

use super::Origin;
use super::refusal::Fault;
use crate::capability::files::{FileError, check_folder};
use crate::document::{Place, PluginSpec, TenantDocument};
use crate::observe::{FEW, Plug, few};
use crate::sandbox::{Component, Footprint, Interface, Size};
use crate::tenant::PluginName;

/// The plugs that a filter of a route may be.
const FILTERS: &[Plug] = &[Plug::RequestFilter, Plug::ResponseFilter];

/// The faults of a component in the role of this plugin.
pub(super) fn check_component(name: &PluginName, plugin: &PluginSpec, component: &Component) -> Vec<Fault> {
    let mut faults = refused_imports(name, plugin, component);
    faults.extend(oversized(name, plugin, component));
    faults
}

fn cannot_run(name: &PluginName, why: impl std::fmt::Display) -> Fault {
    let place = Place::Component(name.clone());
    Fault::new(place, format!("plugin `{name}` cannot run: {why}")).label("this component")
}

fn refused_imports(name: &PluginName, plugin: &PluginSpec, component: &Component) -> Vec<Fault> {
    let mut all_refused = component.refused_imports(plugin.grants);
    // Refusals that the tenant can mend itself come first.
    all_refused.sort_by_key(|refused| refused.grant().is_none());
    let mut faults = Vec::new();
    for refused in all_refused.iter().take(FEW) {
        let help = refused.grant().map(|grant| format!("grant it: `grants = {{ {grant} = true }}`"));
        faults.push(cannot_run(name, refused).help(help.or_else(|| refused.hint())));
    }
    let more = all_refused.len().saturating_sub(FEW);
    if more > 0 {
        let fault = cannot_run(name, format_args!("{more} more of its imports are refused"));
        faults.push(fault.help("`jackfield inspect` tells what a component imports".to_owned()));
    }
    faults
}

/// The faults of limits that would fail every call of the plugin.
fn oversized(name: &PluginName, plugin: &PluginSpec, component: &Component) -> Vec<Fault> {
    let Footprint { memory_bytes, table_elements } = component.footprint();
    let too_small = |why: String, least: String| {
        cannot_run(name, why).help(format!("the least that lets it begin: `limits = {{ {least} }}`"))
    };
    let mut faults = Vec::new();
    let memory = plugin.limits.memory;
    if memory_bytes > memory {
        let (begins, allows) = (Size(memory_bytes), Size(memory));
        let why = format!("it begins with {begins} of memory, and its limit `memory` is {allows}");
        faults.push(too_small(why, format!("memory = \"{begins}\"")));
    }
    let tables = u64::try_from(plugin.limits.tables).unwrap_or(u64::MAX);
    if table_elements > tables {
        let why =
            format!("its tables begin with {table_elements} elements, and its limit `tables` is {tables}");
        faults.push(too_small(why, format!("tables = {table_elements}")));
    }
    faults
}

/// The faults of folders that the plugin is to read.
pub(super) fn check_mounts(name: &PluginName, plugin: &PluginSpec) -> Vec<Fault> {
    let faults = plugin.mounts.iter().filter_map(|(mount, folder)| {
        let error = check_folder(folder).err()?;
        let help = match error {
            FileError::System(Errno::NOENT) => "the path is relative to the site file's folder",
            FileError::NotFolder => "mount the folder that holds the file",
            FileError::System(Errno::NOSYS | Errno::PERM) => {
                "mounts need openat2(2) of Linux 5.6, which keeps a guest within its folder"
            }
            _ => "the host's user must be able to read the folder",
        };
        let place = Place::Mount(name.clone(), mount.clone());
        let headline = format!("plugin `{name}`: cannot read its folder {}", folder.display());
        Some(Fault::new(place, headline).label(error.to_string()).help(help.to_owned()))
    });
    faults.collect()
}

/// The faults of routes that name a component in a place which it does not support.
pub(super) fn check_places(
    document: &TenantDocument,
    components: &BTreeMap<PluginName, Component>,
    origin: &Origin,
) -> Vec<Fault> {
    // Without a site file, all routes of the one component would have the same fault.
    let told = if matches!(origin, Origin::SiteFile(_)) { usize::MAX } else { 1 };
    let mut faults = Vec::new();
    for (index, route) in document.routes.iter().take(told).enumerate() {
        let filters = route.filters.iter().enumerate();
        let filters = filters.map(|(filter, name)| (name, Place::Filter { route: index, filter }, FILTERS));
        let plugin = (&route.plugin, Place::RoutePlugin(index), &[Plug::Handler][..]);
        for (name, place, wanted) in filters.chain([plugin]) {
            if let Some(component) = components.get(name)
                && !wanted.iter().any(|plug| component.is(*plug))
            {
                faults.push(misplaced(name, component, place, wanted, origin));
            }
        }
    }
    faults
}

fn misplaced(name: &PluginName, component: &Component, at: Place, wanted: &[Plug], origin: &Origin) -> Fault {
    let place = if wanted == FILTERS { "filter" } else { "plugin" };
    let would_do = Interface::ALL.into_iter().filter(|interface| wanted.contains(&interface.plug()));
    let exports: Vec<_> = would_do.map(|interface| format!("`{}`", interface.name())).collect();
    let plugs = Plug::ALL.into_iter().filter(|plug| component.is(*plug));
    let is: Vec<_> = plugs.map(|plug| format!("a {}", plug.as_str())).collect();
    let is = match (is.is_empty(), component.exports()) {
        (false, _) => format!("it is {}", is.join(" and ")),
        (true, []) => "it exports nothing".into(),
        (true, exports) => format!("it exports {}", few(exports, FEW)),
    };
    let is_lone_filter =
        matches!(origin, Origin::Component(_)) && FILTERS.iter().any(|plug| component.is(*plug));
    let help = is_lone_filter
        .then(|| "a filter stands before a plugin: name both in a route of a site file".into())
        .or(component.hint().map(Into::into));
    let exports = exports.join(" or ");
    let headline = format!("`{name}` cannot be the {place} of a route: it does not export {exports}");
    Fault::new(at, headline).label(is).help(help)
}
