//! What a stranger's component can cost before it runs: its own tenant a refusal, and nobody else anything.

mod bombs;

use std::path::{Path, PathBuf};
use std::time::Instant;

use jackfield::sandbox::{PoolSettings, Sandbox};
use jackfield_tests::{
    Host, Options, PATIENCE, Process, Site, guest, hello_version, jackfield, replace, site_folder,
};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tempfile::TempDir;

fn shop() -> Site {
    hello(Site::default(), "shop", &["shop.example"], "guest_hello.wasm")
}

/// The same, and the mill with these hosts and this component.
fn shop_and_mill(mill_hosts: &[&str], component: &str) -> Site {
    hello(shop(), "mill", mill_hosts, component)
}

/// A further tenant, whose page is this hello guest's.
fn hello(site: Site, tenant: &str, hosts: &[&str], component: &str) -> Site {
    site.tenant(tenant, hosts).plugin("hello", component).route("/")
}

fn says_version(number: u8) -> String {
    format!("hello from version-{number}\n")
}

async fn get(host: &Host, name: &str) -> String {
    host.request("GET", "/").header("host", name).send().await.expect(200).text()
}

/// A host with both tenants, the mill's component in a file of its own.
async fn two_tenants(host_settings: &str) -> Host {
    let one_file = shop_and_mill(&["mill.example"], "guest_hello.wasm");
    let host =
        Host::start_with(&one_file, Options { host: host_settings.into(), ..Options::default() }).await;
    replace(&host.file("mill.wasm"), &hello_version(1));
    let own_file = shop_and_mill(&["mill.example", "mill-2.example"], "mill.wasm");
    replace(&host.file("site.toml"), host.site().replace(&*one_file, &own_file).as_bytes());
    host.wait_for_log("the mill has its own file", |line| line["message"] == "hosts changed").await;
    host
}

async fn wait_for_refusal(host: &Host, why: &str) {
    let is_it = |line: &serde_json::Value| {
        line["tenant"] == "mill" && line["diagnostics"].as_str().is_some_and(|text| text.contains(why))
    };
    let refused = host.wait_for_log(why, is_it).await;
    assert_eq!(refused["message"], "a change was refused; what was live stays live", "{refused}");
}

