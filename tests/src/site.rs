//! The site of a test: what most sites share in a few words, what is special of one as TOML.

use std::fmt::{self, Display};
use std::ops::Deref;

/// A site file's text, tenants only, written from top to bottom: a tenant, its plugins, each with its routes.
///
/// ```
/// # use jackfield_tests::Site;
/// let site = Site::shop()
///     .plugin("deny", "guest_filters.wasm")
///     .config("name = 'deny', mode = 'deny'")
///     .plugin("page", "guest_hello.wasm")
///     .limits("memory = '4MiB'")
///     .route("/")
///     .route("/{*rest}")
///     .with("filters = ['deny']");
/// # assert_eq!(&*site, r#"[tenants.shop]
/// # hosts = ["*"]
/// # [tenants.shop.plugins.deny]
/// # component = "guest_filters.wasm"
/// # config = { name = 'deny', mode = 'deny' }
/// # [tenants.shop.plugins.page]
/// # component = "guest_hello.wasm"
/// # limits = { memory = '4MiB' }
/// # [[tenants.shop.routes]]
/// # path = "/"
/// # plugin = "page"
/// # [[tenants.shop.routes]]
/// # path = "/{*rest}"
/// # plugin = "page"
/// # filters = ['deny']
/// # "#);
/// ```
///
/// It is used where text is: `Host::start(&site)`, `format!("probes = '127.0.0.1:0'\n{site}")`.
#[derive(Clone, Default)]
pub struct Site {
    text: String,
    /// The tenant that was named last.
    tenant: String,
    /// The plugin that was named last.
    plugin: String,
}

impl Site {
    /// The tenant `shop`, which has every host name.
    pub fn shop() -> Self {
        Self::default().tenant("shop", ["*"])
    }

    /// A tenant, or a further one, with these host names.
    pub fn tenant(self, name: impl Display, hosts: impl IntoIterator<Item: Display>) -> Self {
        let hosts: Vec<_> = hosts.into_iter().map(|host| format!("\"{host}\"")).collect();
        let table = format!("[tenants.{name}]\nhosts = [{}]", hosts.join(", "));
        Self { tenant: name.to_string(), ..self }.with(table)
    }

    /// A plugin of the tenant.
    pub fn plugin(self, name: impl Display, component: impl Display) -> Self {
        let table = format!("[tenants.{}.plugins.{name}]\ncomponent = \"{component}\"", self.tenant);
        Self { plugin: name.to_string(), ..self }.with(table)
    }

    /// Limits of the plugin: `cpu = '1s', memory = '4MiB'`.
    pub fn limits(self, limits: impl Display) -> Self {
        self.with(format!("limits = {{ {limits} }}"))
    }

    /// Grants of the plugin: `limiter = true, keyvalue = true`.
    pub fn grants(self, grants: impl Display) -> Self {
        self.with(format!("grants = {{ {grants} }}"))
    }

    /// The config of the plugin: `key = 'value', other = '1'`.
    pub fn config(self, config: impl Display) -> Self {
        self.with(format!("config = {{ {config} }}"))
    }

    /// A route to the plugin that was named last.
    pub fn route(self, path: impl Display) -> Self {
        let plugin = self.plugin.clone();
        self.route_to(plugin, path)
    }

    /// A route to any plugin of the tenant.
    pub fn route_to(self, plugin: impl Display, path: impl Display) -> Self {
        let table = format!("[[tenants.{}.routes]]\npath = \"{path}\"\nplugin = \"{plugin}\"", self.tenant);
        self.with(table)
    }

    /// Further lines of TOML: keys of the tenant, the plugin or the route that was named last, or tables with their
    /// full names.
    pub fn with(mut self, toml: impl Display) -> Self {
        self.text += &format!("{toml}\n");
        self
    }
}

impl Deref for Site {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl Display for Site {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}
