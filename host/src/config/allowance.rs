//! The allowance of one tenant: the grants and origins that its plugins may have, and the ceilings of their limits.
//!
//! Owns the comparison of the grants that a plugin asks for with those that its operator allows; `ceilings` has that
//! of limits.

use std::collections::BTreeSet;

use super::document::GrantsDocument;
use super::findings::Findings;
use super::limits::LimitsDocument;
use super::value::Spanned;
use super::visible::quoted;
use crate::capability::Grants;
use crate::capability::http::Origin;

/// The allowance of one tenant's plugins.
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
