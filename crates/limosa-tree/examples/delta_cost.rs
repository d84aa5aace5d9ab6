//! Prints what it costs to find what changed since a version, without recent lists: the figures of `docs/decisions/0001-no-recent-lists.md`.
//!
//! `cargo run --release -p limosa-tree --example delta_cost`
#![allow(clippy::print_stdout)]

use std::sync::Arc;

use limosa_core::{EntryRef, Expiry, FragmentId, KeyRange, Kind, LiveRef, Part, SpaceKeys, Version, key};
use limosa_tree::{Extract, Fragment};

const ENTRIES: u64 = 500_000;
const VALUE: [u8; 100] = [7; 100];

fn main() {
    let keys: Vec<Vec<u8>> = (0..ENTRIES).map(|i| key::stored(format!("customer:{i:012}").as_bytes())).collect();
    let mut fragment = Fragment::new(FragmentId(0), KeyRange::ALL, Arc::new(SpaceKeys::derive(&[1; 32], "default")));
    fragment.open_epoch(1, 1);
    let mut next = (0..).map(|i: u64| &keys[(i.wrapping_mul(1_000_003) % ENTRIES) as usize]);
    next.by_ref().take(keys.len()).for_each(|key| put(&mut fragment, key));
    println!("{ENTRIES} entries, {}-byte values, random overwrites", VALUE.len());
    println!("{:>9} {:>9} {:>12} {:>14} {:>16} {:>12}", "changed", "blocks", "slots read", "count only", "extract frames", "all entries");
    for changed in [1, 10, 100, 1_000, 10_000, 100_000] {
        let since = fragment.head();
        next.by_ref().take(changed).for_each(|key| put(&mut fragment, key));
        let found = fragment.changed(&KeyRange::ALL, since);
        let count = micros(|| fragment.changed(&KeyRange::ALL, since).entries);
        let extract = micros(|| extract(&fragment, since));
        let all = micros(|| extract_all_headers(&fragment));
        let (slots, blocks) = (found.blocks * 64, found.blocks);
        println!("{:>9} {blocks:>9} {slots:>12} {count:>11.1} µs {extract:>13.1} µs {all:>9.0} µs", found.entries);
    }
}

fn put(fragment: &mut Fragment, key: &[u8]) {
    let version = Version::new(1, fragment.head().seq + 1);
    let live = LiveRef { kind: Kind::STRING, expiry: Expiry::NEVER, value: &VALUE };
    let entries = vec![EntryRef { key, version, live: Some(live) }];
    fragment.apply_part(&Part { fragment: FragmentId(0), version, range_deletes: Vec::new(), entries }).expect("the next part");
}

fn extract(fragment: &Fragment, since: Version) -> u64 {
    let (mut entries, mut range) = (0, KeyRange::ALL);
    loop {
        let (frame, next) = fragment.delta(&range, since, Extract::Changes, 1 << 20).expect("all in memory");
        entries += frame.entries.len() as u64;
        let Some(next) = next else { return entries };
        range.start = next;
    }
}

/// What a scan without the tree costs.
fn extract_all_headers(fragment: &Fragment) -> u64 {
    let mut count = 0;
    let flow = fragment.scan(&KeyRange::ALL, |entry| {
        count += u64::from(entry.version.seq > 0);
        std::ops::ControlFlow::Continue(())
    });
    flow.map(|_| count).expect("all in memory")
}

/// Microseconds on the CPU, as the mean of enough runs for the kernel's coarse count.
fn micros(f: impl Fn() -> u64) -> f64 {
    let (start, mut runs) = (cpu_micros(), 0.0);
    while cpu_micros() - start < 100_000.0 {
        for _ in 0..10 {
            std::hint::black_box(f());
        }
        runs += 10.0;
    }
    (cpu_micros() - start) / runs
}

fn cpu_micros() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/schedstat").expect("Linux");
    stat.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).expect("nanoseconds on the CPU") / 1e3
}
