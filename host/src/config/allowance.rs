//! What one tenant's plugins are held to: allowed grants, and the ceilings of host and tenant.
//!
//! Owns the comparison of what a plugin asks for with what its operator allows, and the defaults of what it leaves out.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::time::Duration;

use super::document::{GrantsDocument, LimitsDocument};
use super::findings::Findings;
use super::units::{ByteSize, TimeSpan};
use super::value::Spanned;
use super::visible::quoted;
use crate::capability::Grants;
use crate::capability::http::Origin;
use crate::tenant::Limits;

/// What one tenant's plugins are held to.
pub(super) struct Allowance<'a> {
    pub(super) tenant: &'a str,
    pub(super) host_ceilings: &'a LimitsDocument,
    pub(super) tenant_ceilings: Option<&'a LimitsDocument>,
    pub(super) allowed: Option<&'a Spanned<GrantsDocument>>,
    /// The origins among `allowed`.
    pub(super) origins: BTreeSet<&'a Origin>,
}

/// The grants of a plugin, as far as its tenant may give them.
pub(super) fn grants(
    given: Option<&GrantsDocument>,
    bounds: &Allowance<'_>,
    findings: &mut Findings,
) -> Grants {
    let mut grant = |name: &str, pick: fn(&GrantsDocument) -> Option<&Spanned<bool>>| {
        let Some(Spanned { value: true, span }) = given.and_then(pick) else {
            return false;
        };
        if let Some(allowed) = bounds.allowed
            && !pick(&allowed.value).is_some_and(|allowed| allowed.value)
        {
            let headline = format!("the tenant {} may not grant `{name}`", quoted(bounds.tenant));
            let help =
                format!("take it away, or let the operator add `{name} = true` to the grants in the quota");
            let found = findings.source().diagnostic(span, headline, "granted here", Some(help));
            let place = pick(&allowed.value).map_or(&allowed.span, |refused| &refused.span);
            findings.push(found.with_secondary(place, "not allowed here"));
        }
        true
    };
    Grants {
        keyvalue: grant("keyvalue", |grants| grants.keyvalue.as_ref()),
        keyvalue_shared: grant("keyvalue-shared", |grants| grants.keyvalue_shared.as_ref()),
        limiter: grant("limiter", |grants| grants.limiter.as_ref()),
    }
}

/// The origins that a plugin is granted, as far as its tenant may grant them: those that are named, and no other.
pub(super) fn origins(
    given: Option<&GrantsDocument>,
    bounds: &Allowance<'_>,
    findings: &mut Findings,
) -> BTreeSet<Origin> {
    let given = given.and_then(|grants| grants.http.as_ref()).map_or(&[][..], |origins| &origins.value);
    let listed = bounds.allowed.and_then(|allowed| allowed.value.http.as_ref());
    for Spanned { value: origin, span } in given {
        if bounds.origins.contains(origin) {
            continue;
        }
        let headline = format!(
            "the tenant {} may not grant the origin {}",
            quoted(bounds.tenant),
            quoted(&origin.to_string())
        );
        let help = help_for_origin(origin, bounds);
        let mut found = findings.source().diagnostic(span, headline, "granted here", Some(help));
        if let Some(place) =
            listed.map(|origins| &origins.span).or(bounds.allowed.map(|allowed| &allowed.span))
        {
            found = found.with_secondary(place, "not allowed here");
        }
        findings.push(found);
    }
    given.iter().map(|origin| origin.value.clone()).collect()
}

fn help_for_origin(origin: &Origin, bounds: &Allowance<'_>) -> String {
    let quota = format!("`[tenants.{}.quota]`", bounds.tenant);
    if bounds.allowed.is_none() {
        // A table of grants forbids what it does not name: one with `http` alone would take away the rest.
        return format!(
            "origins are the operator's to allow: add `grants = {{ keyvalue = true, keyvalue-shared = true, limiter = \
             true, http = [\"{origin}\"] }}` to {quota}, which allows all but origins if it has no `grants`"
        );
    }
    if bounds.origins.is_empty() {
        format!("take it away, or let the operator add `http = [\"{origin}\"]` to the grants in {quota}")
    } else {
        format!("write one of those that it may grant, or let the operator add it to the grants in {quota}")
    }
}

