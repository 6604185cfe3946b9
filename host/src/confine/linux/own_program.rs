//! The files that are executed when this program starts itself again.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// This program, even if another file has its path by now.
pub(super) const PROGRAM: &str = "/proc/self/exe";

/// The most bytes of one read: enough for a table of 65,535 segments of 56 bytes, and for the longest path.
const MOST_BYTES: u64 = 4 << 20;

/// The loader that the kernel executes to start this program; none if the program is linked statically.
pub(super) fn loader() -> Option<PathBuf> {
    loader_of(&mut File::open(PROGRAM).ok()?)
}

/// The path in the segment `PT_INTERP` of a 64-bit little-endian program: elf(5). Linkers put table and path behind the
/// head; patchelf(1) puts them where there is room, behind everything else.
fn loader_of(program: &mut (impl Read + Seek)) -> Option<PathBuf> {
    const PT_INTERP: u32 = 3;
    let head = read_at(program, 0, 64)?;
    if head.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let (size, count) = (u16_at(&head, 54)?, u16_at(&head, 56)?);
    let table_bytes = u64::from(size).checked_mul(u64::from(count))?;
    let table = read_at(program, u64_at(&head, 32)?, table_bytes)?;
    let mut segments = table.chunks_exact(usize::from(size.max(1)));
    let segment = segments.find(|segment| u32_at(segment, 0) == Some(PT_INTERP))?;
    let path = read_at(program, u64_at(segment, 8)?, u64_at(segment, 32)?)?;
    Some(std::ffi::OsString::from_vec(path.strip_suffix(b"\0")?.to_vec()).into())
}

/// The `length` bytes from `start`, if the program has them all.
fn read_at(program: &mut (impl Read + Seek), start: u64, length: u64) -> Option<Vec<u8>> {
    program.seek(SeekFrom::Start(start)).ok()?;
    let mut bytes = Vec::new();
    program.take(length.min(MOST_BYTES)).read_to_end(&mut bytes).ok()?;
    (u64::try_from(bytes.len()) == Ok(length)).then_some(bytes)
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
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_loader_of_this_program_is_a_file() {
        let loader = loader();
        let is_static = cfg!(target_feature = "crt-static");
        assert!(loader.as_ref().map_or(is_static, |path| path.is_file()), "{loader:?}");
    }

    /// A program of two segments, the second of which names this loader, with the offset of the table and that of the
    /// name behind the table.
    fn program(table_at: usize, name_at: usize, name: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; name_at];
        bytes.extend_from_slice(name);
        let mut put = |at: usize, what: &[u8]| bytes[at..at + what.len()].copy_from_slice(what);
        put(0, b"\x7fELF\x02\x01");
        put(32, &u64::try_from(table_at).unwrap().to_le_bytes());
        put(54, &56_u16.to_le_bytes());
        put(56, &2_u16.to_le_bytes());
        put(table_at, &1_u32.to_le_bytes());
        put(table_at + 56, &3_u32.to_le_bytes());
        put(table_at + 64, &u64::try_from(name_at).unwrap().to_le_bytes());
        put(table_at + 88, &u64::try_from(name.len()).unwrap().to_le_bytes());
        bytes
    }

    #[test]
    fn a_loader_is_found_wherever_the_program_names_it() {
        for (table_at, name_at) in [(64, 176), (64, 900_000), (800_000, 900_000)] {
            let bytes = program(table_at, name_at, b"/lib/ld.so\0");
            assert_eq!(
                loader_of(&mut Cursor::new(&bytes)),
                Some("/lib/ld.so".into()),
                "{table_at}, {name_at}"
            );
            assert_eq!(loader_of(&mut Cursor::new(&bytes[..bytes.len() - 1])), None);
        }
    }

    #[test]
    fn what_is_no_program_has_no_loader() {
        let mut own = Vec::new();
        File::open(PROGRAM).unwrap().take(1024).read_to_end(&mut own).unwrap();
        for end in 0..128 {
            assert_eq!(loader_of(&mut Cursor::new(&own[..end])), None);
        }
        assert_eq!(loader_of(&mut Cursor::new(b"#!/bin/sh\n")), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            loader_of(&mut Cursor::new([b"\x7fELF\x02\x01".to_vec(), bytes].concat()));
        }
    }
}
