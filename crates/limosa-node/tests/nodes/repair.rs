//! A bit that flips on the disk of one node is mended from the other, in both directions, without a restart.

use std::path::Path;

use limosa_node::driver::{PeerRole, TransferKind};

use crate::common::{Place, Running, places, wait};

/// Keys whose values are long enough to be found again on the disk.
fn keys() -> impl Iterator<Item = String> {
    (0..400).map(|i| format!("k{i}"))
}

fn value(of: &str) -> Vec<u8> {
    format!("<{of}> has a value that is found on the disk as it was written").into_bytes()
}

/// Flips a bit of the value of `key` wherever the checkpoint in `dir` has it.
fn rot(dir: &Path, key: &str) {
    let pattern = format!("<{key}> has a value");
    let mut folders = vec![dir.to_owned()];
    let mut found = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("readable")) {
            let path = entry.path();
            if path.is_dir() {
                folders.extend((entry.file_name() != "journal").then_some(path));
                continue;
            }
            let mut bytes = std::fs::read(&path).expect("readable");
            let at: Vec<usize> =
                bytes.windows(pattern.len()).enumerate().filter(|(_, window)| *window == pattern.as_bytes()).map(|(at, _)| at).collect();
            at.iter().for_each(|at| bytes[at + 2] ^= 1);
            found += at.len();
            if !at.is_empty() {
                std::fs::write(&path, bytes).expect("writable");
            }
        }
    }
    assert!(found > 0, "the value of {key} lies in the checkpoint as it is");
}

/// An owner and a standby with the same state, checkpointed and stopped.
fn stopped(root: &Path) -> (Place, Place) {
    let (a, b) = places(root);
    let owner = a.start(None);
    for key in keys() {
        owner.set([key.clone()], &value(&key));
    }
    let standby = b.start(Some(&owner));
    owner.wait_until_followed_by(&standby);
    for running in [&owner, &standby] {
        running.node.store().checkpoint().expect("room");
    }
    (a, b)
}

fn code(running: &Running, key: &str) -> Option<&'static str> {
    running.get(key).err().map(|error| error.code())
}

/// `running` got its block back from the other end, which was `from`, and says so.
fn assert_repaired(running: &Running, from: PeerRole, blocks: u64) {
    let registry = running.node.registry();
    let records = || registry.transfers().into_iter().filter(|record| record.kind == TransferKind::Repair).collect::<Vec<_>>();
    // The block is whole a moment before anybody is told.
    wait("all repairs are told of", || registry.totals().repaired_blocks >= blocks && records().len() as u64 >= blocks);
    let repairs = records();
    assert_eq!((registry.totals().repaired_blocks, repairs.len() as u64), (blocks, blocks));
    assert!(repairs.iter().all(|record| record.peer_role == from && record.entries > 0 && record.why.contains("was damaged")));
    assert_eq!(running.node.store().damage(), []);
}

#[test]
fn a_block_that_an_owner_reads_damaged_comes_back_from_its_standby() {
    let root = tempfile::tempdir().expect("a folder");
    let (a, b) = stopped(root.path());
    rot(&a.dir, "k7");
    let owner = a.start(None);
    assert_eq!(code(&owner, "k7"), Some("store.corrupt_block"), "nobody is there to ask");
    assert_eq!(owner.get("k8").expect("another block, or the same").map_or(0, |value| value.len()), value("k8").len());
    let standby = b.start(Some(&owner));
    wait("the owner reads it again", || code(&owner, "k7").is_none());
    assert_eq!(owner.get("k7").expect("repaired"), Some(value("k7")));
    assert_repaired(&owner, PeerRole::Standby, 1);
    owner.wait_until_followed_by(&standby);
    owner.set(["k7".to_owned()], b"and on it goes");
    owner.wait_until_followed_by(&standby);
    // For good: the next checkpoint has it.
    owner.node.store().checkpoint().expect("room");
    drop((owner, standby));
    let again = a.start(None);
    assert!(keys().all(|key| code(&again, &key).is_none()));
}

#[test]
fn a_block_that_a_standby_reads_damaged_comes_back_from_its_owner() {
    let root = tempfile::tempdir().expect("a folder");
    let (a, b) = stopped(root.path());
    rot(&b.dir, "k7");
    let owner = a.start(None);
    let standby = b.start(Some(&owner));
    owner.wait_until_followed_by(&standby);
    assert_eq!(code(&standby, "k7"), Some("store.corrupt_block"));
    wait("the standby reads it again", || code(&standby, "k7").is_none());
    assert_eq!(standby.get("k7").expect("repaired"), Some(value("k7")));
    assert_repaired(&standby, PeerRole::Owner, 1);
    assert_eq!(owner.node.registry().totals().repaired_blocks, 0);
}

#[test]
fn a_scrub_finds_every_damaged_block_and_all_are_fetched() {
    let root = tempfile::tempdir().expect("a folder");
    let (a, b) = stopped(root.path());
    for key in ["k7", "k70", "k170", "k270"] {
        rot(&a.dir, key);
    }
    let owner = a.start(None);
    let found = owner.node.scrub().expect_err("bits have flipped").code();
    let damaged = owner.node.store().damage().len() as u64;
    assert_eq!(found, "store.corrupt_block");
    assert!((1..=4).contains(&damaged), "{damaged}");
    assert!(owner.node.scrub_age().is_none(), "it did not pass");
    let standby = b.start(Some(&owner));
    wait("all are repaired", || owner.node.store().damage().is_empty());
    assert_repaired(&owner, PeerRole::Standby, damaged);
    owner.node.scrub().expect("sound again");
    owner.wait_until_followed_by(&standby);
    assert!(keys().all(|key| owner.get(&key).expect("sound") == Some(value(&key))));
}
