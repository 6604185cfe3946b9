//! The site file as its authors see it: the texts that are accepted, those that are refused, and the messages.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;
use snapbox::IntoData;

use super::*;
use crate::capability::Grants;
use crate::capability::http::Origin;
use crate::document::{ComponentRef, ConfigValue, CredentialSpec, Place, PluginSpec};
use crate::limits::{Ceilings, IntakeLimits, Limit, Limits, Reuse};
use crate::listen::ForwardedFields;
use crate::snapshot::Coding;
use crate::tenant::{PluginName, Quota, SecretName, Storage, TenantName};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/config/testdata");
const SCHEMA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/site.schema.json");

fn parse(text: &str) -> Result<Site, Diagnostics> {
    Site::parse(Path::new("/srv/site.toml"), text.into())
}

fn golden(name: &str) -> String {
    std::fs::read_to_string(format!("{FOLDER}/{name}.toml")).unwrap()
}

fn tenant<'a>(site: &'a Site, name: &str) -> &'a TenantSettings {
    &site.tenants[&TenantName::parse(name).unwrap()]
}

fn plugin<'a>(tenant: &'a TenantSettings, name: &str) -> &'a PluginSpec {
    &tenant.document.plugins[&PluginName::parse(name).unwrap()]
}

/// Each `NAME.toml` gives the diagnostics in `NAME.txt`. `SNAPSHOTS=overwrite cargo test` writes the latter.
#[test]
fn everything_wrong_with_a_file_is_said_in_one_go() {
    let mut files: Vec<_> = std::fs::read_dir(FOLDER).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    assert!(files.len() > 20);
    for file in files {
        let name = Path::new(file.file_name().unwrap());
        let said = match Site::parse(name, std::fs::read_to_string(&file).unwrap()) {
            Ok(site) => Diagnostics::from(site.warnings),
            Err(found) => found,
        };
        let mut text = said.render(false);
        if !text.is_empty() {
            text.push('\n');
        }
        let expected = snapbox::Data::read_from(&file.with_extension("txt"), None).raw();
        snapbox::Assert::new().action_env(snapbox::assert::DEFAULT_ACTION_ENV).eq(text, expected);
    }
}

