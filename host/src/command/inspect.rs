//! `jackfield inspect`: the kind of a component, and the grants that it takes to run.

use serde_json::json;

use super::answer::{Exit, refuse, say, say_json};
use super::arguments::Inspect;
use super::compiler::compiler;
use crate::deploy::read_component;
use crate::limits::IntakeLimits;
use crate::observe::{FEW, Plug, few};
use crate::sandbox::{Component, Interface, Need, PoolSettings};

/// The pool for a component that is not run: one slot is enough.
const POOL: PoolSettings = PoolSettings { slots: 1, idle: 0, memory_bytes: 1 << 30 };

/// The most imports that are listed. The component of the largest honest toolchain has 49; the JSON form lists all.
const MOST_LISTED: usize = 100;

pub(super) fn run(inspect: &Inspect) -> Exit {
    let file = inspect.file.display();
    let limits = IntakeLimits::default();
    let bytes = match read_component(&inspect.file, limits.artifact_bytes) {
        Ok(bytes) => bytes,
        Err(error) => return refuse(format_args!("cannot read {file}: {error}")),
    };
    let component = compiler(POOL, limits).and_then(|compiler| {
        let path = inspect.file.clone();
        let again = move || read_component(&path, limits.artifact_bytes);
        let loaded = compiler.load(&bytes, again).map(|(component, _)| component);
        loaded.map_err(|error| format!("{file} is not a component that can run here: {error}"))
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
        .map(|import| match import.need() {
            Need::Nothing => json!({ "name": import.name, "offered": true }),
            Need::Grant(grant) => json!({ "name": import.name, "offered": true, "grant": grant.as_str() }),
            Need::Unknown => json!({ "name": import.name, "offered": false }),
        })
        .collect();
    json!({
        "digest": component.digest().to_string(),
        "bytes": component.len_bytes(),
        "plugs": plugs(component).iter().map(|plug| plug.as_str()).collect::<Vec<_>>(),
        "interfaces": component.interfaces().iter().map(|interface| interface.name()).collect::<Vec<_>>(),
        "imports": imports,
        "grants": grants(component),
        "calls-out": component.calls_out(),
        "missing": missing(component),
    })
}

fn describe(component: &Component) {
    say(format_args!("artifact  {} ({} bytes)", component.digest(), component.len_bytes()));
    let interfaces = component.interfaces();
    for (place, interface) in interfaces.iter().enumerate() {
        let title = if place == 0 { "plugs     " } else { "          " };
        say(format_args!("{title}{} ({})", interface.plug().as_str(), interface.name()));
    }
    let grants = grants(component);
    let needed = if grants.is_empty() { "none needed".into() } else { grants.join(", ") };
    say(format_args!("grants    {needed}"));
    if component.calls_out() {
        say("          http, if it is to reach other servers: a list of origins; all others are denied");
    }
    say("imports");
    for import in component.imports().iter().take(MOST_LISTED) {
        let need = match import.need() {
            Need::Nothing => String::new(),
            Need::Grant(grant) => format!("  (grant {grant})"),
            Need::Unknown => "  (not offered by this host)".into(),
        };
        say(format_args!("  {}{need}", import.name));
    }
    let more = component.imports().len().saturating_sub(MOST_LISTED);
    if more > 0 {
        say(format_args!("  and {more} more"));
    }
    for reason in missing(component) {
        say(format_args!("missing   {reason}"));
    }
}

/// The plugs that the component can be in a route.
fn plugs(component: &Component) -> Vec<Plug> {
    Plug::ALL.into_iter().filter(|plug| component.is(*plug)).collect()
}

/// The reasons why the component cannot run here, whatever it is granted; of many imports, the first few.
fn missing(component: &Component) -> Vec<String> {
    let mut missing = Vec::new();
    if component.interfaces().is_empty() {
        let exports: Vec<_> = Interface::ALL.into_iter().map(Interface::name).collect();
        let has = match component.exports() {
            [] => "it exports nothing".to_owned(),
            exports => format!("it exports {}", few(exports, FEW)),
        };
        let hint = component.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
        missing.push(format!("an export that a route can use: one of {}; {has}{hint}", exports.join(", ")));
    }
    let unknown = component.unknown_imports();
    missing.extend(unknown.iter().take(FEW).map(|refused| {
        let hint = refused.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
        format!("an offer of `{}`: this host has none{hint}", refused.import())
    }));
    let more = unknown.len().saturating_sub(FEW);
    if more > 0 {
        missing.push(format!("offers of {more} more of its imports"));
    }
    missing
}

/// The grants that the component's imports take, each once.
fn grants(component: &Component) -> Vec<&'static str> {
    let mut grants: Vec<_> = component
        .imports()
        .iter()
        .filter_map(|import| match import.need() {
            Need::Grant(grant) => Some(grant.as_str()),
            Need::Nothing | Need::Unknown => None,
        })
        .collect();
    grants.sort_unstable();
    grants.dedup();
    grants
}
