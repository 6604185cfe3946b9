use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustix::io::Errno;

use super::*;

/// A folder with a mount of its `public`, beside a file that is none of the mount's.
struct Site {
    folder: tempfile::TempDir,
    mounts: Mounts,
    files: OpenFiles,
    call: CallFiles,
}

fn site() -> Site {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("public/deep")).unwrap();
    fs::write(folder.path().join("secret"), "secret").unwrap();
    fs::write(folder.path().join("public/page"), "page").unwrap();
    fs::write(folder.path().join("public/deep/page"), "deep page").unwrap();
    let files = OpenFiles::new(8);
    let name = "/".parse().unwrap();
    let mounts = Mounts::new([(name, folder.path().join("public"))], &files.share());
    Site { folder, mounts, files, call: CallFiles::new(100) }
}

impl Site {
    fn root(&self) -> &Folder {
        self.mounts.each().next().unwrap().1
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    async fn read(&self, path: &str) -> Result<String, FileError> {
        let Node::File(file) = self.root().open(path, true, &self.call).await? else {
            return Err(FileError::IsFolder);
        };
        let Read::Bytes(bytes) = file.read(0, 100).await? else { return Ok(String::new()) };
        Ok(String::from_utf8(bytes.to_vec()).unwrap())
    }
}

#[tokio::test]
async fn a_path_never_leads_out_of_its_mount() {
    let site = site();
    let public = site.path("public");
    symlink("page", public.join("inside")).unwrap();
    symlink("../page", public.join("deep/up")).unwrap();
    symlink("../secret", public.join("out")).unwrap();
    symlink(site.path("secret"), public.join("absolute")).unwrap();
    symlink(public.join("page"), public.join("absolute-inside")).unwrap();
    symlink("/proc/self/root", public.join("magic")).unwrap();
    symlink("loop", public.join("loop")).unwrap();
    let loops = FileError::System(Errno::LOOP);
    let absent = FileError::System(Errno::NOENT);
    for (path, expected) in [
        ("page", Ok("page")),
        ("./deep//page", Ok("deep page")),
        ("deep/../page", Ok("page")),
        ("inside", Ok("page")),
        ("deep/up", Ok("page")),
        ("../secret", Err(FileError::Outside)),
        ("deep/../../secret", Err(FileError::Outside)),
        ("out", Err(FileError::Outside)),
        ("absolute", Err(FileError::Outside)),
        ("absolute-inside", Err(FileError::Outside)),
        ("/page", Err(FileError::Outside)),
        ("magic", Err(FileError::Outside)),
        ("magic/etc/passwd", Err(FileError::Outside)),
        ("loop", Err(loops)),
        ("page/", Err(FileError::NotFolder)),
        ("page/x", Err(FileError::NotFolder)),
        ("deep", Err(FileError::IsFolder)),
        ("absent", Err(absent)),
        ("", Err(absent)),
        ("pa\0ge", Err(FileError::System(Errno::INVAL))),
    ] {
        assert_eq!(site.read(path).await, expected.map(str::to_owned), "{path:?}");
    }
    assert_eq!(
        site.root().open("inside", false, &site.call).await.unwrap_err(),
        loops,
        "a link that is not followed"
    );
    assert_eq!(site.root().stat_at("inside", false).await.unwrap().kind, Kind::Link);
    assert_eq!(site.root().link_at("out").await.unwrap(), "../secret");
    assert_eq!(site.root().link_at("absolute").await, Err(FileError::Outside), "no path of the host is told");

    let Node::Folder(deep) = site.root().open("deep", true, &site.call).await.unwrap() else {
        panic!("a folder")
    };
    assert_eq!(
        deep.open("../page", true, &site.call).await.unwrap_err(),
        FileError::Outside,
        "nor out of an open folder"
    );
}

/// Two names are exchanged again and again: a folder and a link that leads out, a file and a pipe.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_race_of_names_leads_out_or_to_a_pipe() {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use std::sync::atomic::{AtomicBool, Ordering};

