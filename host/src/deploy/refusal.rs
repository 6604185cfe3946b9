//! The faults of a tenant's document at their places in the document, and the refusal of the document.
//!
//! A fault knows no file; [`diagnostics`] finds its place in the site file.

use std::sync::Arc;

use crate::config::{Diagnostic, Findings, Source, Spans};
use crate::document::Place;
use crate::sandbox::Digest;
use crate::tenant::TenantName;

/// The help where the host itself was at fault.
pub(super) const AGAIN: &str = "it is loaded again with the next change of its files";

/// A fault of a document, or of a component or secret that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The kind of the fault: a word that programs may know it by, and that stays.
    pub id: &'static str,
    /// The place of the fault.
    pub place: Place,
    /// The fault in one line.
    pub headline: String,
    /// The text at the place; may be empty.
    pub label: Box<str>,
    /// The remedy, if one is known.
    pub help: Option<String>,
}

impl Fault {
    /// A fault at a place, without a label or a remedy. Its kind is that of the place.
    pub(super) fn new(place: Place, headline: impl Into<String>) -> Self {
        let id = match place {
            Place::Document => "document",
            Place::Plugin(_) => "plugin",
            Place::Component(_) => "component",
            Place::Mount(..) => "mount",
            Place::Filter { .. } | Place::Route(_) | Place::RoutePlugin(_) => "route",
            Place::Secret(_) => "secret",
        };
        Self { id, place, headline: headline.into(), label: Box::default(), help: None }
    }

    /// Sets the kind.
    pub(super) fn id(self, id: &'static str) -> Self {
        Self { id, ..self }
    }

    /// Sets the text at the place.
    pub(super) fn label(self, label: impl Into<String>) -> Self {
        Self { label: label.into().into(), ..self }
    }

    /// Sets the remedy.
    pub(super) fn help(self, help: impl Into<Option<String>>) -> Self {
        Self { help: help.into(), ..self }
    }

    /// The fault of a tenant that the host itself failed to load.
    pub(super) fn of_the_host(said: &str) -> Self {
        let headline = format!("a tenant cannot be loaded, by a fault of the host itself: {said}");
        Self::new(Place::Document, headline).help(AGAIN.to_owned())
    }
}

/// The reason why a document was not published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The document is faulty.
    #[error("the document of the tenant cannot run: it has {} faults", faults.len())]
    Faulty {
        /// The revision that stays live.
        live: Option<Digest>,
        /// All faults of the document.
        faults: Vec<Fault>,
    },
    /// Another document of the tenant came, or the tenant was removed, before this document was loaded.
    #[error("another document of the tenant took its place, or the tenant was removed")]
    Superseded,
    /// The tenant does not exist on this host.
    #[error("there is no tenant `{0}`")]
    NoTenant(TenantName),
}

/// The faults of a tenant's document at their places in its site file; if there are very many, only the first.
pub fn diagnostics(
    faults: Vec<Fault>,
    tenant: &TenantName,
    source: &Arc<Source>,
    spans: &Spans,
) -> Vec<Diagnostic> {
    let mut findings = Findings::new(source.clone());
    for Fault { id: _, place, headline, label, help } in faults {
        findings.push(source.diagnostic(&spans.of(tenant, &place), headline, String::from(label), help));
    }
    findings.into_list()
}
