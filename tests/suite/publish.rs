//! A document is published by one call, which answers when its revision is live, or with all that is wrong.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use jackfield::config::Site;
use jackfield::deploy::{Change, Deployer, Environment, Origin, Parts, Refusal, http_client};
use jackfield::document::{Place, TenantDocument};
use jackfield::host::pool;
use jackfield::limits::IntakeLimits;
use jackfield::observe::{Captured, Log, Metrics};
use jackfield::sandbox::{Compiler, CompilerSettings, Digest, Sandbox};
use jackfield::store::Store;
use jackfield::tenant::TenantName;
use jackfield_tests::{guest, setup, site_folder};
use serde_json::json;

const SITE: &str = "[tenants.shop]\nhosts = ['shop.example']";

/// A deployer of a site of one tenant, of which nothing is live, and its log.
async fn deployer(folder: &Path) -> (Arc<Deployer>, Captured) {
    let origin = Origin::SiteFile(folder.join("site.toml"));
    let site: Site = origin.read().unwrap();
    let (log, captured) = Log::capture();
    let shared = setup(origin.clone(), site.clone(), log.clone());
    let settings = CompilerSettings {
        program: shared.compiler,
        limits: IntakeLimits::default(),
        is_confined: false,
        cache: shared.compiled,
        log: log.clone(),
    };
    let parts = Parts {
        open_files: 64,
        ceilings: site.host.limits.clone(),
        artifacts: None,
        compiler: Arc::new(Compiler::new(Sandbox::new(pool(&site.host)).unwrap(), settings).unwrap()),
        store: Store::open(&site.host.state).unwrap(),
        http: http_client(&site, None).unwrap(),
        environment: Environment::default(),
        metrics: Metrics::new(),
        origin,
        log,
    };
    (Arc::new(Deployer::start(parts, &site).await.unwrap()), captured)
}

/// A document with one plugin of this component, as another program writes it.
fn document(component: &Path, cpu_nanoseconds: u64) -> TenantDocument {
    let written = json!({
        "plugins": { "hello": { "component": component, "limits": { "cpu": cpu_nanoseconds } } },
        "routes": [{ "path": "/", "plugin": "hello" }],
    });
    serde_json::from_value(written).unwrap()
}

fn live(deployer: &Deployer) -> Option<Digest> {
    deployer.snapshot().load().revision("shop.example").map(|revision| revision.id)
}

#[tokio::test]
async fn a_document_is_live_when_its_publication_is_answered() {
    let folder = site_folder(SITE);
    let (deployer, log) = deployer(folder.path()).await;
    let shop = TenantName::parse("shop").unwrap();
    let empty = live(&deployer);
    let component = guest("guest_hello.wasm");
    let first = deployer.publish(&shop, document(&component, 20_000_000)).await.unwrap();
    assert_eq!(live(&deployer), Some(first.revision));
    assert_ne!(live(&deployer), empty);
    let again = deployer.publish(&shop, document(&component, 20_000_000)).await.unwrap();
    assert_eq!((again.revision, again.changes.len()), (first.revision, 0), "it was live already");

    let second = deployer.publish(&shop, document(&component, 30_000_000)).await.unwrap();
    assert_eq!(live(&deployer), Some(second.revision));
    let [Change::Published { tenant, revision, diff }] = &second.changes[..] else {
        panic!("{:?}", second.changes)
    };
    assert_eq!((tenant, *revision), (&shop, second.revision));
    let limits = serde_json::to_value(&diff.limits).unwrap();
    assert_eq!(
        limits,
        json!({ "hello": { "cpu": { "changed": { "from": 20_000_000, "to": 30_000_000 } } } })
    );
    let told = log.lines().iter().filter(|line| line["message"] == "revision live").count();
    assert_eq!(told, 3, "the empty one at start, and two that were published");
}

#[tokio::test]
async fn a_document_that_cannot_run_is_answered_with_its_faults_at_their_places() {
    let folder = site_folder(SITE);
    let (deployer, _) = deployer(folder.path()).await;
    let shop = TenantName::parse("shop").unwrap();
    let was_live = live(&deployer);
    let missing = folder.path().join("missing.wasm");
    let refused = deployer.publish(&shop, document(&missing, 20_000_000)).await.unwrap_err();
    let Refusal::Faulty { live: stays, faults } = refused else { panic!("{refused}") };
    assert!(faults.len() == 1 && faults[0].headline.contains("missing.wasm"), "{faults:?}");
    assert!(matches!(&faults[0].place, Place::Component(name) if name.as_str() == "hello"), "{faults:?}");
    assert_eq!((stays, live(&deployer)), (was_live, was_live));

    let nobody = TenantName::parse("nobody").unwrap();
    let refused = deployer.publish(&nobody, TenantDocument::default()).await.unwrap_err();
    assert_eq!(refused, Refusal::NoTenant(nobody));
}

#[tokio::test]
async fn of_documents_that_are_published_at_once_the_latest_is_live() {
    let folder = site_folder(SITE);
    let (deployer, _) = deployer(folder.path()).await;
    let shop = TenantName::parse("shop").unwrap();
    let component = guest("guest_hello.wasm");
    let [first, second, third] =
        [20, 30, 40].map(|cpu| deployer.publish(&shop, document(&component, cpu * 1_000_000)));
    assert_eq!(first.await.unwrap_err(), Refusal::Superseded, "given up for the latest");
    assert_eq!(second.await.unwrap_err(), Refusal::Superseded, "replaced while it waited");
    let third = third.await.unwrap();
    assert_eq!(live(&deployer), Some(third.revision));

    let gone = deployer.publish(&shop, document(&component, 50_000_000));
    deployer.remove_others(&BTreeSet::new());
    assert_eq!(gone.await.unwrap_err(), Refusal::Superseded, "its tenant was removed");
    assert_eq!(live(&deployer), None);
}
