//! The routes of one tenant: from a request to the route that takes it.
//!
//! A trie over segments, checked against a plain list. The crates for this give one match only, refuse `{id}` beside
//! `{*rest}`, and cannot explain themselves.
//!
//! Owns the order of routes: the most specific pattern, the route of it that wins, and the host's answer when no
//! route takes the method. The order in which routes are given never matters. The tenant is found by `hosts`;
//! `explain` explains a request's route, over this same code.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use super::host_pattern::{HostName, HostPattern};
use super::path::RequestPath;
use super::pattern::{RoutePattern, Segment};

/// One route: its conditions on a request, and its target.
#[derive(Debug, Clone)]
pub struct Rule<T> {
    /// The pattern that the path must fit.
    pub pattern: RoutePattern,
    /// The hosts, one of which must fit the request's; empty is every host.
    pub hosts: Vec<HostPattern>,
    /// The methods that the route takes; `None` is every method, OPTIONS too.
    pub methods: Option<Vec<Method>>,
    /// The headers: each must be sent exactly once, with exactly this value.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The target that runs.
    pub target: T,
}

/// The routes of one tenant.
#[derive(Debug, Clone)]
pub struct Routes<T> {
    root: Node<T>,
}

/// The outcome of a request: a route, or an answer of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteMatch<'a, T> {
    /// A route takes the request.
    Found {
        /// The target that runs.
        target: &'a T,
        /// The winning route's pattern.
        pattern: &'a RoutePattern,
        /// The captures of the path.
        captures: Captures,
        /// The method as the plugin sees it: GET for a HEAD that no route takes itself.
        method: Method,
    },
    /// The path has routes, but none for the method: 405.
    MethodNotAllowed(HostAnswer<'a, T>),
    /// OPTIONS that no route of the path takes: 204.
    Options(HostAnswer<'a, T>),
    /// No pattern fits the path with a route whose hosts and headers fit: 404.
    NotFound,
}

/// The host's own answer at a path that has routes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostAnswer<'a, T> {
    /// The methods that the path's routes take, HEAD with GET, and OPTIONS.
    pub allow: HeaderValue,
    /// The targets of the routes that the host answers for. These are the routes whose hosts and headers fit; for a
    /// preflight, only the route that takes the method that the preflight asks about. The filters that all of them
    /// begin with see the answer.
    pub targets: Vec<&'a T>,
    /// The routes' pattern.
    pub pattern: &'a RoutePattern,
    /// The captures of the path.
    pub captures: Captures,
}

/// The filters that all of these lists begin with.
pub fn shared_filters<'a, F>(
    lists: impl IntoIterator<Item = &'a [F]>,
    is_same: impl Fn(&F, &F) -> bool,
) -> &'a [F] {
    let mut lists = lists.into_iter();
    let Some(first) = lists.next() else { return &[] };
    lists.fold(first, |shared, list| {
        let length = shared.iter().zip(list).take_while(|(one, other)| is_same(one, other)).count();
        shared.get(..length).unwrap_or_default()
    })
}

/// The captures of one request: names as in the pattern, values decoded.
///
/// The value of a `{*name}` is its decoded segments with `/` between them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captures(Vec<(Arc<str>, String)>);

impl Captures {
    /// The value of the capture `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Names and values, from left to right.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, value.as_str()))
    }

    /// The names and values as a list, from left to right.
    pub fn into_pairs(self) -> Vec<(Arc<str>, String)> {
        self.0
    }

    /// The number of captures.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if there is no capture.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn of(pattern: &RoutePattern, path: &RequestPath<'_>) -> Self {
        let mut captures = Vec::new();
        for (index, (part, segment)) in pattern.segments().iter().zip(path.segments()).enumerate() {
            match part {
                Segment::Static(_) => {}
                Segment::Capture(name) => captures.push((Arc::clone(name), segment.to_string())),
                Segment::Rest(name) => {
                    let rest = path.segments().get(index..).unwrap_or_default();
                    captures.push((Arc::clone(name), rest.join("/")));
                }
            }
        }
        Self(captures)
    }
}

