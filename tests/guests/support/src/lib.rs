//! Reading a query, as every test guest needs it, and the document that the benchmark's servers make.
//!
//! Owns percent-decoding and that document: shapes of requests and answers come from each guest's own
//! bindings.

mod catalogue;

pub use catalogue::Catalogue;

/// The `name=value` pairs of a query, in order, percent-decoded. `+` is a plus: the tests write `%20`.
#[derive(Debug)]
pub struct Query(Vec<(String, Vec<u8>)>);

impl Query {
    /// Read a query as sent; none and the empty one have no pairs.
    pub fn parse(query: Option<&str>) -> Self {
        let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(name, value)| (name.to_owned(), percent_decode(value)))
                .collect(),
        )
    }

    /// The first value of `name`, as bytes; empty if there is none.
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone()).unwrap_or_default()
    }

    /// The first value of `name`, as text; none if the query has no such name.
    pub fn text(&self, name: &str) -> Option<String> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    }

    /// The first value of `name` as a number, or `default` if there is none or it is not one.
    pub fn number<N: std::str::FromStr>(&self, name: &str, default: N) -> N {
        self.text(name).and_then(|text| text.parse().ok()).unwrap_or(default)
    }
}

/// Turn `%41` into `A`. A `%` that is not followed by two hexadecimal digits stays.
fn percent_decode(text: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let byte = digits.filter(|_| first == b'%').and_then(|two| u8::from_str_radix(two, 16).ok());
        decoded.push(byte.unwrap_or(first));
        rest = if byte.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_in_order_and_decoded() {
        let query = Query::parse(Some("name=x%2Dy&value=a%0D%0Ab%FF&n=7&flag&name=second"));
        assert_eq!(query.text("name").as_deref(), Some("x-y"));
        assert_eq!(query.bytes("value"), b"a\r\nb\xff");
        assert_eq!(query.number("n", 1u32), 7);
        assert_eq!(query.number("m", 1u32), 1);
        assert_eq!(query.text("flag").as_deref(), Some(""));
        assert_eq!(query.text("none"), None);
        assert_eq!(Query::parse(Some("a=%4&b=%zz&c=%")).bytes("b"), b"%zz");
    }
}
