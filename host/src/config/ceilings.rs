//! The comparison of a plugin's limits with the ceilings of its host and its tenant.

use super::allowance::Allowance;
use super::findings::Findings;
use super::limits::LimitsDocument;
use super::units::written;
use super::value::Spanned;
use super::visible::quoted;
use crate::limits::{Limit, Limits};

/// The limits of a plugin: as written, or by default, below all ceilings.
pub(super) fn limits(given: &LimitsDocument, bounds: &Allowance<'_>, findings: &mut Findings) -> Limits {
    let mut limits = Limits::default();
    for limit in Limit::ALL.iter().copied() {
        let default = limits.get(limit);
        limits.set(limit, one(limit, default, given, bounds, findings));
    }
    limits.streamed_response_body = streamed_response_body(given, bounds);
    limits
}

/// One limit: the written value if it is below the ceilings; else the default, lowered to the ceilings.
fn one(
    limit: Limit,
    default: u64,
    given: &LimitsDocument,
    bounds: &Allowance<'_>,
    findings: &mut Findings,
) -> u64 {
    let Some((ceiling, whose)) = lowest_ceiling(limit, bounds) else {
        return given.0.get(&limit).map_or(default, |given| given.value);
    };
    let Some(given) = given.0.get(&limit) else {
        return default.min(ceiling.value);
    };
    if given.value > ceiling.value {
        let [is, most] = [given.value, ceiling.value].map(|parts| written(limit.row().unit, parts));
        let headline = format!("`{limit}` of {is} is above the ceiling of {whose}, {most}");
        let unless = if ceiling.span.is_empty() {
            format!(" with `{limit}` in `[host.limits]`, which is {most} if left out")
        } else {
            String::new()
        };
        let help = format!("write at most {most}, or let the operator raise the ceiling{unless}");
        let mut found = findings.source().diagnostic(&given.span, headline, "above the ceiling", Some(help));
        if !ceiling.span.is_empty() {
            found = found.with_secondary(&ceiling.span, format!("the ceiling of {whose}"));
        }
        findings.push(found);
    }
    given.value.min(ceiling.value)
}

/// The lower of the ceilings of tenant and host, and the words for its owner.
fn lowest_ceiling<'a>(limit: Limit, bounds: &Allowance<'a>) -> Option<(&'a Spanned<u64>, String)> {
    let of_host = bounds.host_ceilings.0.get(&limit).map(|ceiling| (ceiling, "the host".to_owned()));
    let of_tenant = bounds.tenant_ceilings.and_then(|ceilings| ceilings.0.get(&limit));
    let of_tenant = of_tenant.map(|ceiling| (ceiling, format!("the tenant {}", quoted(bounds.tenant))));
    of_tenant.into_iter().chain(of_host).min_by_key(|(ceiling, _)| ceiling.value)
}

/// The limit `response-body` of a streamed answer. It has no default: a stream is bounded only by the plugin's own
/// limit or a ceiling.
fn streamed_response_body(given: &LimitsDocument, bounds: &Allowance<'_>) -> Option<u64> {
    let ceiling = lowest_ceiling(Limit::ResponseBody, bounds).map(|(ceiling, _)| ceiling);
    let given = given.0.get(&Limit::ResponseBody);
    given.into_iter().chain(ceiling).map(|bytes| bytes.value).min()
}

/// Warns of a tenant's ceiling above the host's own: it has no effect, and is hardly intended.
pub(super) fn are_below_the_hosts(limits: &LimitsDocument, host: &LimitsDocument, findings: &mut Findings) {
    for (limit, mine) in &limits.0 {
        let Some(host) = host.0.get(limit).filter(|host| mine.value > host.value) else { continue };
        let [is, holds] = [mine.value, host.value].map(|parts| written(limit.row().unit, parts));
        let headline = format!("the ceiling `{limit}` of {is} is above the host's own");
        let help = format!("{holds} holds: write at most that, or raise it in `[host.limits]`");
        let mut found = findings.source().diagnostic(&mine.span, headline, "has no effect", Some(help));
        if !host.span.is_empty() {
            found = found.with_secondary(&host.span, "the host's own");
        }
        findings.push(found.into_warning());
    }
}