impl<T> Rule<T> {
    /// True if a request exists that both rules would take with equal right: an error of the site file.
    ///
    /// Rules clash if they have one pattern (whatever its captures are called), hosts and methods in common, and
    /// equally many headers that do not exclude each other.
    pub fn clashes_with<U>(&self, other: &Rule<U>) -> bool {
        self.pattern.conflicts_with(&other.pattern)
            && self.headers.len() == other.headers.len()
            && share(&self.hosts, &other.hosts, |mine, theirs| mine.covers(theirs) || theirs.covers(mine))
            && match (&self.methods, &other.methods) {
                (Some(mine), Some(theirs)) => mine.iter().any(|method| theirs.contains(method)),
                (Some(methods), None) | (None, Some(methods)) => !methods.is_empty(),
                (None, None) => true,
            }
            && !self.headers.iter().any(|(name, value)| {
                other
                    .headers
                    .iter()
                    .any(|(other_name, other_value)| name == other_name && value != other_value)
            })
    }

    pub(super) fn host_fits(&self, asked: &MatchInput<'_>) -> bool {
        self.hosts.is_empty() || self.hosts.iter().any(|pattern| pattern.matches_name(asked.host.as_ref()))
    }

    fn fits(&self, asked: &MatchInput<'_>) -> bool {
        self.host_fits(asked)
            && self.headers.iter().all(|(name, value)| HeaderFit::of(name, value, asked) == HeaderFit::Fits)
    }

    pub(super) fn takes(&self, method: &Method) -> bool {
        self.methods.as_ref().is_none_or(|methods| methods.contains(method))
    }

    pub(super) fn takes_as_get(&self, method: &Method) -> bool {
        *method == Method::HEAD && self.takes(&Method::GET)
    }
}

fn share<V>(some: &[V], others: &[V], overlap: impl Fn(&V, &V) -> bool) -> bool {
    some.is_empty()
        || others.is_empty()
        || some.iter().any(|one| others.iter().any(|other| overlap(one, other)))
}

/// The parts of a request that routes compare.
pub(super) struct MatchInput<'r> {
    pub(super) host: Option<HostName<'r>>,
    pub(super) path: &'r RequestPath<'r>,
    pub(super) method: &'r Method,
    pub(super) headers: &'r HeaderMap,
}

/// The fit of a request to one header that a route asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeaderFit {
    Fits,
    Missing,
    Differs,
    /// The header was sent on several lines, which together are a list (RFC 9110 §5.3) and so never exactly one
    /// value. Were any line enough, routes with different values of one header could both fit.
    Repeated,
}

impl HeaderFit {
    pub(super) fn of(name: &HeaderName, value: &HeaderValue, asked: &MatchInput<'_>) -> Self {
        let mut lines = asked.headers.get_all(name).iter();
        match (lines.next(), lines.next()) {
            (None, _) => Self::Missing,
            (Some(_), Some(_)) => Self::Repeated,
            (Some(sent), None) if sent == value => Self::Fits,
            (Some(_), None) => Self::Differs,
        }
    }
}

/// The routes of one shape, whose patterns fit the same paths. Routes with most headers come first.
#[derive(Debug, Clone)]
pub(super) struct Group<T>(Vec<Rule<T>>);

