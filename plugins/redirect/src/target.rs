//! Targets: where a rule sends to, and the one place where a URL is put together.
//!
//! A caller chooses what the captures are. They must not choose where the redirect goes:
//!
//! - Scheme and host are the rule's own text. A capture can stand only behind the first `/` of the path.
//! - Of a capture, all but letters, digits and `-._~` is percent-encoded, so that it can hold no `:`,
//!   `@`, `\`, `?`, `#`, space, CR or LF; a `/` only where a `{*name}` spans segments.
//! - What then still reads as another host (`//evil.example` where only a path was meant) or climbs by
//!   a dot segment is not sent at all.

use crate::pattern::{Captures, is_name, percent_decode};

/// A location with places for captures.
pub(crate) struct Target {
    /// `https://example.com`, or nothing when the target is a path on the same host.
    origin: String,
    path: Vec<Piece>,
    query: Option<Vec<Piece>>,
    fragment: Option<Vec<Piece>>,
}

enum Piece {
    Text(String),
    Capture(String),
}

impl Target {
    /// Read a target that may use the captures in `names`. The error says what would be right.
    pub(crate) fn parse(text: &str, names: &[&str]) -> Result<Self, String> {
        if !text.bytes().all(|b| b.is_ascii_graphic() && !b"\\\"<>^`|".contains(&b)) {
            return Err(format!("`{text}` has characters that a URL cannot have: percent-encode them"));
        }
        let (origin, rest) = split_origin(text)?;
        let (rest, fragment) = split_at_first(rest, '#');
        let (path, query) = split_at_first(rest, '?');
        let path = if path.is_empty() { "/" } else { path };
        let target = Self {
            origin: origin.to_owned(),
            path: pieces(path, names)?,
            query: query.map(|query| pieces(query, names)).transpose()?,
            fragment: fragment.map(|fragment| pieces(fragment, names)).transpose()?,
        };
        // Tried with harmless captures: what fails with these would fail with any.
        let harmless: Captures = names.iter().map(|name| ((*name).to_owned(), vec![b"x".to_vec()])).collect();
        match target.location(&harmless, None) {
            Some(_) => Ok(target),
            None => Err(format!(
                "the path of `{text}` begins with `//` or has a `.` or `..` segment: write it out"
            )),
        }
    }

    /// The location for these captures and the request's query; none if no safe one can be made.
    pub(crate) fn location(&self, captures: &Captures, query: Option<&str>) -> Option<String> {
        let path = fill(&self.path, captures);
        // Judged as a server would read it that decodes first; a browser does not.
        let decoded = percent_decode(&path);
        let names_host = matches!(decoded.get(..2), Some(b"//" | b"/\\"));
        if has_dot_segment(&decoded) || (self.origin.is_empty() && names_host) {
            return None;
        }
        let mut location = format!("{}{path}", self.origin);
        let own = self.query.as_ref().map(|pieces| fill(pieces, captures));
        let kept = query.map(clean).filter(|query| !query.is_empty());
        for (between, part) in own.into_iter().chain(kept).enumerate() {
            location.push(if between == 0 { '?' } else { '&' });
            location.push_str(&part);
        }
        if let Some(fragment) = &self.fragment {
            location.push('#');
            location.push_str(&fill(fragment, captures));
        }
        Some(location)
    }
}

/// The same address with `https`; none if `authority` is not a host name or IP address. The port goes,
/// for it is the one that speaks http.
pub(crate) fn to_https(authority: &str, path: &str, query: Option<&str>) -> Option<String> {
    let (host, _) = split_port(authority);
    let query = query.map(|query| format!("?{}", clean(query))).unwrap_or_default();
    (is_authority(authority) && path.starts_with('/'))
        .then(|| format!("https://{host}{}{query}", clean(path)))
}

/// The scheme and host that `text` begins with, if it does, and what follows.
fn split_origin(text: &str) -> Result<(&str, &str), String> {
    if text.starts_with('/') {
        return Ok(("", text));
    }
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))
        .ok_or_else(|| format!("`{text}` begins with neither `/` nor `https://` nor `http://`"))?;
    let after = rest.trim_start_matches(|c| !matches!(c, '/' | '?' | '#'));
    match (text.strip_suffix(after), rest.strip_suffix(after)) {
        (Some(origin), Some(authority)) if is_authority(authority) => Ok((origin, after)),
        _ => Err(format!("`{text}` has no plain host name: captures can stand only behind the `/` after it")),
    }
}

/// Whether `text` is a host name or IP address, with a port or without, and no more than that.
fn is_authority(text: &str) -> bool {
    let (host, port) = split_port(text);
    let host_fits = match host.strip_prefix('[').and_then(|inside| inside.strip_suffix(']')) {
        Some(v6) => !v6.is_empty() && v6.bytes().all(|b| b.is_ascii_hexdigit() || b":.".contains(&b)),
        None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)),
    };
    host_fits && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

/// Host and port; a `:` within brackets belongs to the host.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

/// Cut `text` into what stands as it is and `{name}`.
fn pieces(mut text: &str, names: &[&str]) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    while let Some((before, after)) = text.split_once('{') {
        let (name, rest) = after.split_once('}').ok_or_else(|| format!("`{{{after}` is not closed"))?;
        if !is_name(name) || !names.contains(&name) {
            return Err(format!("`{{{name}}}` is not a name in the pattern"));
        }
        pieces.push(Piece::Text(before.to_owned()));
        pieces.push(Piece::Capture(name.to_owned()));
        text = rest;
    }
    if text.contains('}') {
        return Err(format!("`{text}` has a `}}` without its `{{`"));
    }
    pieces.push(Piece::Text(text.to_owned()));
    Ok(pieces)
}

fn fill(pieces: &[Piece], captures: &Captures) -> String {
    let mut filled = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => filled.push_str(text),
            Piece::Capture(name) => {
                let segments = captures.iter().filter(|(n, _)| n == name).flat_map(|(_, segments)| segments);
                for (number, segment) in segments.enumerate() {
                    if number > 0 {
                        filled.push('/');
                    }
                    segment.iter().for_each(|&byte| push_encoded(&mut filled, byte, is_unreserved));
                }
            }
        }
    }
    filled
}

/// RFC 3986 §2.3: the characters that mean the same whether encoded or not, and never anything else.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// A path or query as sent, kept but for bytes that no URL has: those are encoded.
fn clean(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    let keep = |byte: u8| byte.is_ascii_graphic() && !b"\\\"<>^`{|}#".contains(&byte);
    text.bytes().for_each(|byte| push_encoded(&mut cleaned, byte, keep));
    cleaned
}

fn push_encoded(text: &mut String, byte: u8, keep: impl Fn(u8) -> bool) {
    if keep(byte) {
        text.push(char::from(byte));
    } else {
        text.push('%');
        for half in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(half.into(), 16).map(|digit| digit.to_ascii_uppercase()));
        }
    }
}

/// Whether a segment of a decoded path is `.` or `..`.
fn has_dot_segment(path: &[u8]) -> bool {
    path.split(|byte| matches!(byte, b'/' | b'\\')).any(|segment| matches!(segment, b"." | b".."))
}

fn split_at_first(text: &str, separator: char) -> (&str, Option<&str>) {
    text.split_once(separator).map_or((text, None), |(before, after)| (before, Some(after)))
}
