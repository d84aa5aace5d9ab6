//! Prints how many operations one second of CPU does on one fragment: puts, gets, scans, deltas, frames.
//!
//! `cargo run --release -p limosa-tree --example throughput`
#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::ops::ControlFlow;
use std::sync::Arc;

use limosa_core::{EntryRef, Expiry, FragmentId, Frame, KeyRange, Kind, LiveRef, Part, SpaceKeys, Version, key};
use limosa_tree::{Extract, Fragment};

fn main() {
    for (value_bytes, entries) in [(100, 500_000u64), (1024, 200_000)] {
        println!("{entries} entries, {value_bytes}-byte values");
        let keys: Vec<Vec<u8>> = (0..entries).map(|i| key::stored(format!("customer:{i:012}").as_bytes())).collect();
        let mut fragment = new_fragment();
        let order = |i: u64| &keys[(i.wrapping_mul(1_000_003) % entries) as usize];
        let payload = value_bytes + keys[0].len();

        let space = SpaceKeys::derive(&[1; 32], "default");
        let hash =
            |i: u64| space.content(order(i), LiveRef { kind: Kind::STRING, expiry: Expiry::NEVER, value: &[7; 1024][..value_bytes] });
        measure("content digest alone", entries, payload, || (0..entries).for_each(|i| _ = black_box(hash(i))));
        measure("put, new keys", entries, payload, || (0..entries).for_each(|i| put(&mut fragment, order(i), value_bytes)));
        measure("put, overwrite", entries, payload, || (0..entries).for_each(|i| put(&mut fragment, order(i), value_bytes)));
        let common = fragment.head();
        let snapshot = fragment.clone();
        let some = entries / 20;
        measure("put, snapshot held", some, payload, || (0..some).for_each(|i| put(&mut fragment, order(i), value_bytes)));
        measure("get", entries, payload, || {
            (0..entries).for_each(|i| _ = black_box(fragment.get(order(i)).expect("all in memory")));
        });
        let live = fragment.total().live;
        measure("scan", live, payload, || {
            let mut bytes = 0;
            let flow = fragment.scan(&KeyRange::ALL, |entry| {
                bytes += entry.payload_bytes();
                ControlFlow::Continue(())
            });
            black_box((bytes, flow.expect("all in memory").is_continue()));
        });

        let mut frames = Vec::new();
        measure("extract a copy", live, payload, || frames = extract(&fragment, Version::ZERO));
        let mut target = new_fragment();
        measure("apply a copy", live, payload, || apply(&mut target, &frames));
        assert_eq!(target.facts().state, fragment.facts().state);
        let mut delta = Vec::new();
        let changed = fragment.changed(&KeyRange::ALL, common).entries;
        measure("extract a sparse delta", changed, payload, || delta = extract(&fragment, common));
        let mut fork = snapshot.clone();
        measure("apply it to a fork", changed, payload, || apply(&mut fork, &delta));
        assert_eq!(fork.facts().state, fragment.facts().state);
        println!();
    }
}

fn new_fragment() -> Fragment {
    let mut fragment = Fragment::new(FragmentId(0), KeyRange::ALL, Arc::new(SpaceKeys::derive(&[1; 32], "default")));
    fragment.open_epoch(1, 1);
    fragment
}

fn put(fragment: &mut Fragment, key: &[u8], value_bytes: usize) {
    let version = Version::new(1, fragment.head().seq + 1);
    let value = &[7; 1024][..value_bytes];
    let live = LiveRef { kind: Kind::STRING, expiry: Expiry::NEVER, value };
    let entries = vec![EntryRef { key, version, live: Some(live) }];
    fragment.apply_part(&Part { fragment: FragmentId(0), version, range_deletes: Vec::new(), entries }).expect("the next part");
}

fn extract(source: &Fragment, since: Version) -> Vec<Frame> {
    let (mut out, mut range) = (Vec::new(), KeyRange::ALL);
    loop {
        let (frame, next) = source.delta(&range, since, Extract::Changes, 1 << 20).expect("all in memory");
        out.push(frame);
        let Some(next) = next else { return out };
        range.start = next;
    }
}

fn apply(target: &mut Fragment, frames: &[Frame]) {
    for frame in frames {
        target.apply_frame(frame, &[]).expect("fits");
    }
}

fn measure(what: &str, count: u64, payload_bytes: usize, f: impl FnOnce()) {
    let start = cpu_seconds();
    f();
    let seconds = cpu_seconds() - start;
    let (rate, mb) = (count as f64 / seconds, count as f64 * payload_bytes as f64 / 1e6 / seconds);
    println!("  {what:24} {rate:10.0}/s {mb:8.0} MB/s   {:7.2} µs each", 1e6 * seconds / count as f64);
}

/// Seconds that this thread has been on a CPU: waiting for other programs does not count.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/schedstat").expect("Linux");
    stat.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).expect("nanoseconds on the CPU") / 1e9
}