/// The decision of the routes of one shape on a request whose path fits them.
pub(super) enum Decision<'a, T> {
    /// No route has hosts and headers that fit: the next shape is asked.
    Passes,
    /// This route takes the request.
    Takes(&'a Rule<T>),
    /// No route takes HEAD itself, and this one takes GET.
    TakesAsGet(&'a Rule<T>),
    /// Hosts and headers fit, and no method does. No other shape is asked.
    RefusesMethod,
}

impl<T> Group<T> {
    fn insert(&mut self, rule: Rule<T>) {
        let index = self.0.partition_point(|known| known.headers.len() >= rule.headers.len());
        self.0.insert(index, rule);
    }

    pub(super) fn rules(&self) -> &[Rule<T>] {
        &self.0
    }

    pub(super) fn decide(&self, asked: &MatchInput<'_>) -> Decision<'_, T> {
        let mut decision = Decision::Passes;
        // Most headers first, so the first that takes the method has the most header matches.
        for rule in self.0.iter().filter(|rule| rule.fits(asked)) {
            if rule.takes(asked.method) {
                return Decision::Takes(rule);
            }
            decision = match decision {
                Decision::TakesAsGet(earlier) => Decision::TakesAsGet(earlier),
                _ if rule.takes_as_get(asked.method) => Decision::TakesAsGet(rule),
                _ => Decision::RefusesMethod,
            };
        }
        decision
    }

    /// The outcome of a request at this shape. `None` when the next shape is to be asked.
    pub(super) fn outcome<'a>(
        &'a self,
        decision: &Decision<'a, T>,
        asked: &MatchInput<'_>,
    ) -> Option<RouteMatch<'a, T>> {
        let found = |rule: &'a Rule<T>, method: &Method| RouteMatch::Found {
            target: &rule.target,
            pattern: &rule.pattern,
            captures: Captures::of(&rule.pattern, asked.path),
            method: method.clone(),
        };
        match decision {
            Decision::Passes => None,
            Decision::Takes(rule) => Some(found(rule, asked.method)),
            Decision::TakesAsGet(rule) => Some(found(rule, &Method::GET)),
            Decision::RefusesMethod if *asked.method == Method::OPTIONS => {
                self.by_host(asked).map(RouteMatch::Options)
            }
            Decision::RefusesMethod => self.by_host(asked).map(RouteMatch::MethodNotAllowed),
        }
    }

    /// The host's answer for the routes that fit. None only if no route fits.
    fn by_host(&self, asked: &MatchInput<'_>) -> Option<HostAnswer<'_, T>> {
        let rules = match self.asked_about(asked) {
            Some(rule) => vec![rule],
            None => self.0.iter().filter(|rule| rule.fits(asked)).collect(),
        };
        // The order in the file never matters, even where routes name their captures differently.
        let pattern = rules.iter().map(|rule| &rule.pattern).min_by_key(|pattern| pattern.to_string())?;
        Some(HostAnswer {
            allow: self.allow(asked),
            targets: rules.iter().map(|rule| &rule.target).collect(),
            pattern,
            captures: Captures::of(pattern, asked.path),
        })
    }

    /// The route that a browser's CORS preflight asks about: the preflight names the method of the request to come.
    fn asked_about(&self, asked: &MatchInput<'_>) -> Option<&Rule<T>> {
        if *asked.method != Method::OPTIONS {
            return None;
        }
        let mut named = asked.headers.get_all(header::ACCESS_CONTROL_REQUEST_METHOD).iter();
        let (Some(named), None) = (named.next(), named.next()) else { return None };
        let method = Method::from_bytes(named.as_bytes()).ok()?;
        match self.decide(&MatchInput { host: asked.host.clone(), method: &method, ..*asked }) {
            Decision::Takes(rule) | Decision::TakesAsGet(rule) => Some(rule),
            Decision::Passes | Decision::RefusesMethod => None,
        }
    }

    fn allow(&self, asked: &MatchInput<'_>) -> HeaderValue {
        let fitting = self.0.iter().filter(|rule| rule.fits(asked));
        let mut methods: BTreeSet<&str> =
            fitting.flat_map(|rule| rule.methods.iter().flatten()).map(Method::as_str).collect();
        if methods.contains("GET") {
            methods.insert("HEAD");
        }
        methods.insert("OPTIONS");
        let list = methods.into_iter().collect::<Vec<_>>().join(", ");
        // A method is a token, which every field value may hold.
        HeaderValue::try_from(list).unwrap_or_else(|_| HeaderValue::from_static("OPTIONS"))
    }
}

