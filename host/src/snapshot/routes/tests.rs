//! The routes against their specification: the promises one by one in tables, then all of them together, on many
//! small cases, against a plain list that is searched the slow way.

use proptest::prelude::*;

use super::*;

/// A rule from one line: `name: METHOD… /pattern @host… header=value…`, in this order or any other.
pub(in super::super) fn rule(line: &str) -> Rule<String> {
    let (name, parts) = line.split_once(": ").expect("`name: …`");
    let mut rule = Rule {
        pattern: RoutePattern::parse("/").expect("a pattern"),
        hosts: Vec::new(),
        methods: None,
        headers: Vec::new(),
        target: name.to_owned(),
    };
    for part in parts.split(' ') {
        if part.starts_with('/') {
            rule.pattern = RoutePattern::parse(part).expect(part);
        } else if let Some(host) = part.strip_prefix('@') {
            rule.hosts.push(HostPattern::parse(host).expect(host));
        } else if let Some((name, value)) = part.split_once('=') {
            rule.headers.push((name.parse().expect(name), value.parse().expect(value)));
        } else {
            rule.methods.get_or_insert_default().push(part.parse().expect(part));
        }
    }
    rule
}

/// A request from one line: `METHOD /path @host header=value…`; without a host it is `shop.example`.
pub(in super::super) struct Request {
    pub(in super::super) host: String,
    pub(in super::super) path: String,
    pub(in super::super) method: Method,
    pub(in super::super) headers: HeaderMap,
}

pub(in super::super) fn request(line: &str) -> Request {
    let mut parts = line.split(' ');
    let mut request = Request {
        method: parts.next().expect("a method").parse().expect(line),
        path: parts.next().expect("a path").to_owned(),
        host: "shop.example".into(),
        headers: HeaderMap::new(),
    };
    for part in parts {
        if let Some(host) = part.strip_prefix('@') {
            request.host = host.into();
        } else {
            let (name, value) = part.split_once('=').expect("`name=value`");
            request.headers.append(name.parse::<HeaderName>().expect(name), value.parse().expect(value));
        }
    }
    request
}

/// The target of a request, as `target name=value… METHOD`, `405 Allow`, `204 Allow` or `404`.
fn sent(routes: &Routes<String>, line: &str) -> String {
    let request = request(line);
    let path = RequestPath::parse(&request.path).expect(line);
    match routes.find(&request.host, &path, &request.method, &request.headers) {
        RouteMatch::Found { target, captures, method, .. } => shown(target, captures.iter(), &method),
        RouteMatch::MethodNotAllowed(answer) => format!("405 {}", allowed(&answer)),
        RouteMatch::Options(answer) => format!("204 {}", allowed(&answer)),
        RouteMatch::NotFound => "404".into(),
    }
}

fn allowed<'a>(answer: &'a HostAnswer<'_, String>) -> &'a str {
    answer.allow.to_str().expect("a list of methods")
}

fn shown<'a>(target: &str, captures: impl Iterator<Item = (&'a str, &'a str)>, method: &Method) -> String {
    let captures: String = captures.map(|(name, value)| format!(" {name}={value}")).collect();
    format!("{target}{captures} {method}")
}

/// Sends each request to the rules in both orders: the order in the file never matters.
fn check(rules: &[&str], expected: &[(&str, &str)]) {
    let routes = Routes::new(rules.iter().map(|line| rule(line)).collect());
    let reversed = Routes::new(rules.iter().rev().map(|line| rule(line)).collect());
    for (line, outcome) in expected {
        assert_eq!(sent(&routes, line), *outcome, "{line} among {rules:?}");
        assert_eq!(sent(&reversed, line), *outcome, "{line} among {rules:?}, reversed");
    }
}