    let site = site();
    let public = site.path("public");
    fs::create_dir(site.path("outside")).unwrap();
    fs::write(site.path("outside/page"), "secret").unwrap();
    symlink("../outside", public.join("link")).unwrap();
    rustix::fs::mknodat(CWD, public.join("pipe"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
        .unwrap();
    let is_over = AtomicBool::new(false);
    let mut seen = std::collections::BTreeMap::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                for (one, other) in [("deep", "link"), ("page", "pipe")] {
                    renameat_with(CWD, public.join(one), CWD, public.join(other), RenameFlags::EXCHANGE)
                        .unwrap();
                }
            }
        });
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                for _ in 0..3000 {
                    for path in ["deep/page", "page"] {
                        let read = site.read(path).await;
                        *seen.entry(format!("{path}: {read:?}")).or_insert(0) += 1;
                    }
                }
            });
        });
        is_over.store(true, Ordering::Relaxed);
    });
    for read in seen.keys() {
        assert!(!read.contains("secret"), "{seen:?}");
    }
    for expected in [
        "deep/page: Ok(\"deep page\")",
        "deep/page: Err(Outside)",
        "page: Ok(\"page\")",
        "page: Err(Special)",
    ] {
        assert!(seen.contains_key(expected), "{expected} in {seen:?}");
    }
}

#[tokio::test]
async fn pipes_sockets_and_devices_are_not_opened() {
    let site = site();
    let public = site.path("public");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        public.join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(public.join("socket")).unwrap();
    for path in ["pipe", "socket"] {
        let read = tokio::time::timeout(Duration::from_secs(5), site.read(path)).await;
        assert_eq!(read.expect("opening does not wait"), Err(FileError::Special), "{path}");
        assert_eq!(site.root().stat_at(path, true).await.unwrap().kind, Kind::Special);
    }
    // Without a reader the pipe cannot be opened for writing: nobody has read from it.
    let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::NONBLOCK;
    let opened = rustix::fs::open(public.join("pipe"), flags, rustix::fs::Mode::empty());
    assert_eq!(opened.unwrap_err(), Errno::NXIO);
}

#[tokio::test]
async fn a_file_is_one_version_until_it_is_closed() {
    type Change = fn(&Path);
    let same: Change = |path| fs::write(path, "egap").unwrap();
    let back: Change = |path| {
        let before = fs::metadata(path).unwrap().modified().unwrap();
        fs::write(path, "egap").unwrap();
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_times(fs::FileTimes::new().set_modified(before)).unwrap();
    };
    let longer: Change = |path| {
        use std::io::Write;
        fs::File::options().append(true).open(path).unwrap().write_all(b"s").unwrap();
    };
    let shorter: Change = |path| fs::File::options().write(true).open(path).unwrap().set_len(2).unwrap();
    let deleted: Change = |path| fs::remove_file(path).unwrap();
    let replaced: Change = |path| {
        let next = path.with_extension("next");
        fs::write(&next, "next").unwrap();
        fs::rename(next, path).unwrap();
    };
    let table = [
        ("other bytes", same, false),
        ("other bytes under the old time", back, false),
        ("longer", longer, false),
        ("shorter", shorter, false),
        ("deleted", deleted, true),
        ("replaced", replaced, true),
    ];
    for (name, change, goes_on) in table {
        let site = site();
        let path = site.path("public/page");
        // The file was written this very moment: its next change is seen all the same.
        let Node::File(file) = site.root().open("page", true, &site.call).await.unwrap() else {
            panic!("a file")
        };
        assert_eq!(file.read(0, 2).await.unwrap(), Read::Bytes(Bytes::from_static(b"pa")), "{name}");
        change(&path);
        let rest = file.read(2, 100).await;
        if goes_on {
            assert_eq!(rest, Ok(Read::Bytes(Bytes::from_static(b"ge"))), "{name}");
            assert_eq!(file.read(4, 100).await, Ok(Read::End), "{name}");
        } else {
            assert_eq!(rest, Err(FileError::Changed), "{name}");
        }
    }
}

#[tokio::test]
async fn each_operation_sees_the_folder_as_it_is_then() {
    let site = site();
    assert_eq!(site.read("page").await.unwrap(), "page");
    let old = site.root().stat_at("page", true).await.unwrap();
    fs::write(site.path("public/page"), "page").unwrap();
    assert_ne!(site.root().stat_at("page", true).await.unwrap().hash(), old.hash(), "the same bytes anew");

    fs::create_dir(site.path("next")).unwrap();
    fs::write(site.path("next/page"), "next page").unwrap();
    fs::rename(site.path("public"), site.path("old")).unwrap();
    assert_eq!(site.read("page").await, Err(FileError::System(Errno::NOENT)));
    fs::rename(site.path("next"), site.path("public")).unwrap();
    assert_eq!(site.read("page").await.unwrap(), "next page");
}

