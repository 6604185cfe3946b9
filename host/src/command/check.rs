//! `jackfield check`: everything that `serve` would refuse, without serving.

use std::sync::Arc;

use serde_json::json;

use super::answer::{Colours, Exit, complain, refuse, say, say_json};
use super::arguments::Check;
use super::compiler::compiler;
use super::serve::end_where_there_is_no_thread;
use crate::config::{Diagnostics, Severity, Site};
use crate::deploy::{Environment, Loader, Origin, http_client};
use crate::host::{certificates, pool};
use crate::observe::Metrics;

pub(super) fn run(check: &Check, environment: &Environment, colours: Colours) -> Exit {
    let site = match Site::load(&check.file) {
        Ok(site) => site,
        Err(diagnostics) => return report(check, diagnostics, colours),
    };
    let compiler = match compiler(pool(&site.host), site.host.intake) {
        Ok(compiler) => compiler,
        Err(reason) => return refuse(reason),
    };
    let origin = Origin::SiteFile(check.file.clone());
    let loader = Loader::new(origin, Arc::new(compiler), environment.clone(), Metrics::new());
    end_where_there_is_no_thread();
    let runtime = match tokio::runtime::Builder::new_current_thread().build() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(format_args!("cannot start the runtime: {error}")),
    };
    let of_tenants = runtime.block_on(loader.check(&site));
    let of_host = http_client(&site, None).err();
    let (_, of_certificates) = certificates(&site);
    let found = site.warnings.iter().chain(&of_tenants);
    let found: Vec<_> =
        found.chain(of_host.iter().flat_map(Diagnostics::iter)).chain(&of_certificates).cloned().collect();
    let is_refused = found.iter().any(|found| found.severity() == Severity::Error);
    let found = Diagnostics::from(found);
    if is_refused {
        return report(check, found, colours);
    }
    if check.json {
        say_json(&json!({ "findings": found.to_json() }));
        return Exit::Done;
    }
    for warning in found.iter() {
        complain(warning.render(colours.are_shown()));
    }
    let plugins: usize = site.tenants.values().map(|tenant| tenant.document.plugins.len()).sum();
    let routes: usize = site.tenants.values().map(|tenant| tenant.document.routes.len()).sum();
    let tenants = site.tenants.len();
    say(format_args!(
        "{} can be served: {}, {}, {}",
        check.file.display(),
        count(tenants, "tenant"),
        count(plugins, "plugin"),
        count(routes, "route")
    ));
    Exit::Done
}

fn report(check: &Check, diagnostics: Diagnostics, colours: Colours) -> Exit {
    if check.json {
        say_json(&json!({ "findings": diagnostics.to_json() }));
    } else {
        complain(diagnostics.render(colours.are_shown()));
    }
    Exit::Refused
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}
