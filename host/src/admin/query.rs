//! The query of a request: parameters by name, none that is not asked for.

use axum::extract::FromRequestParts;
use form_urlencoded::parse;
use http::request::Parts;

use super::problem::Problem;
use crate::deploy::PageRequest;

/// The most items on a page.
const MOST_ON_A_PAGE: usize = 1000;

/// The longest `after`, which a host has made.
const MAX_AFTER_BYTES: usize = 200;

/// The parameters of a query, in their order.
pub(super) struct Query(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        Ok(Self(parse(query.as_bytes()).into_owned().collect()))
    }
}

impl Query {
    /// Refuses parameters that are not among these.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Problem> {
        match self.0.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some((name, _)) if known.is_empty() => {
                Err(Problem::malformed(format!("there is no parameter `{name}`, nor any other")))
            }
            Some((name, _)) => Err(Problem::malformed(format!(
                "there is no parameter `{name}`: those here are {}",
                known.join(", ")
            ))),
        }
    }

    /// The value of a parameter that may be there once.
    pub(super) fn one<'a>(&'a self, name: &'a str) -> Result<Option<&'a str>, Problem> {
        let mut values = self.all(name);
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(Problem::malformed(format!("the parameter `{name}` is there twice"))),
            (value, None) => Ok(value),
        }
    }

    /// The value of a parameter that must be there once.
    pub(super) fn required<'a>(&'a self, name: &'a str) -> Result<&'a str, Problem> {
        self.one(name)?.ok_or_else(|| Problem::malformed(format!("the parameter `{name}` is missing")))
    }

    /// The values of a parameter.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The page that is asked for, by a query that says nothing else.
    pub(super) fn page(&self) -> Result<PageRequest, Problem> {
        self.only(&["limit", "after"])?;
        let limit = self.one("limit")?.map(|limit| {
            let number = limit.parse().ok().filter(|number| (1..=MOST_ON_A_PAGE).contains(number));
            number.ok_or_else(|| {
                Problem::malformed(format!("`limit` is `{limit}`: write 1 to {MOST_ON_A_PAGE}"))
            })
        });
        let after = self.one("after")?.map(|after| {
            let is_made_here = (1..=MAX_AFTER_BYTES).contains(&after.len())
                && after.bytes().all(|byte| byte.is_ascii_graphic());
            let refused = || Problem::malformed("`after` is not the `next` of a page".to_owned());
            is_made_here.then(|| after.to_owned()).ok_or_else(refused)
        });
        Ok(PageRequest { after: after.transpose()?, limit: limit.transpose()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query(parse(text.as_bytes()).into_owned().collect())
    }

    #[test]
    fn a_page_is_asked_for_by_its_limit_and_what_it_comes_after() {
        let page = query("limit=1000&after=00017").page().unwrap();
        assert_eq!((page.limit, page.after.as_deref()), (Some(1000), Some("00017")));
        assert!(query("").page().is_ok_and(|page| page.limit.is_none() && page.after.is_none()));
        for wrong in [
            "limit=0",
            "limit=1001",
            "limit=x",
            "limit=",
            "limit=1&limit=2",
            "after=",
            "after=a%00b",
            "page=1",
        ] {
            assert!(query(wrong).page().is_err(), "{wrong}");
        }
    }
}
