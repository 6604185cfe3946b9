//! What a plugin may be granted: a store of its own, a limiter, its configuration, a log.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use jackfield_tests::{Answer, Host, Options, Process, RequestBuilder, raw, site_folder, together};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A plugin and a route at a host name of its own, `PLUGIN.TENANT`.
fn plugin(tenant: &str, name: &str, component: &str, grants: &str, config: &str) -> String {
    format!(
        r#"
        [tenants.{tenant}.plugins.{name}]
        component = "{component}"
        grants = {{ {grants} }}
        config = {{ {config} }}
        [[tenants.{tenant}.routes]]
        hosts = ["{name}.{tenant}"]
        path = "/{{*any}}"
        plugin = "{name}"
        "#
    )
}

/// A tenant of all host names that end in its own.
fn tenant(name: &str, plugins: &[String]) -> String {
    format!("[tenants.{name}]\nhosts = [\"*.{name}\"]\n{}", plugins.concat())
}

fn stores(grants: &str) -> String {
    let draft2 = plugin("shop", "kv", "guest_keyvalue.wasm", grants, "");
    let draft = plugin("shop", "draft", "guest_keyvalue_draft.wasm", grants, "");
    tenant("shop", &[draft2, draft])
}

/// A request to the plugin at `name`.
fn at<'a>(host: &'a Host, name: &str, path: &str) -> RequestBuilder<'a> {
    host.request("POST", path).header("host", name)
}

async fn tell(host: &Host, name: &str, path: &str) -> (u16, String) {
    let answer: Answer = at(host, name, path).send().await;
    (answer.status.as_u16(), answer.text())
}