#[test]
fn a_whole_site_is_read_as_it_is_written() {
    let site = parse(&golden("whole")).unwrap();
    let at = ListenSite::plain;
    let tcp = |address: &str| ListenAddress::Tcp(address.parse().unwrap());
    let host = HostSettings {
        listen: vec![
            at(tcp("127.0.0.1:8080")),
            ListenSite { tls: true, ..at(tcp("[::1]:0")) },
            ListenSite { tls: true, proxy_protocol: true, ..at(tcp("[::]:8443")) },
            at(ListenAddress::Unix("/srv/run/jackfield.sock".into())),
            ListenSite { mode: SocketMode(0o666), ..at(ListenAddress::Unix("/srv/run/open.sock".into())) },
            ListenSite {
                mode: SocketMode::GROUP,
                group: Some("www-data".into()),
                ..at(ListenAddress::Unix("/srv/run/group.sock".into()))
            },
        ],
        tls: vec![TlsSite { certificate: "/srv/tls/shop.pem".into(), key: "/srv/tls/shop.key".into() }],
        proxy: ProxySettings {
            trusted: ["10.0.0.0/8", "fd00::1/128"].map(|net| net.parse().unwrap()).into(),
            trusted_unix: true,
            fields: ForwardedFields::Forwarded,
            server_name: ServerName::Any,
        },
        probes: Some(SocketAddr::from(([127, 0, 0, 1], 8081))),
        admin: vec![
            at(ListenAddress::Unix("/srv/admin.sock".into())),
            ListenSite { tls: true, ..at(tcp("127.0.0.1:9090")) },
        ],
        state: "/srv/state".into(),
        concurrency: 500,
        connections: 5000,
        connections_per_client: 50,
        timeouts: Timeouts {
            handshake: Duration::from_secs(3),
            head: Duration::from_secs(5),
            body: Duration::from_secs(20),
            write: Duration::from_secs(60),
            idle: Duration::from_secs(90),
            age: Duration::from_secs(600),
            grace: Duration::ZERO,
            linger: Duration::from_secs(12),
            rate_bytes_per_second: 1024,
        },
        limits: Ceilings::from([
            (Limit::Cpu, 1_000_000_000),
            (Limit::Memory, 512 << 20),
            (Limit::Outbound, 8),
        ]),
        outbound: OutboundSettings {
            allow: ["10.1.0.0/16", "192.168.7.1/32", "fd00:1::/48"].map(|net| net.parse().unwrap()).into(),
            certificates: Some("/srv/ca.pem".into()),
        },
        confinement: crate::confine::Confinement::Required,
        intake: IntakeLimits {
            artifact_bytes: 32 << 20,
            compile_time: Duration::from_secs(60),
            compile_memory_bytes: 4 << 30,
        },
    };
    assert_eq!(site.host, host);

    let shop = tenant(&site, "shop");
    let quota = Quota {
        concurrency: 100,
        queue: 0,
        queue_wait: Duration::from_millis(250),
        cpu: Some(Duration::from_millis(1500)),
        weight: 3.try_into().unwrap(),
        storage: Storage { bytes: 1 << 30, keys: 1000 },
    };
    assert_eq!(shop.quota, quota);
    assert_eq!(format!("{:?}", shop.hosts), "[shop.example.com, *.shop.example.com]");

    let books = plugin(shop, "books");
    assert_eq!(books.component, ComponentRef::File("/srv/plugins/bookstore.wasm".into()));
    let name = |text: &str| PluginName::parse(text).unwrap();
    let at = |place: Place| {
        site.source.text().get(site.spans.of(&TenantName::parse("shop").unwrap(), &place)).unwrap()
    };
    assert_eq!(at(Place::Component(name("books"))), "\"plugins/bookstore.wasm\"");
    assert_eq!(at(Place::Plugin(name("books"))), "books");
    assert_eq!(books.grants, Grants { keyvalue: true, ..Grants::default() });
    let given = Limits {
        cpu: Duration::from_millis(20),
        request_body: 0,
        response_body: 1 << 20,
        streamed_response_body: Some(1 << 20),
        outbound_bytes: 1 << 20,
        ..Limits::default()
    };
    let lowered = Limits { wall: Duration::from_secs(10), log_lines: 10, outbound: 8, ..given };
    assert_eq!(books.limits, lowered, "what is left out is lowered to the ceilings");
    let limit = plugin(shop, "limit");
    assert_eq!(limit.component, ComponentRef::File("/opt/rate_limit.wasm".into()));
    let reuse = Reuse { calls: 50, idle: Duration::from_secs(30), ..Reuse::default() };
    assert_eq!((limit.reuse, books.reuse), (Some(reuse), None));

    let [api_token, salt] = ["api-token", "salt"].map(|name| SecretName::parse(name).unwrap());
    let api: Origin = "https://api.example.com".parse().unwrap();
    assert_eq!(books.http, BTreeSet::from([api.clone()]));
    let authorization = http::header::AUTHORIZATION;
    let credential = CredentialSpec { origin: api, header: authorization, secret: api_token.clone() };
    assert_eq!(books.credentials, [credential]);
    let page_size = ConfigValue::Text("20".into());
    let config = [("page-size".into(), page_size), ("salt".into(), ConfigValue::secret(salt.clone()))];
    assert_eq!(books.config, BTreeMap::from(config));
    assert_eq!(shop.secrets[&api_token], SecretSource::File("/srv/secrets/api-token".into()));
    assert_eq!(shop.secrets[&salt], SecretSource::Variable("SALT".into()));
    assert_eq!(at(Place::Secret(salt)), "\"SALT\"");

    let route = &shop.document.routes[0];
    assert_eq!(route.pattern.to_string(), "/api/books/{id}");
    assert_eq!(format!("{:?}", route.hosts), "[a.shop.example.com]");
    assert_eq!(route.methods, Some(vec![http::Method::GET, http::Method::PATCH, http::Method::DELETE]));
    assert_eq!(route.headers[0].0, "x-beta");
    assert_eq!(route.filters, [PluginName::parse("limit").unwrap()]);
    assert_eq!(route.plugin.as_str(), "books");
    assert_eq!(route.compression, [Coding::Zstd, Coding::Brotli, Coding::Gzip]);
    assert_eq!(at(Place::Filter { route: 0, filter: 0 }), "\"limit\"");
    assert_eq!(at(Place::RoutePlugin(0)), "\"books\"");
}

