//! Host patterns: the hosts of a site file, turned once into a type that cannot be wrong.
//!
//! Owns their grammar, every message about it, and the form of a request's host in which it is compared. Finding the
//! best pattern for a host is left to `hosts`.

use std::borrow::Cow;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

use super::pattern::PatternError;

/// The longest host name, in bytes (RFC 1035 §2.3.4, without the root's dot).
const MAX_HOST_BYTES: usize = 253;

/// The longest label of a host name, in bytes (RFC 1035 §2.3.4).
const MAX_LABEL_BYTES: usize = 63;

/// The host names that a tenant or a route answers for: `shop.example.com`, `*.shop.example.com` (one or more
/// labels), `*`. They are always in lower case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPattern(HostKind);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum HostKind {
    /// This name or IPv4 address alone.
    Name(Arc<str>),
    /// This address alone, in any of its written forms.
    Ipv6(Ipv6Addr),
    /// Every name with one or more labels and a dot before this one.
    Below(Arc<str>),
    /// Every host.
    Any,
}

impl HostPattern {
    /// Reads a host name, an IPv4 address, an IPv6 address in brackets, `*.` and a host name, or `*`.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text == "*" {
            return Ok(Self(HostKind::Any));
        }
        if let Some(address) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
            return match address.parse() {
                Ok(address) => Ok(Self(HostKind::Ipv6(address))),
                Err(_) => Err(PatternError::at(
                    1..address.len().saturating_add(1),
                    format!("`{address}` is no IPv6 address: write one without a zone, such as `[::1]`"),
                )),
            };
        }
        refuse_what_no_host_holds(text)?;
        let lower = text.to_ascii_lowercase();
        match lower.strip_prefix("*.") {
            Some(parent) => {
                check_name(parent, "*.".len())?;
                if ends_in_a_number(parent) {
                    return Err(PatternError::whole(format!(
                        "`{text}`: addresses have no names below them, so list each address"
                    )));
                }
                Ok(Self(HostKind::Below(parent.into())))
            }
            None => {
                check_name(&lower, 0)?;
                // Clients would read a name whose last label is a number as an IPv4 address.
                if ends_in_a_number(&lower) && lower.parse::<Ipv4Addr>().is_err() {
                    return Err(PatternError::whole(format!(
                        "`{text}` ends in a number but is no IPv4 address: write four numbers up to 255, \
                         such as `127.0.0.1`"
                    )));
                }
                Ok(Self(HostKind::Name(lower.into())))
            }
        }
    }

    /// True if this pattern matches every host that `other` matches.
    ///
    /// Two patterns that share any host at all cover one another in one direction or both.
    pub fn covers(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (HostKind::Any, _) => true,
            (HostKind::Below(parent), HostKind::Below(below)) => parent == below || is_below(parent, below),
            (HostKind::Below(parent), HostKind::Name(name)) => is_below(parent, name),
            (mine, theirs) => mine == theirs,
        }
    }

    /// True if the pattern fits a request's host. The host is given without its port, in any case; one trailing dot
    /// is ignored.
    pub fn matches(&self, host: &str) -> bool {
        self.matches_name(HostName::of(host).as_ref())
    }

    pub(super) fn matches_name(&self, host: Option<&HostName<'_>>) -> bool {
        match (&self.0, host) {
            (HostKind::Any, _) => true,
            (HostKind::Name(name), Some(HostName::Name(host))) => **name == **host,
            (HostKind::Below(parent), Some(HostName::Name(host))) => is_below(parent, host),
            (HostKind::Ipv6(address), Some(HostName::Ipv6(host))) => address == host,
            _ => false,
        }
    }

    pub(super) fn kind(&self) -> &HostKind {
        &self.0
    }
}

impl FromStr for HostPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        Self::parse(text)
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            HostKind::Name(name) => f.write_str(name),
            HostKind::Ipv6(address) => write!(f, "[{address}]"),
            HostKind::Below(parent) => write!(f, "*.{parent}"),
            HostKind::Any => f.write_str("*"),
        }
    }
}

