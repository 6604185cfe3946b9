//! What a caller can take: content codings (RFC 9110 §12.5.3) and pages (§12.5.1).

use alloc::vec::Vec;

use crate::request::{Fields, Request};

/// A content coding in which a file may lie beside itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Brotli,
    Zstandard,
    Gzip,
}

impl Coding {
    /// The coding of files with this extension.
    pub(crate) fn of_extension(extension: &str) -> Option<Self> {
        [Self::Brotli, Self::Zstandard, Self::Gzip].into_iter().find(|coding| coding.extension() == extension)
    }

    /// As files have it.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstandard => "zst",
            Self::Gzip => "gz",
        }
    }

    /// As HTTP has it (RFC 9110 §8.4.1, RFC 7932, RFC 8878).
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstandard => "zstd",
            Self::Gzip => "gzip",
        }
    }

    fn is_called(self, name: &str) -> bool {
        // RFC 9110 §8.4.1.3: `x-gzip` is `gzip`.
        name.eq_ignore_ascii_case(self.name()) || (self == Self::Gzip && name.eq_ignore_ascii_case("x-gzip"))
    }
}

/// What a caller takes of a file that may lie there in codings.
#[derive(Debug, PartialEq)]
pub(crate) struct Acceptable {
    /// Codings to be used rather than none, the most wanted first.
    pub(crate) codings: Vec<Coding>,
    /// The file itself may be sent.
    pub(crate) identity: bool,
}

/// What the caller takes of a file that may lie there in `offered` codings, of which the first is to be preferred
/// where the caller does not care. Without an `Accept-Encoding`, the file itself.
pub(crate) fn acceptable(fields: &Fields, offered: &[Coding]) -> Acceptable {
    let Some(members) = fields.list("accept-encoding") else {
        return Acceptable { codings: Vec::new(), identity: true };
    };
    let weighted: Vec<_> = members.filter_map(weighted).collect();
    let weight_of = |is_named: &dyn Fn(&str) -> bool| {
        weighted.iter().find(|(name, _)| is_named(name)).map(|(_, weight)| *weight)
    };
    let others = weight_of(&|name| name == "*");
    let stated = weight_of(&|name| name.eq_ignore_ascii_case("identity"));
    // What the caller likes less than the file itself is no better than that.
    let least = stated.unwrap_or(0).max(1);
    let weight = |coding: Coding| weight_of(&|name| coding.is_called(name)).or(others).unwrap_or(0);
    let mut wanted: Vec<_> = offered.iter().map(|coding| (*coding, weight(*coding))).collect();
    wanted.retain(|(_, weight)| *weight >= least);
    // Stable: what is equally wanted stays in the order of the offer.
    wanted.sort_by_key(|(_, weight)| core::cmp::Reverse(*weight));
    Acceptable {
        codings: wanted.into_iter().map(|(coding, _)| coding).collect(),
        // RFC 9110 §12.5.3: always, unless it or all that is not named is refused.
        identity: stated.or(others) != Some(0),
    }
}

/// True if the caller takes HTML: the most precise of its ranges that fits has a weight (RFC 9110 §12.5.1).
pub(crate) fn accepts_html(request: &Request) -> bool {
    let Some(members) = request.fields.list("accept") else { return true };
    let precision = |range: &str| {
        ["*/*", "text/*", "text/html"].iter().position(|known| range.eq_ignore_ascii_case(known))
    };
    let ranges = members.filter_map(weighted).filter_map(|(range, weight)| Some((precision(range)?, weight)));
    ranges.max_by_key(|(precision, _)| *precision).is_some_and(|(_, weight)| weight > 0)
}

/// A member of a list with its weight in thousandths (RFC 9110 §12.4.2); none if the weight is not one.
fn weighted(member: &str) -> Option<(&str, u16)> {
    let mut parts = member.split(';').map(str::trim);
    let name = parts.next()?;
    for part in parts {
        let Some((key, value)) = part.split_once('=') else { continue };
        if key.eq_ignore_ascii_case("q") {
            return Some((name, thousandths(value)?));
        }
    }
    Some((name, 1000))
}