#[tokio::test]
async fn open_files_are_bounded_for_a_tenant_and_for_all() {
    let site = site();
    let (one, two) = (
        site.root().open("page", true, &site.call).await.unwrap(),
        site.root().open("deep", true, &site.call).await.unwrap(),
    );
    assert_eq!(
        site.root().open("page", true, &site.call).await.unwrap_err(),
        FileError::TooMany,
        "two of eight are a quarter"
    );
    assert_eq!(site.root().list(&site.call).await.unwrap_err(), FileError::TooMany);
    assert!(site.root().stat_at("page", true).await.is_ok(), "nothing stays open");
    let others: Vec<_> = (0..3).map(|_| site.files.share()).collect();
    let rooms: Vec<_> = others
        .iter()
        .flat_map(|share| [share.room(&site.call).unwrap(), share.room(&site.call).unwrap()])
        .collect();
    assert_eq!(site.files.share().room(&site.call).unwrap_err(), FileError::TooMany, "all have eight");
    drop((one, rooms));
    let few = CallFiles::new(1);
    let third = site.root().open("page", true, &few).await.unwrap();
    assert_eq!(site.files.share().room(&few).unwrap_err(), FileError::TooMany, "the call may have one");
    drop(third);
    assert!(site.root().open("page", true, &site.call).await.is_ok());
    drop(two);
}

#[tokio::test]
async fn a_folder_is_listed_in_batches_without_loss() {
    let site = site();
    let names: std::collections::BTreeSet<_> = (0..700).map(|number| format!("file-{number}")).collect();
    for name in &names {
        fs::write(site.path("public/deep").join(name), "").unwrap();
    }
    let Node::Folder(deep) = site.root().open("deep", true, &site.call).await.unwrap() else {
        panic!("a folder")
    };
    let mut listing = deep.list(&site.call).await.unwrap();
    let mut found = std::collections::BTreeSet::new();
    while let Some(entry) = listing.next().await.unwrap() {
        assert_eq!(entry.kind, Kind::File);
        assert!(found.insert(entry.name), "each once");
    }
    assert!(found.remove("page"));
    assert_eq!(found, names);
    assert_eq!(listing.next().await, Ok(None));
}

#[tokio::test]
async fn a_file_system_that_does_not_answer_holds_up_its_own_tenant_alone() {
    let files = OpenFiles::new(100);
    let (slow, quick) = (files.share(), files.share());
    let (answer, answered) = std::sync::mpsc::channel::<()>();
    let answered = Arc::new(std::sync::Mutex::new(answered));
    let mut waiting = Vec::new();
    for _ in 0..MAX_BLOCKED {
        let (slow, answered) = (slow.clone(), answered.clone());
        waiting.push(tokio::spawn(async move {
            let wait = move || Ok(answered.lock().unwrap().recv());
            slow.block(wait).await
        }));
    }
    while slow.blocked.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    let one_more = tokio::time::timeout(Duration::from_millis(50), slow.block(|| Ok(()))).await;
    assert!(one_more.is_err(), "the tenant's next operation waits");
    quick.block(|| Ok(())).await.unwrap();
    drop(answer);
    for done in waiting {
        assert!(done.await.unwrap().unwrap().is_err(), "nothing was sent");
    }
    slow.block(|| Ok(())).await.unwrap();
}

#[test]
fn a_mounts_name_is_an_absolute_path_of_plain_names() {
    for name in ["/", "/public", "/a/b.c"] {
        assert_eq!(name.parse::<MountName>().unwrap().as_str(), name);
    }
    for (name, error) in [
        ("", MountNameError::Relative),
        ("public", MountNameError::Relative),
        ("//", MountNameError::Segment),
        ("/public/", MountNameError::Segment),
        ("/a//b", MountNameError::Segment),
        ("/a/../b", MountNameError::Segment),
        ("/a\n", MountNameError::Segment),
    ] {
        assert_eq!(name.parse::<MountName>(), Err(error), "{name:?}");
    }
    assert_eq!(format!("/{}", "a".repeat(255)).parse::<MountName>(), Err(MountNameError::Length));
}
