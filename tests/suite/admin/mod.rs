//! The admin API: tenants that publish by themselves while the host serves.

mod access;
mod artifacts;
mod calls;
mod crash;
mod events;
mod revisions;
mod rollouts;
mod secrets;
mod tenants;
mod tokens;

use jackfield_tests::{Admin, Host, hello_version};
use serde_json::{Value, json};

/// A document whose one plugin answers everything.
fn document(component: &str) -> Value {
    json!({
        "plugins": { "hello": { "component": component } },
        "routes": [{ "path": "/{*any}", "plugin": "hello" }, { "path": "/", "plugin": "hello" }],
    })
}

/// A tenant `shop` with the host `shop.example`, whose plugin says `version-N`; its revisions by `numbers`.
async fn shop(admin: &Admin, numbers: impl IntoIterator<Item = u8>) -> Vec<String> {
    admin.make_tenant("shop", &["shop.example"]).await;
    let mut revisions = Vec::new();
    for number in numbers {
        let component = admin.uploaded("shop", hello_version(number)).await;
        revisions.push(admin.revision("shop", &document(&component)).await);
    }
    revisions
}

/// What is answered at this host name.
async fn served(host: &Host, name: &str) -> (u16, String) {
    let answer = host.request("GET", "/").header("host", name).send().await;
    (answer.status.as_u16(), answer.text())
}

/// The ids of a page's items.
fn each<'a>(page: &'a Value, key: &str) -> Vec<&'a Value> {
    page["items"].as_array().unwrap().iter().map(|item| &item[key]).collect()
}