/// `0`, `0.5`, `1.000`: at most three digits behind the point, and at most 1.
fn thousandths(value: &str) -> Option<u16> {
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    let is_number = fraction.len() <= 3 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number || !matches!(whole, "0" | "1") {
        return None;
    }
    let weight = format!("{whole}{fraction:0<3}").parse().ok()?;
    (weight <= 1000).then_some(weight)
}

#[cfg(test)]
mod tests {
    use super::Coding::{Brotli, Gzip, Zstandard};
    use super::*;
    use crate::request::Method;

    const ALL: &[Coding] = &[Brotli, Zstandard, Gzip];

    fn fields(name: &str, values: &[&str]) -> Fields {
        Fields(values.iter().map(|value| (name.to_owned(), value.as_bytes().to_vec())).collect())
    }

    #[test]
    fn the_coding_that_the_caller_likes_best_is_looked_for_first() {
        for (values, codings, identity) in [
            (&[][..], &[][..], true),
            (&[""], &[], true),
            (&["gzip"], &[Gzip], true),
            (&["gzip, deflate, br, zstd"], &[Brotli, Zstandard, Gzip], true),
            (&["gzip", "br"], &[Brotli, Gzip], true),
            (&["GZIP"], &[Gzip], true),
            (&["x-gzip"], &[Gzip], true),
            (&["gzip;q=1.0, br;q=0.5"], &[Gzip, Brotli], true),
            (&["gzip;q=0.001"], &[Gzip], true),
            (&["gzip;q=0"], &[], true),
            (&["gzip;q=0.000, br ; q=0.5"], &[Brotli], true),
            (&["gzip;Q=0"], &[], true),
            (&["gzip;q=2, br;q=x, zstd;q=0.1234"], &[], true),
            (&["*"], &[Brotli, Zstandard, Gzip], true),
            (&["*;q=0.5, gzip"], &[Gzip, Brotli, Zstandard], true),
            (&["*, br;q=0"], &[Zstandard, Gzip], true),
            (&["*;q=0"], &[], false),
            (&["*;q=0, identity"], &[], true),
            (&["gzip, *;q=0"], &[Gzip], false),
            (&["gzip, identity;q=0"], &[Gzip], false),
            (&["identity;q=0"], &[], false),
            (&["identity"], &[], true),
            (&["deflate, snappy"], &[], true),
            (&["gzip, identity"], &[Gzip], true),
        ] {
            let acceptable = acceptable(&fields("accept-encoding", values), ALL);
            let expected = Acceptable { codings: codings.to_vec(), identity };
            assert_eq!(acceptable, expected, "§12.5.3: {values:?}");
        }
    }

    #[test]
    fn a_caller_may_like_the_file_itself_better() {
        let got = acceptable(&fields("accept-encoding", &["gzip;q=0.5, identity, br;q=1"]), ALL);
        assert_eq!(got, Acceptable { codings: vec![Brotli], identity: true });
    }

    #[test]
    fn only_what_is_offered_is_looked_for_and_in_the_order_of_the_offer() {
        let all = fields("accept-encoding", &["br, zstd, gzip"]);
        assert_eq!(acceptable(&all, &[]).codings, []);
        assert_eq!(acceptable(&all, &[Gzip, Brotli]).codings, [Gzip, Brotli]);
    }

    #[test]
    fn a_page_is_given_to_those_who_take_html() {
        for (values, expected) in [
            (&[][..], true),
            (&["text/html,application/xhtml+xml,*/*;q=0.8"], true),
            (&["*/*"], true),
            (&["text/*"], true),
            (&["TEXT/HTML"], true),
            (&["text/html;level=1"], true),
            (&["application/json", "text/html;q=0.1"], true),
            (&["application/json"], false),
            (&["image/avif,image/webp"], false),
            (&["text/html;q=0, */*"], false),
            (&["text/*;q=0, */*"], false),
            (&["*/*;q=0, text/html"], true),
            (&[""], false),
        ] {
            let fields = fields("accept", values).0;
            assert_eq!(
                accepts_html(&Request::new(Method::Get, "/", fields)),
                expected,
                "§12.5.1: {values:?}"
            );
        }
    }
}
