//! What speaks against a tenant's document: faults at their places in it, and the answer to whoever wanted it published.
//!
//! A fault knows no file; [`diagnostics`] puts it where the site file says what it is about.

use std::sync::Arc;

use crate::config::{Diagnostic, Findings, Source, Spans};
use crate::document::Place;
use crate::sandbox::Digest;
use crate::tenant::TenantName;

/// The help where the host itself was at fault.
pub(super) const AGAIN: &str = "it is loaded again with the next change of its files";

/// A fault of a document, or of what it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where it is.
    pub place: Place,
    /// What is wrong.
    pub headline: String,
    /// What stands at the place; may be empty.
    pub label: String,
    /// What would be right, if that is known.
    pub help: Option<String>,
}

impl Fault {
    /// A fault at a place of which nothing more is known.
    pub(super) fn new(place: Place, headline: impl Into<String>) -> Self {
        Self { place, headline: headline.into(), label: String::new(), help: None }
    }

    /// With what stands at the place.
    pub(super) fn label(self, label: impl Into<String>) -> Self {
        Self { label: label.into(), ..self }
    }

    /// With what would be right.
    pub(super) fn help(self, help: impl Into<Option<String>>) -> Self {
        Self { help: help.into(), ..self }
    }

    /// The fault of a tenant that the host itself failed to load.
    pub(super) fn of_the_host(said: &str) -> Self {
        let headline = format!("a tenant cannot be loaded, by a fault of the host itself: {said}");
        Self::new(Place::Document, headline).help(AGAIN.to_owned())
    }
}

/// Why a document was not published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It cannot run.
    #[error("the document of the tenant cannot run: it has {} faults", faults.len())]
    Faulty {
        /// The revision that stays live.
        live: Option<Digest>,
        /// All that is wrong.
        faults: Vec<Fault>,
    },
    /// Another document of the tenant came, or the tenant was removed, before this one was loaded.
    #[error("another document of the tenant took its place, or the tenant was removed")]
    Superseded,
    /// The host has no such tenant.
    #[error("there is no tenant `{0}`")]
    NoTenant(TenantName),
}

/// The faults of a tenant's document at their places in the site file that it was read from; of very many, the first.
pub fn diagnostics(
    faults: Vec<Fault>,
    tenant: &TenantName,
    source: &Arc<Source>,
    spans: &Spans,
) -> Vec<Diagnostic> {
    let mut findings = Findings::new(source.clone());
    for Fault { place, headline, label, help } in faults {
        findings.push(source.diagnostic(&spans.of(tenant, &place), headline, label, help));
    }
    findings.into_list()
}
