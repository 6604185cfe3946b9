//! Texts in a site file that stand for something: addresses, paths, methods, header values.
//!
//! Owns their grammar where no other room does, and what is said of a text that has another. Each function takes the
//! text and gives the thing or the sentence.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use http::{HeaderValue, Method};

use super::site::ListenAddress;
use super::visible::quoted;

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