#[test]
fn what_is_left_out_has_its_default() {
    let site = parse("[tenants.a]\nhosts = ['*']\nplugins.p.component = 'p.wasm'").unwrap();
    let address = ListenAddress::Tcp(([127, 0, 0, 1], 8080).into());
    assert_eq!(site.host.listen, [ListenSite::plain(address)]);
    assert_eq!(site.host.state, Path::new("/srv/.jackfield"));
    assert_eq!((site.host.concurrency, site.host.connections), (1000, 10_000));
    assert_eq!(site.host.limits.get(&Limit::Memory), Some(&(1 << 30)));
    assert_eq!(tenant(&site, "a").quota, Quota::default());
    assert_eq!(plugin(tenant(&site, "a"), "p").limits, Limits::default());
    assert_eq!(plugin(tenant(&site, "a"), "p").grants, Grants::default());
    assert_eq!(site.host.timeouts.rate_bytes_per_second, 240);
    assert_eq!(site.host.outbound, OutboundSettings::default());
    assert_eq!(site.host.intake, IntakeLimits::default());
    assert!(plugin(tenant(&site, "a"), "p").http.is_empty());
}

#[test]
fn a_streamed_answer_is_bounded_where_somebody_said_so() {
    let bounded = |host: &str, quota: &str, plugin_limits: &str| {
        let site = parse(&format!(
            "host.limits = {{ {host} }}\ntenants.a = {{ hosts = ['*'], quota.limits = {{ {quota} }}, \
             plugins.p = {{ component = 'p', limits = {{ {plugin_limits} }} }} }}"
        ));
        let site = site.unwrap_or_else(|found| panic!("{found}"));
        let limits = &plugin(tenant(&site, "a"), "p").limits;
        (limits.response_body, limits.streamed_response_body)
    };
    let (one, all) = ("response-body = '1MiB'", "response-body = '1GiB'");
    const MIB: u64 = 1 << 20;
    assert_eq!(bounded("", "", ""), (16 * MIB, None));
    assert_eq!(bounded("", "", one), (MIB, Some(MIB)));
    assert_eq!(bounded("", "", "response-body = '16MiB'"), (16 * MIB, Some(16 * MIB)));
    assert_eq!(bounded(all, "", ""), (16 * MIB, Some(1024 * MIB)), "a ceiling holds for what is left out");
    assert_eq!(bounded(all, one, ""), (MIB, Some(MIB)), "the lower of two ceilings");
    assert_eq!(bounded(all, "", one), (MIB, Some(MIB)));
}

#[test]
fn a_tenant_is_unchanged_when_only_its_place_in_the_file_changes() {
    let text = golden("whole");
    let before = parse(&text).unwrap();
    let moved = parse(&format!("# a comment\n\n{text}")).unwrap();
    assert_eq!(before.tenants, moved.tenants);
    for (from, to) in [
        ("\"20\"", "\"21\""),
        ("cpu = \"20ms\"", "cpu = \"21ms\""),
        ("calls = 50", "calls = 51"),
        ("header = \"Authorization\"", "header = \"x-key\""),
        ("{ secret = \"salt\" }", "{ secret = \"api-token\" }"),
        ("\"SALT\"", "\"PEPPER\""),
        ("bookstore.wasm", "shop.wasm"),
        ("\"PATCH\"", "\"PUT\""),
        ("filters = [\"limit\"]", "filters = [\"limit\", \"limit\"]"),
        ("\"*.shop.example.com\"]", "\"*.shop.example.com\", \"x.example\"]"),
        ("keys = 1000", "keys = 1001"),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text);
        assert_ne!(parse(&changed).unwrap().tenants, before.tenants, "{from} → {to}");
    }
}

