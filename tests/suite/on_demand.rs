//! Code that is in memory only while calls need it: whoever calls an idle plugin gets the plugin's answer all the same.

use std::path::{Path, PathBuf};

use jackfield_tests::{Host, Options, Site, hello_version, replace, together};
use tempfile::TempDir;

const LOST: &str = "compiled code was lost: it was compiled anew";
const OF_NO_USE: &str = "compiled code that was kept is of no use: it is compiled anew";
const NOT_KEPT: &str = "compiled code was not kept: the next start compiles it anew";
const NO_DESCRIPTION: &str = "the kept description of a component is of no use: its code is looked at";

/// Two tenants, each with its own component.
fn site() -> Site {
    let shop = Site::default().tenant("shop", ["shop.example"]);
    let shop = shop.plugin("hello", "guest_hello.wasm").route("/");
    shop.tenant("mill", ["mill.example"]).plugin("guest", "guest_misbehave.wasm").route("/{*rest}")
}

/// One tenant with a plugin that misbehaves when asked; `more` are further keys of it.
fn misbehaving(more: &str) -> Site {
    Site::shop().plugin("guest", "guest_misbehave.wasm").with(more).route("/{*rest}")
}

/// A host whose compiled code nobody else uses, and the folder of the code.
async fn host(site: &Site, folder: &TempDir) -> (Host, PathBuf) {
    let compiled = folder.path().join("compiled");
    let options = Options { compiled: Some(compiled.clone()), ..Options::default() };
    (Host::start_with(site, options).await, compiled)
}

/// A host on the components of an earlier one: none of their code is in memory.
async fn idle_host(site: &Site, folder: &TempDir) -> (Host, PathBuf) {
    let (mut host, compiled) = host(site, folder).await;
    host.restart().await;
    // The first component of a process is tried out.
    assert_ne!(drop_unused_code(&host).await, 0);
    (host, compiled)
}

/// The answer of the hello guest of a tenant.
async fn hello(host: &Host, name: &str) -> String {
    host.request("GET", "/").header("host", name).send().await.expect(200).text()
}

/// Calls both plugins of [`site`].
async fn call_both(host: &Host) {
    assert_eq!(hello(host, "shop.example").await, "hello from version-1\n");
    call_mill(host).await;
}

async fn call_mill(host: &Host) {
    let answer = host.request("GET", "/ok").header("host", "mill.example").send().await;
    assert_eq!(answer.expect(200).text(), "ok\n");
}

/// Lets go of all code that no instance needs. Returns the number of components that were let go.
async fn drop_unused_code(host: &Host) -> usize {
    let since_the_last_call = host.running().drop_unused_code().await;
    since_the_last_call + host.running().drop_unused_code().await
}

fn told(host: &Host, message: &str) -> usize {
    host.log().iter().filter(|line| line["message"] == message).count()
}

fn files(compiled: &Path, are_descriptions: bool) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(compiled).unwrap().map(|entry| entry.unwrap().path());
    let is_description = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with("about-");
    entries.filter(|path| is_description(path) == are_descriptions).collect()
}

