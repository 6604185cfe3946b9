//! The protocol of a connection: HTTP/1.1 or HTTP/2.

use std::io;

use tokio::io::AsyncRead;

use crate::listen::socket::FirstBytes;

/// The first bytes of an HTTP/2 client (RFC 9113 §3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The HTTP of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::listen) enum Protocol {
    /// HTTP/1.0 or 1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// Waits for a connection's first bytes, and tells the version of HTTP by them if it is not agreed: HTTP/2 begins
/// with its preface. Until then, the connection takes next to no memory.
pub(super) async fn begin(
    stream: &mut (impl AsyncRead + Unpin),
    agreed: Option<Protocol>,
) -> io::Result<(FirstBytes, Protocol)> {
    let mut first = FirstBytes::default();
    loop {
        if first.read(stream).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match agreed {
            Some(protocol) => return Ok((first, protocol)),
            None if first.as_slice().starts_with(PREFACE) => return Ok((first, Protocol::Http2)),
            None if PREFACE.starts_with(first.as_slice()) => {}
            None => return Ok((first, Protocol::Http1)),
        }
    }
}
