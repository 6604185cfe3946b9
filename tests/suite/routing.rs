//! Which plugin answers a request, and what is answered where none does.

use jackfield_tests::Host;

const SITE: &str = r#"
    [tenants.shop]
    hosts = ["shop.example"]
    [tenants.shop.plugins.hello]
    component = "guest_hello.wasm"
    [[tenants.shop.routes]]
    path = "/hello"
    methods = ["GET"]
    plugin = "hello"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_route_answers_with_its_plugin_and_everything_else_with_a_problem() {
    let host = Host::start(SITE).await;
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
