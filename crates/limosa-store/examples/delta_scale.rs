//! Measures what extracting a delta of random changes costs in a state of a given size.
//!
//! `cargo run --release -p limosa-store --example delta_scale -- ENTRIES CHANGES` prints one line of JSON: the CPU seconds of one
//! extraction (median of several, each after changes of its own, so that none finds its blocks warm), and the entries of the blocks
//! that it has to look into.
#![allow(clippy::print_stdout, clippy::unwrap_used)] // a terminal program that may stop at anything unexpected

use std::sync::Arc;

use limosa_core::fragment::hashed_ranges;
use limosa_core::limits::FRAME_BYTES_BULK;
use limosa_core::{EntryRef, Expiry, Kind, LiveRef, Part, SpaceKeys, Version, key};
use limosa_tree::{Extract, Fragment};

const FRAGMENTS: u16 = 64;
const VALUE_BYTES: usize = 100;
const ROUNDS: usize = 15;
const LOAD_BATCH: usize = 4096;

fn main() {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<u64>().expect("ENTRIES and CHANGES are numbers"));
    let (entries, changes) = (args.next().unwrap_or(1_000_000), args.next().unwrap_or(1_000));
    let mut random = 0x9E37_79B9_7F4A_7C15;
    let mut fragments = load(entries, &mut random);
    let mut costs: Vec<Cost> = (0..ROUNDS).map(|_| change_and_extract(&mut fragments, entries, changes, &mut random)).collect();
    costs.sort_by(|a, b| a.cpu_seconds.total_cmp(&b.cpu_seconds));
    let Cost { cpu_seconds, entries_read, entries_sent } = costs[ROUNDS / 2];
    println!(
        r#"{{"entries":{entries},"changes":{changes},"cpu_seconds":{cpu_seconds:.6},"entries_read":{entries_read},"entries_sent":{entries_sent}}}"#
    );
}

struct Cost {
    cpu_seconds: f64,
    entries_read: u64,
    entries_sent: u64,
}

fn load(entries: u64, random: &mut u64) -> Vec<Fragment> {
    let keys = Arc::new(SpaceKeys::derive(&[7; 32], "bench"));
    let mut fragments: Vec<Fragment> =
        hashed_ranges(FRAGMENTS).into_iter().map(|(id, range)| Fragment::new(id, range, keys.clone())).collect();
    let mut own: Vec<Vec<u32>> = vec![Vec::new(); fragments.len()];
    for i in 0..u32::try_from(entries).expect("below 2^32 entries") {
        own[home(&fragments, &stored(i.into()))].push(i);
    }
    for (fragment, own) in fragments.iter_mut().zip(&own) {
        fragment.open_epoch(1, 1);
        own.chunks(LOAD_BATCH).for_each(|batch| write(fragment, batch, random));
    }
    fragments
}

/// One commit that gives each of these keys a new random value.
fn write(fragment: &mut Fragment, own: &[u32], random: &mut u64) {
    let mut rows: Vec<(Vec<u8>, [u8; VALUE_BYTES])> = own.iter().map(|i| (stored((*i).into()), value(random))).collect();
    rows.sort_unstable();
    let version = Version::new(1, fragment.head().seq + 1);
    let live = |value| Some(LiveRef { kind: Kind::STRING, expiry: Expiry::NEVER, value });
    let entries = rows.iter().map(|(key, value)| EntryRef { key, version, live: live(value) }).collect();
    let part = Part { fragment: fragment.id(), version, range_deletes: Vec::new(), entries };
    fragment.apply_part(&part).expect("the next commit of this fragment");
}

fn change_and_extract(fragments: &mut [Fragment], entries: u64, changes: u64, random: &mut u64) -> Cost {
    let since: Vec<(Version, u64)> = fragments.iter().map(|fragment| (fragment.head(), fragment.generation())).collect();
    for _ in 0..changes {
        let i = next(random) % entries;
        let home = home(fragments, &stored(i));
        write(&mut fragments[home], &[u32::try_from(i).expect("below 2^32 entries")], random);
    }
    let before = thread_cpu_seconds();
    let entries_sent = fragments.iter().zip(&since).map(|(fragment, (version, _))| extract(fragment, *version)).sum();
    let cpu_seconds = thread_cpu_seconds() - before;
    let dirty = fragments.iter().zip(&since).flat_map(|(fragment, (_, generation))| fragment.dirty_since(*generation));
    Cost { cpu_seconds, entries_read: dirty.map(|block| block.summary.entries()).sum(), entries_sent }
}

fn extract(fragment: &Fragment, since: Version) -> u64 {
    let (mut sent, mut rest) = (0, Some(fragment.range().clone()));
    while let Some(range) = rest {
        let (frame, next) = fragment.delta(&range, since, Extract::Changes, FRAME_BYTES_BULK).expect("all blocks are in memory");
        sent += frame.entries.len() as u64;
        rest = next.map(|start| limosa_core::KeyRange { start, ..range });
    }
    sent
}

fn home(fragments: &[Fragment], key: &[u8]) -> usize {
    fragments.partition_point(|fragment| fragment.range().start[..] <= *key) - 1
}

fn stored(i: u64) -> Vec<u8> {
    key::stored(format!("key:{i:012}").as_bytes())
}

fn value(random: &mut u64) -> [u8; VALUE_BYTES] {
    let mut out = [0; VALUE_BYTES];
    out.chunks_mut(8).for_each(|piece| piece.copy_from_slice(&next(random).to_le_bytes()[..piece.len()]));
    out
}

/// xorshift64.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// What the thread's CPU clock says (Linux: nanoseconds in `schedstat`).
///
/// The kernel brings that figure up to date when it schedules: without the yield it is as old as the last tick, milliseconds ago.
fn thread_cpu_seconds() -> f64 {
    std::thread::yield_now();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux keeps it");
    text.split(' ').next().and_then(|nanos| nanos.parse::<f64>().ok()).expect("its first field is a number") / 1e9
}
