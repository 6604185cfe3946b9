//! One row of the table: a guest, what is asked of it, and what must come of it.

use std::path::Path;

use hostile_guests::{Form, Guest, Promise, Source};
use jackfield_tests::Site;

/// A guest in one form: what is in the site file for it, what it is asked, what is promised.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) family: &'static str,
    /// Plugin and host name, too: `cpu-loop-lean`.
    pub(super) name: String,
    pub(super) does: String,
    pub(super) promise: Promise,
    pub(super) component: Component,
    pub(super) path: String,
    pub(super) limits: String,
    pub(super) grants: Option<String>,
    pub(super) calls: u32,
}

/// What runs.
#[derive(Debug, Clone)]
pub(super) enum Component {
    /// A guest that `cargo xtask test` built.
    Built(String),
    /// One that was made of text.
    Made(Vec<u8>),
}

impl Case {
    /// A guest in each of its forms.
    pub(super) fn of(guest: &Guest) -> Vec<Self> {
        let case = |form: Option<&Form>, component, path: &str| {
            let form = form.map(|form| format!("-{}", form.name())).unwrap_or_default();
            Self {
                family: guest.family,
                name: format!("{}-{}{form}", guest.family, guest.name),
                does: guest.does.clone(),
                promise: guest.promise.clone(),
                component,
                path: path.to_owned(),
                limits: guest.site_limits(),
                grants: guest.grants.clone(),
                calls: guest.calls,
            }
        };
        match &guest.source {
            Source::Built { file, path } => vec![case(None, Component::Built(file.clone()), path)],
            Source::Text(text) => {
                let made = |form: &Form| {
                    let bytes = Guest::component(text, *form);
                    let bytes = bytes.unwrap_or_else(|error| panic!("{}: {error:#}", guest.name));
                    case((guest.forms.len() > 1).then_some(form), Component::Made(bytes), "/")
                };
                guest.forms.iter().map(made).collect()
            }
        }
    }

    /// The host name that its route has.
    pub(super) fn host_name(&self) -> String {
        format!("{}.mean", self.name)
    }

    /// The most CPU that one call may use.
    pub(super) fn cpu_ms(&self) -> f64 {
        let cpu = self.limits.split(',').find_map(|limit| {
            let (name, value) = limit.split_once('=')?;
            let value = value.trim().trim_matches('"');
            let number = value.trim_end_matches(|c: char| c.is_ascii_alphabetic()).parse::<f64>().ok()?;
            (name.trim() == "cpu").then(|| if value.ends_with("ms") { number } else { number * 1000.0 })
        });
        cpu.expect("every guest has one")
    }

    /// Its plugin and routes are added to the site; made components are written into `folder`.
    pub(super) fn add_to(&self, site: Site, folder: &Path) -> Site {
        let component = match &self.component {
            Component::Built(file) => file.clone(),
            Component::Made(bytes) => {
                let file = folder.join(&self.name).with_extension("wasm");
                std::fs::write(&file, bytes).expect("a test can write to its folder");
                file.display().to_string()
            }
        };
        let grants = self.grants.as_deref().unwrap_or_default();
        let hosts = format!("hosts = ['{}']", self.host_name());
        let plugin = site.plugin(&self.name, component).limits(&self.limits).grants(grants);
        plugin.route("/").with(&hosts).route("/{*rest}").with(hosts)
    }

    /// What is promised, for people.
    pub(super) fn promised(&self) -> String {
        let Promise { status, problem, counted, .. } = &self.promise;
        match problem {
            Some(problem) if *status == 200 => format!("{status}, cut for `{problem}`"),
            Some(problem) if problem == counted => format!("{status} `{problem}`"),
            Some(problem) => format!("{status} `{problem}`, counted as `{counted}`"),
            None if counted == "ok" => format!("{status}"),
            None => format!("{status}, counted as `{counted}`"),
        }
    }
}
