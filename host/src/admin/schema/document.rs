//! The JSON forms of a tenant document and of the operator's part of a tenant, described: `document/` reads and writes
//! them. A test holds the two together.

#![expect(dead_code, reason = "the shapes are described, and never made")]

use std::collections::BTreeMap;

use utoipa::ToSchema;

use crate::tenant::{PluginName, SecretName};

/// The plugins of one tenant, and the routes to them.
#[derive(ToSchema)]
pub(super) struct TenantDocument {
    /// The plugins, by name.
    #[schema(required = false)]
    plugins: BTreeMap<PluginName, Plugin>,
    /// The routes. No request depends on their order.
    #[schema(required = false)]
    routes: Vec<Route>,
}

/// A plugin: a component, and the settings that it runs with.
#[derive(ToSchema)]
pub(super) struct Plugin {
    /// The digest of an artifact.
    component: String,
    /// What the plugin reads through `wasi:config/store`.
    #[schema(required = false)]
    config: BTreeMap<String, ConfigValue>,
    /// What it may use.
    #[schema(required = false)]
    grants: Grants,
    /// Its limits, by name: sizes in bytes, durations in nanoseconds.
    #[schema(required = false)]
    limits: BTreeMap<String, u64>,
    /// The folders that it may read: the site file's alone.
    #[schema(required = false)]
    mounts: BTreeMap<String, String>,
    /// The header fields that are added to its requests.
    #[schema(required = false)]
    outbound: Vec<Credential>,
    /// How long its instances serve.
    #[schema(required = false)]
    instances: Instances,
    /// The bounds of instances that are reused.
    #[schema(required = false)]
    reuse: Reuse,
}

/// A value of a plugin's configuration.
#[derive(ToSchema)]
#[serde(untagged)]
enum ConfigValue {
    /// This text.
    Text(String),
    /// The value of a secret of the tenant.
    Secret(SecretRef),
}

/// The reference to a secret.
#[derive(ToSchema)]
struct SecretRef {
    /// The secret.
    secret: SecretName,
}

/// What a plugin may use, or what an operator allows.
#[derive(ToSchema)]
#[serde(rename_all = "kebab-case")]
struct Grants {
    /// The plugin's own key-value store.
    #[schema(required = false)]
    keyvalue: bool,
    /// The key-value store that the plugins of a tenant share.
    #[schema(required = false)]
    keyvalue_shared: bool,
    /// The rate limiter.
    #[schema(required = false)]
    limiter: bool,
    /// The origins to which it may send requests.
    #[schema(required = false)]
    http: Vec<String>,
}

/// A header field with a secret that the host sets on requests to an origin.
#[derive(ToSchema)]
struct Credential {
    /// One of the plugin's origins.
    origin: String,
    /// The field's name.
    header: String,
    /// The secret whose value is the field's.
    secret: SecretName,
}

/// How long a plugin's instances serve.
#[derive(ToSchema)]
#[serde(rename_all = "kebab-case")]
enum Instances {
    /// One call.
    Fresh,
    /// Several calls.
    Reused,
}

/// The bounds of instances that are reused.
#[derive(ToSchema)]
struct Reuse {
    /// Calls that an instance serves at most.
    #[schema(required = false)]
    calls: u32,
    /// Nanoseconds that it is there at most.
    #[schema(required = false)]
    age: u64,
    /// Nanoseconds that it waits for a call at most.
    #[schema(required = false)]
    idle: u64,
}

/// A route: the requests that it takes, and the plugins that they go to.
#[derive(ToSchema)]
pub(super) struct Route {
    /// The pattern that the path must fit.
    path: String,
    /// The hosts; left out, all of the tenant's.
    #[schema(required = false)]
    hosts: Vec<String>,
    /// The methods; left out, every method.
    #[schema(required = false)]
    methods: Vec<String>,
    /// The header fields that a request must have.
    #[schema(required = false)]
    headers: BTreeMap<String, String>,
    /// The filters before the plugin, in order.
    #[schema(required = false)]
    filters: Vec<PluginName>,
    /// The plugin that answers.
    plugin: PluginName,
    /// The codings that answers may be compressed in, the most wanted first.
    #[schema(required = false)]
    compression: Vec<String>,
}

/// The operator's part of a tenant.
#[derive(ToSchema)]
pub(super) struct TenantSpec {
    /// The hosts that the tenant answers for: at least one, each once.
    #[schema(min_items = 1, max_items = 1000)]
    hosts: Vec<String>,
    /// The growths of a revision that the operator wants to approve.
    #[schema(required = false)]
    approve: Vec<Approval>,
    /// The ceilings on the tenant, and what its plugins may be given.
    #[schema(required = false)]
    quota: Quota,
}

/// A growth of a revision that waits for the operator's approval.
#[derive(ToSchema)]
#[serde(rename_all = "kebab-case")]
enum Approval {
    /// Grants and origins that the live revision does not have.
    Grants,
}

/// The ceilings on a tenant as a whole, and on what its plugins may be given. Sizes are bytes, durations nanoseconds.
#[derive(ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Quota {
    /// Requests in flight.
    #[schema(required = false)]
    concurrency: u64,
    /// Requests that wait.
    #[schema(required = false)]
    queue: u64,
    /// How long each of them may wait.
    #[schema(required = false)]
    queue_wait: u64,
    /// CPU time a second; left out, no quota.
    #[schema(required = false)]
    cpu: u64,
    /// The share of the CPU and of slots when they are short.
    #[schema(required = false)]
    weight: u32,
    /// Key-value data.
    #[schema(required = false)]
    storage: Storage,
    /// Bytes of artifacts.
    #[schema(required = false)]
    artifacts: u64,
    /// Revisions that are kept.
    #[schema(required = false)]
    revisions: u64,
    /// What plugins may be granted; left out, all but origins.
    #[schema(required = false)]
    grants: Grants,
    /// The ceilings of plugins' limits, by name.
    #[schema(required = false)]
    limits: BTreeMap<String, u64>,
}

/// A quota of key-value data.
#[derive(ToSchema)]
struct Storage {
    /// Bytes of keys and values.
    #[schema(required = false)]
    bytes: u64,
    /// Keys.
    #[schema(required = false)]
    keys: u64,
}
