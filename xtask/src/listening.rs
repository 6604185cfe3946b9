//! Where a server listens, read from what it says as it starts.

use std::collections::VecDeque;
use std::io::BufRead;
use std::net::SocketAddr;

use serde_json::Value;

/// The lines kept of what a server said before it listened, for the case that it never does.
const LAST_WORDS: usize = 20;

/// The first address that a line gives; or, if the output ends without one, the last lines of it.
pub(crate) fn read_address(
    output: &mut impl BufRead,
    address_in: fn(&str) -> Option<SocketAddr>,
) -> Result<SocketAddr, String> {
    let mut last_words = VecDeque::new();
    for line in output.lines().map_while(Result::ok) {
        if let Some(address) = address_in(&line) {
            return Ok(address);
        }
        if last_words.len() == LAST_WORDS {
            last_words.pop_front();
        }
        last_words.push_back(line);
    }
    Err(format!("it ended without listening; its last words:\n{}", Vec::from(last_words).join("\n")))
}

/// The address in the host's log entry `listening`.
pub(crate) fn address_in_log(line: &str) -> Option<SocketAddr> {
    let entry: Value = serde_json::from_str(line).ok()?;
    if entry["message"] != "listening" {
        return None;
    }
    entry["address"].as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{address_in_log, read_address};

    #[test]
    fn the_address_is_read_from_the_log() {
        let log = "{\"message\":\"compiled\",\"address\":\"127.0.0.1:1\"}\nno json\n\
                   {\"level\":\"info\",\"message\":\"listening\",\"address\":\"127.0.0.1:4321\"}\n";
        let address = read_address(&mut log.as_bytes(), address_in_log);
        assert_eq!(address, Ok("127.0.0.1:4321".parse().unwrap()));
    }

    #[test]
    fn a_server_that_ends_before_it_listens_leaves_its_last_words() {
        let words = read_address(&mut "one\nport 1 is taken\n".as_bytes(), address_in_log).unwrap_err();
        assert!(words.ends_with("one\nport 1 is taken"), "{words}");
    }
}
