//! The embedded store under the contract, and what a restart leaves of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use limosa_core::FragmentId;
use limosa_manifest::embedded::EmbeddedStore;
use limosa_manifest::ratchet::Ratchet;
use limosa_manifest::{Change, Manifest, ManifestStore, Write};

use crate::suite;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_store_keeps_the_contract() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Arc::new(EmbeddedStore::open(&dir.path().join("manifest.redb"), 1).expect("opens"));
    suite::all(store.clone()).await;
    suite::damage_is_named(store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_survive_a_restart_and_leases_do_not() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("manifest.redb");
    let (revision, ratchet) = {
        let store = EmbeddedStore::open(&path, 1).expect("opens");
        let manifest = Manifest::new(Arc::new(store.clone()), Ratchet::default());
        assert!(manifest.create(&[suite::cell(7, "a")]).await.expect("answers"));
        let lease = store.grant(Duration::from_secs(60)).await.expect("answers");
        manifest.announce(&suite::name("a"), lease).await.expect("answers");
        (manifest.ratchet().revision(), manifest.ratchet())
    };
    let store = EmbeddedStore::open(&path, 99).expect("opens again");
    let manifest = Manifest::new(Arc::new(store), ratchet); // the same store: its number is in the file
    assert_eq!(manifest.cell(FragmentId(7)).await.expect("answers").expect("there").value, suite::cell(7, "a"));
    assert!(manifest.alive().await.expect("answers").is_empty());
    assert!(manifest.ratchet().revision() > revision, "what went with its lease is a change like any other");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_copy_of_the_file_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let (path, copy) = (dir.path().join("manifest.redb"), dir.path().join("copy.redb"));
    let change = |text: &'static str| {
        let put = Write::Put { key: "fragment/x".into(), value: Bytes::from_static(text.as_bytes()), lease: None };
        Change { guards: vec![], writes: vec![put] }
    };
    EmbeddedStore::open(&path, 1).expect("opens").commit(change("old")).await.expect("answers");
    std::fs::copy(&path, &copy).expect("copied");
    let store = EmbeddedStore::open(&path, 1).expect("opens");
    store.commit(change("new")).await.expect("answers");
    let manifest = Manifest::new(Arc::new(store), Ratchet::default());
    manifest.cell(FragmentId(1)).await.expect("answers");
    let ratchet = manifest.ratchet();
    let restored = Manifest::new(Arc::new(EmbeddedStore::open(&copy, 1).expect("opens")), ratchet);
    assert_eq!(restored.cell(FragmentId(1)).await.expect_err("older").code(), "manifest.rolled_back");
}

#[test]
fn a_file_in_use_is_refused_by_name() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("manifest.redb");
    let _open = EmbeddedStore::open(&path, 1).expect("opens");
    let refused = EmbeddedStore::open(&path, 1).err().expect("in use").to_string();
    assert!(refused.contains("manifest.redb"), "{refused}");
}
