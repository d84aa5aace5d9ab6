//! Random reads, ordered scans and random overwrites of entries in memory, one thread, no checkpoint meanwhile.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use limosa_core::KeyRange;
use limosa_store::{Durability, Store};

use crate::common::{Metrics, open, set_all};
use crate::input::{Pool, key, shuffled};
use crate::machine::{disk_bytes_per_second, process_cpu_seconds};

const VALUE_BYTES: usize = 1024;
const SMALL_VALUE_BYTES: usize = 100;
/// Rates a core that the bar names; the disk's own rate takes its place where that is less.
const OVERWRITES_PER_SECOND: f64 = 180_000.0;
const DISK_SHARE: f64 = 0.8;

pub(crate) fn run(entries: u64, folder: &Path) -> Metrics {
    let pool = Pool::new();
    let mut metrics = small(entries, folder, &pool);
    let store = open(folder, "rates-1kb", Durability::Interval);
    set_all(&store, entries, &pool, VALUE_BYTES, shuffled(entries));
    metrics.push(("reads_1kb_per_core".into(), reads(&store, entries)));
    metrics.push(("scan_1kb_megabytes_per_core".into(), scan(&store) / 1e6));
    metrics.extend(overwrites(&store, entries, folder, &pool));
    drop(store);
    std::fs::remove_dir_all(folder.join("rates-1kb")).expect("it was made here");
    metrics
}

fn small(entries: u64, folder: &Path, pool: &Pool) -> Metrics {
    let store = open(folder, "rates-100b", Durability::Interval);
    set_all(&store, entries, pool, SMALL_VALUE_BYTES, shuffled(entries));
    let metrics = vec![("reads_per_core".into(), reads(&store, entries)), ("scan_megabytes_per_core".into(), scan(&store) / 1e6)];
    drop(store);
    std::fs::remove_dir_all(folder.join("rates-100b")).expect("it was made here");
    metrics
}

/// Reads of random keys a CPU second, through transactions of their own.
fn reads(store: &Store, entries: u64) -> f64 {
    let order = shuffled(entries);
    let cpu = process_cpu_seconds();
    let rounds = 2;
    for i in 0..entries * rounds {
        let key = key(order(i.wrapping_mul(7)));
        let mut txn = store.begin();
        let found = txn.get(&key, 0).expect("readable").expect("every key was set");
        std::hint::black_box(found.value.len());
    }
    (entries * rounds) as f64 / (process_cpu_seconds() - cpu)
}

/// Key and value bytes a CPU second of ordered scans that copy every entry out.
fn scan(store: &Store) -> f64 {
    let (mut out, mut bytes) = (Vec::with_capacity(1 << 21), 0);
    let cpu = process_cpu_seconds();
    for _ in 0..4 {
        let flow = store.cut().scan(&KeyRange::ALL, |entry| {
            if out.len() > 1 << 20 {
                out.clear();
            }
            out.extend_from_slice(entry.key);
            out.extend_from_slice(entry.live.expect("nothing was deleted").value);
            bytes += entry.payload_bytes();
            ControlFlow::Continue(())
        });
        assert!(flow.expect("readable").is_continue());
        std::hint::black_box(&out);
    }
    bytes as f64 / (process_cpu_seconds() - cpu)
}

fn overwrites(store: &Store, entries: u64, folder: &Path, pool: &Pool) -> Metrics {
    let disk = disk_bytes_per_second(folder, entries * VALUE_BYTES as u64);
    let (cpu, start, written) = (process_cpu_seconds(), Instant::now(), store.stats().journal_bytes);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| sync_once_a_second(store, &done));
        let order = shuffled(entries);
        set_all(store, entries, pool, VALUE_BYTES, |i| order(i.wrapping_mul(11) + 3)); // other values than were loaded, in another order
        done.store(true, Ordering::Relaxed);
    });
    store.sync().expect("the disk works"); // what the page cache still holds is part of the price
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), process_cpu_seconds() - cpu);
    let record_bytes = (store.stats().journal_bytes - written) as f64 / entries as f64;
    let (per_core, per_second) = (entries as f64 / cpu, entries as f64 / seconds);
    let disk_bound = DISK_SHARE * disk / record_bytes;
    // where the disk is the limit, it is the rate by the clock that counts
    let per_bar = if disk_bound < OVERWRITES_PER_SECOND { per_second / disk_bound } else { per_core / OVERWRITES_PER_SECOND };
    vec![
        ("disk_sequential_megabytes_per_second".into(), disk / 1e6),
        ("overwrites_that_80_percent_of_the_disk_take_per_second".into(), disk_bound),
        ("overwrites_per_core".into(), per_core),
        ("overwrites_per_second".into(), per_second),
        ("overwrites_per_bar".into(), per_bar),
    ]
}

fn sync_once_a_second(store: &Store, done: &AtomicBool) {
    let mut last = Instant::now();
    while !done.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(20));
        if last.elapsed() >= Duration::from_secs(1) {
            store.sync().expect("the disk works");
            last = Instant::now();
        }
    }
}