fn empty(compiled: &Path) {
    for file in std::fs::read_dir(compiled).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn code_that_no_call_uses_is_dropped_and_the_next_call_is_answered_as_ever() {
    let folder = TempDir::new().unwrap();
    let (host, _) = host(&misbehaving(""), &folder).await;
    for _ in 0..3 {
        // Its instance is gone with it.
        host.get("/trap").await.expect(500);
        assert_eq!(host.running().drop_unused_code().await, 0, "it was just used");
        assert_eq!(host.running().drop_unused_code().await, 1);
        assert_eq!(host.get("/visits").await.expect(200).text().trim(), "visits=1");
    }
    assert_eq!(told(&host, LOST), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_that_call_an_idle_plugin_at_once_are_all_answered() {
    let folder = TempDir::new().unwrap();
    let (host, _) = idle_host(&site(), &folder).await;
    together((0..20).map(|_| call_both(&host))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_that_run_or_wait_keep_their_code() {
    for (more, visits) in [("instances = 'reused'", ["1", "2", "3"]), ("", ["1", "1", "1"])] {
        let folder = TempDir::new().unwrap();
        let (host, _) = host(&misbehaving(more), &folder).await;
        let visit = async || host.get("/visits").await.expect(200).text().trim().to_owned();
        assert_eq!(visit().await, format!("visits={}", visits[0]), "{more}");
        if !more.is_empty() {
            assert_eq!(drop_unused_code(&host).await, 0, "an instance waits");
        }
        assert_eq!(visit().await, format!("visits={}", visits[1]), "{more}");
        let sleep = host.get("/sleep?ms=300");
        let look = async {
            host.wait_until("it sleeps", async || {
                host.metric(r#"jackfield_calls_in_flight{tenant="shop",plugin="guest"}"#) > 0.0
            })
            .await;
            drop_unused_code(&host).await
        };
        let (slept, dropped) = tokio::join!(sleep, look);
        slept.expect(200);
        assert_eq!(dropped, 0, "a call is under way");
        assert_eq!(visit().await, format!("visits={}", visits[2]), "{more}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_that_is_emptied_under_a_running_host_is_filled_again_from_the_components() {
    let folder = TempDir::new().unwrap();
    let (mut host, compiled) = idle_host(&site(), &folder).await;
    empty(&compiled);
    call_both(&host).await;
    assert_eq!((files(&compiled, false).len(), files(&compiled, true).len()), (2, 2));
    assert_eq!(told(&host, LOST), 2);
    host.restart().await;
    call_both(&host).await;
    assert_eq!(told(&host, LOST), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn code_that_is_damaged_while_nobody_needs_it_is_compiled_anew_at_the_next_call() {
    let folder = TempDir::new().unwrap();
    let (host, compiled) = idle_host(&misbehaving(""), &folder).await;
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 4] = [
        ("one bit of it", |file| {
            let mut code = std::fs::read(file).unwrap();
            let middle = code.len() / 2;
            code[middle] ^= 1;
            std::fs::write(file, code).unwrap();
        }),
        ("its second half", |file| {
            let code = std::fs::read(file).unwrap();
            std::fs::write(file, &code[..code.len() / 2]).unwrap();
        }),
        ("who may write to it", |file| {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o622)).unwrap();
        }),
        ("where it is", |file| {
            let elsewhere = file.parent().unwrap().parent().unwrap().join("elsewhere");
            std::fs::rename(file, &elsewhere).unwrap();
            std::os::unix::fs::symlink(&elsewhere, file).unwrap();
        }),
    ];
    let code = || {
        let [file] = &files(&compiled, false)[..] else { panic!("there is one file of code") };
        (file.clone(), std::fs::read(file).unwrap())
    };
    let whole = code();
    for (number, (what, damage)) in (1..).zip(damages) {
        damage(&code().0);
        host.get("/trap").await.expect(500);
        assert_eq!((told(&host, OF_NO_USE), told(&host, LOST)), (number, number), "{what}");
        assert!(code() == whole, "{what}: it is kept as it was");
        // What was kept now is found.
        for _ in 0..2 {
            assert_eq!(drop_unused_code(&host).await, 1, "{what}");
            host.get("/trap").await.expect(500);
        }
        assert_eq!((told(&host, OF_NO_USE), told(&host, LOST)), (number, number), "{what}");
        assert_eq!(drop_unused_code(&host).await, 1, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_code_that_cannot_be_kept_again_stays_in_memory() {
    let folder = TempDir::new().unwrap();
    let (host, compiled) = idle_host(&misbehaving(""), &folder).await;
    // Nothing can be written to a folder that is gone.
    std::fs::remove_dir_all(&compiled).unwrap();
    for _ in 0..3 {
        host.get("/trap").await.expect(500);
        assert_eq!(drop_unused_code(&host).await, 0);
        assert_eq!((told(&host, LOST), told(&host, NOT_KEPT)), (1, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_whose_code_is_lost_and_whose_file_has_changed_fails_alone() {
    let folder = TempDir::new().unwrap();
    let (host, compiled) = idle_host(&site(), &folder).await;
    // The change is refused: what was live stays live.
    let whole = std::fs::read(host.file("guest_hello.wasm")).unwrap();
    replace(&host.file("guest_hello.wasm"), b"no component");
    host.wait_for_log("the change is refused", |line| {
        line["message"] == "a change was refused; what was live stays live"
    })
    .await;
    empty(&compiled);
    let failed = host.request("GET", "/").header("host", "shop.example").send().await;
    failed.expect(500);
    let lines = host.log_of(failed.request_id());
    let line = lines.iter().find(|line| line["message"] == "request failed").expect("it is logged");
    assert_eq!(line["blame"], "host", "{line}");
    assert!(line["error"].as_str().unwrap().contains("its file has changed"), "{line}");
    call_mill(&host).await;
    replace(&host.file("guest_hello.wasm"), &whole);
    host.wait_until("it recovers by itself", async || {
        host.request("GET", "/").header("host", "shop.example").send().await.status == 200
    })
    .await;
    assert_eq!(hello(&host, "shop.example").await, "hello from version-1\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_code_is_compiled_from_the_plugins_own_file_though_another_plugins_file_was_the_same() {
    let shop = Site::default().tenant("shop", ["shop.example"]);
    let shop = shop.plugin("hello", "guest_hello.wasm").route("/");
    let site = shop.tenant("mill", ["mill.example"]).plugin("hello", "mill.wasm").route("/");
    for (changed, of_changed, of_other) in
        [("guest_hello.wasm", "shop.example", "mill.example"), ("mill.wasm", "mill.example", "shop.example")]
    {
        let (folder, of_host) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        std::fs::write(of_host.path().join("mill.wasm"), hello_version(1)).unwrap();
        let compiled = folder.path().join("compiled");
        let options =
            Options { compiled: Some(compiled.clone()), folder: Some(of_host), ..Options::default() };
        let mut host = Host::start_with(&site, options).await;
        host.restart().await;
        replace(&host.file(changed), &hello_version(2));
        host.wait_until("the change is live", async || {
            hello(&host, of_changed).await == "hello from version-2\n"
        })
        .await;
        host.wait_until("nobody needs version 1", async || drop_unused_code(&host).await > 0).await;
        empty(&compiled);
        assert_eq!(hello(&host, of_other).await, "hello from version-1\n", "{changed}");
        assert_eq!(hello(&host, of_changed).await, "hello from version-2\n", "{changed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_description_that_is_damaged_or_of_another_component_is_not_believed() {
    let folder = TempDir::new().unwrap();
    let (mut host, compiled) = idle_host(&site(), &folder).await;
    let descriptions = files(&compiled, true);
    let [one, other] = &descriptions[..] else { panic!("{descriptions:?}") };
    let mut text = std::fs::read(one).unwrap();
    text[10] ^= 1;
    std::fs::write(one, text).unwrap();
    host.restart().await;
    assert_eq!(told(&host, NO_DESCRIPTION), 1);
    assert_eq!(files(&compiled, true).len(), 2, "it is written anew");
    call_both(&host).await;
    // The other's, under the one's name: its sum is right.
    let name_of = |file: &Path| file.file_name().unwrap().to_str().unwrap().to_owned();
    let sum = name_of(other).rsplit('-').next().unwrap().to_owned();
    let (key, _) = name_of(one).rsplit_once('-').map(|(key, sum)| (key.to_owned(), sum.to_owned())).unwrap();
    std::fs::remove_file(one).unwrap();
    std::fs::copy(other, compiled.join(format!("{key}-{sum}"))).unwrap();
    host.restart().await;
    call_both(&host).await;
    assert!(one.exists(), "it is written anew");
    assert_eq!((told(&host, LOST), files(&compiled, true).len()), (0, 2));
}
