//! A change that was answered is there after a crash, and what it published is served.

use jackfield_tests::{Admin, Process, WITH_ADMIN, hello_version, raw, site_folder};
use serde_json::json;

use super::{document, shop};

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_was_answered_survives_the_sudden_end_of_the_process() {
    let folder = site_folder("");
    let site = format!("[host]\nlisten = ['127.0.0.1:0']\nconcurrency = 64\n{WITH_ADMIN}\n");
    std::fs::write(folder.path().join("site.toml"), site).unwrap();
    let serve = || {
        let process = Process::start(folder.path(), ["serve", "--config", "site.toml"]);
        process.wait_for_line("admin API");
        process
    };
    let admin = Admin::at_socket(folder.path());
    let request = "GET / HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n\r\n";

    let mut process = serve();
    let revisions = shop(&admin, [1, 2]).await;
    let mut expected = String::new();
    for (round, condition) in (0..4).map(|round| (round, format!("\"{round}\""))) {
        let revision = &revisions[round % 2];
        admin.roll_out_if("shop", revision, &condition).await.expect(200);
        process.signal(rustix::process::Signal::KILL);
        process.wait();
        process = serve();
        let rollout = admin.get("/v1/tenants/shop/rollout").await.expect(200).json();
        assert_eq!((&rollout["number"], &rollout["live"]), (&json!(round + 1), &json!(revision)));
        let answer = raw(process.address(), request).await;
        expected = format!("version-{}", round % 2 + 1);
        assert!(answer.contains(&expected), "{answer}");
    }
    let token = admin.make_token(None).await;
    admin.put("/v1/tenants/shop/secrets/key", &json!({ "value": "1" })).await.expect(204);
    process.signal(rustix::process::Signal::KILL);
    process.wait();
    let process = serve();
    let listed = admin.get("/v1/tokens").await.expect(200).text();
    assert!(listed.contains(token.split('_').nth(1).unwrap()), "{listed}");
    assert!(admin.get("/v1/tenants/shop/secrets").await.text().contains("key"));
    assert!(raw(process.address(), request).await.contains(&expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_artifact_keeps_its_own_tenant_back_and_is_mended_by_the_same_bytes() {
    let folder = site_folder("");
    let site = format!("[host]\nlisten = ['127.0.0.1:0']\nconcurrency = 64\n{WITH_ADMIN}\n");
    std::fs::write(folder.path().join("site.toml"), site).unwrap();
    let serve = || {
        let process = Process::start(folder.path(), ["serve", "--config", "site.toml"]);
        process.wait_for_line("admin API");
        process
    };
    let admin = Admin::at_socket(folder.path());
    let asked = |host: &str| format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    let mut process = serve();
    let mut live = Vec::new();
    for (tenant, version) in [("shop", 1), ("bank", 2)] {
        admin.make_tenant(tenant, &[&format!("{tenant}.example")]).await;
        let component = admin.uploaded(tenant, hello_version(version)).await;
        let revision = admin.revision(tenant, &document(&component)).await;
        admin.roll_out_if(tenant, &revision, "\"0\"").await.expect(200);
        live.push((component, revision));
    }
    process.signal(rustix::process::Signal::KILL);
    process.wait();
    let (component, revision) = &live[0];
    let file = folder.path().join(".jackfield/artifacts").join(component.trim_start_matches("sha256:"));
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&file, bytes).unwrap();

    let process = serve();
    process.wait_for_line("its bytes have another digest");
    assert!(raw(process.address(), &asked("bank.example")).await.contains("version-2"));
    assert!(raw(process.address(), &asked("shop.example")).await.starts_with("HTTP/1.1 404"));
    assert_eq!(admin.roll_out_if("shop", revision, "\"1\"").await.status, 422, "it is not said to be live");
    admin.upload("shop", hello_version(1)).await.expect(200);
    admin.roll_out_if("shop", revision, "\"1\"").await.expect(200);
    assert!(raw(process.address(), &asked("shop.example")).await.contains("version-1"));
}
