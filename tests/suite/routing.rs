//! Which plugin answers a request, and what is answered where none does.

use jackfield_tests::{Answer, Host, Site};

use crate::limits::guest_with;

#[tokio::test(flavor = "multi_thread")]
async fn a_route_answers_with_its_plugin_and_everything_else_with_a_problem() {
    let site = Site::default()
        .tenant("shop", ["shop.example"])
        .plugin("hello", "guest_hello.wasm")
        .route("/hello")
        .with("methods = ['GET']");
    let host = Host::start(&site).await;
    let ask = |method, path| host.request(method, path).header("host", "shop.example");

    assert_eq!(ask("GET", "/hello").send().await.expect(200).text(), "hello from version-1\n");
    ask("GET", "/").send().await.expect_problem(404, "no-route");
    host.get("/hello").await.expect_problem(404, "no-tenant");

    let refused = ask("POST", "/hello").send().await;
    assert_eq!(refused.expect_problem(405, "method").header("allow"), Some("GET, HEAD, OPTIONS"));
    let options = ask("OPTIONS", "/hello").send().await;
    assert_eq!(options.expect(204).header("allow"), Some("GET, HEAD, OPTIONS"));

    let head = ask("HEAD", "/hello").send().await;
    assert_eq!((head.expect(200).text(), head.header("content-length")), (String::new(), Some("21")));
}

/// Plugins that answer with their own names, see [`name_of`], and routes to them, each with further keys.
fn named(site: Site, names: &[&str], routes: &[(&str, &str, &str)]) -> Site {
    let plugin =
        |site: Site, name: &&str| site.plugin(name, "guest_config.wasm").config(format!("name = '{name}'"));
    let site = names.iter().fold(site, plugin);
    routes.iter().fold(site, |site, (name, path, more)| site.route_to(name, path).with(more))
}

