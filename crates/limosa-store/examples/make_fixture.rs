//! Writes the data folder that a release keeps as a fixture. `cargo run --release -p limosa-store --example make_fixture -- DIR`

#![allow(clippy::print_stdout)] // what the test of the fixture expects
use std::path::PathBuf;

use limosa_core::{Digest, Expiry, SpaceKeys};
use limosa_store::{Identity, Options, Store};

fn main() {
    let dir = PathBuf::from(std::env::args().nth(1).expect("a folder to write into"));
    let identity = Identity { cluster: *b"limosa fixture 1", node: "fixture".into() };
    let options = Options { fragments: 4, ..Options::new(&dir, identity, SpaceKeys::derive(&[42; 32], "default")) };
    let store = Store::open(options).expect("an empty folder");
    store.open_epoch(0).expect("the disk works");
    write(&store, 0..60);
    store.checkpoint().expect("the disk works");
    write(&store, 0..4);
    let report = store.checkpoint().expect("the disk works");
    assert!(report.patches > 0, "blocks of which only what changed was written: {report:?}");
    // Behind the checkpoint: what recovery replays.
    store.open_epoch(0).expect("the disk works");
    write(&store, 40..100);
    store.flush().expect("the disk works");
    store.sync().expect("the disk works");
    let state: Digest = store.facts().iter().map(|facts| facts.state).sum();
    let newest = store.facts().iter().map(|facts| facts.head).max().expect("four fragments");
    println!("{state} {newest}");
}

/// Plain values, one with a deadline far away, one in parts, deletions.
fn write(store: &Store, keys: std::ops::Range<u32>) {
    for i in keys {
        let mut txn = store.begin();
        let key = format!("key:{i}");
        match i % 20 {
            7 => txn.set(key.as_bytes(), b"with a deadline", Expiry::at(4_000_000_000_000)),
            9 => txn.set(key.as_bytes(), &large(i), Expiry::NEVER),
            _ => txn.set(key.as_bytes(), format!("value {i}").as_bytes(), Expiry::NEVER),
        }
        .expect("writable");
        txn.commit();
        if i % 10 == 3 {
            txn.delete(key.as_bytes(), 0).expect("writable");
            txn.commit();
        }
    }
    store.flush().expect("the disk works");
}

fn large(seed: u32) -> Vec<u8> {
    (0..40_000u32).map(|i| (i.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 13) as u8).collect()
}
