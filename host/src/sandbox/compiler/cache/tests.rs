use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use super::*;

const CODE: &[u8] = b"compiled";

/// A cache in a folder of its own.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("compiled")
    }

    fn cache(&self) -> Cache {
        Cache::open(&self.path()).unwrap()
    }

    fn file(&self, key: &Key) -> PathBuf {
        self.path().join(key.name(Kind::Code, Digest::of(CODE)))
    }

    fn files(&self) -> usize {
        fs::read_dir(self.path()).unwrap().count()
    }
}

fn key(artifact: &str) -> Key {
    Key { artifact: Digest::of(artifact.as_bytes()), engine: Digest::of(b"engine") }
}

#[test]
fn what_is_kept_is_found_by_the_next_that_opens_the_folder() {
    let place = Place::new();
    assert_eq!(place.cache().find(&key("a"), Kind::Code).unwrap(), Found::Nothing);
    place.cache().keep(&key("a"), Kind::Code, CODE).unwrap();
    assert_eq!(place.cache().find(&key("a"), Kind::Code).unwrap(), Found::Whole(CODE.to_vec()));
    assert_eq!(place.cache().find(&key("b"), Kind::Code).unwrap(), Found::Nothing);
    let other_engine = Key { engine: Digest::of(b"another"), ..key("a") };
    assert_eq!(place.cache().find(&other_engine, Kind::Code).unwrap(), Found::Nothing);
    assert_eq!(fs::metadata(place.path()).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(place.file(&key("a"))).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn hosts_share_a_folder() {
    let place = Place::new();
    let (mut one, other) = (place.cache(), place.cache());
    other.keep(&key("a"), Kind::Code, CODE).unwrap();
    one.locked_index().listed -= LISTING_INTERVAL * 2;
    assert_eq!(one.find(&key("a"), Kind::Code).unwrap(), Found::Whole(CODE.to_vec()));
    other.forget(&key("a"), Kind::Code).unwrap();
    assert_eq!(one.find(&key("a"), Kind::Code).unwrap(), Found::Nothing, "it is gone, not damaged");
    let index = one.index.get_mut().unwrap();
    assert_eq!((index.files.len(), index.bytes), (0, 0));
}

#[test]
fn what_is_not_as_it_was_written_is_thrown_away() {
    type Break = fn(&Path);
    let breaks: [(&str, Break); 8] = [
        ("changed", |file| fs::write(file, b"Compiled").unwrap()),
        ("cut", |file| fs::write(file, &CODE[..4]).unwrap()),
        ("longer", |file| fs::write(file, [CODE, b"!"].concat()).unwrap()),
        ("empty", |file| fs::write(file, b"").unwrap()),
        ("another's to write", |file| {
            fs::set_permissions(file, fs::Permissions::from_mode(0o666)).unwrap();
        }),
        ("known by another name", |file| fs::hard_link(file, file.with_extension("too")).unwrap()),
        ("a link", |file| {
            fs::rename(file, file.with_file_name("elsewhere")).unwrap();
            symlink("elsewhere", file).unwrap();
        }),
        ("a folder", |file| {
            fs::remove_file(file).unwrap();
            fs::create_dir(file).unwrap();
        }),
    ];
    for (what, damage) in breaks {
        let place = Place::new();
        let cache = place.cache();
        cache.keep(&key("a"), Kind::Code, CODE).unwrap();
        damage(&place.file(&key("a")));
        assert_eq!(cache.find(&key("a"), Kind::Code).unwrap(), Found::Damaged, "{what}");
        assert!(!place.file(&key("a")).exists(), "{what}");
        cache.keep(&key("a"), Kind::Code, CODE).unwrap();
    }
}

#[test]
fn code_and_its_description_are_never_taken_for_each_other() {
    let place = Place::new();
    let cache = place.cache();
    cache.keep(&key("a"), Kind::Code, CODE).unwrap();
    assert_eq!(cache.find(&key("a"), Kind::Description).unwrap(), Found::Nothing);
    cache.keep(&key("a"), Kind::Description, b"described").unwrap();
    cache.forget(&key("a"), Kind::Code).unwrap();
    assert_eq!(cache.find(&key("a"), Kind::Code).unwrap(), Found::Nothing);
    let described = cache.find(&key("a"), Kind::Description).unwrap();
    assert_eq!(described, Found::Whole(b"described".to_vec()));
}

#[test]
fn code_is_found_by_its_sum_as_well_and_not_if_it_has_changed() {
    let place = Place::new();
    let cache = place.cache();
    let sum = Digest::of(CODE);
    assert_eq!(cache.find_code(&key("a"), sum).unwrap(), Found::Nothing);
    assert!(!cache.has_code(&key("a"), sum).unwrap());
    cache.keep(&key("a"), Kind::Code, CODE).unwrap();
    assert_eq!(cache.find_code(&key("a"), sum).unwrap(), Found::Whole(CODE.to_vec()));
    assert!(!cache.has_code(&key("a"), Digest::of(b"other")).unwrap());
    let file = place.file(&key("a"));
    let long_ago = SystemTime::now() - Duration::from_secs(60 * 60);
    File::open(&file).unwrap().set_modified(long_ago).unwrap();
    assert!(cache.has_code(&key("a"), sum).unwrap());
    assert!(fs::metadata(&file).unwrap().modified().unwrap() > long_ago, "it counts as used");
    fs::write(&file, b"Compiled").unwrap();
    assert_eq!(cache.find_code(&key("a"), sum).unwrap(), Found::Damaged);
    assert!(!cache.has_code(&key("a"), sum).unwrap());
    // Another host that shares the folder makes room.
    cache.keep(&key("a"), Kind::Code, CODE).unwrap();
    fs::remove_file(&file).unwrap();
    assert!(!cache.has_code(&key("a"), sum).unwrap());
    assert_eq!(cache.find_code(&key("a"), sum).unwrap(), Found::Nothing);
}

#[test]
fn a_folder_that_others_can_use_is_none() {
    for mode in [0o701, 0o710, 0o770, 0o755, 0o777] {
        let place = Place::new();
        drop(place.cache());
        fs::set_permissions(place.path(), fs::Permissions::from_mode(mode)).unwrap();
        let refused = Cache::open(&place.path()).err().unwrap().to_string();
        assert!(refused.contains("other users"), "{mode:o}: {refused}");
    }
    let place = Place::new();
    fs::create_dir(place.0.path().join("elsewhere")).unwrap();
    symlink("elsewhere", place.path()).unwrap();
    assert!(matches!(Cache::open(&place.path()), Err(CacheError::Open(_))));
}

#[test]
fn a_folder_of_another_user_is_none() {
    let place = Place::new();
    drop(place.cache());
    // Only root can give a folder away; other users cannot even open one that they would have been given.
    if std::os::unix::fs::chown(place.path(), Some(65_534), None).is_ok() {
        let refused = Cache::open(&place.path()).err().unwrap().to_string();
        assert!(refused.contains("another user"), "{refused}");
    }
}

#[test]
fn what_was_used_longest_ago_makes_room() {
    let place = Place::new();
    drop(place.cache());
    let cache = Cache::open_with(&place.path(), 3 * CODE.len() as u64).unwrap();
    for (age, artifact) in [(30, "a"), (20, "b"), (10, "c")] {
        cache.keep(&key(artifact), Kind::Code, CODE).unwrap();
        let file = File::open(place.file(&key(artifact))).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
    }
    assert_eq!(cache.find(&key("a"), Kind::Code).unwrap(), Found::Whole(CODE.to_vec()));
    cache.keep(&key("d"), Kind::Code, CODE).unwrap();
    assert_eq!(cache.find(&key("b"), Kind::Code).unwrap(), Found::Nothing);
    for artifact in ["a", "c", "d"] {
        assert_eq!(
            cache.find(&key(artifact), Kind::Code).unwrap(),
            Found::Whole(CODE.to_vec()),
            "{artifact}"
        );
    }
}

#[test]
fn a_draft_that_was_left_behind_is_in_nobodys_way() {
    let place = Place::new();
    let mut names: Vec<_> = (0..1000).map(|_| draft_name()).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 1000);
    // Drafts of a host that is ended between making a draft and giving it its name.
    drop(place.cache());
    for name in [names[0].clone(), format!("{DRAFT}{}-0", std::process::id())] {
        fs::write(place.path().join(name), b"comp").unwrap();
    }
    place.cache().keep(&key("a"), Kind::Code, CODE).unwrap();
    assert_eq!(place.cache().find(&key("a"), Kind::Code).unwrap(), Found::Whole(CODE.to_vec()));
    assert_eq!(place.files(), 3);
}

#[test]
fn drafts_that_were_left_behind_are_swept_away() {
    let place = Place::new();
    drop(place.cache());
    for (name, age) in [("new-1-0", 2 * 60 * 60), ("new-1-1", 0)] {
        let file = File::create(place.path().join(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
    }
    drop(place.cache());
    assert_eq!(place.files(), 1);
}
