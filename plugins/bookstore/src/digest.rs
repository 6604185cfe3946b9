//! SHA-256 in hexadecimal, for whatever needs a name of fixed length or must not be kept in clear.

use sha2::{Digest, Sha256};

/// The whole digest of `bytes`: 64 lower-case hexadecimal digits.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The first half of it, 32 digits: enough to tell two texts apart where nobody gains by a collision.
pub(crate) fn short_hex(bytes: &[u8]) -> String {
    let mut text = sha256_hex(bytes);
    text.truncate(32);
    text
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_standard() {
        assert_eq!(sha256_hex(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(short_hex(b"abc"), "ba7816bf8f01cfea414140de5dae2223");
    }
}
