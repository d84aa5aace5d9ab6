//! What an edit of a large value costs a standby. `cargo run --release -p limosa-store --example large_edits`

#![allow(clippy::print_stdout, reason = "this program's purpose")]

use std::time::{Duration, Instant};

use limosa_core::{Expiry, SpaceKeys};
use limosa_store::{Extract, Identity, Options, Store};

const VALUES: usize = 10;
const VALUE_BYTES: usize = 1 << 20;
const EDIT_BYTES: usize = 50;

fn main() {
    let dir = std::env::temp_dir().join(format!("limosa-large-edits-{}", std::process::id()));
    let identity = Identity { cluster: [1; 16], node: "bench".into() };
    let store = Store::open(Options::new(&dir, identity, SpaceKeys::derive(&[2; 32], "default"))).expect("a fresh folder");
    store.open_epoch(0).expect("the disk works");
    let mut values: Vec<Vec<u8>> = (0..VALUES as u64).map(|i| noise(i, VALUE_BYTES)).collect();
    println!("{VALUES} values of {VALUE_BYTES} bytes, {EDIT_BYTES} bytes edited in each");
    println!("| edit | entries in the delta | key and value bytes | ms a value |");
    println!("|---|---:|---:|---:|");
    row(&store, "all written", &values);
    for (i, value) in values.iter_mut().enumerate() {
        value[i * 100_000..][..EDIT_BYTES].copy_from_slice(&noise(100 + i as u64, EDIT_BYTES));
    }
    row(&store, "overwritten", &values);
    for (i, value) in values.iter_mut().enumerate() {
        value.splice(i * 90_000..i * 90_000, noise(200 + i as u64, EDIT_BYTES));
    }
    row(&store, "inserted", &values);
    for value in &mut values {
        value.extend(noise(300, EDIT_BYTES));
    }
    row(&store, "appended", &values);
    drop(store);
    std::fs::remove_dir_all(&dir).expect("it was made here");
}

fn row(store: &Store, edit: &str, values: &[Vec<u8>]) {
    let since: Vec<_> = store.facts().into_iter().map(|facts| facts.head).collect();
    let mut took = Duration::ZERO;
    for (i, value) in values.iter().enumerate() {
        let mut txn = store.begin();
        let started = Instant::now();
        txn.set(format!("value:{i}").as_bytes(), value, Expiry::NEVER).expect("writable");
        txn.commit();
        took += started.elapsed();
        drop(txn);
        store.flush().expect("the disk works");
    }
    let cut = store.cut();
    let (mut entries, mut bytes) = (0, 0);
    for (view, since) in cut.fragments().iter().zip(since) {
        let changes = view.delta(&view.facts().range, since, Extract::Changes, usize::MAX).expect("readable").0.entries;
        entries += changes.len();
        bytes += changes.payload_bytes();
    }
    println!("| {edit} | {entries} | {bytes} | {:.1} |", took.as_secs_f64() * 1e3 / values.len() as f64);
}

/// Deterministic noise (splitmix64).
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut next = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    (0..len.div_ceil(8)).flat_map(|_| next().to_le_bytes()).take(len).collect()
}
