//! The access log: one line for every request that was answered.
//!
//! Owns the fields and their names. The query of a request is left out, because callers put secrets and personal data
//! into it.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use http::{Method, Version};

use super::{Blame, Level, Log};
use crate::tenant::{PluginName, TenantName};

/// The facts about one request when its last byte is written, or when the request is broken off.
#[derive(Debug, Clone)]
pub struct AccessLine<'a> {
    /// The time at which the request's head had arrived; it becomes the time of the line.
    pub time: SystemTime,
    /// The method as sent.
    pub method: &'a Method,
    /// The host that was asked for, without a port.
    pub host: Option<&'a str>,
    /// The path as sent, without the query.
    pub path: &'a str,
    /// HTTP's version on the connection.
    pub version: Version,
    /// The status answered.
    pub status: u16,
    /// Bytes of the response's body that were written.
    pub response_bytes: u64,
    /// From the request's head to the last byte of the response.
    pub duration: Duration,
    /// CPU time of the calls of the request's plugins, until the response's head; none if the request reached no
    /// route.
    pub cpu: Option<Duration>,
    /// The tenant of the request's hostname.
    pub tenant: Option<&'a TenantName>,
    /// The plugin that the route names.
    pub plugin: Option<&'a PluginName>,
    /// The pattern of the route's path.
    pub route: Option<&'a str>,
    /// The problem that was answered, or that broke the body off: `cpu`, `no-route`.
    pub problem: Option<&'static str>,
    /// The party to blame for the error.
    pub blame: Option<Blame>,
    /// The request's id, as the caller got it.
    pub request_id: &'a str,
    /// The id of the trace that the caller names.
    pub trace_id: Option<&'a str>,
    /// The caller's address.
    pub client: Option<IpAddr>,
}

impl AccessLine<'_> {
    /// Writes the line, at level info and with the message `request`.
    pub fn write_to(&self, log: &Log) {
        log.entry_at(self.time, Level::Info, "request")
            .field("method", self.method.as_str())
            .field("host", self.host)
            .field("path", self.path)
            .field("version", version(self.version))
            .field("status", self.status)
            .field("response-bytes", self.response_bytes)
            .field("duration-ms", self.duration)
            .field("cpu-ms", self.cpu)
            .tenant(self.tenant)
            .field("plugin", self.plugin)
            .field("route", self.route)
            .field("problem", self.problem)
            .field("blame", self.blame)
            .field("request-id", self.request_id)
            .field("trace-id", self.trace_id)
            .field("client", self.client)
            .send();
    }
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_11 => "1.1",
        Version::HTTP_2 => "2",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn not_routed() -> AccessLine<'static> {
        AccessLine {
            time: SystemTime::UNIX_EPOCH,
            method: &Method::GET,
            host: None,
            path: "/",
            version: Version::HTTP_10,
            status: 404,
            response_bytes: 0,
            duration: Duration::ZERO,
            cpu: None,
            tenant: None,
            plugin: None,
            route: None,
            problem: Some("no-tenant"),
            blame: Some(Blame::Client),
            trace_id: None,
            request_id: "r-1",
            client: None,
        }
    }

    #[test]
    fn a_request_is_told_in_full() {
        let (log, captured) = Log::capture();
        let tenant = TenantName::parse("shop").unwrap();
        let plugin = PluginName::parse("books").unwrap();
        AccessLine {
            method: &Method::PATCH,
            host: Some("shop.example.com"),
            path: "/api/books/1\u{1b}",
            version: Version::HTTP_2,
            status: 504,
            response_bytes: 120,
            duration: Duration::from_micros(50_250),
            cpu: Some(Duration::from_micros(50_125)),
            tenant: Some(&tenant),
            plugin: Some(&plugin),
            route: Some("/api/books/{id}"),
            problem: Some("cpu"),
            blame: Some(Blame::Plugin),
            client: Some(IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])),
            ..not_routed()
        }
        .write_to(&log);
        assert_eq!(
            captured.lines(),
            [json!({
                "time": "1970-01-01T00:00:00.000Z", "level": "info", "message": "request",
                "method": "PATCH", "host": "shop.example.com", "path": "/api/books/1\u{1b}", "version": "2",
                "status": 504, "response-bytes": 120, "duration-ms": 50.25, "cpu-ms": 50.125, "tenant": "shop", "plugin": "books",
                "route": "/api/books/{id}", "problem": "cpu", "blame": "plugin", "request-id": "r-1", "client": "::1",
            })]
        );
    }

    #[test]
    fn what_a_request_did_not_reach_is_left_out() {
        let (log, captured) = Log::capture();
        not_routed().write_to(&log);
        let line = &captured.lines_of_request("r-1")[0];
        for absent in ["host", "tenant", "plugin", "route", "client"] {
            assert!(line.get(absent).is_none(), "{line}");
        }
        assert_eq!(line["problem"], "no-tenant");
    }
}
