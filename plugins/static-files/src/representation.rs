//! The representation of a file that a caller is sent: the file or one of its codings, all of it or a part.

use alloc::string::String;
use alloc::vec::Vec;

use crate::answer::{Answer, Piece};
use crate::cache_rule;
use crate::config::Config;
use crate::date::{self, Timestamp};
use crate::fault::Fault;
use crate::files::{Entry, File};
use crate::media_type;
use crate::mount::Place;
use crate::negotiation::{self, Coding};
use crate::precondition::{self, Outcome};
use crate::range::{self, ByteRange, Selection};
use crate::request::Request;
use crate::validators::Validators;

/// A file that was found, and how it came to be the one that answers.
pub(crate) struct Found<'a> {
    pub(crate) place: Place<'a>,
    /// Its path among those that are served, as `/docs/index.html`.
    pub(crate) path: String,
    pub(crate) file: File,
    /// It stands for a path that has no file: what else is accepted may have decided so.
    pub(crate) is_fallback: bool,
}

/// The chosen representation.
struct Representation<'a> {
    file: File,
    coding: Option<Coding>,
    validators: Validators,
    media_type: &'a str,
    cache_control: Option<&'a str>,
    vary: Option<&'static str>,
}

/// The answer to `request`, a GET or HEAD, for which `found` was found.
pub(crate) fn answer(
    request: &Request,
    config: &Config<'_>,
    found: Found<'_>,
    now: Timestamp,
) -> Result<Answer, Fault> {
    let media_type = media_type::of(&found.path, &config.types);
    let is_negotiable = !config.precompressed.is_empty() && !media_type::is_compressed(media_type);
    // RFC 9110 §12.5.5: whatever had a say, on every answer that it had a say in.
    let vary = match (is_negotiable, found.is_fallback) {
        (true, true) => Some("accept-encoding, accept"),
        (true, false) => Some("accept-encoding"),
        (false, true) => Some("accept"),
        (false, false) => None,
    };
    let cache_control = cache_rule::value_for(&config.cache_rules, &found.path);
    let (file, coding) = if is_negotiable {
        match choose(request, config, found)? {
            Some(chosen) => chosen,
            None => {
                return Ok(
                    Answer::text(406, "Only the file as it is could be sent.\n").with_some("vary", vary)
                );
            }
        }
    } else {
        (found.file, None)
    };
    let validators = Validators::of(&file.metadata, coding.map(Coding::name), now);
    let representation = Representation { file, coding, validators, media_type, cache_control, vary };
    Ok(match precondition::evaluate(request, &representation.validators) {
        Outcome::Proceed => representation.send(request),
        Outcome::NotModified => representation.not_modified(),
        Outcome::Failed => representation.refuse(412, "This is no longer the state that was meant.\n"),
    })
}

/// The file itself, or the best of its codings that is there and not older than it; none if only the file itself is
/// there and the caller refuses that (RFC 9110 §12.5.3).
fn choose(
    request: &Request,
    config: &Config<'_>,
    found: Found<'_>,
) -> Result<Option<(File, Option<Coding>)>, Fault> {
    let acceptable = negotiation::acceptable(&request.fields, &config.precompressed);
    for coding in acceptable.codings {
        match found.place.open_beside(coding.extension()) {
            Ok(Entry::File(file)) if file.metadata.modified >= found.file.metadata.modified => {
                return Ok(Some((file, Some(coding))));
            }
            Ok(_) | Err(Fault::Missing | Fault::Forbidden) => {}
            Err(failed @ Fault::Failed(_)) => return Err(failed),
        }
    }
    Ok(acceptable.identity.then_some((found.file, None)))
}

impl Representation<'_> {
    /// RFC 9110 §13.2.2, step 5, and what a 200 or 206 says.
    fn send(self, request: &Request) -> Answer {
        let size = self.file.metadata.size;
        // A range of another state than the caller has would not fit to what it has.
        let is_range_allowed = precondition::allows_range(request, &self.validators);
        match if is_range_allowed { range::select(request, size) } else { Selection::Whole } {
            Selection::Whole => {
                let answer = self.head(200).with("content-type", self.media_type);
                answer.with_file(self.file, vec![Piece::Bytes { offset: 0, length: size }])
            }
            Selection::Unsatisfiable => {
                // RFC 9110 §15.5.17.
                let answer = self.refuse(416, "These bytes are not there.\n");
                answer.with("content-range", format!("bytes */{size}"))
            }
            Selection::Ranges(ranges) => match ranges.as_slice() {
                // RFC 9110 §15.3.7.1. The type is said also where `If-Range` makes it redundant: players rely on it.
                [range] => {
                    let answer = self.head(206).with("content-type", self.media_type);
                    let answer = answer.with("content-range", range.content_range(size));
                    answer.with_file(self.file, vec![Piece::of(*range)])
                }
                ranges => self.multipart(ranges),
            },
        }
    }

    /// RFC 9110 §15.3.7.2 and §14.6. The boundary is the file's own tag: what is in the file cannot hold it, for the tag
    /// changes with that.
    fn multipart(self, ranges: &[ByteRange]) -> Answer {
        let size = self.file.metadata.size;
        let boundary = self.validators.etag.trim_matches('"');
        let mut pieces = Vec::new();
        for range in ranges {
            let place = range.content_range(size);
            let media_type = self.media_type;
            let start = if pieces.is_empty() { "" } else { "\r\n" };
            pieces.push(Piece::Text(format!(
                "{start}--{boundary}\r\ncontent-type: {media_type}\r\ncontent-range: {place}\r\n\r\n"
            )));
            pieces.push(Piece::of(*range));
        }
        pieces.push(Piece::Text(format!("\r\n--{boundary}--\r\n")));
        let content_type = format!("multipart/byteranges; boundary={boundary}");
        self.head(206).with("content-type", content_type).with_file(self.file, pieces)
    }

    /// What a 200 and a 206 say alike (RFC 9110 §15.3.7), but for type, length and place.
    fn head(&self, status: u16) -> Answer {
        self.cacheable(status)
            .with("accept-ranges", "bytes")
            .with("x-content-type-options", "nosniff")
            .with_some("content-encoding", self.coding.map(Coding::name))
            .with_some("last-modified", self.validators.modified.map(date::format))
    }

    /// RFC 9110 §15.4.5: what steers a cache, and no more.
    fn not_modified(&self) -> Answer {
        self.cacheable(304)
    }

    fn cacheable(&self, status: u16) -> Answer {
        Answer::empty(status)
            .with("etag", self.validators.etag.as_str())
            .with_some("cache-control", self.cache_control)
            .with_some("vary", self.vary)
    }

    fn refuse(&self, status: u16, text: &'static str) -> Answer {
        Answer::text(status, text).with_some("vary", self.vary)
    }
}
