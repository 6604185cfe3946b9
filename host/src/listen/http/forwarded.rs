//! The caller of a request: the connection's client, or a client that a trusted proxy in front names.
//!
//! Owns the fields by which proxies name the caller (RFC 7239, and the older `X-Forwarded-*`). A plugin sees only
//! true values: fields that were not set by trusted proxies are replaced.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use ipnet::IpNet;

use crate::request::{Caller, Scheme};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The proxies that are trusted to name their clients.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies {
    /// The proxies' networks.
    pub networks: Vec<IpNet>,
    /// True if every peer of a Unix socket is a trusted proxy.
    pub unix: bool,
    /// The fields that the proxies set.
    pub fields: ForwardedFields,
    /// True if the proxies' server name in TLS does not bound the hosts of their requests.
    pub any_server_name: bool,
}

/// The fields by which a proxy names its client. Clients can send the other fields, and proxies let those through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ForwardedFields {
    /// `X-Forwarded-For` and `X-Forwarded-Proto`.
    #[default]
    XForwarded,
    /// `Forwarded`.
    Forwarded,
}

impl TrustedProxies {
    /// True if a connection's peer is trusted; the peer of a Unix socket has no address.
    pub(in crate::listen) fn has(&self, peer: Option<IpAddr>) -> bool {
        peer.map_or(self.unix, |peer| self.networks.iter().any(|network| network.contains(&peer)))
    }
}

/// The caller of a connection, and of the requests on it.
pub(super) struct ConnectionCaller {
    connection: Caller,
    /// The client's address as a field.
    address: Option<HeaderValue>,
    /// The trusted proxies, if the connection's peer is one of them.
    trusted: Option<Arc<TrustedProxies>>,
}

impl ConnectionCaller {
    /// The caller of a connection. `trusted` is given if the connection's peer is a trusted proxy.
    pub(super) fn new(connection: Caller, trusted: Option<Arc<TrustedProxies>>) -> Self {
        Self { address: connection.client.and_then(field), connection, trusted }
    }

    /// The caller of the request with these fields, which are replaced by true ones.
    pub(super) fn for_request(&self, headers: &mut HeaderMap) -> Caller {
        let Some(trusted) = &self.trusted else {
            remove(headers, is_of_a_proxy);
            set(headers, self.address.clone(), self.connection.scheme);
            return self.connection.clone();
        };
        let forwarding = match trusted.fields {
            ForwardedFields::XForwarded => Forwarding::by_x_forwarded(headers, trusted),
            ForwardedFields::Forwarded => Forwarding::by_forwarded(headers, trusted),
        };
        remove(headers, is_of_a_proxy);
        let caller = Caller {
            client: forwarding.client.unwrap_or(self.connection.client),
            scheme: forwarding.scheme.unwrap_or(self.connection.scheme),
            server_name: self.connection.server_name.clone(),
        };
        set(headers, caller.client.and_then(field), caller.scheme);
        caller
    }
}

/// The client and its scheme, as proxies name them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Forwarding {
    /// The client's address; none if no proxy named a client, an inner none if the client has no address.
    client: Option<Option<IpAddr>>,
    scheme: Option<Scheme>,
}

impl Forwarding {
    /// Reads `X-Forwarded-*`. Each proxy adds its client at the end. So the last entry that is not a trusted proxy is
    /// the client: entries before it are only the client's claim.
    fn by_x_forwarded(headers: &HeaderMap, trusted: &TrustedProxies) -> Self {
        let mut client = None;
        for hop in listed(headers, &X_FORWARDED_FOR).into_iter().rev() {
            client = Some(node(hop));
            if !client.flatten().is_some_and(|address| trusted.has(Some(address))) {
                break;
            }
        }
        let scheme = listed(headers, &X_FORWARDED_PROTO).last().and_then(|proto| scheme(proto));
        Self { client, scheme }
    }

    fn by_forwarded(headers: &HeaderMap, trusted: &TrustedProxies) -> Self {
        let mut forwarding = Self::default();
        let lines =
            headers.get_all(header::FORWARDED).iter().map(|line| line.to_str().ok().and_then(elements));
        // In a line that cannot be read, the last entry cannot be told from entries that the client invented.
        let unknown = || vec![Element::default()];
        let lines: Vec<_> = lines.map(|line| line.unwrap_or_else(unknown)).collect();
        for element in lines.iter().flatten().rev() {
            forwarding.client = Some(element.of("for").and_then(node));
            forwarding.scheme = element.of("proto").and_then(scheme).or(forwarding.scheme);
            if !forwarding.client.flatten().is_some_and(|address| trusted.has(Some(address))) {
                break;
            }
        }
        forwarding
    }
}

/// The entry of one proxy: names, each once, and their values (RFC 7239 §4).
#[derive(Debug, Default)]
struct Element(Vec<(String, String)>);

