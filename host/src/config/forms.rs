//! Texts with a meaning in a site file: addresses, paths, methods, header values.
//!
//! Owns their grammar where no other room does, and the message about a text that breaks it. Each function turns a
//! text into the value, or into the message.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use http::{HeaderName, HeaderValue, Method};
use ipnet::IpNet;

use super::document::TrustedDocument;
use super::site::{FORWARDED_FIELDS, ListenAddress, ServerName, SocketMode};
use super::visible::quoted;
use crate::capability::http::{Origin, OriginError, belongs_to_the_host};
use crate::confine::Confinement;
use crate::document::ComponentRef;
use crate::listen::ForwardedFields;
use crate::snapshot::Coding;

pub(super) fn listen_address(text: &str) -> Result<ListenAddress, String> {
    match text.strip_prefix("unix:") {
        Some("") => Err("the path of the Unix socket is missing: write \"unix:jackfield.sock\"".into()),
        Some(path) => plain_path(path).map(|path| ListenAddress::Unix(path.into())),
        None => socket_address(text).map(ListenAddress::Tcp),
    }
}

pub(super) fn socket_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        let meant = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            Some(format!("127.0.0.1:{text}"))
        } else if let Some(port) = text.strip_prefix(':') {
            Some(format!("0.0.0.0:{port}"))
        } else if let Some(port) = text.strip_prefix("localhost:") {
            Some(format!("127.0.0.1:{port}"))
        } else if let Some(port) = text.strip_prefix("*:") {
            Some(format!("0.0.0.0:{port}"))
        } else if text.parse::<Ipv4Addr>().is_ok() {
            Some(format!("{text}:8080"))
        } else if text.parse::<Ipv6Addr>().is_ok() {
            Some(format!("[{text}]:8080"))
        } else {
            None
        };
        let meant = meant.filter(|meant| meant.parse::<SocketAddr>().is_ok());
        let meant = meant.unwrap_or_else(|| "127.0.0.1:8080".into());
        format!("{} is not an IP address and port: write \"{meant}\"", quoted(text))
    })
}

pub(super) fn state_path(text: &str) -> Result<String, String> {
    if text.contains("://") {
        return Err(format!(
            "{} is not a path: state is kept in a folder, such as \".jackfield\"",
            quoted(text)
        ));
    }
    plain_path(text).map(str::to_owned)
}

pub(super) fn component_path(text: &str) -> Result<String, String> {
    if text.starts_with("sha256:") {
        return Err("a digest names nothing in a site file: write the path of the component's file".into());
    }
    if text.contains("://") {
        return Err(format!("{} is not a path: write that of the component's file", quoted(text)));
    }
    plain_path(text).map(str::to_owned)
}

/// The component of a tenant file: one that the host has by its digest, or a file that is sent to it.
pub(super) fn component_reference(text: &str) -> Result<String, String> {
    if text.starts_with("sha256:") {
        let artifact: Result<ComponentRef, _> = text.parse();
        return artifact.map(|artifact| artifact.to_string()).map_err(|error| error.to_string());
    }
    component_path(text)
}

pub(super) fn folder_path(text: &str) -> Result<String, String> {
    plain_path(text).map(str::to_owned)
}

pub(super) fn secret_path(text: &str) -> Result<String, String> {
    plain_path(text).map(str::to_owned)
}

pub(super) fn certificates_path(text: &str) -> Result<String, String> {
    if text.starts_with("-----BEGIN ") {
        return Err("this is a certificate itself: write the path of a PEM file that has it".into());
    }
    plain_path(text).map(str::to_owned)
}

pub(super) fn key_path(text: &str) -> Result<String, String> {
    if text.starts_with("-----BEGIN ") {
        return Err(
            "this is a key itself: write the path of a PEM file that has it, and make another key".into()
        );
    }
    plain_path(text).map(str::to_owned)
}

pub(super) fn confinement(text: &str) -> Result<Confinement, String> {
    let named = Confinement::NAMED.iter().find(|(name, _)| *name == text);
    named.map(|(_, confinement)| *confinement).ok_or_else(|| {
        let names = Confinement::NAMED.map(|(name, _)| format!("\"{name}\"")).join(", ");
        format!("{} is no degree of confinement: write one of {names}", quoted(text))
    })
}

fn plain_path(text: &str) -> Result<&str, String> {
    if text.is_empty() {
        Err("the path is empty".into())
    } else if text.contains('\0') {
        Err("no path has a NUL character in it".into())
    } else {
        Ok(text)
    }
}