/// The limits of a plugin: as given, or by default, below all ceilings.
pub(super) fn limits(given: &LimitsDocument, bounds: &Allowance<'_>, findings: &mut Findings) -> Limits {
    let default = Limits::default();
    let time = |time: Duration| TimeSpan(time);
    let found = &mut *findings;
    Limits {
        cpu: limit("cpu", |l| l.cpu.as_ref(), time(default.cpu), given, bounds, found).0,
        wall: limit("wall", |l| l.wall.as_ref(), time(default.wall), given, bounds, found).0,
        stream: limit("stream", |l| l.stream.as_ref(), time(default.stream), given, bounds, found).0,
        memory: limit("memory", |l| l.memory.as_ref(), ByteSize(default.memory), given, bounds, found).0,
        request_body: limit(
            "request-body",
            |l| l.request_body.as_ref(),
            ByteSize(default.request_body),
            given,
            bounds,
            found,
        )
        .0,
        response_body: limit(
            "response-body",
            |l| l.response_body.as_ref(),
            ByteSize(default.response_body),
            given,
            bounds,
            found,
        )
        .0,
        streamed_response_body: streamed_response_body(given, bounds),
        outbound: limit("outbound", |l| l.outbound.as_ref(), default.outbound, given, bounds, found),
        outbound_bytes: limit(
            "outbound-bytes",
            |l| l.outbound_bytes.as_ref(),
            ByteSize(default.outbound_bytes),
            given,
            bounds,
            found,
        )
        .0,
        handles: limit("handles", |l| l.handles.as_ref(), default.handles, given, bounds, found),
        tables: limit("tables", |l| l.tables.as_ref(), default.tables, given, bounds, found),
        fields: limit("fields", |l| l.fields.as_ref(), ByteSize(default.fields), given, bounds, found).0,
        random: limit("random", |l| l.random.as_ref(), ByteSize(default.random), given, bounds, found).0,
        concurrency: limit(
            "concurrency",
            |l| l.concurrency.as_ref(),
            default.concurrency,
            given,
            bounds,
            found,
        ),
        queue: limit("queue", |l| l.queue.as_ref(), default.queue, given, bounds, found),
        queue_wait: limit(
            "queue-wait",
            |l| l.queue_wait.as_ref(),
            time(default.queue_wait),
            given,
            bounds,
            found,
        )
        .0,
        log_lines: limit("log-lines", |l| l.log_lines.as_ref(), default.log_lines, given, bounds, found),
        log_bytes: limit(
            "log-bytes",
            |l| l.log_bytes.as_ref(),
            ByteSize(default.log_bytes),
            given,
            bounds,
            found,
        )
        .0,
    }
}

/// One limit: as given, if it is below the ceilings; else its default, lowered to them.
fn limit<T: Copy + Ord + Display>(
    name: &str,
    pick: fn(&LimitsDocument) -> Option<&Spanned<T>>,
    default: T,
    given: &LimitsDocument,
    bounds: &Allowance<'_>,
    findings: &mut Findings,
) -> T {
    let Some((ceiling, whose)) = lowest_ceiling(pick, bounds) else {
        return pick(given).map_or(default, |given| given.value);
    };
    let Some(given) = pick(given) else {
        return default.min(ceiling.value);
    };
    if given.value > ceiling.value {
        let headline =
            format!("`{name}` of {} is above the ceiling of {whose}, {}", given.value, ceiling.value);
        let unless = if ceiling.span.is_empty() {
            format!(" with `{name}` in `[host.limits]`, which is {} if left out", ceiling.value)
        } else {
            String::new()
        };
        let help = format!("write at most {}, or let the operator raise the ceiling{unless}", ceiling.value);
        let mut found = findings.source().diagnostic(&given.span, headline, "above the ceiling", Some(help));
        if !ceiling.span.is_empty() {
            found = found.with_secondary(&ceiling.span, format!("the ceiling of {whose}"));
        }
        findings.push(found);
    }
    given.value.min(ceiling.value)
}