impl Element {
    fn of(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// The elements of one line, if the line is well-formed.
fn elements(line: &str) -> Option<Vec<Element>> {
    let mut elements = vec![Element::default()];
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        if let Some(behind) = rest.strip_prefix(',') {
            elements.push(Element::default());
            rest = behind.trim_start();
        } else if let Some(behind) = rest.strip_prefix(';') {
            rest = behind.trim_start();
        } else {
            let (name, behind) = rest.split_once('=')?;
            let (value, behind) = match behind.strip_prefix('"') {
                Some(quoted) => unquoted(quoted)?,
                None => {
                    let end = behind.find([',', ';', ' ', '\t', '"']).unwrap_or(behind.len());
                    let (value, behind) = behind.split_at_checked(end)?;
                    (value.to_owned(), behind)
                }
            };
            let element = elements.last_mut()?;
            if name.is_empty() || name.contains([',', ';', ' ', '\t', '"']) || element.of(name).is_some() {
                return None;
            }
            element.0.push((name.to_owned(), value));
            rest = behind.trim_start();
            if !rest.is_empty() && !rest.starts_with([',', ';']) {
                return None;
            }
        }
    }
    elements.retain(|element| !element.0.is_empty());
    Some(elements)
}

/// The text of a quoted string after its opening quote, and the text after its closing one (RFC 9110 §5.6.4).
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.chars();
    loop {
        match characters.next()? {
            '"' => return Some((value, characters.as_str())),
            '\\' => value.push(characters.next()?),
            character => value.push(character),
        }
    }
}

/// The items of a list field, over all its lines. The items contain no quotes.
fn listed<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a str> {
    let lines = headers.get_all(name).into_iter();
    // A line that is not ASCII has no address and no scheme.
    let items = lines.flat_map(|line| line.to_str().unwrap_or("?").split(','));
    items.map(str::trim).filter(|item| !item.is_empty()).collect()
}

/// An address with or without a port (RFC 7239 §6); none for a hidden or unknown node.
fn node(text: &str) -> Option<IpAddr> {
    let parsed = text.parse::<IpAddr>().ok();
    let parsed = parsed.or_else(|| text.parse::<std::net::SocketAddr>().ok().map(|socket| socket.ip()));
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    parsed.or_else(in_brackets).map(|address| address.to_canonical())
}

fn scheme(text: &str) -> Option<Scheme> {
    [Scheme::Http, Scheme::Https].into_iter().find(|scheme| text.eq_ignore_ascii_case(scheme.as_str()))
}

fn is_of_a_proxy(name: &HeaderName) -> bool {
    let name = name.as_str();
    name == "forwarded" || name == "x-real-ip" || name.starts_with("x-forwarded-")
}

fn remove(headers: &mut HeaderMap, is_meant: impl Fn(&HeaderName) -> bool) {
    while let Some(name) = headers.keys().find(|name| is_meant(name)).cloned() {
        headers.remove(name);
    }
}

fn set(headers: &mut HeaderMap, address: Option<HeaderValue>, scheme: Scheme) {
    match address {
        Some(address) => drop(headers.insert(X_FORWARDED_FOR, address)),
        None => drop(headers.remove(X_FORWARDED_FOR)),
    }
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme.as_str()));
}