/// A place in the tree of patterns: the segments down to here have been compared, and these may follow.
#[derive(Debug, Clone)]
struct Node<T> {
    statics: HashMap<Box<str>, Node<T>>,
    capture: Option<Box<Node<T>>>,
    rest: Group<T>,
    end: Group<T>,
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self { statics: HashMap::new(), capture: None, rest: Group(Vec::new()), end: Group(Vec::new()) }
    }
}

impl<T> Routes<T> {
    /// Sorts the rules by specificity. The caller sees to it that no two of them clash.
    pub fn new(rules: Vec<Rule<T>>) -> Self {
        let mut root = Node::default();
        for rule in rules {
            let mut node = &mut root;
            // Only the last segment of a pattern can be the rest.
            let mut takes_rest = false;
            for segment in rule.pattern.segments() {
                match segment {
                    Segment::Static(text) => node = node.statics.entry(text.clone()).or_default(),
                    Segment::Capture(_) => node = node.capture.get_or_insert_default(),
                    Segment::Rest(_) => takes_rest = true,
                }
            }
            if takes_rest { node.rest.insert(rule) } else { node.end.insert(rule) }
        }
        Self { root }
    }

    /// The route that takes a request, or the host's answer instead.
    ///
    /// Of the patterns that fit the path, the most specific with a route whose hosts and headers fit
    /// decides; of its routes that take the method, the one with the most headers wins. `host` comes
    /// without its port.
    pub fn find<'a>(
        &'a self,
        host: &str,
        path: &RequestPath<'_>,
        method: &Method,
        headers: &HeaderMap,
    ) -> RouteMatch<'a, T> {
        let asked = MatchInput { host: HostName::of(host), path, method, headers };
        let decided = self.each_fitting(path, |group| match group.outcome(&group.decide(&asked), &asked) {
            Some(outcome) => ControlFlow::Break(outcome),
            None => ControlFlow::Continue(()),
        });
        match decided {
            ControlFlow::Break(outcome) => outcome,
            ControlFlow::Continue(()) => RouteMatch::NotFound,
        }
    }

    /// Visits the shapes that fit the path, most specific first.
    pub(super) fn each_fitting<'a, B>(
        &'a self,
        path: &RequestPath<'_>,
        mut visit: impl FnMut(&'a Group<T>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        self.root.walk(path.segments(), &mut visit)
    }
}

impl<T> Node<T> {
    /// Visits depth first, the more specific child first: exactly the order of patterns compared from the left.
    ///
    /// The walk cannot take exponential time. Patterns are kept as a tree, so each node is reached on one way only
    /// and compared with one segment only, that of its depth: at most one step for each segment of each pattern,
    /// whatever the path, as if every pattern were tried in turn. A longer path costs nothing more: its segments
    /// beyond the deepest pattern are never looked at. Calls nest no deeper than a pattern is long, which
    /// `RoutePattern` bounds.
    fn walk<'a, B>(
        &'a self,
        segments: &[Cow<'_, str>],
        visit: &mut impl FnMut(&'a Group<T>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let Some((segment, after)) = segments.split_first() else {
            return self.end.visit_if_any(visit);
        };
        if let Some(child) = self.statics.get(&**segment) {
            child.walk(after, visit)?;
        }
        if let Some(child) = &self.capture
            && !segment.is_empty()
        {
            child.walk(after, visit)?;
        }
        // The rest is one character at least: one empty segment has none, two have the `/` between them.
        if !segment.is_empty() || !after.is_empty() {
            self.rest.visit_if_any(visit)?;
        }
        ControlFlow::Continue(())
    }
}

impl<T> Group<T> {
    fn visit_if_any<'a, B>(
        &'a self,
        visit: &mut impl FnMut(&'a Group<T>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        if self.0.is_empty() { ControlFlow::Continue(()) } else { visit(self) }
    }
}

#[cfg(test)]
pub(super) mod tests;
