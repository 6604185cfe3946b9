//! Lines that end in CRLF, found without looking at a byte twice, however few come at a time.

use memchr::memchr;

use crate::request::MessageError;

/// The search for lines in bytes that only ever get longer.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The position at which the next line begins.
    start: u32,
    /// The position of the first byte that may be the line's LF.
    searched: u32,
}

impl Lines {
    /// The next line, without its CRLF, if the line is whole. After an error, nothing was taken.
    pub(super) fn next<'a>(&mut self, bytes: &'a [u8]) -> Result<Option<&'a [u8]>, MessageError> {
        let searched = position(self.searched);
        let Some(found) = bytes.get(searched..).and_then(|unsearched| memchr(b'\n', unsearched)) else {
            self.searched = narrowed(bytes.len());
            return Ok(None);
        };
        let end = searched.saturating_add(found);
        let line = bytes.get(self.start()..end).and_then(|line| line.strip_suffix(b"\r"));
        let line = line.ok_or(MessageError::Malformed("a line does not end in CRLF"))?;
        self.start = narrowed(end.saturating_add(1));
        self.searched = self.start;
        Ok(Some(line))
    }

    /// The position at which the next line begins: behind all that were taken.
    pub(super) fn start(&self) -> usize {
        position(self.start)
    }
}

/// Lines are looked for in heads and in lines of bounded size, far below 4 GiB.
fn narrowed(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}

fn position(narrowed: u32) -> usize {
    usize::try_from(narrowed).unwrap_or(usize::MAX)
}
