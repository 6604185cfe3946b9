//! A plugin of a tenant document.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use http::HeaderName;
use serde::{Deserialize, Serialize};

use super::{canonical, reuse, text};
use crate::capability::Grants;
use crate::capability::files::MountName;
use crate::capability::http::Origin;
use crate::limits::{Limits, Reuse};
use crate::sandbox::{Digest, DigestError};
use crate::tenant::SecretName;

/// A plugin: a component, and the settings that it runs with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "PluginForm", into = "PluginForm")]
pub struct PluginSpec {
    /// The component.
    pub component: ComponentRef,
    /// The capabilities that it may use.
    pub grants: Grants,
    /// The origins to which it may send requests.
    pub http: BTreeSet<Origin>,
    /// The header fields that are added to the plugin's requests; no two of one origin and header.
    pub credentials: Vec<CredentialSpec>,
    /// The pairs that the plugin reads through `wasi:config/store`.
    pub config: BTreeMap<String, ConfigValue>,
    /// The folders that the plugin may read, by the name under which it finds each. The paths are absolute; the folders
    /// need not exist.
    pub mounts: BTreeMap<MountName, PathBuf>,
    /// The plugin's limits.
    pub limits: Limits,
    /// The time that the plugin's instances serve. None if each serves one call.
    pub reuse: Option<Reuse>,
}

/// The reference to a component.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ComponentRef {
    /// The file at this path. The path is absolute; the file need not exist.
    File(PathBuf),
    /// The artifact of this digest.
    Artifact(Digest),
}

/// A value of a plugin's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a value of `config` is a string, or { \"secret\": \"NAME\" }")]
pub enum ConfigValue {
    /// This text.
    Text(String),
    /// The value of a secret of the tenant.
    Secret(SecretRef),
}

/// The reference to a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretRef {
    /// The secret's name.
    pub secret: SecretName,
}

/// A header field with a secret that the host sets on requests to an origin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CredentialSpec {
    /// One of the plugin's origins.
    #[serde(with = "text")]
    pub origin: Origin,
    /// The field's name, which is none that the host or HTTP itself sets.
    #[serde(with = "text")]
    pub header: HeaderName,
    /// The secret whose value is the field's.
    pub secret: SecretName,
}

impl PluginSpec {
    /// A plugin of this component, with no grants and every default.
    pub fn new(component: ComponentRef) -> Self {
        Self {
            component,
            grants: Grants::default(),
            http: BTreeSet::new(),
            credentials: Vec::new(),
            config: BTreeMap::new(),
            mounts: BTreeMap::new(),
            limits: Limits::default(),
            reuse: None,
        }
    }

    /// The texts of the plugin's configuration.
    pub fn config_texts(&self) -> impl Iterator<Item = (&String, &String)> {
        self.config.iter().filter_map(|(key, value)| match value {
            ConfigValue::Text(text) => Some((key, text)),
            ConfigValue::Secret(_) => None,
        })
    }

    /// The secrets of the plugin's configuration.
    pub fn config_secrets(&self) -> impl Iterator<Item = (&String, &SecretName)> {
        self.config.iter().filter_map(|(key, value)| match value {
            ConfigValue::Text(_) => None,
            ConfigValue::Secret(SecretRef { secret }) => Some((key, secret)),
        })
    }

    /// Sorts the lists whose order means nothing.
    pub(super) fn put_in_order(&mut self) {
        self.credentials.sort_by_cached_key(canonical);
    }
}

impl ConfigValue {
    /// The value of this secret.
    pub fn secret(secret: SecretName) -> Self {
        Self::Secret(SecretRef { secret })
    }
}

/// A path that is not UTF-8 has no form in JSON: the bytes that cannot be written are replaced.
impl fmt::Display for ComponentRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Artifact(digest) => digest.fmt(f),
        }
    }
}

impl FromStr for ComponentRef {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        if text.starts_with("sha256:") {
            text.parse().map(Self::Artifact)
        } else {
            Ok(Self::File(text.into()))
        }
    }
}

/// The JSON form of a plugin: the same keys as in the site file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PluginForm {
    #[serde(with = "text")]
    component: ComponentRef,
    #[serde(default)]
    config: BTreeMap<String, ConfigValue>,
    #[serde(default)]
    grants: GrantsForm,
    #[serde(default)]
    limits: Limits,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    mounts: BTreeMap<MountName, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    outbound: Vec<CredentialSpec>,
    #[serde(default, skip_serializing_if = "is_default")]
    instances: InstancesForm,
    #[serde(default, skip_serializing_if = "is_default", with = "reuse")]
    reuse: Reuse,
}

/// The JSON form of grants.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct GrantsForm {
    /// The plugin's own key-value store.
    #[serde(skip_serializing_if = "is_default")]
    pub keyvalue: bool,
    /// The key-value store that the plugins of a tenant share.
    #[serde(skip_serializing_if = "is_default")]
    pub keyvalue_shared: bool,
    /// The rate limiter.
    #[serde(skip_serializing_if = "is_default")]
    pub limiter: bool,
    /// The origins.
    #[serde(skip_serializing_if = "is_default", with = "text::list")]
    pub http: BTreeSet<Origin>,
}

/// The JSON form of `instances`.
#[derive(Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum InstancesForm {
    #[default]
    Fresh,
    Reused,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl From<PluginSpec> for PluginForm {
    fn from(plugin: PluginSpec) -> Self {
        let PluginSpec { component, grants, http, credentials, config, mounts, limits, reuse } = plugin;
        let mounts = mounts.into_iter().map(|(name, folder)| (name, folder.display().to_string()));
        let Grants { keyvalue, keyvalue_shared, limiter } = grants;
        Self {
            component,
            config,
            grants: GrantsForm { keyvalue, keyvalue_shared, limiter, http },
            limits,
            mounts: mounts.collect(),
            outbound: credentials,
            instances: if reuse.is_some() { InstancesForm::Reused } else { InstancesForm::Fresh },
            reuse: reuse.unwrap_or_default(),
        }
    }
}

impl TryFrom<PluginForm> for PluginSpec {
    type Error = &'static str;

    fn try_from(form: PluginForm) -> Result<Self, &'static str> {
        let PluginForm { component, config, grants, limits, mounts, outbound, instances, reuse } = form;
        let GrantsForm { keyvalue, keyvalue_shared, limiter, http } = grants;
        let reuse = match instances {
            InstancesForm::Reused => Some(reuse),
            InstancesForm::Fresh if reuse == Reuse::default() => None,
            InstancesForm::Fresh => {
                return Err("`reuse` is for instances that are reused: add `\"instances\": \"reused\"`");
            }
        };
        let grants = Grants { keyvalue, keyvalue_shared, limiter };
        let mounts = mounts.into_iter().map(|(name, folder)| (name, folder.into())).collect();
        Ok(Self { component, grants, http, credentials: outbound, config, mounts, limits, reuse })
    }
}
