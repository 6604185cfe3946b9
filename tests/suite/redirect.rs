//! Redirects: where a caller is sent, and where nobody can be sent.

use jackfield_tests::{Host, Site, together};

/// The plugin that redirects, without a route.
fn redirects(config: &str) -> Site {
    Site::shop()
        .plugin("moved", "redirect.wasm")
        .with(format!("[tenants.shop.plugins.moved.config]\n{config}"))
}

/// A site whose redirects are the plugin of every route.
fn handler(config: &str) -> Site {
    redirects(config).route("/{*any}").route("/")
}

/// A site whose redirects stand as a filter in front of a plugin that says hello.
fn filter(config: &str) -> Site {
    redirects(config)
        .plugin("hello", "guest_hello.wasm")
        .route("/{*any}")
        .with("filters = ['moved']")
        .route("/")
        .with("filters = ['moved']")
}

/// What comes back for exactly these bytes as target and Host: its status and its Location.
async fn ask_raw(host: &Host, target: &str, name: &str) -> (u16, Option<String>) {
    let answer =
        host.raw(format!("GET {target} HTTP/1.1\r\nhost: {name}\r\nconnection: close\r\n\r\n")).await;
    let head = answer.split("\r\n\r\n").next().unwrap_or_default();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    let locations: Vec<_> = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| name.eq_ignore_ascii_case("location"))
        .map(|(_, value)| value.trim().to_owned())
        .collect();
    assert!(locations.len() <= 1, "{target} got several locations:\n{answer}");
    assert!(!head.to_ascii_lowercase().contains("\nset-cookie"), "{target} set a header:\n{answer}");
    (status, locations.into_iter().next())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_status_is_sent_as_the_rule_says_whatever_the_method() {
    let host = Host::start(&handler(
        r#"
        "/s301" = "301 /new"
        "/s302" = "302 /new"
        "/s303" = "303 /new"
        "/s307" = "307 /new"
        "/s308" = "308 https://books.example/new"
        "/bare" = "/new"
        "#,
    ))
    .await;
    for (path, status, location) in [
        ("/s301", 301, "/new"),
        ("/s302", 302, "/new"),
        ("/s303", 303, "/new"),
        ("/s307", 307, "/new"),
        ("/s308", 308, "https://books.example/new"),
        // What says nothing keeps method and body.
        ("/bare", 308, "/new"),
    ] {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] {
            let body = if matches!(method, "GET" | "HEAD") { "" } else { "a body" };
            let answer = host.request(method, path).body(body).send().await;
            assert_eq!(answer.expect(status).header_all("location"), [location], "{answer}");
            assert_eq!(answer.text(), "", "{answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn query_and_captures_arrive_at_the_new_address() {
    let host = Host::start(&handler(
        r#"
        "/old/{*rest}" = "308 https://books.example/{rest}"
        "/old/fixed" = "308 /fixed"
        "/item/{id}" = "301 /api/books/{id}?from=item#{id}"
        "/{x}/to/{y}" = "302 /{y}/{x}"
        "#,
    ))
    .await;
    for (target, location) in [
        ("/old/a/b", "https://books.example/a/b"),
        ("/old/a/b?page=2&q=%20x", "https://books.example/a/b?page=2&q=%20x"),
        ("/old/a//b/", "https://books.example/a//b/"),
        ("/old/a?", "https://books.example/a"),
        ("/old/fixed", "/fixed"),
        ("/item/7?page=2", "/api/books/7?from=item&page=2#7"),
        ("/item/caf%C3%A9%20x", "/api/books/caf%C3%A9%20x?from=item#caf%C3%A9%20x"),
        ("/item/a%2Fb", "/api/books/a%2Fb?from=item#a%2Fb"),
        ("/item/a:b@c;d=e", "/api/books/a%3Ab%40c%3Bd%3De?from=item#a%3Ab%40c%3Bd%3De"),
        ("/item/100%25", "/api/books/100%25?from=item#100%25"),
        ("/here/to/there", "/there/here"),
        ("/old?next=https://evil.example/", ""),
        ("/item/7?next=https://evil.example/", "/api/books/7?from=item&next=https://evil.example/#7"),
    ] {
        let (status, sent_to) = ask_raw(&host, target, "shop.example").await;
        assert_eq!(sent_to.as_deref().unwrap_or_default(), location, "{target}");
        assert_eq!(status == 404, location.is_empty(), "{target}: {status}");
    }
}

/// What a caller may try in the place of a capture.
const HOSTILE: &[&str] = &[
    "/evil.example",
    "//evil.example",
    "///evil.example",
    "/%2Fevil.example",
    "%2Fevil.example",
    "%2F%2Fevil.example",
    "%2f%2fevil.example/%2e%2e",
    "%5Cevil.example",
    "%5C%5Cevil.example",
    "\\evil.example",
    "\\\\evil.example",
    "/\\evil.example",
    "/%5Cevil.example",
    "https://evil.example",
    "https:evil.example",
    "https%3A%2F%2Fevil.example",
    "javascript:alert(1)",
    "@evil.example",
    "%40evil.example",
    ":80@evil.example",
    "%3A80%40evil.example",
    ".evil.example",
    "%2Eevil.example",
    "%0D%0ALocation:%20https://evil.example",
    "a%0d%0aSet-Cookie:%20a=b",
    "%0A//evil.example",
    "%09//evil.example",
    "%09/evil.example",
    "%20//evil.example",
    "%00//evil.example",
    "..//evil.example",
    "%2e%2e//evil.example",
    "a/..//evil.example",
    "a/%2e%2e/%2e%2e//evil.example",
    "%252F%252Fevil.example",
    "%252e%252e//evil.example",
    "?//evil.example",
    "#//evil.example",
    ";//evil.example",
    "%EF%BC%8F%EF%BC%8Fevil.example",
    "%E3%80%82evil.example",
    "\u{ff0f}\u{ff0f}evil.example",
    "%FF//evil.example",
    "%//evil.example",
    "{any}",
    "[::1]",
];

#[tokio::test(flavor = "multi_thread")]
async fn no_path_can_send_a_caller_to_another_host_than_the_rules() {
    let rules = [
        ("302 /{any}", ""),
        ("302 /{any}/x", ""),
        ("302 /.{any}", ""),
        ("302 /new{any}", ""),
        ("302 /new/{any}?to={any}#{any}", ""),
        ("302 https://books.example/{any}", "https://books.example"),
        ("302 https://books.example:8443/{any}?to={any}", "https://books.example:8443"),
    ];
    let table: String = (0..)
        .zip(rules)
        .map(|(rule, (target, _))| format!("\"/{rule}/{{*any}}\" = \"{target}\"\n"))
        .collect();
    for site in [handler, filter] {
        let host = Host::start(&site(&table)).await;
        for (rule, (target, origin)) in (0..).zip(rules) {
            let asked = together(HOSTILE.iter().map(async |hostile| {
                (hostile, ask_raw(&host, &format!("/{rule}/{hostile}"), "shop.example").await)
            }));
            let mut redirected = 0;
            for (hostile, (status, location)) in asked.await {
                let story = format!("{target}, with {hostile}: {status} {location:?}");
                let Some(location) = location else {
                    // Refused; or there is nothing in the place of the capture, so that the rule does not fit.
                    assert!(status == 400 || hostile.starts_with(['?', '#']), "{story}");
                    continue;
                };
                assert_eq!(status, 302, "{story}");
                redirected += 1;
                expect_same_host(&location, origin, &story);
            }
            assert!(redirected > 5, "{target}: almost nothing was tried, only {redirected}");
        }
        // A path that goes nowhere safe is refused, and is no way past the filter.
        assert_eq!(ask_raw(&host, "/0//evil.example", "shop.example").await, (400, None));
    }
}

#[track_caller]
fn expect_same_host(location: &str, origin: &str, story: &str) {
    assert!(location.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\'), "{story}");
    let path = location.strip_prefix(origin).expect(story);
    assert!(path.starts_with('/'), "{story}");
    // Nor by way of a server that decodes once more, or drops dot segments.
    let path = path.split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase();
    let decoded = path.replace("%2e", ".").replace("%2f", "/").replace("%5c", "/");
    assert!(!origin.is_empty() || !decoded.starts_with("//"), "{story}");
    assert!(decoded.split('/').all(|segment| segment != "." && segment != ".."), "{story}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_without_a_rule_is_not_found_at_a_handler_and_goes_on_at_a_filter() {
    let rules = r#""/old/{*rest}" = "308 /new/{rest}""#;
    let host = Host::start(&handler(rules)).await;
    for path in ["/", "/old", "/old/", "/older/a", "/new/a"] {
        let answer = host.get(path).await;
        assert_eq!(answer.expect(404).header("content-type"), Some("application/problem+json"), "{answer}");
        assert_eq!(answer.json()["request-id"], answer.request_id());
        assert_eq!(answer.header("location"), None);
    }

    let host = Host::start(&filter(rules)).await;
    for path in ["/", "/old", "/old/", "/older/a", "/new/a"] {
        let answer = host.request("POST", path).body("a body").send().await;
        assert_eq!(answer.expect(200).text(), "hello from version-1\n", "{answer}");
    }
    let answer = host.get("/old/a?b=c").await;
    assert_eq!(answer.expect(308).header("location"), Some("/new/a?b=c"));
}

#[tokio::test(flavor = "multi_thread")]
async fn http_is_sent_to_https_on_the_same_host_and_nowhere_else() {
    let rules = "https = \"true\"\n\"/old\" = \"301 /new\"";
    for site in [handler, filter] {
        let host = Host::start(&site(rules)).await;
        for (target, name, location) in [
            ("/a/b?c=%20d", "shop.example", "https://shop.example/a/b?c=%20d"),
            ("/a/b", "shop.example:8080", "https://shop.example/a/b"),
            // Before any rule: the next request, by https, meets those.
            ("/old", "shop.example", "https://shop.example/old"),
            ("//evil.example", "shop.example", "https://shop.example//evil.example"),
            ("/@evil.example", "shop.example", "https://shop.example/@evil.example"),
            ("/", "[::1]:8080", "https://[::1]/"),
        ] {
            let answer = ask_raw(&host, target, name).await;
            assert_eq!(answer, (308, Some(location.to_owned())), "{target} at {name}");
        }
        for name in [
            "shop.example@evil.example",
            "evil.example/",
            "evil.example#",
            "evil.example\\",
            "a b",
            "[x]",
            ":80",
        ] {
            let (status, location) = ask_raw(&host, "/", name).await;
            assert_eq!((status, location), (400, None), "Host: {name}");
        }
        let posted = host.request("POST", "/a").body("a body").send().await;
        posted.expect(308);
    }
    let host = Host::start(&filter("https = \"false\"")).await;
    host.get("/a").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_are_wrong_close_the_route_and_only_the_log_says_why() {
    let wrong = [
        ("a", r#"https = "yes""#, "config `https` is `yes`: give `true` or `false`"),
        ("b", r#""/a" = "304 /b""#, "is not a status of 301, 302, 303, 307, 308"),
        ("c", r#""/a" = "//evil.example/""#, "begins with `//`"),
        ("d", r#""/{a}" = "https://{a}/""#, "no plain host name"),
        ("e", r#""/a" = "/{b}""#, "`{b}` is not a name in the pattern"),
        ("f", r#"old = "/new""#, "config `old` is unknown"),
    ];
    for site in [handler, filter] {
        let of = |(tenant, rules, _): (&str, &str, _)| {
            let hosts = format!("hosts = [\"{tenant}.example\"]");
            site(rules)
                .replace("tenants.shop", &format!("tenants.{tenant}"))
                .replace("hosts = [\"*\"]", &hosts)
        };
        let host = Host::start(&wrong.map(of).concat()).await;
        for (tenant, _, named) in wrong {
            let answer = host.request("GET", "/a").header("host", format!("{tenant}.example")).send().await;
            answer.expect(500);
            assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer}");
            assert!(!answer.text().contains("config"), "{answer}");
            let log = host.log_of(answer.request_id());
            let line = log.iter().find(|line| line["message"] == "plugin says").expect("the plugin's line");
            assert!(line["text"].as_str().is_some_and(|text| text.contains(named)), "{line}");
            assert_eq!((&line["plugin"], &line["level"]), (&"moved".into(), &"error".into()), "{line}");
        }
    }
}