#[test]
fn the_host_answers_for_the_routes_that_fit_and_for_the_one_that_a_preflight_is_about() {
    let rules = [
        "read: GET /books/{id}",
        "change: PATCH /books/{book}",
        "beta: GET /books/{id} x-beta=1",
        "inner: PUT /books/{id} @in.example",
    ];
    let routes = Routes::new(rules.map(rule).into());
    for (line, expected) in [
        ("POST /books/7", "change read, by /books/{book}"),
        ("POST /books/7 x-beta=1", "beta change read, by /books/{book}"),
        ("OPTIONS /books/7", "change read, by /books/{book}"),
        ("OPTIONS /books/7 access-control-request-method=PATCH", "change, by /books/{book}"),
        ("OPTIONS /books/7 access-control-request-method=HEAD", "read, by /books/{id}"),
        ("OPTIONS /books/7 access-control-request-method=GET x-beta=1", "beta, by /books/{id}"),
        // No route of this host takes the method.
        ("OPTIONS /books/7 access-control-request-method=PUT", "change read, by /books/{book}"),
        ("POST /books/7 access-control-request-method=GET", "change read, by /books/{book}"),
        (
            "OPTIONS /books/7 access-control-request-method=GET access-control-request-method=GET",
            "change read, by /books/{book}",
        ),
    ] {
        let request = request(line);
        let path = RequestPath::parse(&request.path).expect(line);
        let outcome = routes.find(&request.host, &path, &request.method, &request.headers);
        let (RouteMatch::Options(answer) | RouteMatch::MethodNotAllowed(answer)) = outcome else {
            panic!("{line}: {outcome:?}");
        };
        let mut targets: Vec<_> = answer.targets.iter().map(|target| target.as_str()).collect();
        targets.sort_unstable();
        assert_eq!(format!("{}, by {}", targets.join(" "), answer.pattern), expected, "{line}");
        assert_eq!(answer.captures.len(), 1);
    }
}

#[test]
fn filters_are_shared_from_the_first_to_the_first_that_differs() {
    let lists: [(&[&[&str]], &[&str]); 6] = [
        (&[&["a", "b"]], &["a", "b"]),
        (&[&["a", "b"], &["a", "c"], &["a", "b"]], &["a"]),
        (&[&["a", "b"], &["a"]], &["a"]),
        (&[&["a", "b"], &["b", "a"]], &[]),
        (&[&["a"], &[]], &[]),
        (&[], &[]),
    ];
    for (lists, expected) in lists {
        assert_eq!(shared_filters(lists.iter().copied(), |one, other| one == other), expected, "{lists:?}");
    }
}

#[test]
fn a_capture_is_one_whole_segment_and_a_rest_is_one_character_at_least() {
    check(
        &["book: /books/{id}", "file: /files/{*path}"],
        &[
            ("GET /books/7", "book id=7 GET"),
            ("GET /books/7.json", "book id=7.json GET"),
            ("GET /books/7/pages", "404"),
            ("GET /books/7/", "404"),
            ("GET /books/", "404"),
            ("GET /books", "404"),
            ("GET /files/a", "file path=a GET"),
            ("GET /files/a/b.txt", "file path=a/b.txt GET"),
            ("GET /files/a/", "file path=a/ GET"),
            ("GET /files//", "file path=/ GET"),
            ("GET /files//a", "file path=/a GET"),
            ("GET /files/", "404"),
            ("GET /files", "404"),
        ],
    );
}

#[test]
fn the_root_is_a_path_of_its_own() {
    check(
        &["all: /{*rest}"],
        &[("GET /", "404"), ("GET /a", "all rest=a GET"), ("GET //", "all rest=/ GET")],
    );
    check(
        &["all: /{*rest}", "home: /"],
        &[("GET /", "home GET"), ("GET /a/", "all rest=a/ GET"), ("GET //", "all rest=/ GET")],
    );
}

#[test]
fn empty_segments_and_a_trailing_slash_count() {
    check(
        &["plain: /a/b", "slash: /a/b/", "double: /a//b"],
        &[
            ("GET /a/b", "plain GET"),
            ("GET /a/b/", "slash GET"),
            ("GET /a//b", "double GET"),
            ("GET //a/b", "404"),
            ("GET /a/b//", "404"),
        ],
    );
}

#[test]
fn paths_are_split_first_and_captures_are_decoded() {
    check(
        &["slash: /a%2Fb", "pair: /a/{x}", "café: /café", "rest: /r/{*rest}"],
        &[
            ("GET /a%2fb", "slash GET"),
            ("GET /%61/b", "pair x=b GET"),
            ("GET /a/b%2Fc", "pair x=b/c GET"),
            ("GET /a/%7Bx%7D", "pair x={x} GET"),
            ("GET /a/b+c%20d", "pair x=b+c d GET"),
            ("GET /caf%C3%A9", "café GET"),
            ("GET /r/%61/b%20c", "rest rest=a/b c GET"),
            ("GET /A%2fb", "404"),
        ],
    );
}

