//! Who may ask: the caller of a request, by the socket that it came from or by the token that it has.

use std::net::IpAddr;
use std::time::Instant;

use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, Request};

use super::caller::Caller;
use super::logins::Logins;
use super::problem::{Kind, Problem};
use super::tokens::Tokens;
use crate::deploy::ControlError;
use crate::listen::Certificates;

/// The peer of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) enum Peer {
    /// Somebody who could open the socket, which only the host's own user can.
    Socket,
    /// Somebody at this address.
    Address(IpAddr),
}

/// The gate that each request comes through.
pub(super) struct Gate {
    pub(super) tokens: Tokens,
    pub(super) certificates: Certificates,
    pub(super) logins: Logins,
}

impl Gate {
    /// The caller of a request, or the reason why it is not let in.
    pub(super) async fn caller<B: Sync>(&self, request: &Request<B>, peer: Peer) -> Result<Caller, Problem> {
        let Peer::Address(client) = peer else { return Ok(Caller::at_socket()) };
        self.is_for_this_host(request)?;
        if request.headers().contains_key(ORIGIN) {
            return Err(Problem::new(Kind::Forbidden, "a page in a browser cannot ask: `origin` is there"));
        }
        if let Some(wait) = self.logins.wait(client, Instant::now()) {
            return Err(Problem::slow_down(wait));
        }
        let unauthenticated = |detail| Problem::new(Kind::Unauthenticated, detail);
        let token = bearer(request.headers())
            .ok_or_else(|| unauthenticated("send `authorization: Bearer` and a token"))?;
        match self.tokens.caller(token).await.map_err(ControlError::from)? {
            Some(caller) => {
                self.logins.succeeded(client);
                Ok(caller)
            }
            None => {
                self.logins.failed(client, Instant::now());
                Err(unauthenticated("the token is not one of this host, or not valid any more"))
            }
        }
    }

    /// Refuses a request for a foreign host name: a page in a browser may have had its name point here.
    fn is_for_this_host<B>(&self, request: &Request<B>) -> Result<(), Problem> {
        let of_field = || request.headers().get(HOST)?.to_str().ok()?.parse::<Authority>().ok();
        let authority = request.uri().authority().cloned().or_else(of_field);
        let host = authority.as_ref().map(Authority::host).unwrap_or_default();
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let is_ours = bare.parse::<IpAddr>().is_ok()
            || host.eq_ignore_ascii_case("localhost")
            || self.certificates.have_name(host);
        if is_ours {
            Ok(())
        } else {
            let detail =
                "`host` takes an IP address, `localhost`, or a name of one of the host's certificates";
            Err(Problem::new(Kind::Misdirected, detail))
        }
    }
}

/// The token of the one `authorization` field (RFC 6750 §2.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else { return None };
    let (scheme, token) = field.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