/// Which of the [`named`] plugins answered a request for `?key=name`.
#[track_caller]
fn name_of(answer: &Answer) -> String {
    let text = answer.expect(200).text();
    let name = text.strip_prefix("rc.1 get Ok(Some(\"").and_then(|rest| rest.split('"').next());
    name.unwrap_or_else(|| panic!("no named plugin answered\n{answer}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_best_host_pattern_picks_the_tenant_and_no_other_is_tried() {
    let tenants = [
        ("one", &["a.shop.example", "[::1]"][..]),
        ("near", &["*.shop.example"]),
        ("far", &["*.example"]),
        ("rest", &["*"]),
    ];
    let site = tenants.into_iter().fold(Site::default(), |site, (tenant, hosts)| {
        named(site.tenant(tenant, hosts), &[tenant], &[(tenant, "/who", "")])
    });
    let host = Host::start(&site.route("/only/{*here}")).await;

    let who =
        async |name: &str| name_of(&host.request("GET", "/who?key=name").header("host", name).send().await);
    for (name, tenant) in [
        ("a.shop.example", "one"),
        ("A.Shop.Example:8080", "one"),
        ("a.shop.example.", "one"),
        ("a.shop.example:", "one"),
        ("[0:0::1]:80", "one"),
        ("b.shop.example", "near"),
        ("b.a.shop.example", "near"),
        ("shop.example", "far"),
        ("other.example", "far"),
        ("example", "rest"),
        ("127.0.0.1", "rest"),
    ] {
        assert_eq!(who(name).await, tenant, "{name}");
    }

    // The tenant of every host has this path, and is not asked for the hosts of another.
    let path = "/only/of/rest?key=name";
    assert_eq!(name_of(&host.get(path).await), "rest");
    for name in ["a.shop.example", "b.shop.example", "other.example"] {
        host.request("GET", path).header("host", name).send().await.expect_problem(404, "no-route");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_may_be_for_some_of_its_tenants_hosts() {
    let site = Site::default().tenant("shop", ["shop.example", "*.shop.example"]);
    let routes = [("all", "/{page}", ""), ("inner", "/inner", "hosts = ['in.shop.example']")];
    let host = Host::start(&named(site, &["all", "inner"], &routes)).await;
    for (name, plugin) in [("in.shop.example", "inner"), ("shop.example", "all"), ("x.shop.example", "all")] {
        let answer = host.request("GET", "/inner?key=name").header("host", name).send().await;
        assert_eq!(name_of(&answer), plugin, "{name}");
    }
}

/// A plugin that tells what it is told of the request, on these paths.
fn telling(paths: &[(&str, &str)]) -> Site {
    let site = Site::shop().plugin("tell", "guest_misbehave.wasm");
    paths.iter().fold(site, |site, (path, more)| site.route(path).with(more))
}

/// The value of a line `name=value` that the plugin told.
#[track_caller]
fn told(answer: &Answer, name: &str) -> String {
    let text = answer.expect(200).text();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    value.unwrap_or_else(|| panic!("the plugin does not tell {name}\n{answer}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_most_specific_pattern_takes_a_path_and_its_captures_are_decoded() {
    // Least specific first: the order in the file never matters.
    let host = Host::start(&telling(&[
        ("/context/{*all}", ""),
        ("/context/{id}/reviews", ""),
        ("/context/{id}", ""),
        ("/context/new/{*rest}", ""),
        ("/context/new", ""),
        ("/context/b%C3%BCcher", ""),
    ]))
    .await;
    for (path, route, captures) in [
        ("/context/new", "/context/new", "[]"),
        ("/context/n%65w", "/context/new", "[]"),
        ("/context/b%c3%bccher", "/context/b%C3%BCcher", "[]"),
        ("/context/7", "/context/{id}", r#"[("id", "7")]"#),
        ("/context/New", "/context/{id}", r#"[("id", "New")]"#),
        ("/context/a%20b%2Fc%25", "/context/{id}", r#"[("id", "a b/c%")]"#),
        ("/context/a+b", "/context/{id}", r#"[("id", "a+b")]"#),
        ("/context/7/reviews", "/context/{id}/reviews", r#"[("id", "7")]"#),
        // Compared from the left: `new` counts for more than `reviews`.
        ("/context/new/reviews", "/context/new/{*rest}", r#"[("rest", "reviews")]"#),
        ("/context/7/reviews/1", "/context/{*all}", r#"[("all", "7/reviews/1")]"#),
        // A trailing slash and an empty segment count; a `{*name}` is one character at least.
        ("/context/new/", "/context/{*all}", r#"[("all", "new/")]"#),
        ("/context/7/", "/context/{*all}", r#"[("all", "7/")]"#),
        ("/context//", "/context/{*all}", r#"[("all", "/")]"#),
        ("/context//reviews", "/context/{*all}", r#"[("all", "/reviews")]"#),
    ] {
        let answer = host.get(path).await;
        assert_eq!((told(&answer, "route").as_str(), told(&answer, "captures").as_str()), (route, captures));
    }
    for path in ["/context", "/context/", "//context/7", "/Context/7"] {
        host.get(path).await.expect_problem(404, "no-route");
    }

    let answer = host.request("GET", "/context/a%2Fb?name=id").header("host", "Shop.Example:81").send().await;
    assert_eq!(told(&answer, "capture"), r#"Some("a/b")"#);
    assert_eq!(told(&answer, "authority"), "shop.example:81");
    assert_eq!(told(&answer, "scheme"), "http");
    assert_eq!(told(&answer, "client-address"), r#"Some("127.0.0.1")"#);
    assert_eq!(told(&answer, "request-id"), answer.request_id());
    assert_eq!(told(&host.get("/context/7?name=other").await, "capture"), "None");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_is_told_the_captures_too() {
    let site = Site::shop()
        .plugin("show", "guest_filters.wasm")
        .config("mode = 'captures'")
        .plugin("hello", "guest_hello.wasm")
        .route("/{shelf}/books/{*rest}")
        .with("filters = ['show']");
    let host = Host::start(&site).await;
    let answer = host.get("/b%C3%BCcher/books/a%2Fb/c").await;
    assert_eq!(answer.expect(200).header("x-captures"), Some("shelf=b%C3%BCcher rest=a/b/c"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_path_that_a_plugin_sees_is_as_sent() {
    let host = Host::start(&telling(&[("/echo/{*rest}", "")])).await;
    for (target, path, query) in [
        ("/echo/a%20b%2fC//", "/echo/a%20b%2fC//", "None"),
        ("/echo/%62?", "/echo/%62", r#"Some("")"#),
        ("/echo/x?a=%2F&b=/../?c", "/echo/x", r#"Some("a=%2F&b=/../?c")"#),
    ] {
        let answer = host.get(target).await;
        assert_eq!((told(&answer, "path").as_str(), told(&answer, "query").as_str()), (path, query));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_two_programs_could_read_differently_is_refused() {
    let host = Host::start(&telling(&[("/{*all}", "")])).await;
    for path in [
        "/.",
        "/..",
        "/context/../secret",
        "/context/./x",
        "/%2e",
        "/%2E%2e/x",
        "/.%2E/x",
        "/context/..%2Fsecret",
        "/context/%00",
        "/a%00b",
        "/%ff",
        "/%C3/%BC",
        "/%c0%ae%c0%ae/",
        "/%zz",
        "/%4",
        "/a%",
        &"/a".repeat(257),
    ] {
        let answer = host.get(path).await;
        answer.expect_problem(400, "bad-request");
        let line = host.access_line(answer.request_id()).await;
        assert_eq!((&line["tenant"], &line["plugin"]), (&"shop".into(), &serde_json::Value::Null), "{line}");
    }
    // Dots that are not alone in their segment are letters like others.
    for path in ["/context/...", "/context/.well-known", "/context/a..b", "/context/7?name=.."] {
        host.get(path).await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_routes_of_a_pattern_the_one_with_most_headers_wins() {
    let names = ["plain", "beta", "mine", "special", "any"];
    let routes = [
        ("plain", "/page", "methods = ['GET', 'POST']"),
        ("beta", "/page", "methods = ['GET']\nheaders = { x-beta = '1' }"),
        ("mine", "/page", "methods = ['GET']\nheaders = { X-Beta = '1', x-user = 'Me' }"),
        ("special", "/special", "headers = { x-beta = '1' }"),
        ("any", "/{any}", ""),
    ];
    let host = Host::start(&named(Site::shop(), &names, &routes)).await;

    type Headers<'a> = &'a [(&'a str, &'a str)];
    let cases: [(&str, &str, Headers<'_>, &str); 9] = [
        ("GET", "/page", &[], "plain"),
        ("GET", "/page", &[("x-beta", "1")], "beta"),
        ("GET", "/page", &[("x-beta", "1"), ("x-user", "Me")], "mine"),
        ("GET", "/page", &[("x-beta", "1"), ("x-user", "me")], "beta"),
        ("GET", "/page", &[("x-beta", "2")], "plain"),
        // Twice is a list, and never exactly the one value.
        ("GET", "/page", &[("x-beta", "1"), ("x-beta", "1")], "plain"),
        // Its headers fit best, but it does not take the method: another of the pattern does.
        ("POST", "/page", &[("x-beta", "1")], "plain"),
        // A pattern none of whose routes has headers that fit leaves the path to the next.
        ("GET", "/special", &[("x-beta", "1")], "special"),
        ("GET", "/special", &[], "any"),
    ];
    for (method, path, headers, name) in cases {
        let request = host.request(method, &format!("{path}?key=name"));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(name, value));
        assert_eq!(name_of(&request.send().await), name, "{method} {path} {headers:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_method_decides_inside_the_most_specific_pattern_and_never_beyond_it() {
    let names = ["add", "beta", "read", "every", "head", "options"];
    let routes = [
        ("add", "/books/new", "methods = ['POST']"),
        ("beta", "/books/new", "methods = ['PURGE']\nheaders = { x-beta = '1' }"),
        ("read", "/books/{id}", "methods = ['GET', 'DELETE']"),
        ("every", "/every", ""),
        ("read", "/own", "methods = ['GET']"),
        ("head", "/own", "methods = ['HEAD']"),
        ("options", "/own", "methods = ['OPTIONS']"),
    ];
    let host = Host::start(&named(Site::shop(), &names, &routes)).await;
    let ask = async |method: &str, path: &str| host.request(method, &format!("{path}?key=name")).send().await;

    assert_eq!(name_of(&ask("POST", "/books/new").await), "add");
    let refused = ask("GET", "/books/new").await;
    assert_eq!(refused.expect_problem(405, "method").header("allow"), Some("OPTIONS, POST"));
    // What `Allow` names is what this caller may do: a route whose headers do not fit is not there.
    let refused = host.request("GET", "/books/new").header("x-beta", "1").send().await;
    assert_eq!(refused.expect_problem(405, "method").header("allow"), Some("OPTIONS, POST, PURGE"));
    let refused = ask("PATCH", "/books/7").await;
    assert_eq!(refused.expect_problem(405, "method").header("allow"), Some("DELETE, GET, HEAD, OPTIONS"));
    // A method is compared as it is written.
    ask("get", "/books/7").await.expect_problem(405, "method");

    for method in ["GET", "OPTIONS", "PURGE", "get"] {
        assert_eq!(name_of(&ask(method, "/every").await), "every", "{method}");
    }
    assert_eq!(name_of(&ask("OPTIONS", "/own").await), "options");
    for (method, path, plugin) in [("HEAD", "/own", "head"), ("HEAD", "/books/7", "read")] {
        let answer = ask(method, path).await;
        assert_eq!(answer.expect(200).text(), "");
        assert_eq!(host.access_line(answer.request_id()).await["plugin"], plugin, "{path}");
    }

    let options = ask("OPTIONS", "/books/7").await;
    assert_eq!(options.expect(204).header("allow"), Some("DELETE, GET, HEAD, OPTIONS"));
    assert_eq!((options.header("content-length"), options.text()), (None, String::new()));
    ask("OPTIONS", "/nowhere").await.expect_problem(404, "no-route");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_is_any_word_but_connect_and_trace_and_is_seen_as_it_was_sent() {
    let host = Host::start(&telling(&[("/{*all}", "")])).await;
    for method in ["GET", "get", "FOO", "M-SEARCH", "head", "A-METHOD-OF-THIRTY-TWO-BYTES-OK!"] {
        assert_eq!(told(&host.request(method, "/echo").send().await, "method"), method);
    }
    // HEAD is one of them: its answer has no body, and the length of this one, `HEAD` being longer than `GET`.
    let (get, head) = (host.get("/echo").await, host.request("HEAD", "/echo").send().await);
    let length = |answer: &Answer| answer.header("content-length").unwrap().parse::<usize>().unwrap();
    assert_eq!((length(head.expect(200)), head.text()), (length(&get) + 1, String::new()));
    for method in ["TRACE", "CONNECT"] {
        let target = if method == "CONNECT" { "a:80" } else { "/echo" };
        let answer =
            host.raw(format!("{method} {target} HTTP/1.1\r\nhost: a:80\r\nconnection: close\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 501 ") && answer.contains("unsupported-method"), "{answer}");
    }
    let star = host.raw("OPTIONS * HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert!(star.starts_with("HTTP/1.1 204 ") && !star.contains("allow:"), "{star}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_takes_head_itself_says_how_long_a_get_would_be() {
    let host = Host::start(&guest_with("")).await;
    let head = host.request("HEAD", "/content-length?value=1234").send().await;
    assert_eq!((head.expect(200).text(), head.header("content-length")), (String::new(), Some("1234")));
    let nonsense = host.request("HEAD", "/content-length?value=many").send().await;
    assert_eq!(nonsense.status, 502, "{nonsense}");
    host.get("/content-length?value=1234").await.expect_problem(502, "plugin-answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn head_on_a_get_route_is_a_get_to_the_plugin_and_its_body_is_dropped() {
    let host = Host::start(&telling(&[("/{*all}", "methods = [\"GET\"]")])).await;
    let get = host.get("/echo").await;
    assert_eq!(told(&get, "method"), "GET");
    let head = host.request("HEAD", "/echo").send().await;
    assert_eq!(head.expect(200).text(), "");
    // The echo would be a byte longer had the plugin seen HEAD.
    assert_eq!(head.header("content-length"), get.header("content-length"));
    assert_eq!(head.header("content-type"), get.header("content-type"));
    assert_eq!(host.access_line(head.request_id()).await["method"], "HEAD");

    // These have no body, and so no length, whatever the method (RFC 9110 §8.6).
    for path in ["/status?code=204", "/status?code=304"] {
        for method in ["GET", "HEAD"] {
            let answer = host.request(method, path).send().await;
            assert_eq!((answer.header("content-length"), answer.text()), (None, String::new()), "{answer}");
        }
    }
    let dropped = host.get("/body-on-204").await;
    assert_eq!((dropped.expect(204).text(), dropped.header("content-length")), (String::new(), None));
    let told = host.log_of(dropped.request_id());
    assert!(told.iter().any(|line| line["dropped-bytes"] == "not wanted\n".len()), "{told:?}");

    // A refusal is answered without a body too.
    let refused = host.request("HEAD", "/echo/..").send().await;
    assert_eq!(refused.expect(400).text(), "");
}