#[test]
fn patterns_are_compared_from_the_left_static_before_capture_before_rest() {
    let rules = [
        "new: /books/new",
        "book: /books/{id}",
        "pages: /books/{id}/pages",
        "below: /books/{*rest}",
        "any: /{kind}/{id}",
        "kindpages: /{kind}/new/pages",
        "all: /{*rest}",
    ];
    check(
        &rules,
        &[
            ("GET /books/new", "new GET"),
            ("GET /books/7", "book id=7 GET"),
            ("GET /books/new/pages", "pages id=new GET"),
            ("GET /books/7/cover", "below rest=7/cover GET"),
            ("GET /books/", "all rest=books/ GET"),
            ("GET /films/7", "any kind=films id=7 GET"),
            ("GET /films/new/pages", "kindpages kind=films GET"),
            ("GET /films/7/pages", "all rest=films/7/pages GET"),
            ("GET /books", "all rest=books GET"),
        ],
    );
}

#[test]
fn a_way_that_ends_nowhere_is_left_for_a_less_specific_one() {
    check(
        &["deep: /a/b/c/d", "other: /{x}/b/{y}/e", "third: /a/{x}/c/f"],
        &[
            ("GET /a/b/c/d", "deep GET"),
            ("GET /a/b/c/e", "other x=a y=c GET"),
            ("GET /a/b/c/f", "third x=b GET"),
            ("GET /a/b/c/g", "404"),
        ],
    );
}

#[test]
fn more_header_matches_come_first() {
    check(
        &["plain: /a", "beta: /a x-beta=1", "both: /a x-beta=1 x-user=me", "two: /a x-beta=2"],
        &[
            ("GET /a", "plain GET"),
            ("GET /a x-beta=1", "beta GET"),
            ("GET /a X-Beta=1 x-user=me", "both GET"),
            ("GET /a x-beta=2 x-user=me", "two GET"),
            ("GET /a x-user=me", "plain GET"),
            ("GET /a x-beta=3", "plain GET"),
            ("GET /a x-beta=1 x-beta=2", "plain GET"),
            ("GET /a x-beta=1 x-beta=1", "plain GET"),
        ],
    );
}

#[test]
fn a_pattern_without_a_route_whose_headers_and_hosts_fit_leaves_the_path_to_the_next() {
    check(
        &["new: /books/new x-beta=1", "book: /books/{id}", "inner: /books/{id}/x @in.example", "all: /{*r}"],
        &[
            ("GET /books/new", "book id=new GET"),
            ("GET /books/new x-beta=1", "new GET"),
            ("GET /books/7/x", "all r=books/7/x GET"),
            ("GET /books/7/x @in.example", "inner id=7 GET"),
            ("GET /books/7/x @IN.example.", "inner id=7 GET"),
        ],
    );
}

#[test]
fn the_method_decides_inside_the_pattern_and_never_finds_a_less_specific_one() {
    check(
        &["read: GET /books/{id}", "change: PATCH /books/{isbn}", "all: /{*rest}", "post: POST /books/new"],
        &[
            ("GET /books/7", "read id=7 GET"),
            ("PATCH /books/7", "change isbn=7 PATCH"),
            ("DELETE /books/7", "405 GET, HEAD, OPTIONS, PATCH"),
            ("GET /books/new", "405 OPTIONS, POST"),
            ("HEAD /books/new", "405 OPTIONS, POST"),
            ("DELETE /books", "all rest=books DELETE"),
        ],
    );
}

#[test]
fn a_route_with_more_headers_leaves_other_methods_to_the_rest_of_its_pattern() {
    check(
        &["beta: GET /a x-beta=1", "plain: GET /a", "write: POST /a", "hidden: DELETE /a x-admin=1"],
        &[
            ("GET /a x-beta=1", "beta GET"),
            ("POST /a x-beta=1", "write POST"),
            ("DELETE /a x-beta=1", "405 GET, HEAD, OPTIONS, POST"),
            ("DELETE /a x-admin=1", "hidden DELETE"),
            ("PUT /a x-admin=1", "405 DELETE, GET, HEAD, OPTIONS, POST"),
        ],
    );
}

