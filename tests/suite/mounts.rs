//! What a plugin may read of the host's files: the folders that its site mounts for it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use jackfield_tests::{Host, Site, jackfield, site_folder};
use tempfile::TempDir;

/// A folder `public` beside a file that is not mounted.
fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::create_dir_all(folder.path().join("public/deep")).unwrap();
    fs::write(folder.path().join("secret"), "secret").unwrap();
    fs::write(folder.path().join("public/page"), "the page").unwrap();
    folder
}

fn site(folder: &Path, more: &str) -> Site {
    let folder = folder.display();
    Site::shop()
        .plugin("files", "guest_files.wasm")
        .with(format!(r#"mounts = {{ "/" = "{folder}/public", "/pages/deep" = "{folder}/public/deep" }}"#))
        .with(more)
        .route("/{operation}")
        .plugin("without", "guest_files.wasm")
        .route("/{operation}")
        .with("headers = { x-mounts = 'none' }")
}

async fn ask(host: &Host, operation: &str) -> (u16, String) {
    let answer = host.get(operation).await;
    (answer.status.as_u16(), answer.text())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_reads_the_folders_that_it_was_given_and_nothing_else() {
    let folder = folder();
    let public = folder.path().join("public");
    symlink("../secret", public.join("out")).unwrap();
    symlink(folder.path().join("secret"), public.join("absolute")).unwrap();
    symlink("page", public.join("inside")).unwrap();
    fs::write(public.join("deep/below"), "below").unwrap();
    let host = Host::start(&site(folder.path(), "")).await;
    for (operation, status, said) in [
        ("/read?path=/page", 200, "the page"),
        ("/read?path=/inside", 200, "the page"),
        ("/read?path=/deep/../page", 200, "the page"),
        ("/read?path=/deep/below", 200, "below"),
        ("/read?path=/pages/deep/below", 200, "below"),
        ("/list?path=/", 200, "absolute\ndeep\ninside\nout\npage"),
        ("/kind?path=/deep", 200, "folder"),
        ("/kind?path=/out", 200, "link"),
        ("/target?path=/out", 200, "../secret"),
        ("/target?path=/absolute", 500, "PermissionDenied"),
        ("/read?path=/absent", 500, "NotFound"),
        ("/read?path=/out", 500, "PermissionDenied"),
        ("/read?path=/absolute", 500, "PermissionDenied"),
        ("/read?path=/../secret", 500, "PermissionDenied"),
        ("/read?path=/pages/deep/../page", 500, "PermissionDenied"),
        ("/read?path=/etc/passwd", 500, "NotFound"),
    ] {
        assert_eq!(ask(&host, operation).await, (status, said.to_owned()), "{operation}");
    }
    let without = host.request("GET", "/read?path=/page").header("x-mounts", "none").send().await;
    assert_ne!(without.expect(500).text(), "the page");

    // A change is seen by the next request; a folder that took the place of another one, as well.
    fs::write(public.join("page"), "another page").unwrap();
    assert_eq!(ask(&host, "/read?path=/page").await, (200, "another page".into()));
    fs::create_dir(folder.path().join("next")).unwrap();
    fs::write(folder.path().join("next/page"), "the next page").unwrap();
    fs::rename(&public, folder.path().join("last")).unwrap();
    fs::rename(folder.path().join("next"), &public).unwrap();
    assert_eq!(ask(&host, "/read?path=/page").await, (200, "the next page".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_in_a_mount_is_never_opened() {
    let site =
        site(Path::new("/"), "").replace("\"//public/deep\"", "\"/dev\"").replace("\"//public\"", "\"/dev\"");
    let host = Host::start(&site).await;
    for device in ["null", "zero", "tty"] {
        assert_eq!(ask(&host, &format!("/kind?path=/{device}")).await, (200, "other".into()), "{device}");
        let read = ask(&host, &format!("/read?path=/{device}")).await;
        assert_eq!(read, (500, "PermissionDenied".into()), "{device}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_in_a_mount_can_be_written() {
    let folder = folder();
    let host = Host::start(&site(folder.path(), "")).await;
    let answer = host.get("/write?path=/page").await;
    for line in answer.expect(200).text().lines() {
        assert!(line.ends_with(" ReadOnlyFilesystem"), "{line}");
    }
    assert_eq!(answer.text().lines().count(), 8);
    let left: Vec<_> = fs::read_dir(folder.path().join("public")).unwrap().collect();
    assert_eq!(left.len(), 2, "{left:?}");
    assert_eq!(fs::read_to_string(folder.path().join("public/page")).unwrap(), "the page");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_holds_so_many_files_open_at_once_and_no_more() {
    let folder = folder();
    let host = Host::start(&site(folder.path(), "limits = { files = 3 }")).await;
    for _ in 0..3 {
        assert_eq!(ask(&host, "/hold?path=/page&n=9").await, (200, "3".into()));
    }
    assert_eq!(ask(&host, "/hold?path=/page&n=2").await, (200, "2".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_serves_several_calls_keeps_its_mounts() {
    let folder = folder();
    let host = Host::start(&site(folder.path(), "instances = \"reused\"")).await;
    for calls in 1..=5 {
        assert_eq!(ask(&host, "/calls?path=/page").await, (200, calls.to_string()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_not_there_is_named_and_serves_once_it_is_made() {
    let folder = TempDir::new().unwrap();
    let text = site(folder.path(), "");
    let checked = jackfield(site_folder(&text).path(), ["check", "site.toml"]);
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert_eq!(checked.status.code(), Some(1), "{said}");
    let public = folder.path().join("public");
    for part in
        ["plugin `files`: cannot read its folder", public.to_str().unwrap(), "site.toml:9:", "No such file"]
    {
        assert!(said.contains(part), "{part} in {said}");
    }

    fs::create_dir_all(public.join("deep")).unwrap();
    fs::write(public.join("page"), "the page").unwrap();
    let host = Host::start(&text).await;
    assert_eq!(ask(&host, "/read?path=/page").await, (200, "the page".into()));
    host.edit_site(&text.replace("/public\"", "/later\""));
    host.wait_for_log("the refusal", |line| line.to_string().contains("cannot read its folder")).await;
    assert_eq!(ask(&host, "/read?path=/page").await, (200, "the page".into()), "what was live stays live");
    let later = folder.path().join("later");
    fs::create_dir(&later).unwrap();
    fs::write(later.join("page"), "the later page").unwrap();
    host.wait_until("the folder is found", async || {
        ask(&host, "/read?path=/page").await == (200, "the later page".into())
    })
    .await;
}

#[test]
fn names_and_folders_of_mounts_are_checked_where_they_stand() {
    let many: Vec<_> = (0..17).map(|number| format!("\"/{number}\" = \"public\"")).collect();
    let many = format!("{{ {} }}", many.join(", "));
    for (mounts, said) in [
        (&*many, "`mounts` has more than 16 folders"),
        (r#"{ "public" = "public" }"#, "it must begin with `/`"),
        (r#"{ "/a/" = "public" }"#, "its segments are names"),
        (r#"{ "/" = "" }"#, "path"),
        (r#"{ "/" = 1 }"#, "must be a path"),
        (r#"["public"]"#, "table"),
    ] {
        let text = Site::shop().plugin("files", "guest_files.wasm").with(format!("mounts = {mounts}"));
        let checked = jackfield(site_folder(&text).path(), ["check", "site.toml"]);
        let diagnostics = String::from_utf8_lossy(&checked.stderr).into_owned();
        assert_eq!(checked.status.code(), Some(1), "{mounts}");
        assert!(diagnostics.contains(said) && diagnostics.contains("site.toml:9:"), "{said}: {diagnostics}");
    }
}