#[test]
fn one_component_is_a_site() {
    let site = Site::for_component(Path::new("/srv/target/My_first plugin.wasm"));
    let default = tenant(&site, "default");
    let plugin = plugin(default, "my-first-plugin");
    assert_eq!(plugin.component, ComponentRef::File("/srv/target/My_first plugin.wasm".into()));
    assert_eq!(plugin.grants, Grants { keyvalue: true, keyvalue_shared: true, limiter: true });
    assert_eq!(site.host.state, Path::new("/srv/target/.jackfield"));
    assert_eq!(format!("{:?}", default.hosts), "[*]");
    let patterns: Vec<_> = default.document.routes.iter().map(|route| route.pattern.to_string()).collect();
    assert_eq!(patterns, ["/", "/{*rest}"]);
    assert!(
        default
            .document
            .routes
            .iter()
            .all(|route| route.methods.is_none() && route.plugin.as_str() == "my-first-plugin")
    );

    for strange in ["", "/", "...", "/srv/✨.wasm", "/srv/__.wasm"] {
        let site = Site::for_component(Path::new(strange));
        assert_eq!(tenant(&site, "default").document.plugins.len(), 1, "{strange}");
    }
    let place = Place::Component(PluginName::parse("my-first-plugin").unwrap());
    let span = site.spans.of(&TenantName::parse("default").unwrap(), &place);
    let late = site.source.diagnostic(&span, "`x` is no component", "", None);
    snapbox::assert_data_eq!(
        late.to_string(),
        snapbox::str![[r#"
error: `x` is no component
--> /srv/target/My_first plugin.wasm
"#]]
    );
}

#[test]
fn a_finding_made_later_points_into_the_file() {
    let site = parse(&golden("whole")).unwrap();
    let place = Place::Component(PluginName::parse("books").unwrap());
    let span = site.spans.of(&TenantName::parse("shop").unwrap(), &place);
    let found = site.source.diagnostic(&span, "there is no such file", "named here", None);
    assert!(found.to_string().contains("/srv/site.toml:72:13"), "{found}");
}

#[test]
fn programs_get_the_same_as_json() {
    let found = parse("[tenants.a]\nhosts = ['*', '*']\nplugins.books.component = 'b.wasm'\nroutes = 1\n")
        .unwrap_err();
    snapbox::assert_data_eq!(
        serde_json::to_string_pretty(&found.to_json()).unwrap(),
        snapbox::str![[r#"
[
  {
    "column": 15,
    "file": "/srv/site.toml",
    "help": "take one away",
    "label": "again",
    "length": 3,
    "line": 2,
    "message": "the host `*` is there twice",
    "related": [
      {
        "column": 10,
        "length": 3,
        "line": 2,
        "message": "here already"
      }
    ],
    "severity": "error"
  },
  {
    "column": 10,
    "file": "/srv/site.toml",
    "help": "put it in brackets: [1]",
    "label": "an integer",
    "length": 1,
    "line": 4,
    "message": "`routes` must be an array of routes, each begun by `[[tenants.NAME.routes]]`, not an integer",
    "related": [],
    "severity": "error"
  }
]
"#]]
        .raw()
    );
}

#[test]
fn a_configuration_has_a_bound() {
    let with = |length: usize| {
        let value = "x".repeat(length);
        let config = format!("plugins.p = {{ component = 'p', config = {{ key = '{value}' }} }}");
        parse(&format!("[tenants.a]\nhosts = ['*']\n{config}"))
    };
    assert!(with(64 * 1024 - 3).is_ok());
    let text = with(64 * 1024 - 2).unwrap_err().to_string();
    assert!(text.contains("`config` has 65537 bytes of keys and values; at most 64KiB are taken"), "{text}");
}

#[test]
fn of_very_many_findings_the_rest_is_counted() {
    let text: String = (0..5000).map(|n| format!("key{n} = 1\n")).collect();
    let found = parse(&text).unwrap_err();
    assert_eq!(found.iter().count(), 101);
    assert_eq!(found.iter().last().unwrap().headline(), "4900 more are not shown");
}

#[test]
fn deep_and_long_files_are_read_in_bounded_stack_and_time() {
    for text in [
        format!("{} = 1", vec!["a"; 200_000].join(".")),
        format!("[{}]", vec!["a"; 200_000].join(".")),
        format!("a = {}", "[".repeat(200_000)),
        format!("a = {}", "{a=".repeat(200_000)),
        "[[a]]\n".repeat(100_000),
        "=".repeat(200_000),
        "=\n".repeat(100_000),
        format!("[tenants.a]\nhosts = [{}]", "'-',".repeat(100_000)),
        format!("[tenants.a]\nhosts = ['*']\nroutes = [{}]", "{},".repeat(100_000)),
    ] {
        let text = parse(&text).unwrap_err().to_string();
        assert!(text.len() < 100_000);
    }
}

/// The keys that the reader asks for, by table; names are `*`, items of an array the array itself.
fn keys_of_the_reader() -> BTreeMap<String, BTreeSet<String>> {
    let text = "[host]\nlisten = [{}]\nadmin = [{}]\ntls = [{}]\nproxy = {}\ntimeouts = {}\nlimits = {}\noutbound = {}\nintake = {}\n[tenants.'*']\nquota = { storage = {}, grants = {}, limits = {} }\n\
                plugins.'*' = { grants = {}, limits = {}, config = { '*' = {} }, outbound = [{}], reuse = {} }\n\
                secrets.'*' = {}\nroutes = [{}]";
    let mut findings = findings::Findings::new(Source::new(Path::new("site.toml"), text.into()));
    read::document(&mut findings);
    let owned = |keys: BTreeSet<&str>| keys.into_iter().map(str::to_owned).collect();
    findings.asked.into_iter().map(|(table, keys)| (table, owned(keys))).collect()
}

fn keys_of_the_schema(schema: &Value) -> BTreeMap<String, BTreeSet<String>> {
    fn walk(root: &Value, schema: &Value, path: String, tables: &mut BTreeMap<String, BTreeSet<String>>) {
        let reference = schema.get("$ref").and_then(Value::as_str);
        let target = reference.map_or(schema, |at| root.pointer(at.trim_start_matches('#')).unwrap());
        for choice in target.get("anyOf").and_then(Value::as_array).into_iter().flatten() {
            walk(root, choice, path.clone(), tables);
        }
        if let Some(properties) = target.get("properties").and_then(Value::as_object) {
            assert_eq!(target["additionalProperties"], false, "{path}");
            tables.insert(path.clone(), properties.keys().cloned().collect());
            for (key, property) in properties {
                let described = property.get("description").and_then(Value::as_str);
                assert!(described.is_some_and(|text| text.len() > 10), "{path}.{key} is not described");
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                walk(root, property, path, tables);
            }
        } else if let Some(each) = target.get("additionalProperties").filter(|each| each.is_object()) {
            walk(root, each, format!("{path}.*"), tables);
        } else if let Some(each) = target.get("items") {
            walk(root, each, path, tables);
        }
    }
    let mut tables = BTreeMap::new();
    walk(schema, schema, String::new(), &mut tables);
    tables
}

#[test]
fn the_schema_has_the_keys_that_are_read() {
    let schema: Value = serde_json::from_str(&json_schema()).unwrap();
    assert_eq!(keys_of_the_schema(&schema), keys_of_the_reader());
}

#[test]
fn the_schema_states_the_defaults_that_hold() {
    let schema: Value = serde_json::from_str(&json_schema()).unwrap();
    let inline = |of: &str| {
        let properties = schema["$defs"][of]["properties"].as_object().unwrap();
        let stated = properties.iter().filter_map(|(key, property)| Some((key, property.get("default")?)));
        stated
            .filter(|(_, value)| !value.is_object())
            .map(|(key, value)| format!("{key} = {value}"))
            .collect::<Vec<_>>()
    };
    let of = |name: &str, at_least: usize| {
        let stated = inline(name);
        assert!(stated.len() >= at_least, "{name}: {stated:?}");
        stated.join(", ")
    };
    let stated = parse(&format!(
        "host = {{ {}, timeouts = {{ {} }} }}\n[tenants.a]\nhosts = ['*']\n\
         quota = {{ {}, storage = {{ {} }} }}\n\
         plugins.p = {{ component = 'p', grants = {{ {} }}, limits = {{ {} }} }}",
        of("Host", 4),
        of("Timeouts", 8),
        of("Quota", 3),
        of("Storage", 2),
        of("Grants", 4),
        of("Limits", 16),
    ));
    let stated = stated.unwrap_or_else(|found| panic!("{found}"));
    let left_out = parse("[tenants.a]\nhosts = ['*']\nplugins.p = { component = 'p' }").unwrap();
    assert_eq!((stated.host, stated.tenants), (left_out.host, left_out.tenants));
    assert_eq!(inline("Ceilings"), [""; 0]);
}

#[test]
fn the_committed_schema_is_current() {
    let expected = snapbox::Data::read_from(Path::new(SCHEMA), Some(snapbox::data::DataFormat::Text)).raw();
    snapbox::Assert::new().action_env(snapbox::assert::DEFAULT_ACTION_ENV).eq(json_schema(), expected);
}

/// A value of any type, written in TOML.
fn any_value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| format!("{number:?}").to_lowercase()),
        any::<bool>().prop_map(|flag| flag.to_string()),
        Just("1979-05-27T07:32:00Z".to_owned()),
        "[ -&(-~äβ\u{202e}\t]{0,12}".prop_map(|text| format!("'{text}'")),
        "([0-9]{1,21}(B|KiB|MiB|GiB|us|ms|s|min|h|d|MB|B/s| )?|https?://[a-z*@:0-9./]{1,9}|/[a-z{}*/%0-9]{0,9}|[*.a-z:0-9]{1,9})"
            .prop_map(|text| format!("\"{text}\"")),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(", "))),
            prop::collection::btree_map(any_key(), inner, 0..4).prop_map(|entries| {
                let entries: Vec<_> = entries.iter().map(|(key, value)| format!("{key} = {value}")).collect();
                format!("{{ {} }}", entries.join(", "))
            }),
        ]
    })
}

