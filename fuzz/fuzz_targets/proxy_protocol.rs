//! Any bytes at all as what a proxy sends first: no panic, the same in whatever pieces they come, and nothing behind a header
//! is read.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[allow(dead_code)]
#[path = "../../host/src/listen/socket/proxy_protocol.rs"]
mod proxy_protocol;

use proxy_protocol::{HeaderError, parse, read};

/// A header without what follows it.
const FIXED_BYTES: usize = 16;

fuzz_target!(|bytes: &[u8]| {
    let parsed = parse(bytes);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (read, behind) = runtime.block_on(async {
        // Pieces of 3 bytes: the pipe holds no more.
        let (mut proxy, mut host) = tokio::io::duplex(3);
        let send = async move {
            let _ = proxy.write_all(bytes).await;
        };
        let receive = async move {
            let origin = read(&mut host).await;
            let mut behind = Vec::new();
            if origin.is_ok() {
                host.read_to_end(&mut behind).await.unwrap();
            }
            (origin, behind)
        };
        tokio::join!(send, receive).1
    });
    // Who sends too little may be told of the one or the other.
    if bytes.len() >= FIXED_BYTES || !matches!(read, Err(HeaderError::NoHeader | HeaderError::BrokenOff)) {
        assert_eq!(parsed, read);
    }
    if parsed.is_ok() {
        let rest = usize::from(u16::from_be_bytes([bytes[14], bytes[15]]));
        assert_eq!(behind, &bytes[FIXED_BYTES + rest..]);
    }
});
