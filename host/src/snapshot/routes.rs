//! From a request to the route that takes it, within one tenant.
//!
//! A trie over segments, checked against a plain list. The crates for this give one match only, refuse `{id}` beside
//! `{*rest}`, and cannot explain themselves.
//!
//! Owns the order of routes: which pattern is the most specific, which of its routes wins, and what is
//! answered when none takes the method. The order in which routes are given never matters. Which tenant is
//! asked is `hosts`'; why a request goes where it goes is told by `explain`, over this same code.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use super::host_pattern::{HostName, HostPattern};
use super::path::RequestPath;
use super::pattern::{RoutePattern, Segment};

/// One route: what a request must be like, and what it then goes to.
#[derive(Debug, Clone)]
pub struct Rule<T> {
    /// What the path must fit.
    pub pattern: RoutePattern,
    /// One of these must fit the host; empty is every host.
    pub hosts: Vec<HostPattern>,
    /// The methods that the route takes; `None` is every method, OPTIONS too.
    pub methods: Option<Vec<Method>>,
    /// Each field must be sent exactly once, with exactly this value.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// What runs.
    pub target: T,
}

/// The routes of one tenant.
#[derive(Debug, Clone)]
pub struct Routes<T> {
    root: Node<T>,
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<'a, T> {
    /// To a route.
    Found {
        /// What runs.
        target: &'a T,
        /// The winning route's pattern.
        pattern: &'a RoutePattern,
        /// What its captures stand for.
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

/// What the host answers itself at a path that has routes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostAnswer<'a, T> {
    /// The methods that they take, HEAD with GET, and OPTIONS.
    pub allow: HeaderValue,
    /// What the routes run that it answers for: those whose hosts and headers fit, of a preflight the one alone that
    /// takes the method that it asks about. Filters with which all of them begin are to hear of the answer.
    pub targets: Vec<&'a T>,
    /// Their pattern.
    pub pattern: &'a RoutePattern,
    /// What its captures stand for.
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
/// A `{*name}` is its decoded segments with `/` between them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captures(Vec<(Arc<str>, String)>);

impl Captures {
    /// What the capture `name` stands for.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Names and values, from left to right.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, value.as_str()))
    }

    /// Names and values, from left to right, to keep.
    pub fn into_pairs(self) -> Vec<(Arc<str>, String)> {
        self.0
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the pattern has none.
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
    /// Whether a request exists that both rules would take with equal right: an error of whoever wrote them.
    ///
    /// That is so for one pattern (whatever its captures are called), hosts and methods in common, and
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

    pub(super) fn host_fits(&self, asked: &Asked<'_>) -> bool {
        self.hosts.is_empty() || self.hosts.iter().any(|pattern| pattern.matches_name(asked.host.as_ref()))
    }

    fn fits(&self, asked: &Asked<'_>) -> bool {
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

/// What a request asks for, as the routes compare it.
pub(super) struct Asked<'r> {
    pub(super) host: Option<HostName<'r>>,
    pub(super) path: &'r RequestPath<'r>,
    pub(super) method: &'r Method,
    pub(super) headers: &'r HeaderMap,
}

/// How a request stands to one header that a route asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeaderFit {
    Fits,
    Missing,
    Differs,
    /// Sent on several lines, which together are a list (RFC 9110 §5.3) and so never exactly one value.
    /// Were any line enough, routes with different values of one header could both fit.
    Repeated,
}

impl HeaderFit {
    pub(super) fn of(name: &HeaderName, value: &HeaderValue, asked: &Asked<'_>) -> Self {
        let mut lines = asked.headers.get_all(name).iter();
        match (lines.next(), lines.next()) {
            (None, _) => Self::Missing,
            (Some(_), Some(_)) => Self::Repeated,
            (Some(sent), None) if sent == value => Self::Fits,
            (Some(_), None) => Self::Differs,
        }
    }
}

/// The routes of one shape: their patterns fit the same paths. Most headers first.
#[derive(Debug, Clone)]
pub(super) struct Group<T>(Vec<Rule<T>>);

/// What the routes of one shape make of a request whose path fits them.
pub(super) enum Decision<'a, T> {
    /// None has hosts and headers that fit: the next shape is asked.
    Passes,
    /// This route takes it.
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

    pub(super) fn decide(&self, asked: &Asked<'_>) -> Decision<'_, T> {
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

    /// `None` when the next shape is to be asked.
    pub(super) fn outcome<'a>(
        &'a self,
        decision: &Decision<'a, T>,
        asked: &Asked<'_>,
    ) -> Option<Outcome<'a, T>> {
        let found = |rule: &'a Rule<T>, method: &Method| Outcome::Found {
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
                self.by_host(asked).map(Outcome::Options)
            }
            Decision::RefusesMethod => self.by_host(asked).map(Outcome::MethodNotAllowed),
        }
    }

    /// None only if no route fits.
    fn by_host(&self, asked: &Asked<'_>) -> Option<HostAnswer<'_, T>> {
        let rules = match self.asked_about(asked) {
            Some(rule) => vec![rule],
            None => self.0.iter().filter(|rule| rule.fits(asked)).collect(),
        };
        // The order in the file never matters, also where routes call their captures differently.
        let pattern = rules.iter().map(|rule| &rule.pattern).min_by_key(|pattern| pattern.to_string())?;
        Some(HostAnswer {
            allow: self.allow(asked),
            targets: rules.iter().map(|rule| &rule.target).collect(),
            pattern,
            captures: Captures::of(pattern, asked.path),
        })
    }

    /// The route for which a browser asks beforehand: a CORS preflight names the method of what is to come.
    fn asked_about(&self, asked: &Asked<'_>) -> Option<&Rule<T>> {
        if *asked.method != Method::OPTIONS {
            return None;
        }
        let mut named = asked.headers.get_all(header::ACCESS_CONTROL_REQUEST_METHOD).iter();
        let (Some(named), None) = (named.next(), named.next()) else { return None };
        let method = Method::from_bytes(named.as_bytes()).ok()?;
        match self.decide(&Asked { host: asked.host.clone(), method: &method, ..*asked }) {
            Decision::Takes(rule) | Decision::TakesAsGet(rule) => Some(rule),
            Decision::Passes | Decision::RefusesMethod => None,
        }
    }

    fn allow(&self, asked: &Asked<'_>) -> HeaderValue {
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

/// A place in the tree of patterns: so many segments have been compared, and these may follow.
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
    /// Sorts the rules by specificity. That no two clash is for the caller to see to.
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

    /// The route that takes a request, or what is answered instead.
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
    ) -> Outcome<'a, T> {
        let asked = Asked { host: HostName::of(host), path, method, headers };
        let decided = self.each_fitting(path, |group| match group.outcome(&group.decide(&asked), &asked) {
            Some(outcome) => ControlFlow::Break(outcome),
            None => ControlFlow::Continue(()),
        });
        match decided {
            ControlFlow::Break(outcome) => outcome,
            ControlFlow::Continue(()) => Outcome::NotFound,
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
    /// Depth first, the more specific child first: exactly the order of patterns compared from the left.
    ///
    /// It cannot take exponential time. Patterns are kept as a tree, so each node is reached on one way
    /// only and compared with one segment only, that of its depth: at most one step for each segment of
    /// each pattern, whatever the path, as when every pattern were tried in turn. The path adds nothing:
    /// what it has beyond the deepest pattern is never looked at. Calls nest no deeper than a pattern is
    /// long, which `RoutePattern` bounds.
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