#[test]
fn head_is_seen_as_get_when_no_route_takes_head_itself() {
    check(
        &[
            "get: GET /a",
            "head: HEAD /b",
            "getb: GET /b",
            "any: /c",
            "post: POST /d",
            "getd: GET /d x-beta=1",
        ],
        &[
            ("HEAD /a", "get GET"),
            ("HEAD /b", "head HEAD"),
            ("GET /b", "getb GET"),
            ("HEAD /c", "any HEAD"),
            ("HEAD /d", "405 OPTIONS, POST"),
            ("HEAD /d x-beta=1", "getd GET"),
        ],
    );
    check(
        &["plain: GET /a", "beta: GET /a x-beta=1", "head: HEAD /b", "beta: GET /b x-beta=1"],
        &[("HEAD /a", "plain GET"), ("HEAD /a x-beta=1", "beta GET"), ("HEAD /b x-beta=1", "head HEAD")],
    );
}

#[test]
fn options_that_no_route_of_the_path_takes_are_answered_with_allow() {
    check(
        &[
            "get: GET /a",
            "post: POST /a",
            "own: OPTIONS /b",
            "getb: GET /b",
            "any: /c",
            "own: OPTIONS /{x}/{y}",
        ],
        &[
            ("OPTIONS /a", "204 GET, HEAD, OPTIONS, POST"),
            ("OPTIONS /b", "own OPTIONS"),
            ("OPTIONS /c", "any OPTIONS"),
            ("OPTIONS /d", "404"),
        ],
    );
}

#[test]
fn routes_clash_when_one_request_could_go_to_both() {
    for (one, other, clash) in [
        ("a: GET /x/{id}", "b: GET /x/{name}", true),
        ("a: GET /x", "b: POST /x", false),
        ("a: GET /x", "b: HEAD /x", false),
        ("a: GET POST /x", "b: POST /x", true),
        ("a: GET /x", "b: /x", true),
        ("a: /x", "b: /x", true),
        ("a: /x", "b: /y", false),
        ("a: /{x}", "b: /{*x}", false),
        ("a: /x h=1", "b: /x", false),
        ("a: /x h=1", "b: /x h=2", false),
        ("a: /x h=1", "b: /x H=1", true),
        ("a: /x h=1", "b: /x i=1", true),
        ("a: /x h=1 i=1", "b: /x h=2 i=1", false),
        ("a: /x @a.example", "b: /x @b.example", false),
        ("a: /x @a.example", "b: /x @*.example", true),
        ("a: /x @*.example", "b: /x @*.a.example", true),
        ("a: /x @a.example", "b: /x", true),
        ("a: /x @a.example @b.example", "b: /x @c.example @b.example", true),
    ] {
        assert_eq!(rule(one).clashes_with(&rule(other)), clash, "{one} / {other}");
        assert_eq!(rule(other).clashes_with(&rule(one)), clash, "{other} / {one}");
    }
}

/// The search would never end if static and captured segments were tried in every combination.
#[test]
fn a_hostile_path_costs_no_more_than_trying_every_pattern_once() {
    let mut rules = Vec::new();
    for first in 0..64 {
        for second in first..64 {
            let mut segments = vec!["a".to_owned(); 64];
            segments[first] = "{x}".into();
            segments[second] = "{y}".into();
            rules.push(rule(&format!("r{first}-{second}: /{} h=1", segments.join("/"))));
        }
    }
    rules.push(rule(&format!(
        "last: /{}",
        (0..64).map(|n| format!("{{c{n}}}")).collect::<Vec<_>>().join("/")
    )));
    let patterns = rules.len();
    let routes = Routes::new(rules);

    let path = format!("GET {}", "/a".repeat(64));
    assert!(sent(&routes, &path).starts_with("last c0=a c1=a "));
    assert_eq!(sent(&routes, &format!("{path} h=1")), "r63-63 y=a GET");
    assert_eq!(sent(&routes, &format!("GET {}/b", "/a".repeat(64))), "404");

    let request = request(&path);
    let path = RequestPath::parse(&request.path).expect("a good path");
    let mut visited = 0;
    let all: ControlFlow<()> = routes.each_fitting(&path, |_| {
        visited += 1;
        ControlFlow::Continue(())
    });
    assert!(all.is_continue());
    assert_eq!(visited, patterns, "every pattern fits, and is visited once");
}

