//! A tenant's document and its components → the tenant's next revision: the plugins with the state that they keep,
//! and the routes with the plugins that they lead to.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::change::Change;
use super::deployer::Deployer;
use super::live::LiveTenant;
use crate::capability::KeyValue;
use crate::capability::files::Mounts;
use crate::cpu::Habit;
use crate::document::{PluginSpec, TenantDocument};
use crate::sandbox::{Abilities, Component};
use crate::snapshot::{Chain, Plugin, Revision, Routes};
use crate::tenant::{Gate, GateBounds, PluginName, TenantName};

impl Deployer {
    /// Gives a tenant its next revision, if it differs from the live one. Returns the change.
    pub(super) fn revise(
        &self,
        name: &TenantName,
        tenant: &mut LiveTenant,
        document: &TenantDocument,
        components: &BTreeMap<PluginName, Component>,
    ) -> Option<Change> {
        let digests = components.iter().map(|(name, component)| (name.clone(), component.digest()));
        let document = document.with_artifacts(&digests.collect());
        let id = document.id();
        if tenant.live_id() == Some(id) && tenant.live_ceilings == tenant.ceilings {
            return None;
        }
        tenant.live_ceilings.clone_from(&tenant.ceilings);
        tenant.plugin_gates.retain(|plugin, gate| document.plugins.contains_key(plugin) || gate.is_shared());
        tenant.ways_out.keep_only(&document);
        let plugins: BTreeMap<PluginName, Arc<Plugin>> = document
            .plugins
            .iter()
            .filter_map(|(plugin, spec)| {
                let component = components.get(plugin)?.clone();
                Some((plugin.clone(), Arc::new(self.plugin(name, tenant, plugin, spec, component))))
            })
            .collect();
        let rules = document.routes.iter().filter_map(|route| {
            let target = Chain {
                route: route.pattern.as_str().into(),
                filters: route.filters.iter().filter_map(|filter| plugins.get(filter).cloned()).collect(),
                plugin: plugins.get(&route.plugin)?.clone(),
                compression: route.compression.clone(),
            };
            Some(route.rule(target))
        });
        let routes = Routes::new(rules.collect());
        let drained = {
            let (changes, tenant) = (self.changes.clone(), name.clone());
            move || changes.tell(&Change::Drained { tenant, revision: id })
        };
        let of_tenant = (tenant.gate.clone(), tenant.share.clone());
        let (metrics, plugins) = (tenant.metrics.clone(), plugins.into_values().collect());
        let revision = Revision::new(name.clone(), id, of_tenant, metrics, routes, plugins, drained);
        tenant.retire();
        tenant.revision = Some(Arc::new(revision));
        let diff = Box::new(tenant.document.diff(&document));
        tenant.document = document;
        Some(Change::Published { tenant: name.clone(), revision: id, diff })
    }

    fn plugin(
        &self,
        tenant_name: &TenantName,
        tenant: &mut LiveTenant,
        name: &PluginName,
        spec: &PluginSpec,
        component: Component,
    ) -> Plugin {
        let limits = spec.limits.lowered_to(&tenant.ceilings);
        let bounds = GateBounds::from(&limits);
        let gate = tenant.plugin_gates.entry(name.clone()).or_insert_with(|| Gate::new(bounds));
        gate.set_bounds(bounds);
        let gate = gate.clone();
        let limiter = spec.grants.limiter.then(|| self.limiters.get(tenant_name, name));
        let keyvalue = (spec.grants.keyvalue || spec.grants.keyvalue_shared).then(|| {
            let (tenant_name, name) = (tenant_name.clone(), name.clone());
            KeyValue::new(self.parts.store.clone(), tenant_name, name, spec.grants, tenant.storage.clone())
        });
        let http = (!spec.http.is_empty()).then(|| {
            let credentials = || tenant.secrets.credentials(spec);
            tenant.ways_out.of(name, spec, &self.parts.http, credentials)
        });
        let mounts = spec.mounts.iter().map(|(name, folder)| (name.clone(), folder.clone()));
        let mounts = Mounts::new(mounts, &tenant.files);
        let secrets = tenant.secrets.of_config(spec);
        let metrics = self.parts.metrics.plugin(tenant_name, name);
        Plugin {
            tenant: tenant_name.clone(),
            name: name.clone(),
            instances: self.parts.compiler.sandbox().instances(component, spec.reuse, metrics.clone()),
            habit: Habit::default(),
            limits: Arc::new(limits),
            abilities: Arc::new(Abilities {
                plugin: name.as_str().into(),
                config: spec.config_texts().map(|(key, text)| (key.clone(), text.clone())).collect(),
                secrets,
                keyvalue,
                limiter,
                http,
                mounts,
            }),
            gate,
            share: tenant.share.clone(),
            metrics,
        }
    }
}
