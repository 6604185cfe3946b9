//! The explanation of a request's route: every pattern that fits the request's path, and the decision of each of its
//! routes.
//!
//! Owns the wording and the JSON form. It decides nothing: the order, the decisions and the outcome are those of
//! `routes`, over the same code that serves requests.

use std::fmt;
use std::ops::ControlFlow;

use http::{HeaderMap, HeaderValue, Method};
use serde::Serialize;
use utoipa::ToSchema;

use super::host_pattern::HostName;
use super::path::RequestPath;
use super::routes::{
    Decision, Group, HeaderFit, HostAnswer, MatchInput, RouteMatch, Routes, Rule, shared_filters,
};

/// The decision of one tenant's routes on one request, step by step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Explanation {
    /// The path as sent.
    pub path: String,
    /// The patterns that fit the path, most specific first.
    pub patterns: Vec<ExplainedPattern>,
    /// The target of the request, or the host's own answer.
    pub outcome: ExplainedOutcome,
}

/// One pattern that fits the path, and its routes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct ExplainedPattern {
    /// The pattern, as its first route writes it: routes may call its captures differently.
    pub pattern: String,
    /// The part that the pattern had in the decision.
    pub standing: Standing,
    /// The pattern's routes, those with most headers first.
    pub routes: Vec<ExplainedRoute>,
}

/// The part of a pattern that fits the path in the decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// No route of the pattern has hosts and headers that fit: the next pattern was asked.
    Passed,
    /// The pattern decided.
    Decided,
    /// The pattern was not asked, for a more specific one had decided.
    NotAsked,
}

/// One route of a pattern that fits the path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct ExplainedRoute {
    /// The pattern as this route writes it.
    pub pattern: String,
    /// The name of the target that the route runs.
    pub target: String,
    /// The route takes the request.
    pub won: bool,
    /// The parts of the request that the route does not fit. A route that has no misfits and has not won stood behind
    /// a route with more headers, a route that takes HEAD itself, or a more specific pattern.
    pub misfits: Vec<Misfit>,
}

/// A part of a request that a route does not fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(tag = "misfit", rename_all = "kebab-case")]
pub enum Misfit {
    /// The host is none of the route's.
    Host {
        /// The route's hosts.
        takes: Vec<String>,
    },
    /// The header was not sent.
    HeaderMissing {
        /// The header.
        name: String,
        /// The value that the route asks for.
        takes: String,
    },
    /// The header has another value.
    HeaderDiffers {
        /// The header.
        name: String,
        /// The value that the route asks for.
        takes: String,
    },
    /// The header has several lines, which are never exactly one value.
    HeaderRepeated {
        /// The header.
        name: String,
        /// The value that the route asks for.
        takes: String,
    },
    /// The method is none of the route's.
    Method {
        /// The route's methods.
        takes: Vec<String>,
    },
}

/// The outcome of a request: a route, or an answer of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum ExplainedOutcome {
    /// A route takes the request.
    Found {
        /// The name of the target that runs.
        target: String,
        /// The winning route's pattern.
        pattern: String,
        /// The method as the plugin sees it.
        method: String,
        /// The captures of the path.
        captures: Vec<ExplainedCapture>,
    },
    /// The host answers 405.
    MethodNotAllowed {
        /// The `Allow` of the answer.
        allow: String,
        /// The filters that see the answer.
        filters: Vec<String>,
    },
    /// The host answers 204.
    Options {
        /// The `Allow` of the answer.
        allow: String,
        /// The filters that see the answer.
        filters: Vec<String>,
    },
    /// The host answers 404.
    NotFound,
}

/// One capture and its part of the path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct ExplainedCapture {
    /// The capture's name in the pattern.
    pub name: String,
    /// The capture's part of the path, decoded.
    pub value: String,
}