/// The specification, as a person reads it: every rule is tried, nothing is indexed, nothing is shared
/// with the code under test but the rule's own fields.
mod specification {
    use super::*;

    pub(super) fn sent(rules: &[Rule<String>], request: &Request) -> String {
        let path: Vec<&str> = request.path.split('/').skip(1).collect();
        let fitting: Vec<&Rule<String>> = rules
            .iter()
            .filter(|rule| specificity(rule, &path).is_some() && host_fits(rule, request))
            .filter(|rule| headers_fit(rule, request))
            .collect();
        let Some(best) = fitting.iter().filter_map(|rule| specificity(rule, &path)).min() else {
            return "404".into();
        };
        let inside: Vec<_> =
            fitting.into_iter().filter(|rule| specificity(rule, &path) == Some(best.clone())).collect();
        if let Some(rule) = taker(&inside, &request.method) {
            return found(rule, &path, &request.method);
        }
        if request.method == Method::HEAD
            && let Some(rule) = taker(&inside, &Method::GET)
        {
            return found(rule, &path, &Method::GET);
        }
        let mut allow: Vec<String> =
            inside.iter().flat_map(|rule| rule.methods.iter().flatten()).map(ToString::to_string).collect();
        if allow.contains(&"GET".to_owned()) {
            allow.push("HEAD".into());
        }
        allow.push("OPTIONS".into());
        allow.sort();
        allow.dedup();
        let status = if request.method == Method::OPTIONS { 204 } else { 405 };
        format!("{status} {}", allow.join(", "))
    }

    /// The rule that takes the method. Of rules that do not clash, at most one has the most headers.
    fn taker<'a>(inside: &[&'a Rule<String>], method: &Method) -> Option<&'a Rule<String>> {
        let takes =
            |rule: &Rule<String>| rule.methods.as_ref().is_none_or(|methods| methods.contains(method));
        let takers: Vec<_> = inside.iter().filter(|rule| takes(rule)).collect();
        let most = takers.iter().map(|rule| rule.headers.len()).max()?;
        let mut first = takers.into_iter().filter(|rule| rule.headers.len() == most);
        let taker = first.next();
        assert!(first.next().is_none(), "rules that could both fit are found to clash");
        taker.copied()
    }

    /// The kind of each segment of the pattern: 0 static, 1 captured, 2 the rest. `None` if the pattern does not fit.
    pub(super) fn specificity(rule: &Rule<String>, path: &[&str]) -> Option<Vec<u8>> {
        let mut ranks = Vec::new();
        let mut path = path.iter();
        for part in rule.pattern.as_str().split('/').skip(1) {
            if part.starts_with("{*") {
                let rest = path.as_slice().join("/");
                ranks.push(2);
                return (!rest.is_empty()).then_some(ranks);
            }
            let segment = path.next()?;
            if part.starts_with('{') {
                (!segment.is_empty()).then(|| ranks.push(1))?;
            } else {
                (decoded(part) == decoded(segment)).then(|| ranks.push(0))?;
            }
        }
        path.next().is_none().then_some(ranks)
    }

    fn found(rule: &Rule<String>, path: &[&str], method: &Method) -> String {
        let mut captures = Vec::new();
        for (index, part) in rule.pattern.as_str().split('/').skip(1).enumerate() {
            let name = part.trim_matches(['{', '}', '*']);
            if part.starts_with("{*") {
                captures.push((name, decoded(&path[index..].join("/"))));
            } else if part.starts_with('{') {
                captures.push((name, decoded(path[index])));
            }
        }
        shown(&rule.target, captures.iter().map(|(name, value)| (*name, value.as_str())), method)
    }

    /// The text decoded, as far as the cases below need it.
    fn decoded(text: &str) -> String {
        text.replace("%61", "a").replace("%2F", "/")
    }

    fn host_fits(rule: &Rule<String>, request: &Request) -> bool {
        let host = request.host.to_lowercase();
        let host = host.trim_end_matches('.');
        rule.hosts.is_empty()
            || rule.hosts.iter().any(|pattern| match pattern.to_string().strip_prefix('*') {
                Some("") => true,
                Some(ending) => host.len() > ending.len() && host.ends_with(ending),
                None => pattern.to_string() == host,
            })
    }

    fn headers_fit(rule: &Rule<String>, request: &Request) -> bool {
        rule.headers
            .iter()
            .all(|(name, value)| request.headers.get_all(name).iter().collect::<Vec<_>>() == [value])
    }
}

