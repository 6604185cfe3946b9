//! Range requests (RFC 9110 §14): which bytes of a file are sent.

use alloc::string::String;
use alloc::vec::Vec;

use crate::request::{Fields, Method, Request};

/// More ranges than this in one request are no player's or reader's (RFC 9110 §14.2): the whole file is sent.
const MAX_RANGES: usize = 16;

/// Bytes of a file: from `first` to `last`, both of them included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ByteRange {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl ByteRange {
    /// How many bytes they are.
    pub(crate) fn length(self) -> u64 {
        (self.last - self.first).saturating_add(1)
    }

    /// As `Content-Range` says it (RFC 9110 §14.4).
    pub(crate) fn content_range(self, size: u64) -> String {
        format!("bytes {}-{}/{size}", self.first, self.last)
    }
}

/// What a request's `Range` comes to.
#[derive(Debug, PartialEq)]
pub(crate) enum Selection {
    /// All of it: nothing else was asked for, or not in a way that is to be heeded.
    Whole,
    /// These, in the order in which they were asked for: one at least.
    Ranges(Vec<ByteRange>),
    /// 416: none of what was asked for is there.
    Unsatisfiable,
}

/// The bytes that `request` asks for of a file of `size` bytes. An empty file has no ranges: some callers ask
/// for one of whatever they fetch, and are sent nothing rather than a 416.
pub(crate) fn select(request: &Request, size: u64) -> Selection {
    // RFC 9110 §14.2: defined for GET alone.
    if request.method != Method::Get || size == 0 {
        return Selection::Whole;
    }
    let Some(specs) = specs(&request.fields) else { return Selection::Whole };
    let ranges: Vec<_> = specs.iter().filter_map(|spec| spec.within(size)).collect();
    if ranges.is_empty() {
        Selection::Unsatisfiable
    } else if specs.len() > MAX_RANGES || overlap(&ranges) {
        Selection::Whole
    } else {
        Selection::Ranges(ranges)
    }
}

/// One range as it is asked for.
enum Spec {
    From { first: u64, last: u64 },
    Suffix { length: u64 },
}

impl Spec {
    /// RFC 9110 §14.1.2: the bytes of it that are there; none if it cannot be satisfied.
    fn within(&self, size: u64) -> Option<ByteRange> {
        let end = size.checked_sub(1)?;
        match *self {
            Self::From { first, last } => (first <= end).then_some(ByteRange { first, last: last.min(end) }),
            Self::Suffix { length: 0 } => None,
            Self::Suffix { length } => Some(ByteRange { first: size.saturating_sub(length), last: end }),
        }
    }
}

/// The ranges of the `Range` field; none if there is none, or it is not to be heeded: of another unit, or not
/// well-formed (RFC 9110 §14.2).
fn specs(fields: &Fields) -> Option<Vec<Spec>> {
    let value = core::str::from_utf8(fields.only("range")?).ok()?;
    let (unit, set) = value.split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let members =
        set.split(',').map(|member| member.trim_matches([' ', '\t'])).filter(|member| !member.is_empty());
    let specs: Option<Vec<_>> = members.map(spec).collect();
    specs.filter(|specs| !specs.is_empty())
}

fn spec(member: &str) -> Option<Spec> {
    let (first, last) = member.split_once('-')?;
    match (first, last) {
        ("", length) => Some(Spec::Suffix { length: number(length)? }),
        (first, "") => Some(Spec::From { first: number(first)?, last: u64::MAX }),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Spec::From { first, last })
        }
    }
}

/// A number of digits alone; one that is too large to be a place in a file is larger than all that are.
fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

fn overlap(ranges: &[ByteRange]) -> bool {
    let mut sorted = ranges.to_vec();
    sorted.sort_unstable_by_key(|range| range.first);
    sorted.windows(2).any(|pair| matches!(pair, [one, next] if next.first <= one.last))
}

#[cfg(test)]
mod tests {
    use super::Selection::{Ranges, Unsatisfiable, Whole};
    use super::*;

    fn selection(method: Method, size: u64, values: &[&str]) -> Selection {
        let fields = values.iter().map(|value| ("range".to_owned(), value.as_bytes().to_vec())).collect();
        select(&Request::new(method, "/", fields), size)
    }

    fn ranges<const N: usize>(ranges: [(u64, u64); N]) -> Selection {
        Ranges(ranges.into_iter().map(|(first, last)| ByteRange { first, last }).collect())
    }