impl<T> Routes<T> {
    /// Explains the outcome of [`find`](Self::find), with each target's name and filters as the caller gives them.
    pub fn explain(
        &self,
        host: &str,
        path: &RequestPath<'_>,
        method: &Method,
        headers: &HeaderMap,
        (name, filters): (impl Fn(&T) -> String, impl Fn(&T) -> Vec<String>),
    ) -> Explanation {
        let asked = MatchInput { host: HostName::of(host), path, method, headers };
        let mut patterns = Vec::new();
        let mut outcome = None;
        // Unlike `find`, the walk goes on after a decision, to show the patterns that stand behind it.
        let _: ControlFlow<()> = self.each_fitting(path, |group| {
            let decision = if outcome.is_none() { Some(group.decide(&asked)) } else { None };
            patterns.push(explain_pattern(group, decision.as_ref(), &asked, &name));
            if let Some(decision) = decision {
                outcome = group.outcome(&decision, &asked);
            }
            ControlFlow::Continue(())
        });
        let outcome = explain_outcome(outcome.unwrap_or(RouteMatch::NotFound), name, filters);
        Explanation { path: path.raw().into(), patterns, outcome }
    }
}

fn explain_pattern<T>(
    group: &Group<T>,
    decision: Option<&Decision<'_, T>>,
    asked: &MatchInput<'_>,
    name: impl Fn(&T) -> String,
) -> ExplainedPattern {
    let standing = match decision {
        None => Standing::NotAsked,
        Some(Decision::Passes) => Standing::Passed,
        Some(_) => Standing::Decided,
    };
    let winner = match decision {
        Some(Decision::Takes(rule) | Decision::TakesAsGet(rule)) => Some(*rule),
        _ => None,
    };
    let routes: Vec<_> = group
        .rules()
        .iter()
        .map(|rule| ExplainedRoute {
            pattern: rule.pattern.to_string(),
            target: name(&rule.target),
            won: winner.is_some_and(|winner| std::ptr::eq(winner, rule)),
            misfits: misfits(rule, asked),
        })
        .collect();
    let pattern = routes.first().map(|route| route.pattern.clone()).unwrap_or_default();
    ExplainedPattern { pattern, standing, routes }
}

fn misfits<T>(rule: &Rule<T>, asked: &MatchInput<'_>) -> Vec<Misfit> {
    let mut misfits = Vec::new();
    if !rule.host_fits(asked) {
        misfits.push(Misfit::Host { takes: rule.hosts.iter().map(ToString::to_string).collect() });
    }
    for (header, value) in &rule.headers {
        let (name, takes) = (header.to_string(), text_of(value));
        match HeaderFit::of(header, value, asked) {
            HeaderFit::Fits => {}
            HeaderFit::Missing => misfits.push(Misfit::HeaderMissing { name, takes }),
            HeaderFit::Differs => misfits.push(Misfit::HeaderDiffers { name, takes }),
            HeaderFit::Repeated => misfits.push(Misfit::HeaderRepeated { name, takes }),
        }
    }
    if !rule.takes(asked.method) && !rule.takes_as_get(asked.method) {
        let takes = rule.methods.iter().flatten().map(ToString::to_string).collect();
        misfits.push(Misfit::Method { takes });
    }
    misfits
}

fn explain_outcome<T>(
    outcome: RouteMatch<'_, T>,
    name: impl Fn(&T) -> String,
    filters: impl Fn(&T) -> Vec<String>,
) -> ExplainedOutcome {
    let by_host = |answer: HostAnswer<'_, T>| {
        let lists: Vec<_> = answer.targets.into_iter().map(&filters).collect();
        let shared = shared_filters(lists.iter().map(Vec::as_slice), |one, other| one == other);
        (text_of(&answer.allow), shared.to_vec())
    };
    match outcome {
        RouteMatch::Found { target, pattern, captures, method } => ExplainedOutcome::Found {
            target: name(target),
            pattern: pattern.to_string(),
            method: method.to_string(),
            captures: captures
                .iter()
                .map(|(name, value)| ExplainedCapture { name: name.into(), value: value.into() })
                .collect(),
        },
        RouteMatch::MethodNotAllowed(answer) => {
            let (allow, filters) = by_host(answer);
            ExplainedOutcome::MethodNotAllowed { allow, filters }
        }
        RouteMatch::Options(answer) => {
            let (allow, filters) = by_host(answer);
            ExplainedOutcome::Options { allow, filters }
        }
        RouteMatch::NotFound => ExplainedOutcome::NotFound,
    }
}

fn text_of(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

// Texts that a caller or a file may fill with control characters are printed with `{:?}`: this output goes to
// terminals.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.patterns.is_empty() {
            writeln!(f, "no pattern fits the path {:?}", self.path)?;
        } else {
            writeln!(f, "patterns that fit the path {:?}, most specific first:", self.path)?;
        }
        for pattern in &self.patterns {
            write!(f, "{pattern}")?;
        }
        write!(f, "{}", self.outcome)
    }
}

