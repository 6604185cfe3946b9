//! What a plugin can reach, and what it cannot: grants, addresses, names, credentials, budgets, and servers that fail.
//! Whatever could lead to another machine runs in a network of its own, and nowhere else.

mod asking;
mod credentials;
mod failing;
mod forms;
mod inside;
mod names;
mod tls;
mod upstream;

use jackfield_tests::{Answer, Host, Options, Site};
use serde_json::Value;

/// A tenant whose every path is the streaming guest's, which may reach these origins. `more` are further keys of the
/// plugin.
fn guest_at(origins: &[&str], more: &str) -> Site {
    let origins = origins.iter().map(|origin| format!("'{origin}'")).collect::<Vec<_>>().join(", ");
    let grants = format!("http = [{origins}]");
    Site::shop()
        .with(format!("quota.grants = {{ {grants} }}"))
        .plugin("guest", "guest_http.wasm")
        .grants(grants)
        .with(more)
        .route("/{*rest}")
}

/// A host with these ranges in `allow`, and such a tenant.
async fn start(allow: &[&str], origins: &[&str], more: &str) -> Host {
    start_site(&format!("allow = {allow:?}"), &guest_at(origins, more)).await
}

/// A host with these keys in `[host.outbound]`, and this site.
async fn start_site(outbound: &str, site: &str) -> Host {
    let host = format!("[host.outbound]\n{outbound}");
    Host::start_with(site, Options { host, ..Options::default() }).await
}

/// The path at which the guest asks for `url`, whose path is `/` if it has none: the guest's interface sends no other.
fn path(url: &str) -> String {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    let root = if authority.contains(['/', '?']) { "" } else { "/" };
    let encoded: String = url.bytes().chain(root.bytes()).map(|byte| format!("%{byte:02X}")).collect();
    format!("/fetch?url={encoded}")
}

/// What comes of it when the guest asks for `url`: the other's answer, or the name of an error code.
async fn fetch(host: &Host, url: &str) -> Answer {
    host.get(&path(url)).await
}

/// Why the host did not do what the guest asked, in the words of its log.
fn reason(host: &Host, answer: &Answer) -> String {
    let lines = host.log_of(answer.request_id());
    let line = lines.iter().find(|line| line["message"] == "a host call of the plugin failed");
    line.and_then(|line| line["reason"].as_str()).unwrap_or_default().to_owned()
}

/// Problem and blame in a request's access line.
async fn told(host: &Host, answer: &Answer) -> (Value, Value) {
    let line = host.access_line(answer.request_id()).await;
    (line["problem"].clone(), line["blame"].clone())
}