impl fmt::Debug for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The host of a request, ready to be compared: in lower case, without the root's dot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HostName<'a> {
    Name(Cow<'a, str>),
    Ipv6(Ipv6Addr),
}

impl<'a> HostName<'a> {
    /// The host of a request. `None` for a text that only `*` can fit. The bound on the length bounds the cost of
    /// comparing.
    pub(super) fn of(host: &'a str) -> Option<Self> {
        if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            return address.parse().ok().map(Self::Ipv6);
        }
        let host = host.strip_suffix('.').unwrap_or(host);
        if host.is_empty() || host.len() > MAX_HOST_BYTES {
            None
        } else if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Some(Self::Name(Cow::Owned(host.to_ascii_lowercase())))
        } else {
            Some(Self::Name(Cow::Borrowed(host)))
        }
    }
}

/// True if `name` is `parent` with something and a dot before it.
fn is_below(parent: &str, name: &str) -> bool {
    name.strip_suffix(parent)
        .and_then(|labels| labels.strip_suffix('.'))
        .is_some_and(|labels| !labels.is_empty())
}

fn refuse_what_no_host_holds(text: &str) -> Result<(), PatternError> {
    if text.is_empty() {
        return Err(PatternError::whole(
            "a host pattern is a host name, `*.` and a host name, or `*` for any host, not empty".into(),
        ));
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Err(PatternError::whole(format!("an IPv6 address is written in brackets: `[{text}]`")));
    }
    if text.contains("://") || text.contains('/') {
        return Err(PatternError::whole(format!(
            "`{text}` is more than a host: write the host name alone, without scheme and path"
        )));
    }
    if let Some(colon) = text.find(':') {
        return Err(PatternError::at(
            colon..text.len(),
            "a host pattern has no port and fits every port: leave out `:` and what follows".into(),
        ));
    }
    if text.ends_with('.') && !matches!(text, "." | "*.") {
        return Err(PatternError::at(
            text.len().saturating_sub(1)..text.len(),
            "leave out the trailing dot: a host fits with and without it".into(),
        ));
    }
    Ok(())
}

fn check_name(name: &str, start: usize) -> Result<(), PatternError> {
    if name.len() > MAX_HOST_BYTES {
        let length = name.len();
        return Err(PatternError::whole(format!(
            "this host name has {length} bytes; DNS allows at most {MAX_HOST_BYTES}"
        )));
    }
    let mut start = start;
    for label in name.split('.') {
        let end = start.saturating_add(label.len());
        if let Some(message) = wrong_with_label(label) {
            return Err(PatternError::at(start..end, message));
        }
        start = end.saturating_add(1);
    }
    Ok(())
}

fn wrong_with_label(label: &str) -> Option<String> {
    // Underscores are no part of a host name by RFC 1123, yet common in container networks.
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if label.is_empty() {
        Some("a label is missing here: between two dots stands at least one character".into())
    } else if label.contains('*') {
        Some(
            "`*` stands alone, or as the whole first label: `*.example.com` fits one or more labels \
             before `.example.com`"
                .into(),
        )
    } else if label.len() > MAX_LABEL_BYTES {
        let length = label.len();
        Some(format!("this label has {length} bytes; DNS allows at most {MAX_LABEL_BYTES}"))
    } else if !label.is_ascii() {
        Some(format!("`{label}` is not ASCII: write the form that clients send, which begins with `xn--`"))
    } else if !label.bytes().all(|byte| inner(byte) || byte == b'-')
        || label.starts_with('-')
        || label.ends_with('-')
    {
        Some(format!(
            "`{label}` is no label of a host name: use a-z, 0-9, `_` and `-`, with no `-` at the ends"
        ))
    } else {
        None
    }
}

fn ends_in_a_number(name: &str) -> bool {
    name.rsplit('.').next().is_some_and(|label| label.bytes().all(|byte| byte.is_ascii_digit()))
}