fn compiles(host: &Host, result: &str) -> f64 {
    host.metric(&format!("jackfield_compiles_total{{result=\"{result}\"}}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn bombs_are_refused_by_the_name_of_what_they_have_too_much_of_and_neighbours_go_on() {
    let host = two_tenants("").await;
    let bombs = [
        ("`nesting`", bombs::nested(10_000)),
        ("`components`", bombs::many_components(9_000)),
        ("`expansion`", bombs::doubling(40)),
        ("`operands`", bombs::live_operands(20_000)),
        ("`locals`", bombs::live_locals(20_000)),
        ("`blocks`", bombs::blocks(60_000)),
        ("`signature`", bombs::results(1_000)),
        ("`functions`", bombs::functions(500_000)),
        ("`core-exports`", bombs::core_exports(100_000)),
        ("`elements`", bombs::elements(1_000_000)),
    ];
    for (number, (rule, bomb)) in (2_u8..).zip(&bombs) {
        // Two changes in one go: one tenant's bomb, and another's next version.
        replace(&host.file("mill.wasm"), bomb);
        let version = number % 8 + 1;
        replace(&host.file("guest_hello.wasm"), &hello_version(version));
        host.wait_until("the neighbour's change is live", async || {
            let answer = get(&host, "shop.example").await;
            answer == says_version(version)
        })
        .await;
        wait_for_refusal(&host, rule).await;
        assert_eq!(get(&host, "mill.example").await, says_version(1), "after {rule}");
    }
    assert!(compiles(&host, "refused") >= 10.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_takes_too_long_to_compile_is_stopped_at_its_limit() {
    let host = two_tenants("[host.intake]\ncompile-time = \"1s\"").await;
    replace(&host.file("mill.wasm"), &bombs::loops(1000, 1000));
    wait_for_refusal(&host, "`compile-time` of [host.intake]").await;
    assert_eq!(get(&host, "mill.example").await, says_version(1));
    // And is not compiled again because another tenant has a change.
    replace(&host.file("guest_hello.wasm"), &hello_version(2));
    host.wait_until("the neighbour's change is live", async || {
        get(&host, "shop.example").await == says_version(2)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_takes_too_much_memory_to_compile_is_stopped_at_its_limit() {
    let host = two_tenants("[host.intake]\ncompile-memory = \"512MiB\"").await;
    replace(&host.file("mill.wasm"), &bombs::jump_tables(30));
    wait_for_refusal(&host, "`compile-memory` of [host.intake]").await;
    assert_eq!(get(&host, "mill.example").await, says_version(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_is_too_large_is_refused_before_anything_looks_at_it() {
    let options = Options { host: "[host.intake]\nartifact = \"4KiB\"".into(), ..Options::default() };
    let refused = Host::try_start(&shop(), options).await.err().expect("its component has more");
    assert!(refused.contains("it is longer than 4KiB") && refused.contains("`artifact`"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_and_inspect_refuse_a_bomb_as_serve_does() {
    let folder = site_folder(&shop());
    std::fs::write(folder.path().join("guest_hello.wasm"), bombs::nested(10_000)).unwrap();
    for arguments in [["check", "site.toml"], ["inspect", "guest_hello.wasm"]] {
        let output = jackfield(folder.path(), arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("`nesting`"), "{said}");
    }
}

/// The real program: its children are its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_change_is_live_while_anothers_is_compiled_and_a_compiler_that_dies_or_is_left_is_cleaned_up()
 {
    let two = shop_and_mill(&["mill.example"], "mill.wasm");
    let folder = site_folder(&format!("intake = {{ compile-time = \"10min\" }}\n{two}"));
    let mill = folder.path().join("mill.wasm");
    std::fs::copy(guest("guest_hello.wasm"), &mill).unwrap();
    let mut process = Process::start(folder.path(), ["serve"]);
    process.wait_for_line("listening address=");

    // While the mill's bomb is compiled, for minutes if it were let, the shop's change goes live.
    replace(&mill, &bombs::loops(1000, 1000));
    let first = wait_for_child(process.id(), None);
    replace(&folder.path().join("guest_hello.wasm"), &hello_version(2));
    wait_for_lines(&process, "revision live tenant=shop", 2);
    assert!(!is_refused(&process), "{}", process.lines().join("\n"));

    // A compiler that dies is a refusal.
    assert_eq!(descriptors(first), ["0", "1", "2"]);
    kill_process(pid(first), Signal::KILL).unwrap();
    process.wait_for_line("the compiler's process failed, not over it: it was ended by signal 9");

    // One that the host no longer needs is ended with it, and the host waits for nobody.
    replace(&mill, &bombs::loops(1000, 1001));
    let second = wait_for_child(process.id(), Some(first));
    process.signal(Signal::TERM);
    assert!(process.wait().success());
    wait_until("no compiler is left", || test_kill_process(pid(second)).is_err());
}

fn is_refused(process: &Process) -> bool {
    process.lines().iter().any(|line| line.contains("was refused"))
}

fn wait_for_lines(process: &Process, text: &str, times: usize) {
    let heard = || process.lines().iter().filter(|line| line.contains(text)).count() >= times;
    wait_until(&format!("{times} lines with `{text}`"), heard);
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

fn pid(id: u32) -> Pid {
    Pid::from_raw(i32::try_from(id).unwrap()).unwrap()
}

/// Waits for a child of a process that reads its component, and is none that is known.
fn wait_for_child(of: u32, known: Option<u32>) -> u32 {
    let mut found = None;
    wait_until("it compiles", || {
        found = children(of).into_iter().find(|child| Some(*child) != known && is_compiling(*child));
        found.is_some()
    });
    found.unwrap()
}

fn children(of: u32) -> Vec<u32> {
    let is_its_own = |path: &Path| {
        let stat = std::fs::read_to_string(path.join("stat")).ok()?;
        // pid (name) state parent …
        stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse::<u32>().ok().filter(|parent| *parent == of)
    };
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| Some(entry.ok()?.path()));
    let id = |path: PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    processes.filter(|path| is_its_own(path).is_some()).filter_map(id).collect()
}

/// Whether it has confined itself already: it is to write no file.
fn is_compiling(id: u32) -> bool {
    let limits = std::fs::read_to_string(format!("/proc/{id}/limits")).unwrap_or_default();
    limits
        .lines()
        .any(|line| line.starts_with("Max file size") && line.split_whitespace().nth(3) == Some("0"))
}

fn descriptors(id: u32) -> Vec<String> {
    let open = std::fs::read_dir(format!("/proc/{id}/fd")).unwrap();
    let mut names: Vec<_> =
        open.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// A host whose compiled code nobody else uses.
async fn with_a_cache(folder: &TempDir) -> (Host, PathBuf) {
    let compiled = folder.path().join("compiled");
    let options = Options { compiled: Some(compiled.clone()), ..Options::default() };
    (Host::start_with(&shop(), options).await, compiled)
}

/// The file of code; beside it is its description.
fn entry(compiled: &Path) -> PathBuf {
    let entries = std::fs::read_dir(compiled).unwrap().map(|entry| entry.unwrap().path());
    let (descriptions, entries): (Vec<_>, Vec<_>) =
        entries.partition(|path| path.file_name().unwrap().to_string_lossy().starts_with("about-"));
    assert_eq!((entries.len(), descriptions.len()), (1, 1), "{entries:?}, {descriptions:?}");
    entries.into_iter().next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_with_a_warm_cache_compiles_nothing() {
    let folder = TempDir::new().unwrap();
    let (mut host, compiled) = with_a_cache(&folder).await;
    assert_eq!((compiles(&host, "compiled"), compiles(&host, "cached")), (1.0, 0.0));
    let kept = std::fs::metadata(entry(&compiled)).unwrap().len();
    assert!(kept > 1000);
    host.restart().await;
    assert_eq!((compiles(&host, "compiled"), compiles(&host, "cached")), (0.0, 1.0));
    assert_eq!(get(&host, "shop.example").await, says_version(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn compiled_code_that_is_not_as_it_was_written_is_compiled_anew() {
    let folder = TempDir::new().unwrap();
    let (mut host, compiled) = with_a_cache(&folder).await;
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
    for (what, damage) in damages {
        damage(&entry(&compiled));
        host.restart().await;
        assert_eq!((compiles(&host, "compiled"), compiles(&host, "cached")), (1.0, 0.0), "{what}");
        assert_eq!(get(&host, "shop.example").await, says_version(1), "{what}");
        host.restart().await;
        assert_eq!((compiles(&host, "compiled"), compiles(&host, "cached")), (0.0, 1.0), "{what}");
    }
    let told = "compiled code that was kept is of no use: it is compiled anew";
    let told = host.log().into_iter().filter(|line| line["message"] == told);
    assert_eq!(told.count(), damages.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_others_can_use_is_no_cache_and_the_log_says_so_once() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().unwrap();
    let (mut host, compiled) = with_a_cache(&folder).await;
    std::fs::set_permissions(&compiled, std::fs::Permissions::from_mode(0o755)).unwrap();
    host.restart().await;
    assert_eq!((compiles(&host, "compiled"), compiles(&host, "cached")), (1.0, 0.0));
    let told: Vec<_> = host
        .log()
        .into_iter()
        .filter(|line| line["message"] == "compiled code is not kept: every start compiles anew")
        .collect();
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0]["reason"].as_str().unwrap().contains("other users"), "{}", told[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_is_given_another_name_serves_without_a_gap() {
    let host = Host::start(&shop()).await;
    // Another name and another component, that is compiled first.
    std::fs::write(host.file("next.wasm"), hello_version(9)).unwrap();
    host.edit_site(&hello(Site::default(), "store", &["shop.example"], "next.wasm"));
    host.wait_until("the new one serves", async || get(&host, "shop.example").await == says_version(9)).await;
    let removed = host.wait_for_log("it is gone", |line| line["message"] == "tenant removed").await;
    assert_eq!(removed["tenant"], "shop");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_was_given_to_another_tenant_is_the_others_whatever_is_still_compiled() {
    let alpha = |hosts: &[&str], component: &str| hello(Site::default(), "alpha", hosts, component);
    let mill_hosts = ["mill.example", "mill-2.example"];
    let site = hello(alpha(&["shop.example"], "guest_hello.wasm"), "mill", &mill_hosts, "guest_hello.wasm");
    let options = Options { host: "[host.intake]\ncompile-time = \"3s\"".into(), ..Options::default() };
    let host = Host::start_with(&site, options).await;
    replace(&host.file("next.wasm"), &hello_version(7));
    replace(&host.file("slow.wasm"), &bombs::loops(1000, 1000));
    // The mill goes; one of its hosts is another's now, and the other one is to be somebody's who takes long to come.
    let alpha = alpha(&["shop.example", "mill.example"], "next.wasm");
    host.edit_site(&hello(alpha, "coming", &["mill-2.example"], "slow.wasm"));
    host.wait_until("the host is its new tenant's", async || {
        get(&host, "mill.example").await == says_version(7)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_is_no_plain_file_is_refused_and_holds_up_nothing() {
    let host = two_tenants("").await;
    let status = std::process::Command::new("mkfifo").arg(host.file("pipe.wasm")).status().unwrap();
    assert!(status.success());
    std::fs::rename(host.file("pipe.wasm"), host.file("mill.wasm")).unwrap();
    wait_for_refusal(&host, "it is not a plain file").await;
    replace(&host.file("mill.wasm"), &hello_version(3));
    host.wait_until("the next change is live", async || get(&host, "mill.example").await == says_version(3))
        .await;
}

/// The generator SplitMix64: the same mutilations on every machine.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % u64::try_from(end).unwrap()).unwrap()
    }
}

/// In the test's own process, where a panic or a hang would be its own.
#[test]
fn a_thousand_mutilated_components_are_refused_or_compiled_and_nothing_else() {
    let sandbox = Sandbox::new(PoolSettings { slots: 1, idle: 0, memory_bytes: 1 << 30 }).unwrap();
    let whole = std::fs::read(guest("guest_hello.wasm")).unwrap();
    let mut numbers = Numbers(5);
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..1000 {
        let mut bytes = whole.clone();
        for _ in 0..=numbers.below(3) {
            let (at, other) = (numbers.below(bytes.len()), u8::try_from(numbers.below(256)).unwrap());
            match numbers.below(4) {
                0 => bytes.truncate(at.max(1)),
                1 => bytes.insert(at, other),
                2 => drop(bytes.remove(at)),
                _ => bytes[at] = other,
            }
        }
        match sandbox.compile_here(&bytes) {
            Ok(_) => taken += 1,
            Err(_) => refused += 1,
        }
    }
    assert!(taken > 0 && refused > 0, "{taken} taken, {refused} refused");
}
