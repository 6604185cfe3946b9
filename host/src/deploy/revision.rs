//! A tenant's document and its components → its next revision: the plugins with what they keep, the routes with whom
//! they lead to.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::deployer::Deployer;
use super::document;
use super::live::LiveTenant;
use crate::capability::KeyValue;
use crate::config::{PluginSite, TenantSite};
use crate::cpu::Habit;
use crate::observe::Entry;
use crate::sandbox::{Abilities, Component};
use crate::snapshot::{Chain, Plugin, Revision, Routes, Rule};
use crate::tenant::{Bounds, Gate, PluginName, TenantName};

impl Deployer {
    /// Gives a tenant its next revision, if it is another one, and what is to be told of it.
    pub(super) fn revise(
        &self,
        name: &TenantName,
        tenant: &mut LiveTenant,
        site: &TenantSite,
        components: &BTreeMap<PluginName, Component>,
    ) -> Option<Entry<'_>> {
        let id = document::id(site, components);
        if tenant.revision.as_ref().is_some_and(|revision| revision.id == id) {
            return None;
        }
        tenant.plugin_gates.retain(|plugin, gate| site.plugins.contains_key(plugin) || gate.is_shared());
        tenant.ways_out.keep_only(site);
        let plugins: BTreeMap<PluginName, Arc<Plugin>> = site
            .plugins
            .iter()
            .filter_map(|(plugin, plugin_site)| {
                let component = components.get(plugin)?.clone();
                Some((plugin.clone(), Arc::new(self.plugin(name, tenant, plugin, plugin_site, component))))
            })
            .collect();
        let rules = site.routes.iter().filter_map(|route| {
            let target = Chain {
                route: route.pattern.as_str().into(),
                filters: route.filters.iter().filter_map(|filter| plugins.get(filter).cloned()).collect(),
                plugin: plugins.get(&route.plugin)?.clone(),
            };
            Some(Rule {
                pattern: route.pattern.clone(),
                hosts: route.hosts.clone(),
                methods: route.methods.clone(),
                headers: route.headers.clone(),
                target,
            })
        });
        let routes = Routes::new(rules.collect());
        let drained = {
            let (log, name) = (self.parts.log.clone(), name.clone());
            move || log.info("revision drained").field("tenant", &name).display("revision", id).send()
        };
        let of_tenant = (tenant.gate.clone(), tenant.share.clone());
        let (metrics, plugins) = (tenant.metrics.clone(), plugins.into_values().collect());
        let revision = Revision::new(name.clone(), id, of_tenant, metrics, routes, plugins, drained);
        tenant.retire();
        tenant.revision = Some(Arc::new(revision));
        tenant.metrics.set_live_revision(id.to_string());
        Some(self.parts.log.info("revision live").field("tenant", name).display("revision", id))
    }

    fn plugin(
        &self,
        tenant_name: &TenantName,
        tenant: &mut LiveTenant,
        name: &PluginName,
        site: &PluginSite,
        component: Component,
    ) -> Plugin {
        let bounds = Bounds::from(&site.limits);
        let gate = tenant.plugin_gates.entry(name.clone()).or_insert_with(|| Gate::new(bounds));
        gate.set_bounds(bounds);
        let gate = gate.clone();
        let limiter = site.grants.limiter.then(|| self.limiters.get(tenant_name, name));
        let keyvalue = (site.grants.keyvalue || site.grants.keyvalue_shared).then(|| {
            let (tenant_name, name) = (tenant_name.clone(), name.clone());
            KeyValue::new(self.parts.store.clone(), tenant_name, name, site.grants, tenant.storage.clone())
        });
        let http = (!site.http.is_empty()).then(|| {
            let credentials = || tenant.secrets.credentials(site);
            tenant.ways_out.of(name, site, &self.parts.http, credentials)
        });
        let secrets = tenant.secrets.of_config(site);
        let metrics = self.parts.metrics.plugin(tenant_name, name);
        Plugin {
            tenant: tenant_name.clone(),
            name: name.clone(),
            instances: self.parts.compiler.sandbox().instances(component, site.reuse, metrics.clone()),
            habit: Habit::default(),
            limits: Arc::new(site.limits.clone()),
            abilities: Arc::new(Abilities {
                plugin: name.as_str().into(),
                config: site.config.clone(),
                secrets,
                keyvalue,
                limiter,
                http,
            }),
            gate,
            share: tenant.share.clone(),
            metrics,
        }
    }
}
