//! Which file answers a request, and what is said where there is none.

use alloc::borrow::ToOwned;
use alloc::string::String;

use crate::answer::{Answer, Piece};
use crate::config::Config;
use crate::date::Timestamp;
use crate::fault::Fault;
use crate::files::Entry;
use crate::media_type;
use crate::mount::Mounts;
use crate::negotiation;
use crate::path::Target;
use crate::representation::{self, Found};
use crate::request::{Method, Request};

/// RFC 9110 §10.2.1.
const ALLOW: &str = "GET, HEAD, OPTIONS";

/// Served files, and how.
pub(crate) struct Server<'a> {
    pub(crate) config: &'a Config<'a>,
    pub(crate) mounts: &'a Mounts,
    pub(crate) now: Timestamp,
}

/// What a path leads to.
enum Lookup<'a> {
    File(Found<'a>),
    Folder,
    Nothing,
}

impl Server<'_> {
    /// The answer to `request`; a fault is the operator's, and the caller's as a 500.
    pub(crate) fn answer(&self, request: &Request) -> Result<Answer, Fault> {
        let answer = match request.method {
            Method::Get => self.read(request)?,
            // RFC 9110 §9.3.2: the fields of GET, and no body.
            Method::Head => self.read(request)?.without_body(),
            // RFC 9110 §9.3.7.
            Method::Options => Answer::empty(204).with("allow", ALLOW),
            // RFC 9110 §15.5.6.
            Method::Other => Answer::text(405, "Files can only be read here.\n").with("allow", ALLOW),
        };
        Ok(answer)
    }

    fn read(&self, request: &Request) -> Result<Answer, Fault> {
        let Some(requested) = Target::parse(&request.path) else { return self.not_found() };
        let Some(target) = requested.below(&self.config.prefix) else { return self.not_found() };
        match self.look_up(&target) {
            Ok(Lookup::File(found)) => representation::answer(request, self.config, found, self.now),
            Ok(Lookup::Folder) => Ok(redirect(&requested, request.query.as_deref())),
            Ok(Lookup::Nothing) | Err(Fault::Missing) => self.fall_back(request, &target),
            Err(Fault::Forbidden) => Ok(Answer::text(403, "This may not be read.\n")),
            Err(failed @ Fault::Failed(_)) => Err(failed),
        }
    }

    fn look_up(&self, target: &Target) -> Result<Lookup<'_>, Fault> {
        if !target.has_final_slash {
            return self.open(&target.segments);
        }
        for name in &self.config.index {
            let mut path = target.segments.clone();
            path.push((*name).to_owned());
            match self.open(&path) {
                Ok(Lookup::Folder | Lookup::Nothing) | Err(Fault::Missing) => {}
                opened => return opened,
            }
        }
        Ok(Lookup::Nothing)
    }

    fn open(&self, path: &[String]) -> Result<Lookup<'_>, Fault> {
        let Some(place) = self.mounts.place(path) else { return Ok(Lookup::Nothing) };
        Ok(match place.open()? {
            Entry::Folder => Lookup::Folder,
            Entry::File(file) => {
                let path = format!("/{}", path.join("/"));
                Lookup::File(Found { place, path, file, is_fallback: false })
            }
        })
    }

    /// The application's page, if this may be one of its paths; else that there is nothing.
    fn fall_back(&self, request: &Request, target: &Target) -> Result<Answer, Fault> {
        let Some(fallback) = self.config.fallback.as_ref().filter(|_| !target.has_extension()) else {
            return self.not_found();
        };
        if negotiation::accepts_html(request)
            && let Lookup::File(found) = self.open_page(fallback)?
        {
            let found = Found { is_fallback: true, ..found };
            return representation::answer(request, self.config, found, self.now);
        }
        Ok(self.not_found()?.with("vary", "accept"))
    }

    /// RFC 9110 §15.5.5. The page is no representation of what was asked for: it has no validators.
    fn not_found(&self) -> Result<Answer, Fault> {
        let page = self.config.not_found.as_ref().map_or(Ok(Lookup::Nothing), |page| self.open_page(page))?;
        let Lookup::File(Found { path, file, .. }) = page else {
            return Ok(Answer::text(404, "There is nothing here.\n"));
        };
        let length = file.metadata.size;
        let answer = Answer::empty(404)
            .with("content-type", media_type::of(&path, &self.config.types))
            .with("x-content-type-options", "nosniff");
        Ok(answer.with_file(file, vec![Piece::Bytes { offset: 0, length }]))
    }

    /// Opens a page that the configuration names. It need not be there.
    fn open_page(&self, path: &[String]) -> Result<Lookup<'_>, Fault> {
        match self.open(path) {
            Err(Fault::Missing | Fault::Forbidden) => Ok(Lookup::Nothing),
            opened => opened,
        }
    }
}

/// RFC 9110 §15.4.9: links in a folder's page are relative to the path with the slash.
fn redirect(requested: &Target, query: Option<&str>) -> Answer {
    let mut location = requested.with_final_slash();
    if let Some(query) = query {
        location.push('?');
        location += query;
    }
    Answer::text(308, "This is a folder: its path ends with a slash.\n").with("location", location)
}
