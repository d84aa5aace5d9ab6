//! Prints how many bytes an entry takes beside its key and value: built by random writes, after overwrites, and installed from frames.
//!
//! `cargo run --release -p limosa-tree --example memory`
#![allow(clippy::print_stdout)]

use std::sync::Arc;

use limosa_core::{EntryRef, Expiry, FragmentId, KeyRange, Kind, LiveRef, Part, SpaceKeys, Version, key};
use limosa_tree::{Extract, Fragment};

const ENTRIES: u64 = 800_000;
/// Coprime to the number of entries: multiples visit each entry once, in no order.
const PRIME: u64 = 1_000_003;

fn main() {
    // a process of its own for each size and way: freed memory of one must not serve the next
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [value_bytes, way] = &args[..] {
        return measure(value_bytes.parse().expect("a number of bytes"), way);
    }
    for value_bytes in ["16", "100", "256", "1000"] {
        for way in ["written", "installed"] {
            let program = std::env::current_exe().expect("this program");
            let status = std::process::Command::new(program).args([value_bytes, way]).status().expect("it runs");
            assert!(status.success());
        }
    }
}

fn measure(value_bytes: usize, way: &str) {
    let entries = if value_bytes > 256 { ENTRIES / 4 } else { ENTRIES };
    let before = resident_bytes();
    let mut fragment = new_fragment();
    let mut batch = Batch::default();
    for i in 0..entries {
        batch.write(&mut fragment, i.wrapping_mul(PRIME) % entries, value_bytes);
    }
    if way == "installed" {
        let before = resident_bytes();
        let installed = install(&fragment);
        return report("installed from frames", value_bytes, &installed, before);
    }
    report("written in random order", value_bytes, &fragment, before);
    for i in 0..entries / 2 {
        // some a little shorter, some a little longer: no overwrite fits exactly
        batch.write(&mut fragment, i.wrapping_mul(PRIME) % entries, value_bytes + 3 * usize::from(i % 2 == 0) - 1);
    }
    report("half of it overwritten", value_bytes, &fragment, before);
}

fn new_fragment() -> Fragment {
    let mut fragment = Fragment::new(FragmentId(0), KeyRange::ALL, Arc::new(SpaceKeys::derive(&[1; 32], "default")));
    fragment.open_epoch(1, 1);
    fragment
}

#[derive(Default)]
struct Batch {
    value: Vec<u8>,
}

impl Batch {
    fn write(&mut self, fragment: &mut Fragment, i: u64, value_bytes: usize) {
        self.value.resize(value_bytes, 7);
        let key = key::stored(format!("customer:{i:012}").as_bytes());
        let version = Version::new(1, fragment.head().seq + 1);
        let live = LiveRef { kind: Kind::STRING, expiry: Expiry::NEVER, value: &self.value };
        let entries = vec![EntryRef { key: &key, version, live: Some(live) }];
        fragment.apply_part(&Part { fragment: FragmentId(0), version, range_deletes: Vec::new(), entries }).expect("the next part");
    }
}

fn install(source: &Fragment) -> Fragment {
    let mut target = new_fragment();
    let mut range = KeyRange::ALL;
    loop {
        let (frame, next) = source.delta(&range, Version::ZERO, Extract::Changes, 1 << 20).expect("all in memory");
        target.apply_frame(&frame, &[]).expect("fits");
        let Some(next) = next else { return target };
        range.start = next;
    }
}

fn report(what: &str, value_bytes: usize, fragment: &Fragment, before: u64) {
    let total = fragment.total();
    let beside = (resident_bytes() - before) as f64 / total.live as f64 - total.live_bytes as f64 / total.live as f64;
    println!("{value_bytes:5}-byte values, {what:24}: {beside:6.1} bytes beside key and value ({} entries)", total.live);
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).expect("pages resident") * 4096
}