pub(super) fn method(text: &str) -> Result<Method, String> {
    const STANDARD: [&str; 9] =
        ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"];
    let capitals = text.to_ascii_uppercase();
    if capitals != text && STANDARD.contains(&capitals.as_str()) {
        return Err(format!("methods are written in capitals: \"{capitals}\", not {}", quoted(text)));
    }
    Method::from_bytes(text.as_bytes())
        .map_err(|_| format!("{} is not a method: write one word, such as \"GET\"", quoted(text)))
}

pub(super) fn coding(text: &str) -> Result<Coding, String> {
    text.parse().map_err(|_| {
        let names = Coding::ALL.map(|coding| format!("\"{coding}\"")).join(", ");
        format!("{} is no coding that answers can be compressed in: write one of {names}", quoted(text))
    })
}

pub(super) fn origin(text: &str) -> Result<Origin, String> {
    text.parse().map_err(|error: OriginError| error.to_string())
}

pub(super) fn trusted(text: &str) -> Result<TrustedDocument, String> {
    if text == "unix" {
        return Ok(TrustedDocument::Unix);
    }
    network(text).map(TrustedDocument::Network)
}

pub(super) fn forwarded_fields(text: &str) -> Result<ForwardedFields, String> {
    let named = FORWARDED_FIELDS.iter().find(|(name, _)| *name == text);
    named.map(|(_, fields)| *fields).ok_or_else(|| {
        let names = FORWARDED_FIELDS.map(|(name, _)| format!("\"{name}\"")).join(" or ");
        format!("{} names no fields of proxies: write {names}", quoted(text))
    })
}

pub(super) fn server_name(text: &str) -> Result<ServerName, String> {
    let named = ServerName::NAMED.iter().find(|(name, _)| *name == text);
    named.map(|(_, server_name)| *server_name).ok_or_else(|| {
        let names = ServerName::NAMED.map(|(name, _)| format!("\"{name}\"")).join(" or ");
        format!("{} is not whose hosts a proxy may ask for: write {names}", quoted(text))
    })
}

/// The mode of a socket. It must allow writing, because connecting to a socket takes the right to write.
pub(super) fn socket_mode(text: &str) -> Result<SocketMode, String> {
    const WRITE: u32 = 0o222;
    let is_octal = matches!(text.len(), 3 | 4) && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    match u32::from_str_radix(text, 8) {
        Ok(mode) if is_octal && mode <= 0o777 && mode & WRITE != 0 => Ok(SocketMode(mode)),
        Ok(mode) if is_octal && mode <= 0o777 => Err(format!(
            "with {} nobody could connect, which takes the right to write: write \"0660\"",
            quoted(text)
        )),
        _ => {
            Err(format!("{} is no mode of a socket: write three octal digits, as in \"0660\"", quoted(text)))
        }
    }
}

pub(super) fn group(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains([':', '\n', '\0']) {
        return Err(format!(
            "{} is not a group: write its name or its number, as in \"www-data\"",
            quoted(text)
        ));
    }
    Ok(text.to_owned())
}

/// An address stands for the network of this address only.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.into());
    }
    let network: IpNet = text.parse().map_err(|_| {
        format!(
            "{} is not a network: write an address and how many of its bits count, as in \"10.1.0.0/16\"",
            quoted(text)
        )
    })?;
    let meant = network.trunc();
    if meant == network {
        return Ok(network);
    }
    Err(format!(
        "{} is an address inside a network: write the network \"{meant}\", or the address alone, \"{}\"",
        quoted(text),
        network.addr()
    ))
}

pub(super) fn variable(text: &str) -> Result<String, String> {
    if let Some(name) = text.strip_prefix('$') {
        let name = name.trim_matches(['{', '}']);
        return Err(format!("a variable is named without its sign: write {}", quoted(name)));
    }
    if text.is_empty() || text.contains(['=', '\0']) {
        return Err(format!(
            "{} is not the name of a variable: write one such as \"API_TOKEN\"",
            quoted(text)
        ));
    }
    Ok(text.to_owned())
}

pub(super) fn credential_header(text: &str) -> Result<HeaderName, String> {
    let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| {
        format!(
            "{} is not a header name: write letters, digits and `-`, as in \"authorization\"",
            quoted(text)
        )
    })?;
    if belongs_to_the_host(&name) {
        return Err(format!(
            "{} is for the host alone to set: a secret goes into a field such as \"authorization\"",
            quoted(name.as_str())
        ));
    }
    Ok(name)
}

pub(super) fn header_value(text: &str) -> Result<HeaderValue, String> {
    let error = |why: &str| Err(format!("no request has a header with this value: {why}"));
    match HeaderValue::from_str(text) {
        Ok(_) if text.trim_matches([' ', '\t']) != text => {
            error("white space at the ends is not part of one")
        }
        Ok(value) if text.is_ascii() => Ok(value),
        _ => error("write visible ASCII characters and spaces"),
    }
}
