//! Validators (RFC 9110 §8.8): what tells one state of a file from another.

use alloc::string::String;

use crate::date::Timestamp;

/// What the file system says of an open file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metadata {
    pub(crate) size: u64,
    /// 128 bits that change when the content may have.
    pub(crate) hash: (u64, u64),
    /// When the content was written last, as whoever copied the file may have set it.
    pub(crate) modified: Option<Timestamp>,
    /// When anything about the file changed last. Nobody can set it.
    pub(crate) changed: Option<Timestamp>,
}

/// What tells a state of a representation from another.
#[derive(Clone, Debug)]
pub(crate) struct Validators {
    /// A strong entity tag, quotes included.
    pub(crate) etag: String,
    /// The second of the last change, once it is over.
    pub(crate) modified: Option<u64>,
    /// `modified` cannot be the date of two states.
    pub(crate) is_date_strong: bool,
}

impl Validators {
    /// Those of a file; of one that stands for another in a content coding, with the coding's name. Even if both names
    /// lead to one file, the tags of two representations are two (RFC 9110 §8.8.3.3).
    ///
    /// A date is given only once its second is over. So it never lies in the future (§8.8.2.1), and what a caller got
    /// with it was the last state of that second: if nothing about the file has changed after that second, the date is
    /// a strong validator (§8.8.2.2).
    pub(crate) fn of(metadata: &Metadata, coding: Option<&str>, now: Timestamp) -> Self {
        let (upper, lower) = metadata.hash;
        let etag = match coding {
            Some(coding) => format!("\"{upper:016x}{lower:016x}-{coding}\""),
            None => format!("\"{upper:016x}{lower:016x}\""),
        };
        let modified =
            metadata.modified.map(|modified| modified.seconds).filter(|second| *second < now.seconds);
        let changed = metadata.changed.map(|changed| changed.seconds);
        let is_date_strong = modified.zip(changed).is_some_and(|(modified, changed)| changed <= modified);
        Self { etag, modified, is_date_strong }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp { seconds: 1000, nanoseconds: 7 };

    fn validators(modified: Option<u64>, changed: Option<u64>) -> Validators {
        let at = |seconds| Timestamp { seconds, nanoseconds: 999_999_999 };
        let metadata =
            Metadata { size: 1, hash: (0xab, 0xcd), modified: modified.map(at), changed: changed.map(at) };
        Validators::of(&metadata, None, NOW)
    }

    #[test]
    fn a_date_is_given_when_its_second_is_over_and_is_strong_if_nothing_changed_since() {
        for (modified, changed, expected) in [
            (Some(990), Some(990), (Some(990), true)),
            (Some(990), Some(989), (Some(990), true)),
            (Some(990), Some(991), (Some(990), false)),
            (Some(999), Some(999), (Some(999), true)),
            (Some(1000), Some(1000), (None, false)),
            (Some(1001), Some(1000), (None, false)),
            (Some(990), None, (Some(990), false)),
            (None, Some(990), (None, false)),
        ] {
            let validators = validators(modified, changed);
            assert_eq!(
                (validators.modified, validators.is_date_strong),
                expected,
                "{modified:?} {changed:?}"
            );
        }
    }

    #[test]
    fn the_tags_of_a_file_and_of_its_codings_differ() {
        let metadata = Metadata { size: 1, hash: (0xab, 0xcd), modified: None, changed: None };
        assert_eq!(Validators::of(&metadata, None, NOW).etag, "\"00000000000000ab00000000000000cd\"");
        assert_eq!(
            Validators::of(&metadata, Some("br"), NOW).etag,
            "\"00000000000000ab00000000000000cd-br\""
        );
    }
}
