//! What the content digest of an entry costs, one by one and many at once. One line for each length of value.
//!
//! ```text
//! cargo run --release -p limosa-core --example content_cost
//! ```

#![allow(clippy::print_stdout, clippy::cast_precision_loss)] // the figures are what this program is for

use std::hint::black_box;

use limosa_core::{EntryRef, Expiry, Kind, LiveRef, SpaceKeys, Version};

const BYTES: usize = 256 << 20;
const ENTRIES_AT_ONCE: usize = 1000;

fn main() {
    let keys = SpaceKeys::derive(&[7; 32], "default");
    for len in [16, 100, 256, 1000, 1024, 4096, 16_384] {
        let value = vec![0xA5; len];
        let live = LiveRef { kind: Kind::STRING, expiry: Expiry::NEVER, value: &value };
        let entry = EntryRef { key: b"\0\x01key:000000001", version: Version::ZERO, live: Some(live) };
        let rounds = (BYTES / len / ENTRIES_AT_ONCE).clamp(1, 1000);
        let one = nanos(rounds, || (0..ENTRIES_AT_ONCE).for_each(|_| _ = black_box(keys.content(entry.key, live))));
        let many = nanos(rounds, || drop(black_box(keys.contents(std::iter::repeat_n(entry, ENTRIES_AT_ONCE)))));
        println!("{{\"value_bytes\":{len},\"one_by_one_ns\":{one:.0},\"many_at_once_ns\":{many:.0}}}");
    }
}

/// Nanoseconds of this thread's CPU for each entry.
fn nanos(rounds: usize, mut work: impl FnMut()) -> f64 {
    work();
    let start = cpu_nanos();
    (0..rounds).for_each(|_| work());
    (cpu_nanos() - start) / (rounds * ENTRIES_AT_ONCE) as f64
}

/// What the thread has used so far (Linux).
fn cpu_nanos() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(f64::NAN)
}