fn some_of(words: &'static [&'static str], at_most: usize) -> impl Strategy<Value = String> {
    prop::sample::subsequence(words, 0..=at_most)
        .prop_map(|chosen| chosen.iter().map(|word| format!(" {word}")).collect())
}

fn rule_line() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec!["", "a", "b", "%61", "a%2Fb", "{x", "{y"]);
    let rest = prop::sample::select(vec!["", "", "/{*rest}", "/{*all}"]);
    let header = prop::sample::select(vec!["", "", " p=1", " p=2", " q=1", " p=1 q=1"]);
    let methods = some_of(&["GET", "HEAD", "POST", "OPTIONS"], 2);
    let hosts =
        prop_oneof![2 => Just(String::new()), 1 => some_of(&["@x.test", "@*.test", "@*.a.test", "@*"], 2)];
    (prop::collection::vec(part, 1..4), rest, header, methods, hosts).prop_map(
        |(parts, rest, headers, methods, hosts)| {
            let numbered = parts.iter().enumerate().map(|(index, part)| match part.strip_prefix('{') {
                Some(name) => format!("/{{{name}{index}}}"),
                None => format!("/{part}"),
            });
            format!("{}{rest}{headers}{methods}{hosts}", numbered.collect::<String>())
        },
    )
}

pub(in super::super) fn rules() -> impl Strategy<Value = Vec<Rule<String>>> {
    prop::collection::vec(rule_line(), 0..24).prop_map(|lines| {
        let mut rules: Vec<Rule<String>> = Vec::new();
        for (index, line) in lines.iter().enumerate() {
            let rule = rule(&format!("r{index}: {line}"));
            if !rules.iter().any(|known| known.clashes_with(&rule)) {
                rules.push(rule);
            }
        }
        rules
    })
}

pub(in super::super) fn request_line() -> impl Strategy<Value = String> {
    let segment = prop::sample::select(vec!["", "a", "a", "b", "b", "%61", "c", "a%2Fb"]);
    let method = prop::sample::select(vec!["GET", "HEAD", "POST", "OPTIONS", "DELETE"]);
    let host = prop::sample::select(vec!["x.test", "X.Test.", "y.test", "b.a.test", "other", "test"]);
    let headers = some_of(&["p=1", "p=2", "q=1"], 3);
    (method, prop::collection::vec(segment, 1..5), host, headers).prop_map(
        |(method, segments, host, headers)| format!("{method} /{} @{host}{headers}", segments.join("/")),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn requests_go_where_a_plain_list_sends_them(
        rules in rules(), lines in prop::collection::vec(request_line(), 1..12),
    ) {
        let routes = Routes::new(rules.clone());
        for line in lines {
            prop_assert_eq!(sent(&routes, &line), specification::sent(&rules, &request(&line)), "{}", line);
        }
    }

    #[test]
    fn patterns_are_visited_most_specific_first(rules in rules(), line in request_line()) {
        let routes = Routes::new(rules.clone());
        let request = request(&line);
        let path = RequestPath::parse(&request.path).expect("a good path");
        let segments: Vec<&str> = request.path.split('/').skip(1).collect();
        let mut visited = Vec::new();
        let _: ControlFlow<()> = routes.each_fitting(&path, |group| {
            let rank = specification::specificity(&group.rules()[0], &segments);
            visited.push(rank.expect("a pattern that fits"));
            ControlFlow::Continue(())
        });
        let mut expected: Vec<_> =
            rules.iter().filter_map(|rule| specification::specificity(rule, &segments)).collect();
        expected.sort();
        expected.dedup();
        prop_assert_eq!(visited, expected);
    }
}