impl fmt::Display for ExplainedPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let standing = match self.standing {
            Standing::Passed => "no route's hosts and headers fit, the next pattern is asked",
            Standing::Decided => "decides",
            Standing::NotAsked => "not asked, a more specific pattern has decided",
        };
        writeln!(f, "  {}: {standing}", self.pattern)?;
        for route in &self.routes {
            write!(f, "    {}", route.target)?;
            if route.pattern != self.pattern {
                write!(f, " (as {})", route.pattern)?;
            }
            match (route.won, self.standing, route.misfits.as_slice()) {
                (true, ..) => writeln!(f, ": takes it")?,
                (false, Standing::NotAsked, []) => writeln!(f, ": would fit")?,
                (false, _, []) => writeln!(f, ": fits, but the route that takes it comes first")?,
                (false, _, misfits) => {
                    let reasons: Vec<_> = misfits.iter().map(ToString::to_string).collect();
                    writeln!(f, ": {}", reasons.join("; "))?;
                }
            }
        }
        Ok(())
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host { takes } => write!(f, "only for host {}", takes.join(", ")),
            Self::HeaderMissing { name, takes } => write!(f, "header {name} is not sent, must be {takes:?}"),
            Self::HeaderDiffers { name, takes } => write!(f, "header {name} differs, must be {takes:?}"),
            Self::HeaderRepeated { name, takes } => {
                write!(f, "header {name} is sent more than once, must be {takes:?} once")
            }
            Self::Method { takes } => write!(f, "only for method {}", takes.join(", ")),
        }
    }
}

impl fmt::Display for ExplainedOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Found { target, pattern, method, captures } => {
                write!(f, "{target} runs, by {pattern}; it sees {method}")?;
                for (index, ExplainedCapture { name, value }) in captures.iter().enumerate() {
                    let before = if index == 0 { ", with " } else { ", " };
                    write!(f, "{before}{name} = {value:?}")?;
                }
                writeln!(f)
            }
            Self::MethodNotAllowed { allow, filters } => {
                writeln!(f, "405, Allow: {allow}{}", heard_by(filters))
            }
            Self::Options { allow, filters } => {
                writeln!(f, "204 by the host itself, Allow: {allow}{}", heard_by(filters))
            }
            Self::NotFound => writeln!(f, "404"),
        }
    }
}

