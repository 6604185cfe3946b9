//! Server-sent events, from bytes (WHATWG HTML §9.2).

use std::collections::VecDeque;
use std::time::Duration;

/// The longest line, and the most data of one event, in bytes.
const MAX_EVENT_BYTES: usize = 1024 * 1024;

/// The longest pause that a host may ask for.
const MAX_RETRY_MS: u64 = 60_000;

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    /// The id by which events resume behind this one; empty if the host gave none.
    pub id: String,
    /// The kind; empty if the host gave none.
    pub kind: String,
    /// The data.
    pub data: String,
}

/// The error of an event without an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event has more than 1MiB")]
pub(super) struct TooLong;

/// The reader of one stream, and of those that resume it.
#[derive(Debug, Default)]
pub(super) struct EventReader {
    line: Vec<u8>,
    /// The byte before was a carriage return, which a line feed belongs to.
    after_return: bool,
    event: Event,
    /// The id of the last whole event; later ones have it too, unless they have their own.
    last_id: String,
    retry: Option<Duration>,
    whole: VecDeque<Event>,
}

impl EventReader {
    /// A reader of what comes after the event of this id.
    pub(super) fn after(last_id: String) -> Self {
        Self { event: Event { id: last_id.clone(), ..Event::default() }, last_id, ..Self::default() }
    }

    /// Reads the next bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        for &byte in bytes {
            let ends_return = std::mem::replace(&mut self.after_return, byte == b'\r') && byte == b'\n';
            match byte {
                _ if ends_return => {}
                b'\r' | b'\n' => self.end_line()?,
                _ if self.line.len() >= MAX_EVENT_BYTES => return Err(TooLong),
                _ => self.line.push(byte),
            }
        }
        Ok(())
    }

    /// The next whole event.
    pub(super) fn next(&mut self) -> Option<Event> {
        self.whole.pop_front()
    }

    /// Forgets what was begun: the stream has ended.
    pub(super) fn end(&mut self) {
        self.line.clear();
        self.after_return = false;
        self.event = Event { id: self.last_id.clone(), ..Event::default() };
    }

    /// The id to resume behind.
    pub(super) fn last_id(&self) -> &str {
        &self.last_id
    }

    /// The pause before a stream is resumed, if the host has asked for one.
    pub(super) fn retry(&self) -> Option<Duration> {
        self.retry
    }

    fn end_line(&mut self) -> Result<(), TooLong> {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line);
        if line.is_empty() {
            self.end_event();
            return Ok(());
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" if self.event.data.len().saturating_add(value.len()) > MAX_EVENT_BYTES => {
                return Err(TooLong);
            }
            "data" => {
                self.event.data.push_str(value);
                self.event.data.push('\n');
            }
            "event" => value.clone_into(&mut self.event.kind),
            "id" if !value.contains('\0') => value.clone_into(&mut self.event.id),
            "retry" => {
                let milliseconds: Option<u64> = value.parse().ok();
                let retry = milliseconds.map(|time| Duration::from_millis(time.min(MAX_RETRY_MS)));
                self.retry = retry.or(self.retry);
            }
            // A comment, or a field of a later host.
            _ => {}
        }
        Ok(())
    }

    fn end_event(&mut self) {
        self.last_id.clone_from(&self.event.id);
        let next = Event { id: self.last_id.clone(), ..Event::default() };
        let mut event = std::mem::replace(&mut self.event, next);
        if event.data.pop().is_some() {
            self.whole.push_back(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn events(reader: &mut EventReader) -> Vec<Event> {
        std::iter::from_fn(|| reader.next()).collect()
    }

    fn event(id: &str, kind: &str, data: &str) -> Event {
        Event { id: id.into(), kind: kind.into(), data: data.into() }
    }

    #[test]
    fn events_are_read_whatever_ends_their_lines() {
        let text = ": hello\nretry: 250\n\nid: 7\nevent: change\ndata: {\"a\":1}\n\ndata:one\ndata: two\nodd: x\n\n\
                    event: nothing\n\nid\ndata: last\n\ndata: half";
        let expected = [event("7", "change", "{\"a\":1}"), event("7", "", "one\ntwo"), event("", "", "last")];
        for end in ["\n", "\r", "\r\n"] {
            let text = text.replace('\n', end);
            let mut reader = EventReader::default();
            reader.push(text.as_bytes()).unwrap();
            assert_eq!(events(&mut reader), expected, "{text:?}");
            assert_eq!((reader.last_id(), reader.retry()), ("", Some(Duration::from_millis(250))));
        }
    }

    #[test]
    fn a_stream_that_breaks_off_resumes_behind_its_last_whole_event() {
        let mut reader = EventReader::after("3".into());
        assert_eq!(reader.last_id(), "3");
        reader.push(b"id: 4\ndata: a\n\nid: 5\ndata: b\n").unwrap();
        reader.end();
        assert_eq!((events(&mut reader), reader.last_id()), (vec![event("4", "", "a")], "4"));
        reader.push(b"id: 5\ndata: b\n\n").unwrap();
        assert_eq!((events(&mut reader), reader.last_id()), (vec![event("5", "", "b")], "5"));
    }

    #[test]
    fn an_event_without_an_end_is_refused() {
        let mut reader = EventReader::default();
        assert_eq!(reader.push(&vec![b'a'; MAX_EVENT_BYTES + 1]), Err(TooLong));
        let mut reader = EventReader::default();
        let line = [b"data: ".as_slice(), &vec![b'a'; MAX_EVENT_BYTES / 2], b"\n"].concat();
        reader.push(&line).unwrap();
        assert_eq!(reader.push(&[line.as_slice(), &line].concat()), Err(TooLong));
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(
            text in "(id: [0-9]\n|data: [a-z]{0,3}\r\n|:\r|\n|\r\n|[a-z]{1,3}){0,20}",
            at in 0..80_usize,
        ) {
            let mut whole = EventReader::default();
            whole.push(text.as_bytes()).unwrap();
            let (one, other) = text.as_bytes().split_at(at.min(text.len()));
            let mut pieces = EventReader::default();
            pieces.push(one).unwrap();
            pieces.push(other).unwrap();
            prop_assert_eq!(events(&mut whole), events(&mut pieces));
        }

        #[test]
        fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = EventReader::default().push(&bytes);
        }
    }
}
