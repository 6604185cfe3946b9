//! The tenant file: the plugins and routes of one tenant, as they are published over the admin API.
//!
//! Its keys are those of a tenant in a site file, without those that are the operator's. Ceilings, allowed grants and
//! secrets are not known here: the host compares the document with them. Components are files beside the tenant file,
//! or artifacts that the host has.

use std::path::Path;
use std::sync::Arc;

use super::diagnostic::{Diagnostic, Diagnostics};
use super::findings::Findings;
use super::load::read_source;
use super::source::{FileKind, Source};
use super::spans::TenantSpans;
use super::{read, resolve};
use crate::document::{Place, TenantDocument};

/// The content of a tenant file.
#[derive(Debug)]
pub struct TenantFile {
    source: Arc<Source>,
    spans: TenantSpans,
    /// The tenant document, in which components are files or artifacts.
    pub document: TenantDocument,
    /// Findings that can be published, but are probably not intended.
    pub warnings: Vec<Diagnostic>,
}

impl TenantFile {
    /// Reads the tenant file at `path`: its document, or all of its faults.
    pub fn load(path: &Path) -> Result<Self, Diagnostics> {
        Self::from_source(read_source(FileKind::Tenant, path)?)
    }

    /// Reads `text` as a tenant file at `path`, which need not exist.
    pub fn parse(path: &Path, text: String) -> Result<Self, Diagnostics> {
        Self::from_source(Source::of_kind(FileKind::Tenant, path, text))
    }

    /// A fault that was found after reading, at its place in the file.
    pub fn fault(&self, place: &Place, headline: String, help: Option<String>) -> Diagnostic {
        let span = self.spans.of(place).cloned().unwrap_or_default();
        self.source.diagnostic(&span, headline, "", help)
    }

    fn from_source(source: Arc<Source>) -> Result<Self, Diagnostics> {
        let mut findings = Findings::new(source.clone());
        let document = read::tenant_file(&mut findings);
        // With half a file, references cannot be checked.
        let resolved = (!findings.is_broken()).then(|| resolve::tenant_file(&document, &mut findings));
        match resolved {
            Some((document, spans)) if findings.errors() == 0 => {
                let warnings = Diagnostics::from(findings.into_list()).into_iter().collect();
                Ok(Self { source, spans, document, warnings })
            }
            _ => Err(findings.into_list().into()),
        }
    }
}