fn heard_by(filters: &[String]) -> String {
    if filters.is_empty() { String::new() } else { format!("; through {}", filters.join(" → ")) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::routes::tests::{Request, request, request_line, rule, rules};
    use super::*;

    fn explain(routes: &Routes<String>, request: &Request) -> Explanation {
        let path = RequestPath::parse(&request.path).expect("a good path");
        routes.explain(
            &request.host,
            &path,
            &request.method,
            &request.headers,
            (Clone::clone, |target| filters(target)),
        )
    }

    /// The filters of a target, which is its own filter here.
    fn filters(target: &str) -> Vec<String> {
        vec![target.to_owned()]
    }

    fn text(lines: &[&str], asked: &str) -> String {
        explain(&Routes::new(lines.iter().map(|line| rule(line)).collect()), &request(asked)).to_string()
    }

    #[test]
    fn every_pattern_that_fits_is_told_with_what_each_route_makes_of_the_request() {
        let rules = [
            "new: POST /books/new x-beta=1",
            "read: GET /books/{id}",
            "beta: GET /books/{id} x-beta=2",
            "change: PATCH /books/{isbn}",
            "inner: /books/{id} @in.example x-user=me",
            "all: /{*rest}",
        ];
        assert_eq!(
            text(&rules, "GET /books/new x-beta=2"),
            "\
patterns that fit the path \"/books/new\", most specific first:
  /books/new: no route's hosts and headers fit, the next pattern is asked
    new: header x-beta differs, must be \"1\"; only for method POST
  /books/{id}: decides
    beta: takes it
    inner: only for host in.example; header x-user is not sent, must be \"me\"
    read: fits, but the route that takes it comes first
    change (as /books/{isbn}): only for method PATCH
  /{*rest}: not asked, a more specific pattern has decided
    all: would fit
beta runs, by /books/{id}; it sees GET, with id = \"new\"
"
        );
    }

    #[test]
    fn each_outcome_is_told() {
        let rules = [
            "read: GET /books/{id}/{page}",
            "add: POST /books",
            "beta: /beta x-beta=1",
            "one: GET /both",
            "two: POST /both",
        ];
        for (asked, last) in [
            (
                "HEAD /books/7/a%0Ab",
                "read runs, by /books/{id}/{page}; it sees GET, with id = \"7\", page = \"a\\nb\"",
            ),
            ("PUT /books", "405, Allow: OPTIONS, POST; through add"),
            ("OPTIONS /books", "204 by the host itself, Allow: OPTIONS, POST; through add"),
            ("PUT /both", "405, Allow: GET, HEAD, OPTIONS, POST"),
            (
                "OPTIONS /both access-control-request-method=POST",
                "204 by the host itself, Allow: GET, HEAD, OPTIONS, POST; through two",
            ),
            ("GET /beta", "404"),
            ("GET /beta x-beta=1 x-beta=1", "404"),
            ("GET /", "404"),
        ] {
            let text = text(&rules, asked);
            assert_eq!(text.lines().last(), Some(last), "{text}");
        }
        assert!(text(&rules, "GET /").starts_with("no pattern fits the path \"/\"\n"));
        assert!(text(&rules, "GET /beta x-beta=1 x-beta=1").contains("sent more than once"));
    }

    #[test]
    fn programs_read_it_as_json() {
        let routes = Routes::new(vec![rule("read: GET /books/{id} x-beta=1"), rule("add: POST /books/{id}")]);
        let explanation = explain(&routes, &request("GET /books/7 x-beta=1"));
        assert_eq!(
            serde_json::to_value(explanation).expect("plain data"),
            serde_json::json!({
                "path": "/books/7",
                "patterns": [{
                    "pattern": "/books/{id}",
                    "standing": "decided",
                    "routes": [
                        { "pattern": "/books/{id}", "target": "read", "won": true, "misfits": [] },
                        {
                            "pattern": "/books/{id}", "target": "add", "won": false,
                            "misfits": [{ "misfit": "method", "takes": ["POST"] }],
                        },
                    ],
                }],
                "outcome": {
                    "outcome": "found", "target": "read", "pattern": "/books/{id}", "method": "GET",
                    "captures": [{ "name": "id", "value": "7" }],
                },
            })
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn what_is_explained_is_what_happens(rules in rules(), line in request_line()) {
            let routes = Routes::new(rules);
            let request = request(&line);
            let path = RequestPath::parse(&request.path).expect("a good path");
            let outcome = routes.find(&request.host, &path, &request.method, &request.headers);
            let explanation = explain(&routes, &request);

            prop_assert_eq!(&explain_outcome(outcome, Clone::clone, |target| filters(target)), &explanation.outcome);
            let told: Vec<_> = explanation.patterns.iter().map(|pattern| pattern.standing).collect();
            let decided = told.iter().position(|standing| *standing == Standing::Decided);
            prop_assert_eq!(decided.is_some(), explanation.outcome != ExplainedOutcome::NotFound);
            for (index, standing) in told.iter().enumerate() {
                let expected = match decided {
                    Some(decided) if index > decided => Standing::NotAsked,
                    Some(decided) if index == decided => Standing::Decided,
                    _ => Standing::Passed,
                };
                prop_assert_eq!(*standing, expected);
            }
            let asked = explanation.patterns.iter().filter(|pattern| pattern.standing != Standing::NotAsked);
            let asked: Vec<_> = asked.flat_map(|pattern| &pattern.routes).collect();
            let all = explanation.patterns.iter().flat_map(|pattern| &pattern.routes);
            let winners: Vec<_> = all.filter(|route| route.won).collect();
            match &explanation.outcome {
                ExplainedOutcome::Found { target, pattern, .. } => {
                    prop_assert_eq!(winners.len(), 1);
                    prop_assert_eq!((&winners[0].target, &winners[0].pattern), (target, pattern));
                    prop_assert!(winners[0].misfits.is_empty());
                }
                // No route won, so no pattern that was asked fits in everything.
                _ => {
                    prop_assert!(winners.is_empty());
                    prop_assert!(asked.iter().all(|route| !route.misfits.is_empty()));
                }
            }
        }
    }
}
