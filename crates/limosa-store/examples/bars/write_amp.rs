//! Bytes written to the disk for each byte of random overwrites, checkpoints as the store wants them: with the state in memory, and with
//! four times as much state as memory. And how long a writer has to wait while a checkpoint is made.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use limosa_core::Expiry;
use limosa_store::{Durability, Identity, Options, Store};

use crate::common::{BATCH, Metrics, keys, set_all};
use crate::counting::CountingDisk;
use crate::input::{Pool, key, shuffled};

const VALUE_BYTES: usize = 1024;
/// Overwrites, in entries of the state.
const ROUNDS: u64 = 3;

/// The state in memory.
pub(crate) fn run(entries: u64, folder: &Path) -> Metrics {
    measure(entries, folder, u64::MAX)
}

/// Four times as much state as memory.
pub(crate) fn run_paged(entries: u64, folder: &Path) -> Metrics {
    measure(entries, folder, entries * (VALUE_BYTES + key(0).len()) as u64 / 4)
}

fn measure(entries: u64, folder: &Path, memory_max: u64) -> Metrics {
    let (disk, pool) = (CountingDisk::default(), Pool::new());
    let store = open(folder, &disk, memory_max);
    let order = shuffled(entries);
    set_all(&store, entries, &pool, VALUE_BYTES, &order);
    store.checkpoint().expect("the disk works");
    let (before, waits) = (disk.written.now(), Waits::default());
    let bytes = overwrite(&store, entries, &pool, &waits);
    store.checkpoint().expect("the disk works"); // what the last writes cost is part of the price
    let after = disk.written.now();
    let of = |kind: usize| (after[kind] - before[kind]) as f64 / bytes as f64;
    let (folder_bytes, facts) = (store.checkpoint_file_bytes() as f64, store.stats());
    drop(store);
    std::fs::remove_dir_all(folder.join("write-amp")).expect("it was made here");
    vec![
        ("written_per_byte".into(), of(0) + of(1) + of(2) + of(3)),
        ("journal_per_byte".into(), of(0)),
        ("extents_per_byte".into(), of(1)),
        ("redb_per_byte".into(), of(2)),
        ("spilled_per_byte".into(), of(3)),
        ("checkpoints".into(), facts.checkpoints as f64),
        ("checkpoint_bytes_per_live_byte".into(), folder_bytes / facts.live_bytes as f64),
        ("longest_wait_in_checkpoint_ms".into(), waits.inside.load(Ordering::Relaxed) as f64 / 1e6),
        ("longest_wait_outside_ms".into(), waits.outside.load(Ordering::Relaxed) as f64 / 1e6),
    ]
}

fn open(folder: &Path, disk: &CountingDisk, memory_max: u64) -> Store {
    let identity = Identity { cluster: [1; 16], node: "bench".into() };
    let mut options = Options::new(folder.join("write-amp"), identity, keys());
    options.durability = Durability::Interval;
    options.memory_max = memory_max;
    options.disk = std::sync::Arc::new(disk.clone());
    let store = Store::open(options).expect("a fresh folder");
    store.open_epoch(0).expect("the disk works");
    store
}

/// Longest that a writer waited for its turn, nanoseconds.
#[derive(Default)]
struct Waits {
    inside: AtomicU64,
    outside: AtomicU64,
}

/// Overwrites random keys while checkpoints are made as the store wants them. Answers key and value bytes.
fn overwrite(store: &Store, entries: u64, pool: &Pool, waits: &Waits) -> u64 {
    let (done, in_checkpoint) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| checkpoints(store, &done, &in_checkpoint));
        let flusher = scope.spawn(|| flush_when_told(store, &done));
        let mut bytes = 0;
        for i in 0..entries * ROUNDS {
            let key = key(i.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(31) % entries);
            let wait = if in_checkpoint.load(Ordering::Relaxed) { &waits.inside } else { &waits.outside };
            let asked = Instant::now();
            let mut txn = store.begin();
            txn.set(&key, pool.value(i ^ 0x5555, VALUE_BYTES), Expiry::NEVER).expect("writable");
            txn.commit();
            drop(txn);
            wait.fetch_max(u64::try_from(asked.elapsed().as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
            bytes += (key.len() + VALUE_BYTES) as u64;
            if i % BATCH == BATCH - 1 {
                flusher.thread().unpark();
                // a pipeline of clients waits for its answers: what is pending is bounded
                while store.stats().pending_records > 4 * BATCH {
                    std::thread::sleep(Duration::from_micros(100));
                }
            }
        }
        done.store(true, Ordering::Relaxed);
        flusher.thread().unpark();
        bytes
    })
}

fn flush_when_told(store: &Store, done: &AtomicBool) {
    while !done.load(Ordering::Relaxed) {
        store.flush().expect("the disk works");
        std::thread::park_timeout(Duration::from_millis(10));
    }
    store.flush().expect("the disk works");
}

fn checkpoints(store: &Store, done: &AtomicBool, in_checkpoint: &AtomicBool) {
    while !done.load(Ordering::Relaxed) {
        store.relieve(); // also counts what is dirty, from which a checkpoint may follow
        if store.wants_checkpoint() {
            in_checkpoint.store(true, Ordering::Relaxed);
            store.checkpoint().expect("the disk works");
            in_checkpoint.store(false, Ordering::Relaxed);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