/// Does each of these to the plugin at `name`, in order, and compares what it says.
async fn expect_each(host: &Host, name: &str, steps: &[(&str, u16, &str)]) {
    for (path, status, said) in steps {
        let (got_status, got) = tell(host, name, path).await;
        assert_eq!((got_status, got.trim_end()), (*status, *said), "{path} at {name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_keeps_values_under_keys() {
    let host = Host::start(&stores("keyvalue = true")).await;
    let binary: &[u8] = b"\0\xff any bytes \r\n";
    at(&host, "kv.shop", "/set?key=binary").body(binary).send().await.expect(200);
    assert_eq!(at(&host, "kv.shop", "/get?key=binary").send().await.expect(200).body, binary);
    at(&host, "kv.shop", "/set?key=a").body("1").send().await.expect(200);
    at(&host, "kv.shop", "/set?key=a").body("2").send().await.expect(200);
    expect_each(
        &host,
        "kv.shop",
        &[
            ("/get?key=a", 200, "2"),
            ("/get?key=b", 404, "none"),
            ("/exists?key=a", 200, "true"),
            ("/exists?key=b", 200, "false"),
            ("/set?key=empty", 200, "ok"),
            ("/get?key=empty", 200, ""),
            ("/exists?key=empty", 200, "true"),
            ("/get?key=a&name=default", 200, "2"),
            ("/list", 200, "key=a\nkey=binary\nkey=empty"),
            ("/list?cursor=a", 200, "key=binary\nkey=empty"),
            ("/list?cursor=zz", 200, ""),
            ("/delete?key=a", 200, "ok"),
            ("/delete?key=a", 200, "ok"),
            ("/get?key=a", 404, "none"),
            ("/set-many?pairs=x:1,y:2,z:3", 200, "ok"),
            ("/get-many?keys=z,nothing,x", 200, "z=3\nnothing\nx=1"),
            ("/delete-many?keys=x,nothing,z", 200, "ok"),
            ("/get-many?keys=x,y,z", 200, "x\ny=2\nz"),
            ("/list", 200, "key=binary\nkey=empty\nkey=y"),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_older_draft_keeps_values_under_keys_too() {
    let host = Host::start(&stores("keyvalue = true")).await;
    at(&host, "draft.shop", "/set?key=a").body("1").send().await.expect(200);
    expect_each(
        &host,
        "draft.shop",
        &[
            ("/get?key=a", 200, "1"),
            ("/get?key=b", 404, "none"),
            ("/set?key=b", 200, "ok"),
            ("/list", 200, "key=a\nkey=b"),
            ("/list?cursor=1", 200, "key=b"),
            ("/list?cursor=2", 200, ""),
            ("/list?cursor=18446744073709551615", 200, ""),
            ("/increment?key=n&delta=5", 200, "5"),
            ("/increment?key=n&delta=18446744073709551610", 200, "18446744073709551615"),
        ],
    )
    .await;
    let (status, said) = tell(&host, "draft.shop", "/increment?key=n").await;
    assert!(status == 503 && said.contains("is not from 0 to 18446744073709551615"), "{status} {said}");
    assert_eq!(tell(&host, "draft.shop", "/get?key=n").await, (200, "18446744073709551615".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_longer_than_a_page_is_read_to_its_end_by_either_cursor() {
    let host = Host::start(&stores("keyvalue = true, keyvalue-shared = true")).await;
    let keys: Vec<String> = (0..2100).map(|number| format!("k{number:04}")).collect();
    for some in keys.chunks(350) {
        let pairs: String = some.iter().map(|key| format!("{key}:v,")).collect();
        assert_eq!(tell(&host, "kv.shop", &format!("/set-many?name=shared&pairs={pairs}")).await.0, 200);
    }
    for name in ["kv.shop", "draft.shop"] {
        let mut listed = Vec::new();
        let mut pages = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = at(&host, name, &format!("/list?name=shared{cursor}")).send().await;
            let text = page.expect(200).text();
            let before = listed.len();
            listed.extend(text.lines().filter_map(|line| line.strip_prefix("key=")).map(str::to_owned));
            pages.push(listed.len() - before);
            let Some(next) = text.lines().find_map(|line| line.strip_prefix("cursor=")) else { break };
            assert!(pages.len() < 5, "the pages of {name} do not end");
            cursor = format!("&cursor={next}");
        }
        assert_eq!(pages, [1000, 1000, 100], "{name}");
        assert_eq!(listed, keys, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_counter_counts_every_call_once() {
    let host = Host::start(&stores("keyvalue = true")).await;
    expect_each(
        &host,
        "kv.shop",
        &[
            ("/increment?key=n&delta=5", 200, "5"),
            ("/increment?key=n&delta=-7", 200, "-2"),
            ("/get?key=n", 200, "-2"),
            ("/delete?key=n", 200, "ok"),
        ],
    )
    .await;
    let callers = (0..40).map(|_| tell(&host, "kv.shop", "/increment?key=n"));
    let sums: BTreeSet<i64> =
        together(callers).await.iter().filter_map(|(_, sum)| sum.trim_end().parse().ok()).collect();
    assert_eq!(sums, (1..=40).collect());

    at(&host, "kv.shop", "/set?key=text").body("ten").send().await.expect(200);
    for (path, why) in [
        ("/increment?key=text", "cannot increment: the value is not a decimal number"),
        ("/increment?key=n&delta=9223372036854775807", "cannot increment: the sum"),
    ] {
        let (status, said) = tell(&host, "kv.shop", path).await;
        assert!(status == 503 && said.contains(why), "{path}: {status} {said}");
    }
    expect_each(&host, "kv.shop", &[("/get?key=text", 200, "ten"), ("/get?key=n", 200, "40")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_happens_only_if_the_value_is_the_expected_one() {
    let host = Host::start(&stores("keyvalue = true")).await;
    expect_each(
        &host,
        "kv.shop",
        &[
            ("/cas?key=a&expect=x&value=1", 409, "unexpected"),
            ("/cas?key=a&value=1", 200, "swapped"),
            ("/cas?key=a&value=2", 409, "unexpected 1"),
            ("/cas?key=a&expect=1&value=2", 200, "swapped"),
            ("/get?key=a", 200, "2"),
        ],
    )
    .await;
    let rivals = (0..30).map(async |number| {
        (number, tell(&host, "kv.shop", &format!("/cas?key=crown&value=rival{number}")).await)
    });
    let answers = together(rivals).await;
    let winners: Vec<_> = answers.iter().filter(|(_, (status, _))| *status == 200).collect();
    let [(winner, _)] = winners[..] else { panic!("not one winner: {answers:?}") };
    for (number, (status, said)) in &answers {
        let told = said.trim_end();
        let lost = *status == 409 && told.ends_with(&format!(" rival{winner}"));
        assert!(number == winner || lost, "rival {number} was told {status} {told}");
    }
    expect_each(&host, "kv.shop", &[("/get?key=crown", 200, &format!("rival{winner}"))]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_opens_by_its_name_and_grant_and_no_other_way() {
    for (grants, own, shared) in [
        ("keyvalue = true", true, false),
        ("keyvalue-shared = true", false, true),
        ("keyvalue = true, keyvalue-shared = true", true, true),
    ] {
        let host = Host::start(&stores(grants)).await;
        for plugin in ["kv.shop", "draft.shop"] {
            for (name, opens) in [("", own), ("default", own), ("shared", shared)] {
                let (status, said) = tell(&host, plugin, &format!("/get?key=a&name={name}")).await;
                let expected = if opens { (404, "none\n") } else { (403, "error: access-denied\n") };
                assert_eq!((status, said.as_str()), expected, "`{name}` at {plugin} with {grants}");
            }
            for name in ["Default", "other", "kv", "shop", "..%2Fshop", "shared%00"] {
                let (status, said) = tell(&host, plugin, &format!("/get?key=a&name={name}")).await;
                assert_eq!((status, said.as_str()), (400, "error: no-such-store\n"), "`{name}` at {plugin}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_without_the_grant_is_not_taken_and_the_reason_names_it() {
    for (component, import, grant) in [
        ("guest_keyvalue.wasm", "wasi:keyvalue/store@0.2.0-draft2", "grants = { keyvalue = true }"),
        ("guest_keyvalue_draft.wasm", "wasi:keyvalue/store@0.2.0-draft", "grants = { keyvalue = true }"),
        ("guest_limiter.wasm", "jackfield:plugin/limiter@0.1.0", "grants = { limiter = true }"),
    ] {
        let site = tenant("shop", &[plugin("shop", "greedy", component, "", "")]);
        let refused = Host::try_start(&site, Options::default()).await.err().expect("it is refused");
        for named in ["greedy", import, grant] {
            assert!(refused.contains(named), "{component}: {named} is not in\n{refused}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_or_over_the_quota_is_refused_and_changes_nothing() {
    let quota = "[tenants.shop.quota]\nstorage = { bytes = \"1KiB\", keys = 3 }\n";
    let host = Host::start(&(stores("keyvalue = true") + quota)).await;
    expect_each(&host, "kv.shop", &[("/set-many?pairs=a:1,b:2", 200, "ok")]).await;
    let long_key = format!("/set?key={}", "k".repeat(1025));
    for (path, body, why) in [
        (long_key.as_str(), 0, "key too long: it has 1025 bytes"),
        ("/set?key=", 0, "the key is empty"),
        ("/set?key=big", 1020, "storage quota used up: 1027 bytes would be kept, and 1024 are allowed"),
        ("/set-many?pairs=a:9,c:3,d:4", 0, "storage quota used up: 4 keys would be kept, and 3 are allowed"),
    ] {
        let answer = at(&host, "kv.shop", path).body(vec![b'x'; body]).send().await;
        let said = answer.expect(503).text();
        assert!(said.starts_with("error: other: ") && said.contains(why), "{said}");
    }
    expect_each(&host, "kv.shop", &[("/list", 200, "key=a\nkey=b"), ("/get?key=a", 200, "1")]).await;
    // What is deleted makes room.
    expect_each(&host, "kv.shop", &[("/delete?key=b", 200, "ok"), ("/set-many?pairs=c:3,d:4", 200, "ok")])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_the_keys_of_another_plugin_or_tenant() {
    let both = "keyvalue = true, keyvalue-shared = true";
    let of = |tenant_name: &str| {
        let plugins = [
            plugin(tenant_name, "one", "guest_keyvalue.wasm", both, ""),
            plugin(tenant_name, "two", "guest_keyvalue.wasm", both, ""),
            plugin(tenant_name, "alone", "guest_keyvalue.wasm", "keyvalue = true", ""),
        ];
        tenant(tenant_name, &plugins)
    };
    let host = Host::start(&(of("shop") + &of("rival"))).await;
    let everybody = ["one.shop", "two.shop", "alone.shop", "one.rival", "two.rival", "alone.rival"];

    // Each writes under the same keys, and a key that looks like a way into its neighbour's.
    for name in everybody {
        at(&host, name, "/set?key=mine").body(name).send().await.expect(200);
        at(&host, name, "/set?key=..%2Ftwo%2Fmine").body(name).send().await.expect(200);
    }
    for name in everybody {
        expect_each(
            &host,
            name,
            &[
                ("/get?key=mine", 200, name),
                ("/get?key=..%2Ftwo%2Fmine", 200, name),
                ("/list", 200, "key=../two/mine\nkey=mine"),
                ("/list?cursor=%00", 200, "key=../two/mine\nkey=mine"),
                ("/list?cursor=nobody", 200, ""),
                ("/get?key=only-one", 404, "none"),
            ],
        )
        .await;
    }

    // The shared store is the tenant's: its plugins with the grant see it, nobody else does.
    at(&host, "one.shop", "/set?name=shared&key=only-one").body("ours").send().await.expect(200);
    expect_each(&host, "two.shop", &[("/get?name=shared&key=only-one", 200, "ours")]).await;
    expect_each(&host, "alone.shop", &[("/get?name=shared&key=only-one", 403, "error: access-denied")]).await;
    for name in ["one.rival", "two.rival"] {
        let nothing = [("/get?name=shared&key=only-one", 404, "none"), ("/list?name=shared", 200, "")];
        expect_each(&host, name, &nothing).await;
    }
    for name in everybody {
        expect_each(&host, name, &[("/get?key=only-one", 404, "none")]).await;
    }
    // Nor does one who deletes or counts touch anybody else's.
    expect_each(&host, "one.shop", &[("/delete-many?keys=mine,only-one", 200, "ok")]).await;
    expect_each(&host, "one.rival", &[("/get?key=mine", 200, "one.rival")]).await;
    expect_each(&host, "two.shop", &[("/get?name=shared&key=only-one", 200, "ours")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_was_answered_survives_the_sudden_end_of_the_process() {
    let folder = site_folder(&stores("keyvalue = true"));
    let serve = || Process::start(folder.path(), ["serve", "--config", "site.toml"]);
    let ask = async |process: &Process, path: &str, body: &str| {
        let length = body.len();
        let head = format!("POST {path} HTTP/1.1\r\nhost: kv.shop\r\nconnection: close\r\n");
        let answer = raw(process.address(), format!("{head}content-length: {length}\r\n\r\n{body}")).await;
        answer.rsplit("\r\n\r\n").next().unwrap_or_default().trim_end().to_owned()
    };

    let mut process = serve();
    assert_eq!(ask(&process, "/set?key=a", "first").await, "ok");
    assert_eq!(ask(&process, "/set-many?pairs=b:2,c:3", "").await, "ok");
    assert_eq!(ask(&process, "/increment?key=n&delta=41", "").await, "41");
    process.signal(rustix::process::Signal::KILL);
    process.wait();

    let mut process = serve();
    assert_eq!(ask(&process, "/get?key=a", "").await, "first");
    assert_eq!(ask(&process, "/get-many?keys=b,c", "").await, "b=2\nc=3");
    assert_eq!(ask(&process, "/increment?key=n", "").await, "42");
    assert_eq!(ask(&process, "/delete?key=a", "").await, "ok");
    process.signal(rustix::process::Signal::KILL);
    process.wait();

    let process = serve();
    assert_eq!(ask(&process, "/get?key=a", "").await, "none");
    assert_eq!(ask(&process, "/get?key=n", "").await, "42");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_write_that_was_answered_is_there_however_the_process_ended_amid_others() {
    let folder = site_folder(&stores("keyvalue = true"));
    let serve = || Process::start(folder.path(), ["serve", "--config", "site.toml"]);
    let mut process = serve();
    let (address, killed) = (process.address(), AtomicBool::new(false));
    let answered = AtomicUsize::new(0);
    let writers = (0..8).map(async |writer| {
        let mut kept = Vec::new();
        while !killed.load(Ordering::SeqCst) {
            let key = format!("{writer}-{}", kept.len());
            // Two keys in one write: a crash may keep neither, but not one alone.
            let Ok(said) = try_post(address, &format!("/set-many?pairs={key}:a,{key}-twin:b")).await else {
                break;
            };
            if said != "ok" {
                break;
            }
            kept.push(key);
            if answered.fetch_add(1, Ordering::SeqCst) == 60 {
                process.signal(rustix::process::Signal::KILL);
                killed.store(true, Ordering::SeqCst);
            }
        }
        kept
    });
    let kept: BTreeSet<String> = together(writers).await.into_iter().flatten().collect();
    assert!(kept.len() > 60, "{kept:?}");
    process.wait();

    let process = serve();
    let listed = try_post(process.address(), "/list").await.expect("the host answers");
    let listed: BTreeSet<String> =
        listed.lines().filter_map(|line| line.strip_prefix("key=")).map(str::to_owned).collect();
    for key in &kept {
        assert!(listed.contains(key), "{key} was answered and is gone");
    }
    for key in &listed {
        let twin = key.strip_suffix("-twin").map_or_else(|| format!("{key}-twin"), str::to_owned);
        assert!(listed.contains(&twin), "{key} was written without {twin}");
    }
}

/// What the plugin `kv` of `shop` says to a POST; an error if the connection breaks.
async fn try_post(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let head =
        format!("POST {path} HTTP/1.1\r\nhost: kv.shop\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.split_once("\r\n\r\n").map_or("", |(_, body)| body.trim_end()).to_owned())
}

/// The numbers in `allowed=true remaining=1 reset=1000 retry=0`.
#[track_caller]
fn decision(said: &str) -> (bool, u32, u32, u32) {
    let mut values = said.split_whitespace().filter_map(|pair| pair.split_once('=')).map(|(_, value)| value);
    let allowed = values.next() == Some("true");
    let numbers: Vec<u32> = values.filter_map(|value| value.parse().ok()).collect();
    let [remaining, reset, retry] = numbers[..] else { panic!("no decision: {said}") };
    (allowed, remaining, reset, retry)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limiter_decides_for_each_key_and_takes_nothing_when_it_refuses() {
    let of = |name: &str| {
        let limiter = |plugin_name| plugin(name, plugin_name, "guest_limiter.wasm", "limiter = true", "");
        tenant(name, &[limiter("one"), limiter("two")])
    };
    let host = Host::start(&(of("shop") + &of("rival"))).await;
    let take = async |name: &str, query: &str| {
        let (status, said) = tell(&host, name, &format!("/take?window=3600000&limit=5&{query}")).await;
        assert_eq!(status, 200, "{said}");
        decision(&said)
    };

    let (allowed, remaining, reset, retry) = take("one.shop", "key=a&cost=2").await;
    assert_eq!((allowed, remaining, retry), (true, 3, 0));
    assert!((3_590_000..=3_600_000).contains(&reset), "{reset}");
    assert!(take("one.shop", "key=a&cost=3").await.0);
    let (allowed, remaining, _, retry) = take("one.shop", "key=a&cost=1").await;
    assert_eq!((allowed, remaining), (false, 0));
    assert!((3_600_000..=7_200_000).contains(&retry), "{retry}");
    // Another key, plugin or tenant has all of its own; so has another window of the same key.
    assert_eq!(take("one.shop", "key=b").await.1, 4);
    assert_eq!(take("two.shop", "key=a").await.1, 4);
    assert_eq!(take("one.rival", "key=a").await.1, 4);
    let (_, said) = tell(&host, "one.shop", "/take?key=a&limit=5&window=7200000").await;
    assert_eq!(decision(&said).1, 4);
    // A refusal took nothing, and the limit is each call's own.
    let (allowed, remaining, ..) = take("one.shop", "key=b&cost=5").await;
    assert_eq!((allowed, remaining), (false, 4));
    assert!(take("one.shop", "key=b&cost=4").await.0);
    let (_, said) = tell(&host, "one.shop", "/take?key=b&limit=6&window=3600000").await;
    assert_eq!((decision(&said).0, decision(&said).1), (true, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limiter_refuses_what_makes_no_sense_by_name() {
    let limiter = plugin("shop", "limiter", "guest_limiter.wasm", "limiter = true", "");
    let host = Host::start(&tenant("shop", &[limiter])).await;
    let long = format!("/take?key={}", "k".repeat(257));
    let longest = format!("/take?key={}", "k".repeat(256));
    for (path, error) in [
        (long.as_str(), Some("key-too-long")),
        (longest.as_str(), None),
        ("/take?key=", None),
        ("/take?key=a&limit=0", Some("invalid-window")),
        ("/take?key=a&window=0", Some("invalid-window")),
        ("/take?key=a&window=86400001", Some("invalid-window")),
        ("/take?key=a&window=86400000", None),
        ("/take?key=b&cost=0", Some("invalid-cost")),
        ("/take?key=b&limit=2&cost=3", Some("invalid-cost")),
        ("/take?key=b&limit=4294967295&cost=4294967295", None),
    ] {
        let (status, said) = tell(&host, "limiter.shop", path).await;
        match error {
            Some(error) => assert_eq!((status, said), (400, format!("error: {error}\n")), "{path}"),
            None => assert!(status == 200 && decision(&said).0, "{path}: {status} {said}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_calls_at_once_the_limiter_allows_exactly_the_limit() {
    let limiter = plugin("shop", "limiter", "guest_limiter.wasm", "limiter = true", "");
    let host = Host::start(&tenant("shop", &[limiter])).await;
    let callers = (0..60).map(|_| tell(&host, "limiter.shop", "/take?key=a&limit=25&window=3600000"));
    let decisions: Vec<_> = together(callers).await.iter().map(|(_, said)| decision(said)).collect();
    let left: BTreeSet<u32> = decisions.iter().filter(|d| d.0).map(|d| d.1).collect();
    assert_eq!(decisions.iter().filter(|d| d.0).count(), 25, "{decisions:?}");
    assert_eq!(left, (0..25).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_reads_its_own_configuration_in_either_version() {
    let config = |config| plugin("shop", "config", "guest_config.wasm", "", config);
    let other = plugin("shop", "other", "guest_config.wasm", "", "a = \"another's\"");
    let site = |own| tenant("shop", &[config(own), other.clone()]);
    let host = Host::start(&site(r#"a = "1", "b.c" = "né", empty = """#)).await;
    let all = r#"Ok([("a", "1"), ("b.c", "né"), ("empty", "")])"#;
    for (key, value) in [
        ("a", r#"Ok(Some("1"))"#),
        ("b.c", r#"Ok(Some("né"))"#),
        ("empty", r#"Ok(Some(""))"#),
        ("A", "Ok(None)"),
        ("", "Ok(None)"),
    ] {
        let (status, said) = tell(&host, "config.shop", &format!("/any?key={key}")).await;
        let expected =
            format!("rc.1 get {value}\nrc.1 get-all {all}\ndraft get {value}\ndraft get-all {all}\n");
        assert_eq!((status, said), (200, expected), "`{key}`");
    }
    let (_, said) = tell(&host, "other.shop", "/any?key=b.c").await;
    assert!(
        said.contains("rc.1 get Ok(None)") && said.contains("another's") && !said.contains("né"),
        "{said}"
    );

    host.edit_site(&site(r#"a = "2""#));
    host.wait_until("the change is live", async || {
        tell(&host, "config.shop", "/any?key=a").await.1.starts_with("rc.1 get Ok(Some(\"2\"))")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_plugin_logs_keeps_its_level_and_says_whose_it_is() {
    let misbehave = plugin("shop", "chatty", "guest_misbehave.wasm", "", "");
    let host = Host::start(&tenant("shop", &[misbehave])).await;
    let answer = at(&host, "chatty.shop", "/logging").send().await;
    answer.expect(200);
    let log = host.log_of(answer.request_id());
    let said: Vec<_> = log.iter().filter(|line| line["message"] == "plugin says").collect();
    let levels: Vec<_> =
        said.iter().map(|line| (line["level"].as_str().unwrap(), line["text"].as_str().unwrap())).collect();
    assert_eq!(
        levels,
        [
            ("debug", "a line of level trace"),
            ("debug", "a line of level debug"),
            ("info", "a line of level info"),
            ("warn", "a line of level warn"),
            ("error", "a line of level error"),
            ("error", "a line of level critical"),
        ]
    );
    for line in said {
        assert_eq!((&line["tenant"], &line["plugin"]), (&"shop".into(), &"chatty".into()), "{line}");
        assert_eq!(line["source"], "guest", "{line}");
    }
}
