//! `jackfield explain`: the route of a request, and the reason for it.

use serde_json::json;

use super::answer::{Colours, Exit, complain, say, say_json};
use super::arguments::Explain;
use crate::config::Site;
use crate::document::RouteSpec;
use crate::snapshot::{AskedRequest, ExplainedOutcome, HostTable, RequestPath, Routes, Rule};

pub(super) fn run(explain: &Explain, colours: Colours) -> Exit {
    let asked = match AskedRequest::parse(&explain.method, &explain.url, &explain.headers) {
        Ok(asked) => asked,
        Err(usage) => {
            complain(format_args!("error: {usage}"));
            return Exit::WrongUsage;
        }
    };
    let site = match Site::load(&explain.file) {
        Ok(site) => site,
        Err(diagnostics) => {
            complain(diagnostics.render(colours.are_shown()));
            return Exit::Refused;
        }
    };
    let hosts = HostTable::new(site.tenants.iter().flat_map(|(name, tenant)| {
        tenant.hosts.iter().cloned().map(move |host| (host, (name.clone(), tenant)))
    }));
    let Some((pattern, (name, tenant))) = hosts.find(&asked.host) else {
        if explain.json {
            say_json(&json!({ "host": asked.host, "tenant": null, "status": 404, "problem": "no-tenant" }));
        } else {
            say(format_args!("host {}: no tenant has it, so 404 no-tenant", asked.host));
            say(format_args!("hosts of this site: {}", some_hosts(&site)));
        }
        return Exit::Refused;
    };
    let path = match RequestPath::parse(asked.uri.path()) {
        Ok(path) => path,
        Err(error) => {
            if explain.json {
                say_json(
                    &json!({ "host": asked.host, "tenant": name.as_str(), "status": 400, "problem": "bad-request", "detail": error.to_string() }),
                );
            } else {
                say(format_args!("path {}: 400 bad-request, {error}", asked.uri.path()));
            }
            return Exit::Refused;
        }
    };
    let routes = Routes::new(tenant.document.routes.iter().map(rule).collect());
    let told = (Links::shown, Links::filters);
    let explanation = routes.explain(&asked.host, &path, &asked.method, &asked.headers, told);
    if explain.json {
        say_json(&json!({
            "host": asked.host,
            "tenant": name.as_str(),
            "host-pattern": pattern.to_string(),
            "explanation": explanation,
        }));
    } else {
        say(format_args!("host {}: `{pattern}` of tenant {name}", asked.host));
        say(explanation.to_string().trim_end());
    }
    match explanation.outcome {
        ExplainedOutcome::Found { .. } | ExplainedOutcome::Options { .. } => Exit::Done,
        _ => Exit::Refused,
    }
}

/// The first hosts of a site.
fn some_hosts(site: &Site) -> String {
    const SHOWN: usize = 10;
    let all = site.tenants.values().flat_map(|tenant| &tenant.hosts);
    let mut hosts: Vec<_> = all.take(SHOWN.saturating_add(1)).map(ToString::to_string).collect();
    if hosts.len() > SHOWN {
        hosts.truncate(SHOWN);
        hosts.push("…".into());
    }
    if hosts.is_empty() { "none".into() } else { hosts.join(", ") }
}

/// A route's chain, by the names of its links.
struct Links {
    filters: Vec<String>,
    plugin: String,
}

impl Links {
    fn shown(&self) -> String {
        let links = self.filters.iter().chain([&self.plugin]).map(String::as_str);
        links.collect::<Vec<_>>().join(" → ")
    }

    fn filters(&self) -> Vec<String> {
        self.filters.clone()
    }
}

fn rule(route: &RouteSpec) -> Rule<Links> {
    route.rule(Links {
        filters: route.filters.iter().map(ToString::to_string).collect(),
        plugin: route.plugin.to_string(),
    })
}