/// The lower of the ceilings of tenant and host, and whose it is.
fn lowest_ceiling<'a, T: Copy + Ord>(
    pick: fn(&LimitsDocument) -> Option<&Spanned<T>>,
    bounds: &Allowance<'a>,
) -> Option<(&'a Spanned<T>, String)> {
    let of_host = pick(bounds.host_ceilings).map(|ceiling| (ceiling, "the host".to_owned()));
    let of_tenant = bounds.tenant_ceilings.and_then(pick);
    let of_tenant = of_tenant.map(|ceiling| (ceiling, format!("the tenant {}", quoted(bounds.tenant))));
    of_tenant.into_iter().chain(of_host).min_by_key(|(ceiling, _)| ceiling.value)
}

/// `response-body` of a streamed answer has no default: a stream is bounded where somebody said so.
fn streamed_response_body(given: &LimitsDocument, bounds: &Allowance<'_>) -> Option<u64> {
    let pick: fn(&LimitsDocument) -> Option<&Spanned<ByteSize>> = |limits| limits.response_body.as_ref();
    let ceiling = lowest_ceiling(pick, bounds).map(|(ceiling, _)| ceiling.value);
    let given = pick(given).map(|given| given.value);
    given.into_iter().chain(ceiling).min().map(|bytes| bytes.0)
}

/// A tenant's ceiling above the host's own says nothing, and hardly what was meant.
pub(super) fn ceilings_are_below_the_hosts(
    limits: &LimitsDocument,
    host: &LimitsDocument,
    findings: &mut Findings,
) {
    fn check<T: Copy + Ord + Display>(
        name: &str,
        mine: &Option<Spanned<T>>,
        host: &Option<Spanned<T>>,
        findings: &mut Findings,
    ) {
        if let (Some(mine), Some(host)) = (mine, host)
            && mine.value > host.value
        {
            let headline = format!("the ceiling `{name}` of {} is above the host's own", mine.value);
            let help = format!("{} holds: write at most that, or raise it in `[host.limits]`", host.value);
            let mut found = findings.source().diagnostic(&mine.span, headline, "has no effect", Some(help));
            if !host.span.is_empty() {
                found = found.with_secondary(&host.span, "the host's own");
            }
            findings.push(found.into_warning());
        }
    }
    check("cpu", &limits.cpu, &host.cpu, findings);
    check("wall", &limits.wall, &host.wall, findings);
    check("stream", &limits.stream, &host.stream, findings);
    check("memory", &limits.memory, &host.memory, findings);
    check("request-body", &limits.request_body, &host.request_body, findings);
    check("response-body", &limits.response_body, &host.response_body, findings);
    check("outbound", &limits.outbound, &host.outbound, findings);
    check("outbound-bytes", &limits.outbound_bytes, &host.outbound_bytes, findings);
    check("handles", &limits.handles, &host.handles, findings);
    check("tables", &limits.tables, &host.tables, findings);
    check("fields", &limits.fields, &host.fields, findings);
    check("random", &limits.random, &host.random, findings);
    check("concurrency", &limits.concurrency, &host.concurrency, findings);
    check("queue", &limits.queue, &host.queue, findings);
    check("queue-wait", &limits.queue_wait, &host.queue_wait, findings);
    check("log-lines", &limits.log_lines, &host.log_lines, findings);
    check("log-bytes", &limits.log_bytes, &host.log_bytes, findings);
}
