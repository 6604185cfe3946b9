//! The request line: `method SP target SP version`, and nothing else between, before or behind (RFC 9112 §3).

use memchr::memchr;

use super::fields::is_token;
use crate::listen::bounds::MAX_TARGET_BYTES;
use crate::request::MessageError;

/// The longest method. The longest that is registered, `UPDATEREDIRECTREF`, has 17 bytes.
pub(super) const MAX_METHOD_BYTES: usize = 32;

/// The versions that are read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// 1.0: without chunks, and `Host` may be missing.
    Http10,
    /// 1.1, and any later minor version, which is to be answered as the latest known one (RFC 9110 §2.5).
    Http11,
}

/// Reads a whole line.
pub(super) fn parse(line: &[u8]) -> Result<Version, MessageError> {
    let (method, rest) = split_method(line)?;
    if method == b"CONNECT" {
        // The bytes that follow are not a message.
        return Err(MessageError::Method);
    }
    let (target, version) = split_target(rest)?;
    let version = version.ok_or(MessageError::Malformed("the request line has no version of HTTP"))?;
    // Before the target is checked: the target in HTTP/2's preface is not valid in HTTP/1.
    let version = parse_version(version)?;
    check_target(method, target)?;
    Ok(version)
}

/// Refuses a beginning that cannot become a request line any more, whatever follows.
pub(super) fn check_unfinished(line: &[u8]) -> Result<(), MessageError> {
    match line.first() {
        None | Some(b'\r') => {}
        Some(0x16) => {
            return Err(MessageError::Malformed(
                "this is a TLS handshake, and plain HTTP is spoken here: `http://` is meant, or another port",
            ));
        }
        Some(first) if is_token(&[*first]) => {}
        Some(_) => return Err(MessageError::Malformed("the request does not begin with a method")),
    }
    // The target of a shorter line cannot be too long. Few longer lengths are left to check, so bytes that come one
    // by one are not checked over and over.
    if line.len() > MAX_TARGET_BYTES {
        let (_method, rest) = split_method(line)?;
        if rest.len() > MAX_TARGET_BYTES {
            let (_target, version) = split_target(rest)?;
            if version.is_some_and(|version| version.len() > b"HTTP/1.1\r".len()) {
                return Err(NO_VERSION_AT_END);
            }
        }
    }
    Ok(())
}

/// The method, and the bytes after the space that follows it.
fn split_method(line: &[u8]) -> Result<(&[u8], &[u8]), MessageError> {
    let longest = line.get(..=MAX_METHOD_BYTES);
    let end = memchr(b' ', longest.unwrap_or(line));
    let method = line.get(..end.unwrap_or(MAX_METHOD_BYTES)).unwrap_or(line);
    if !is_token(method) {
        return Err(MessageError::Malformed("the method has characters that none may have"));
    }
    match end.and_then(|end| line.split_at_checked(end)) {
        Some((method, rest)) => Ok((method, rest.strip_prefix(b" ").unwrap_or(rest))),
        None if longest.is_some() => Err(MessageError::Method),
        None => Err(MessageError::Malformed("the request line has no target")),
    }
}

/// The target, and the bytes after the space that follows it, if one does.
fn split_target(rest: &[u8]) -> Result<(&[u8], Option<&[u8]>), MessageError> {
    let end = memchr(b' ', rest.get(..=MAX_TARGET_BYTES).unwrap_or(rest));
    match end.and_then(|end| rest.split_at_checked(end)) {
        Some((target, rest)) => Ok((target, rest.strip_prefix(b" "))),
        None if rest.len() > MAX_TARGET_BYTES => Err(MessageError::TargetLength { most: MAX_TARGET_BYTES }),
        None => Ok((rest, None)),
    }
}

fn parse_version(version: &[u8]) -> Result<Version, MessageError> {
    match version {
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1'..=b'9'] => Ok(Version::Http11),
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => Err(MessageError::Version),
        _ => Err(NO_VERSION_AT_END),
    }
}

/// Replaces a later minor version in a head by 1.1: httparse (1.10) knows no later one.
pub(super) fn settle_version(head: &mut [u8]) {
    let line = if head.starts_with(b"\r\n") { 2 } else { 0 };
    let end = head.get(line..).and_then(|head| memchr(b'\r', head));
    let digit = end.and_then(|end| line.checked_add(end)?.checked_sub(1));
    if let Some(digit @ b'2'..=b'9') = digit.and_then(|digit| head.get_mut(digit)) {
        *digit = b'1';
    }
}

const NO_VERSION_AT_END: MessageError =
    MessageError::Malformed("the request line does not end in a version of HTTP");

/// RFC 9112 §3.2: a path, an `http` URL, or `*` with OPTIONS. The authority alone is CONNECT's.
fn check_target(method: &[u8], target: &[u8]) -> Result<(), MessageError> {
    if target.contains(&b'#') {
        return Err(MessageError::Malformed("the request's target has a fragment"));
    }
    match target {
        [b'/', ..] => check_path(target),
        b"*" if method == b"OPTIONS" => Ok(()),
        _ if is_http_url(target) => match http::Uri::try_from(target) {
            Ok(uri) if uri.authority().is_some() && target.is_ascii() => Ok(()),
            _ => Err(MessageError::Malformed("the request's target is not a URL that can be read")),
        },
        _ => Err(MessageError::Malformed(
            "the request's target must be a path that begins with `/`, or an `http` URL",
        )),
    }
}

/// Refuses bytes that the `http` crate (1.5) does not read as path and query: hyper would refuse them without an
/// answer.
fn check_path(target: &[u8]) -> Result<(), MessageError> {
    let path_end = memchr(b'?', target).unwrap_or(target.len());
    let (path, query) = target.split_at_checked(path_end).unwrap_or((target, &[]));
    let is_readable = path.iter().fold(true, |is_readable, byte| is_readable & is_of_path(*byte))
        & query.iter().fold(true, |is_readable, byte| is_readable & is_of_query(*byte));
    if is_readable {
        return Ok(());
    }
    Err(MessageError::Malformed("the request's target has characters that must be percent-encoded"))
}

fn is_of_path(byte: u8) -> bool {
    byte.is_ascii_graphic() & (byte != b'<') & (byte != b'>') & (byte != b'`')
}

fn is_of_query(byte: u8) -> bool {
    byte.is_ascii_graphic() & (byte != b'<') & (byte != b'>') & (byte != b'"')
}

fn is_http_url(target: &[u8]) -> bool {
    let begins =
        |scheme: &[u8]| target.get(..scheme.len()).is_some_and(|given| given.eq_ignore_ascii_case(scheme));
    begins(b"http://") || begins(b"https://")
}
