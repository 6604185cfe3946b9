//! The files that are executed when this program starts itself again.

use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// This very program, also when another file has its name by now.
pub(super) const PROGRAM: &str = "/proc/self/exe";

/// Where linkers put what is read here: the head, the table behind it, and the name that it points to.
const READ_BYTES: u64 = 16 * 1024;

/// The loader that the kernel executes to start this program; none if it is linked statically.
pub(super) fn loader() -> Option<PathBuf> {
    let mut head = Vec::new();
    File::open(PROGRAM).ok()?.take(READ_BYTES).read_to_end(&mut head).ok()?;
    loader_of(&head)
}

/// The path in the segment `PT_INTERP` of a 64-bit little-endian program: elf(5).
fn loader_of(program: &[u8]) -> Option<PathBuf> {
    const PT_INTERP: u32 = 3;
    if program.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let table = usize::try_from(u64_at(program, 32)?).ok()?;
    let (size, count) = (u16_at(program, 54)?, u16_at(program, 56)?);
    let segments = program.get(table..)?.chunks_exact(usize::from(size.max(1))).take(usize::from(count));
    let segment = segments.into_iter().find(|segment| u32_at(segment, 0) == Some(PT_INTERP))?;
    let start = usize::try_from(u64_at(segment, 8)?).ok()?;
    let end = start.checked_add(usize::try_from(u64_at(segment, 32)?).ok()?)?;
    let path = program.get(start..end)?.strip_suffix(b"\0")?;
    Some(std::ffi::OsString::from_vec(path.to_vec()).into())
}

fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes_at(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes_at(bytes, at).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes_at(bytes, at).map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_loader_of_this_program_is_a_file() {
        let loader = loader();
        let is_static = cfg!(target_feature = "crt-static");
        assert!(loader.as_ref().map_or(is_static, |path| path.is_file()), "{loader:?}");
    }

    #[test]
    fn what_is_no_program_has_no_loader() {
        let mut own = Vec::new();
        File::open(PROGRAM).unwrap().take(READ_BYTES).read_to_end(&mut own).unwrap();
        for end in 0..128 {
            assert_eq!(loader_of(&own[..end]), None);
        }
        assert_eq!(loader_of(b"#!/bin/sh\n"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            loader_of(&[b"\x7fELF\x02\x01".to_vec(), bytes].concat());
        }
    }
}
