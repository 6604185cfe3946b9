//! Origins (RFC 6454 §4): the scheme, host and port that a plugin may be granted, and that each of its requests goes
//! to.
//!
//! Owns how an origin is written and read, so strictly that two readers cannot read one text differently: names in
//! lower case, addresses in one form, nothing beside the three parts. Leaves to `address` whether an address may be
//! connected to, and to DNS the meaning of a name.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The longest name, in bytes (RFC 1035 §2.3.4, as text).
pub const MAX_NAME_BYTES: usize = 253;

/// The longest label of a name, in bytes.
const MAX_LABEL_BYTES: usize = 63;

/// The scheme of a URI, which decides how its server is connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// TLS. The certificate is checked against the origin's host.
    Https,
}

impl Scheme {
    /// The scheme as it stands in a URI.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port of an origin of this scheme that names no port.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// The host of an origin: a name that is resolved for every connection, or an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OriginHost {
    /// A DNS name, in lower case, without a dot at its end.
    Name(Box<str>),
    /// An address.
    Address(IpAddr),
}

/// The origin of a request: `https://api.example.com`, `http://10.1.2.3:8080`, `https://[2001:db8::1]`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    scheme: Scheme,
    host: OriginHost,
    port: u16,
}

/// The error in the text of an origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// The scheme is missing.
    #[error("an origin begins with its scheme: write https://HOST or http://HOST")]
    NoScheme,
    /// A scheme that is not HTTP's.
    #[error("`{scheme}` is no scheme that plugins may use: write https:// or http://")]
    Scheme {
        /// The scheme.
        scheme: String,
    },
    /// The host is missing.
    #[error("there is no host: write https://HOST or http://HOST")]
    NoHost,
    /// A user name or password, which the error does not repeat.
    #[error("an origin has no user name or password: remove what stands before the `@`")]
    Userinfo,
    /// A path, a query or a fragment.
    #[error("an origin ends with its host or port: remove `{rest}`")]
    Rest {
        /// The text after the port.
        rest: String,
    },
    /// A `*`.
    #[error("an origin names one host, not a pattern: write each without `*`")]
    Wildcard,
    /// A name in another script than ASCII.
    #[error("`{host}` is not ASCII: write it in its encoded form, which begins with xn--")]
    NonAscii {
        /// The host.
        host: String,
    },
    /// A `%`.
    #[error("`{host}` is percent-encoded: write the host as it is")]
    Percent {
        /// The host.
        host: String,
    },
    /// A character that is not allowed in a name.
    #[error(
        "`{}` cannot be in a host's name: it has letters, digits, `-`, `_` and dots",
        character.escape_default()
    )]
    Character {
        /// The character.
        character: char,
    },
    /// Two dots side by side, or a dot at the start.
    #[error("`{host}` has an empty label: write one dot between two labels, and none before the first")]
    EmptyLabel {
        /// The host.
        host: String,
    },
    /// A dot at the end.
    #[error("`{host}` ends with a dot: write it without")]
    TrailingDot {
        /// The host.
        host: String,
    },
    /// A label that is too long, or begins or ends with a hyphen.
    #[error("`{label}` is no label of a name: it has at most 63 letters, and no `-` at its start or end")]
    Label {
        /// The label.
        label: String,
    },
    /// The name is too long.
    #[error("the host's name has {bytes} bytes, and {MAX_NAME_BYTES} are allowed")]
    TooLong {
        /// The host's length.
        bytes: usize,
    },
    /// A number that some programs read as an IPv4 address, and others as a name.
    #[error("`{host}` ends in a number, but is no IPv4 address in its usual form{}", usual_form(*meant))]
    UnusualIpv4 {
        /// The host.
        host: String,
        /// The address that programs would read from it.
        meant: Option<Ipv4Addr>,
    },
    /// The text between the brackets is not an IPv6 address.
    #[error("`{host}` is no IPv6 address: write it as in [2001:db8::1]")]
    Ipv6 {
        /// The host, with those of its brackets that it has.
        host: String,
    },
    /// An IPv6 address with a zone.
    #[error("`{host}` has a zone, which means nothing beyond one machine: write the address without it")]
    Zone {
        /// The host.
        host: String,
    },
    /// The port is not a number from 1 to 65535.
    #[error("`{port}` is no port: write a number from 1 to 65535, without zeros before it")]
    Port {
        /// The text after the colon.
        port: String,
    },
}

fn usual_form(meant: Option<Ipv4Addr>) -> String {
    match meant {
        Some(address) => format!(": write {address}, if that is what it means"),
        None => ": write four numbers from 0 to 255".to_owned(),
    }
}

impl Origin {
    /// The origin of a request's target: the text after the authority is ignored. An authority with a user name is
    /// refused, because readers differ on where its host begins.
    pub fn of(uri: &http::Uri) -> Result<Self, OriginError> {
        let scheme = scheme(uri.scheme_str().ok_or(OriginError::NoScheme)?)?;
        authority(scheme, uri.authority().ok_or(OriginError::NoHost)?.as_str())
    }

    /// The origin's scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The origin's host.
    pub fn host(&self) -> &OriginHost {
        &self.host
    }