fn any_key() -> impl Strategy<Value = String> {
    let known: BTreeSet<String> = keys_of_the_reader().into_values().flatten().collect();
    prop_oneof![
        4 => prop::sample::select(known.into_iter().collect::<Vec<_>>()),
        1 => "[a-z_-]{1,8}",
        1 => ".{0,4}".prop_map(|text| format!("{text:?}").replace("\\'", "'").replace("\\0", " ")),
    ]
}

fn nothing_breaks(text: String) {
    if let Err(found) = parse(&text) {
        assert!(found.iter().any(|diagnostic| diagnostic.severity() == Severity::Error));
        assert!(!found.render(true).is_empty());
        assert!(found.to_json().as_array().is_some_and(|list| !list.is_empty()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_text_is_too_strange(text in "(?s).{0,200}") {
        nothing_breaks(text);
    }

    #[test]
    fn no_text_of_toml_letters_is_too_strange(text in "[a-c\\[\\]{}=,.\"'#\\\\\r\n \t0-9äß]{0,120}") {
        nothing_breaks(text);
    }

    #[test]
    fn no_value_is_too_strange(
        path in prop::sample::select(keys_of_the_reader().into_iter().collect::<Vec<_>>()),
        values in prop::collection::vec(any_value(), 12),
    ) {
        let (table, keys) = path;
        let header = match table.as_str() {
            "" => String::new(),
            "tenants.*.routes" => "[[tenants.a.routes]]\n".to_owned(),
            "tenants.*.plugins.*.outbound" => "[[tenants.a.plugins.a.outbound]]\n".to_owned(),
            table => format!("[{}]\n", table.replace('*', "a")),
        };
        let lines: Vec<_> = keys.iter().zip(&values).map(|(key, value)| format!("{key} = {value}\n")).collect();
        nothing_breaks(format!("{header}{}", lines.concat()));
    }

    #[test]
    fn no_document_is_too_strange(entries in prop::collection::vec((any_key(), any_value()), 0..6)) {
        let lines: Vec<_> = entries.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        nothing_breaks(lines.concat());
    }

    #[test]
    fn no_mutilated_site_is_too_strange(cut in 0..2000_usize, length in 0..60_usize, insert in ".{0,3}") {
        let mut text = golden("whole");
        let cut = cut.min(text.len());
        let end = (cut + length).min(text.len());
        text.replace_range(cut..end, &insert);
        nothing_breaks(text);
    }
}