fn field(address: IpAddr) -> Option<HeaderValue> {
    HeaderValue::try_from(address.to_string()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PROXY: &str = "10.0.0.1";
    const CLIENT: &str = "192.0.2.7";

    fn caller(peer: &str, fields: ForwardedFields) -> ConnectionCaller {
        let networks = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap()).to_vec();
        let trusted = Arc::new(TrustedProxies { networks, fields, ..TrustedProxies::default() });
        let client = Some(peer.parse().unwrap());
        let trusted = trusted.has(client).then_some(trusted);
        ConnectionCaller::new(Caller { client, scheme: Scheme::Http, server_name: None }, trusted)
    }

    fn headers(given: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn told(headers: &HeaderMap, name: &str) -> Vec<String> {
        headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn nobody_else_is_believed() {
        for fields in [ForwardedFields::XForwarded, ForwardedFields::Forwarded] {
            let mut headers = headers(&[
                ("forwarded", "for=198.51.100.1;proto=https"),
                ("x-forwarded-for", "198.51.100.1"),
                ("x-forwarded-for", "198.51.100.2"),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "other.example"),
                ("x-real-ip", "198.51.100.1"),
                ("x-other", "stays"),
            ]);
            let caller = caller(CLIENT, fields).for_request(&mut headers);
            assert_eq!((caller.client, caller.scheme), (Some(CLIENT.parse().unwrap()), Scheme::Http));
            assert_eq!(told(&headers, "x-forwarded-for"), [CLIENT]);
            assert_eq!(told(&headers, "x-forwarded-proto"), ["http"]);
            let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
            names.sort_unstable();
            assert_eq!(names, ["x-forwarded-for", "x-forwarded-proto", "x-other"]);
        }
    }

    #[test]
    fn a_trusted_proxy_tells_who_asks() {
        use ForwardedFields::{Forwarded, XForwarded};
        // The values of X-Forwarded-For or Forwarded, and the client that they give.
        let table: [(ForwardedFields, &[&str], Option<&str>); 22] = [
            (XForwarded, &["192.0.2.7"], Some(CLIENT)),
            (XForwarded, &["198.51.100.9, 192.0.2.7"], Some(CLIENT)),
            (XForwarded, &["198.51.100.9", "192.0.2.7"], Some(CLIENT)),
            (XForwarded, &["198.51.100.9, 192.0.2.7, 10.1.1.1,10.2.2.2"], Some(CLIENT)),
            (XForwarded, &["192.0.2.7:4711"], Some(CLIENT)),
            (XForwarded, &["[2001:db8::7]:4711"], Some("2001:db8::7")),
            (XForwarded, &["2001:db8::7"], Some("2001:db8::7")),
            (XForwarded, &["::ffff:192.0.2.7"], Some(CLIENT)),
            (XForwarded, &["192.0.2.7, unknown"], None),
            (XForwarded, &["10.3.3.3, 10.1.1.1"], Some("10.3.3.3")),
            (XForwarded, &[], Some(PROXY)),
            (Forwarded, &["for=192.0.2.7;proto=http;by=10.0.0.1"], Some(CLIENT)),
            (Forwarded, &["for=198.51.100.9, For=\"192.0.2.7:80\"", "for=\"[fd00::1]\""], Some(CLIENT)),
            (Forwarded, &["for=\"[2001:db8::7]:4711\""], Some("2001:db8::7")),
            (Forwarded, &["for=192.0.2.7, for=_hidden"], None),
            (Forwarded, &["by=10.0.0.1"], None),
            // A client's quotes do not swallow the proxy's entry.
            (XForwarded, &["\", 192.0.2.7"], Some(CLIENT)),
            (XForwarded, &["\"198.51.100.9, 192.0.2.7"], Some(CLIENT)),
            (Forwarded, &["for=198.51.100.9;x=\"\\\"\", for=192.0.2.7"], Some(CLIENT)),
            (Forwarded, &["for=198.51.100.9;x=\", for=192.0.2.7"], None),
            (Forwarded, &["for=198.51.100.9;for=198.51.100.8", "for=192.0.2.7"], Some(CLIENT)),
            (Forwarded, &["for=192.0.2.7;for=198.51.100.8"], None),
        ];
        for (fields, given, client) in table {
            let (name, other) = match fields {
                XForwarded => ("x-forwarded-for", "forwarded"),
                Forwarded => ("forwarded", "x-forwarded-for"),
            };
            let mut given: Vec<_> = given.iter().map(|value| (name, *value)).collect();
            // A field that the client may have sent, and that a proxy which sets the other lets through.
            given.push((other, if fields == XForwarded { "for=203.0.113.1" } else { "203.0.113.1" }));
            let mut headers = headers(&given);
            let caller = caller(PROXY, fields).for_request(&mut headers);
            assert_eq!(caller.client, client.map(|client| client.parse().unwrap()), "{given:?}");
            assert_eq!(told(&headers, "x-forwarded-for"), Vec::from_iter(client), "{given:?}");
            assert!(!headers.contains_key("forwarded"));
        }
    }

    #[test]
    fn a_trusted_proxy_tells_what_the_client_spoke() {
        for (fields, name, given, scheme) in [
            (ForwardedFields::XForwarded, "x-forwarded-proto", "https", Scheme::Https),
            (ForwardedFields::XForwarded, "x-forwarded-proto", "http, HTTPS", Scheme::Https),
            (ForwardedFields::XForwarded, "x-forwarded-proto", "gopher", Scheme::Http),
            (ForwardedFields::Forwarded, "forwarded", "for=192.0.2.7;proto=https", Scheme::Https),
            (
                ForwardedFields::Forwarded,
                "forwarded",
                "proto=https;for=192.0.2.7, for=10.1.1.1",
                Scheme::Https,
            ),
            (ForwardedFields::Forwarded, "forwarded", "for=\"a;proto=https\"", Scheme::Http),
        ] {
            let mut headers = headers(&[(name, given)]);
            let caller = caller(PROXY, fields).for_request(&mut headers);
            assert_eq!(caller.scheme, scheme, "{given}");
            assert_eq!(told(&headers, "x-forwarded-proto"), [scheme.as_str()], "{given}");
        }
    }

    proptest! {
        #[test]
        fn no_field_makes_it_panic_or_lie(value in "[ -~]{0,60}") {
            for fields in [ForwardedFields::XForwarded, ForwardedFields::Forwarded] {
                let given = [("x-forwarded-for", &*value), ("forwarded", &*value), ("x-forwarded-proto", &*value)];
                let mut trusted = headers(&given);
                caller(PROXY, fields).for_request(&mut trusted);
                let mut other = headers(&given);
                prop_assert_eq!(caller(CLIENT, fields).for_request(&mut other).client, Some(CLIENT.parse().unwrap()));
            }
        }
    }
}
