//! Data folders that earlier releases wrote still load, with every entry, version and digest.

use std::path::{Path, PathBuf};

use limosa_core::{Digest, Expiry, SpaceKeys, Version};
use limosa_store::{Identity, Options, Store};

fn fixture(release: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(release)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("room");
    for entry in std::fs::read_dir(from).expect("the fixture is there") {
        let entry = entry.expect("readable");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a file or folder").is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("room");
        }
    }
}

fn large(seed: u32) -> Vec<u8> {
    (0..40_000u32).map(|i| (i.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 13) as u8).collect()
}

fn open(dir: &Path) -> Store {
    let identity = Identity { cluster: *b"limosa fixture 1", node: "fixture".into() };
    Store::open(Options::new(dir, identity, SpaceKeys::derive(&[42; 32], "default"))).expect("an old folder loads")
}

#[test]
fn the_folder_of_release_0_1_0_loads() {
    loads("0.1.0", "e84da1ebb9daf8d96d77f6fef56b3c71");
}

#[test]
fn the_folder_of_release_0_2_0_loads() {
    loads("0.2.0", "c22cbed916640abfa12eb6f9ff8bb44b");
}

#[test]
fn an_old_folder_is_written_on_in_the_new_format() {
    let dir = tempfile::tempdir().expect("a folder");
    copy(&fixture("0.1.0"), dir.path());
    let store = open(dir.path());
    store.open_epoch(0).expect("the disk works");
    let mut txn = store.begin();
    txn.set(b"key:0", b"written by the new release", Expiry::NEVER).expect("writable");
    txn.commit();
    drop(txn);
    store.flush().expect("the disk works");
    store.checkpoint().expect("blocks of both formats lie side by side");
    let facts = store.facts();
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.facts(), facts);
    let mut txn = store.begin();
    for i in 0..100u32 {
        let found = txn.get(format!("key:{i}").as_bytes(), 1).expect("readable");
        assert_eq!(found.is_some(), i % 10 != 3, "key:{i}");
    }
}

/// `state_digest` is the folder's state digest, as the release that wrote it printed it.
fn loads(release: &str, state_digest: &str) {
    let dir = tempfile::tempdir().expect("a folder");
    copy(&fixture(release), dir.path());
    let store = open(dir.path());

    let facts = store.facts();
    assert_eq!(facts.len(), 4);
    assert!(facts.iter().all(|facts| facts.epochs.rows().len() == 2), "both epochs are known");
    let state: Digest = facts.iter().map(|facts| facts.state).sum();
    let newest = facts.iter().map(|facts| facts.head).max().expect("four fragments");
    assert_eq!((state.to_string().as_str(), newest), (state_digest, NEWEST));

    let mut txn = store.begin();
    for i in 0..100u32 {
        let value =
            txn.get(format!("key:{i}").as_bytes(), 1).expect("readable").map(|value| (value.value.into_owned(), value.expiry.millis()));
        let expected = match i % 20 {
            3 | 13 => None,
            7 => Some((b"with a deadline".to_vec(), 4_000_000_000_000)),
            9 => Some((large(i), 0)),
            _ => Some((format!("value {i}").into_bytes(), 0)),
        };
        assert!(value == expected, "key:{i}");
    }
}

/// Newest version of the folders.
const NEWEST: Version = Version::new(2, 30);