    /// The origin's port; the scheme's default if none was written.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Host and port as the `Host` field has them: the default port is left out.
    pub fn authority(&self) -> String {
        let host = &self.host;
        if self.port == self.scheme.default_port() {
            host.to_string()
        } else {
            format!("{host}:{}", self.port)
        }
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let (before, behind) = text.split_once("://").ok_or(OriginError::NoScheme)?;
        let scheme = scheme(before)?;
        let end = behind.find(['/', '\\', '?', '#']).unwrap_or(behind.len());
        let (host_and_port, rest) = behind.split_at_checked(end).unwrap_or((behind, ""));
        if host_and_port.contains('@') {
            return Err(OriginError::Userinfo);
        }
        if !matches!(rest, "" | "/") {
            return Err(OriginError::Rest { rest: rest.to_owned() });
        }
        authority(scheme, host_and_port)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.authority())
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for OriginHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

fn scheme(text: &str) -> Result<Scheme, OriginError> {
    if text.eq_ignore_ascii_case("https") {
        Ok(Scheme::Https)
    } else if text.eq_ignore_ascii_case("http") {
        Ok(Scheme::Http)
    } else {
        Err(OriginError::Scheme { scheme: text.to_owned() })
    }
}

fn authority(scheme: Scheme, text: &str) -> Result<Origin, OriginError> {
    if text.contains('@') {
        return Err(OriginError::Userinfo);
    }
    let behind_brackets = text.rfind(']').unwrap_or(0);
    let (host, port) = match text.rfind(':').filter(|&colon| colon >= behind_brackets) {
        Some(colon) => {
            let (host, port) = text.split_at_checked(colon).unwrap_or((text, ""));
            (host, parse_port(port.trim_start_matches(':'))?)
        }
        None => (text, scheme.default_port()),
    };
    let host = if host.starts_with('[') || host.contains(':') {
        OriginHost::Address(IpAddr::V6(parse_ipv6(host)?))
    } else {
        parse_host(host)?
    };
    Ok(Origin { scheme, host, port })
}

fn parse_port(text: &str) -> Result<u16, OriginError> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    let port = if plain { text.parse().ok() } else { None };
    port.ok_or_else(|| OriginError::Port { port: text.to_owned() })
}

fn parse_ipv6(host: &str) -> Result<Ipv6Addr, OriginError> {
    if host.contains('%') {
        return Err(OriginError::Zone { host: host.to_owned() });
    }
    host.strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .and_then(|address| address.parse().ok())
        .ok_or_else(|| OriginError::Ipv6 { host: host.to_owned() })
}

fn parse_host(text: &str) -> Result<OriginHost, OriginError> {
    if text.is_empty() {
        return Err(OriginError::NoHost);
    }
    check_characters(text)?;
    if text.len() > MAX_NAME_BYTES {
        return Err(OriginError::TooLong { bytes: text.len() });
    }
    let host = text.to_ascii_lowercase();
    if host.ends_with('.') {
        return Err(OriginError::TrailingDot { host });
    }
    for label in host.split('.') {
        if label.is_empty() {
            return Err(OriginError::EmptyLabel { host });
        }
        if label.len() > MAX_LABEL_BYTES || label.starts_with('-') || label.ends_with('-') {
            return Err(OriginError::Label { label: label.to_owned() });
        }
    }
    if !ends_in_a_number(&host) {
        return Ok(OriginHost::Name(host.into()));
    }
    match host.parse() {
        Ok(address) => Ok(OriginHost::Address(IpAddr::V4(address))),
        Err(_) => Err(OriginError::UnusualIpv4 { meant: read_as_inet_aton(&host), host }),
    }
}

fn check_characters(host: &str) -> Result<(), OriginError> {
    if !host.is_ascii() {
        return Err(OriginError::NonAscii { host: host.to_owned() });
    }
    let foreign =
        |character: &char| !matches!(character, 'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' | '.');
    match host.chars().find(foreign) {
        None => Ok(()),
        Some('*') => Err(OriginError::Wildcard),
        Some('%') => Err(OriginError::Percent { host: host.to_owned() }),
        Some(character) => Err(OriginError::Character { character }),
    }
}

/// True if the last label is a number, decimal or hexadecimal. Browsers read every such host as an IPv4 address; no
/// top-level domain is a number (RFC 3696 §2).
fn ends_in_a_number(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or(host);
    let hexadecimal = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    last.bytes().all(|byte| byte.is_ascii_digit()) || last.strip_prefix("0x").is_some_and(hexadecimal)
}

/// The address that `inet_aton(3)` reads from `host`: one to four numbers in decimal, octal or hexadecimal, of which
/// the last fills the remaining bytes.
fn read_as_inet_aton(host: &str) -> Option<Ipv4Addr> {
    let parts: Vec<u32> = host.split('.').map(number).collect::<Option<_>>()?;
    let (last, bytes) = parts.split_last()?;
    let mut address = 0_u32;
    for (place, byte) in bytes.iter().enumerate() {
        let shift = 24_u32.checked_sub(u32::try_from(place).ok()?.checked_mul(8)?)?;
        address |= u32::from(u8::try_from(*byte).ok()?).checked_shl(shift)?;
    }
    let room = u32::MAX.checked_shr(u32::try_from(bytes.len()).ok()?.checked_mul(8)?)?;
    (*last <= room).then(|| Ipv4Addr::from(address | last))
}

fn number(text: &str) -> Option<u32> {
    if let Some(digits) = text.strip_prefix("0x") {
        return if digits.is_empty() { Some(0) } else { u32::from_str_radix(digits, 16).ok() };
    }
    let radix = if text.len() > 1 && text.starts_with('0') { 8 } else { 10 };
    u32::from_str_radix(text, radix).ok()
}
