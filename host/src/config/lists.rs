//! Lists in a site file: every item is there once, and their number is bounded.

use std::collections::HashMap;
use std::fmt::Display;
use std::hash::Hash;

use super::findings::Findings;
use super::value::{Spanned, Value, array};
use super::visible::quoted;

/// The most networks in one list: those that granted origins may be in, or those of proxies.
const MAX_NETWORKS: usize = 1000;

/// A bounded list of networks.
pub(super) fn networks<T>(
    item: impl Fn(&Value<'_>, &mut Findings) -> Option<Spanned<T>>,
) -> impl Fn(&Value<'_>, &mut Findings) -> Option<Vec<Spanned<T>>> {
    let read = array("an array of networks", item);
    move |value, findings| {
        let networks = read(value, findings)?;
        if networks.value.len() > MAX_NETWORKS {
            let headline = format!("{} has more than {MAX_NETWORKS} networks", value.what());
            findings.error(&networks.span, headline, "", "a shorter prefix holds more addresses".to_owned());
            return None;
        }
        Some(networks.value)
    }
}

/// Reports each item that is there again, with its first place.
pub(super) fn each_is_there_once<T: Hash + Eq + Display>(
    what: &str,
    all: &[Spanned<T>],
    findings: &mut Findings,
) {
    let mut seen = HashMap::new();
    for one in all {
        if let Some(before) = seen.insert(&one.value, &one.span) {
            let headline = format!("the {what} {} is there twice", quoted(&one.value.to_string()));
            let found =
                findings.source().diagnostic(&one.span, headline, "again", Some("take one away".into()));
            findings.push(found.with_secondary(before, "here already"));
        }
    }
}