    #[test]
    fn what_is_asked_for_is_what_is_sent() {
        let far = format!("bytes=0-{}", "9".repeat(40));
        let beyond = format!("bytes={}-", "9".repeat(40));
        for (clause, value, expected) in [
            ("14.1.2", "bytes=0-499", ranges([(0, 499)])),
            ("14.1.2", "bytes=500-999", ranges([(500, 999)])),
            ("14.1.2: the last byte", "bytes=999-999", ranges([(999, 999)])),
            ("14.1.2: the last 500", "bytes=-500", ranges([(500, 999)])),
            ("14.1.2: open-ended", "bytes=500-", ranges([(500, 999)])),
            ("14.1.2: past the end", "bytes=500-5000", ranges([(500, 999)])),
            ("14.1.2: past any end", &far, ranges([(0, 999)])),
            ("14.1.2: a longer suffix is all", "bytes=-5000", ranges([(0, 999)])),
            ("14.1.2: begins past the end", "bytes=1000-", Unsatisfiable),
            ("14.1.2: begins past any end", &beyond, Unsatisfiable),
            ("14.1.2: no bytes", "bytes=-0", Unsatisfiable),
            ("14.1.2", "bytes=1000-1001,-0", Unsatisfiable),
            ("14.1.1: last before first", "bytes=500-499", Whole),
            ("14.1.1: one wrong, all wrong", "bytes=0-1,9-8", Whole),
            ("14.1.1", "bytes=", Whole),
            ("14.1.1", "bytes=-", Whole),
            ("14.1.1", "bytes=a-b", Whole),
            ("14.1.1", "bytes=+1-2", Whole),
            ("14.1.1", "bytes=1-2-3", Whole),
            ("14.1.1", "bytes= 1 - 2", Whole),
            ("14.1.1", "bytes", Whole),
            ("14.1.1: units have no case", "Bytes=0-0", ranges([(0, 0)])),
            ("14.2: another unit", "pages=1-2", Whole),
            ("14.1.2: several", "bytes=0-0,-1", ranges([(0, 0), (999, 999)])),
            ("15.3.7.2: in the order asked for", "bytes=500-600, 0-9", ranges([(500, 600), (0, 9)])),
            ("5.6.1: empty members", "bytes=,0-0 ,\t, 2-2,", ranges([(0, 0), (2, 2)])),
            ("14.2: those that are there", "bytes=0-0,5000-", ranges([(0, 0)])),
            ("14.2: adjacent ones", "bytes=0-1,2-3", ranges([(0, 1), (2, 3)])),
            ("14.2: overlapping ones", "bytes=0-5,5-9", Whole),
            ("14.2: overlapping ones", "bytes=900-,-1", Whole),
            ("14.2: overlapping ones", "bytes=0-,0-,0-,0-", Whole),
        ] {
            assert_eq!(selection(Method::Get, 1000, &[value]), expected, "§{clause}: {value}");
        }
    }

    #[test]
    fn a_range_is_heeded_only_where_there_can_be_one() {
        assert_eq!(selection(Method::Head, 1000, &["bytes=0-0"]), Whole, "§14.2: only GET has ranges");
        assert_eq!(selection(Method::Get, 1000, &[]), Whole);
        assert_eq!(selection(Method::Get, 1000, &["bytes=0-0", "bytes=2-2"]), Whole, "§5.3: no list field");
        assert_eq!(selection(Method::Get, 0, &["bytes=0-"]), Whole, "an empty file");
        assert_eq!(selection(Method::Get, u64::MAX, &["bytes=-1"]), ranges([(u64::MAX - 1, u64::MAX - 1)]));
    }

    #[test]
    fn so_many_ranges_are_sent_and_one_more_is_the_whole() {
        let bytes = |count: u32| {
            let members: Vec<_> = (0..count).map(|number| format!("{0}-{0}", number * 2)).collect();
            format!("bytes={}", members.join(","))
        };
        assert!(matches!(selection(Method::Get, 1000, &[&bytes(16)]), Ranges(ranges) if ranges.len() == 16));
        assert_eq!(selection(Method::Get, 1000, &[&bytes(17)]), Whole, "§14.2");
        assert_eq!(selection(Method::Get, 1000, &[&bytes(400)]), Whole, "§14.2");
    }

    #[test]
    fn a_range_says_its_place() {
        let range = ByteRange { first: 42, last: 1233 };
        assert_eq!(range.content_range(1234), "bytes 42-1233/1234", "§14.4");
        assert_eq!(range.length(), 1192);
        assert_eq!(ByteRange { first: 0, last: u64::MAX }.length(), u64::MAX);
    }
}
