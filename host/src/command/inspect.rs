//! `jackfield inspect`: what a component is, and what it takes to run it.

use serde_json::json;

use super::{Exit, Inspect, refuse, say, say_json};
use crate::deploy::read_component;
use crate::observe::Plug;
use crate::sandbox::{Component, Need, PoolSettings, Sandbox};

/// Nothing is run, so one slot is enough.
const POOL: PoolSettings = PoolSettings { slots: 1, memory_bytes: 1 << 30 };

pub(super) fn run(inspect: &Inspect) -> Exit {
    let file = inspect.file.display();
    let bytes = match read_component(&inspect.file) {
        Ok(bytes) => bytes,
        Err(error) => return refuse(format_args!("cannot read {file}: {error}")),
    };
    let component = Sandbox::new(POOL).map_err(|error| error.to_string()).and_then(|sandbox| {
        sandbox
            .compile(&bytes)
            .map_err(|error| format!("{file} is not a component that can run here: {error}"))
    });
    let component = match component {
        Ok(component) => component,
        Err(reason) => return refuse(reason),
    };
    if inspect.json {
        say_json(&described(&component))
    } else {
        describe(&component)
    }
    Exit::Done
}

fn described(component: &Component) -> serde_json::Value {
    let imports: Vec<_> = component
        .imports()
        .iter()
        .map(|import| match import.need {
            Need::Nothing => json!({ "name": import.name, "offered": true }),
            Need::Grant(grant) => json!({ "name": import.name, "offered": true, "grant": grant }),
            Need::Unknown => json!({ "name": import.name, "offered": false }),
        })
        .collect();
    json!({
        "digest": component.digest().to_string(),
        "bytes": component.len_bytes(),
        "plugs": component.plugs().iter().map(|plug| plug.as_str()).collect::<Vec<_>>(),
        "imports": imports,
        "grants": grants(component),
    })
}

fn describe(component: &Component) {
    say(format_args!("artifact  {} ({} bytes)", component.digest(), component.len_bytes()));
    let plugs: Vec<_> = component.plugs().iter().map(|plug| plug.as_str()).collect();
    if plugs.is_empty() {
        let exports: Vec<_> = Plug::ALL.iter().map(|plug| crate::sandbox::interface(*plug)).collect();
        say(format_args!("plugs     none: it exports none of {}", exports.join(", ")));
    } else {
        say(format_args!("plugs     {}", plugs.join(", ")));
    }
    let grants = grants(component);
    say(format_args!(
        "grants    {}",
        if grants.is_empty() { "none needed".into() } else { grants.join(", ") }
    ));
    say("imports");
    for import in component.imports() {
        let need = match import.need {
            Need::Nothing => String::new(),
            Need::Grant(grant) => format!("  (grant {grant})"),
            Need::Unknown => "  (not offered by this host: it cannot run)".into(),
        };
        say(format_args!("  {}{need}", import.name));
    }
}

/// The grants that its imports take, each once.
fn grants(component: &Component) -> Vec<&'static str> {
    let mut grants: Vec<_> = component
        .imports()
        .iter()
        .filter_map(|import| match import.need {
            Need::Grant(grant) => Some(grant),
            Need::Nothing | Need::Unknown => None,
        })
        .collect();
    grants.sort_unstable();
    grants.dedup();
    grants
}
