//! Group commit: 64 writers that each wait until their commit is on the disk, against the rate at which the disk flushes at all.
//!
//! The writers are states of one event loop, as a server's connections are: a thread for each would measure the scheduler.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use limosa_core::Expiry;
use limosa_store::{Durability, Position, Store};

use crate::common::{Metrics, open};
use crate::input::{Pool, Random, key};
use crate::machine::disk_flushes_per_second;

const WRITERS: usize = 64;
const VALUE_BYTES: usize = 100;
const TIME: Duration = Duration::from_secs(5);

pub(crate) fn run(entries: u64, folder: &Path) -> Metrics {
    let store = open(folder, "commit", Durability::Commit);
    let before = disk_flushes_per_second(folder, TIME / 4);
    let (durable, done, start) = (AtomicU64::new(0), AtomicBool::new(false), Instant::now());
    let writers = std::thread::current();
    let commits = std::thread::scope(|scope| {
        let flusher = scope.spawn(|| flush_what_is_pending(&store, &durable, &done, &writers));
        let commits = write(&store, &durable, flusher.thread(), entries);
        done.store(true, Ordering::Release);
        flusher.thread().unpark();
        commits
    });
    let seconds = start.elapsed().as_secs_f64();
    let flushes = store.stats().flushes as f64 / seconds;
    let after = disk_flushes_per_second(folder, TIME / 4);
    drop(store);
    std::fs::remove_dir_all(folder.join("commit")).expect("it was made here");
    let (disk, rate) = (f64::midpoint(before, after), commits as f64 / seconds);
    vec![
        ("disk_flushes_per_second".into(), disk),
        ("store_flushes_per_second".into(), flushes),
        ("commits_per_second".into(), rate),
        ("commits_per_disk_flush".into(), rate / disk),
    ]
}

/// Each writer commits again as soon as its last commit is durable. Answers how many became so.
fn write(store: &Store, durable: &AtomicU64, flusher: &std::thread::Thread, entries: u64) -> u64 {
    let (pool, mut random, start, mut commits) = (Pool::new(), Random(7), Instant::now(), 0);
    let mut waits_for = [Position::ZERO; WRITERS];
    while start.elapsed() < TIME {
        let reached = Position(durable.load(Ordering::Acquire));
        let mut wrote = false;
        for position in waits_for.iter_mut().filter(|position| **position <= reached) {
            commits += u64::from(*position > Position::ZERO);
            let i = random.next();
            let mut txn = store.begin();
            txn.set(&key(i % entries), pool.value(i, VALUE_BYTES), Expiry::NEVER).expect("writable");
            *position = txn.commit().unwrap_or(Position::ZERO); // the value that was there: nothing to wait for
            wrote = true;
        }
        if wrote { flusher.unpark() } else { std::thread::park_timeout(Duration::from_millis(1)) }
    }
    commits
}

/// Tells `writers` what became durable, as a server's flushes wake its connections.
fn flush_what_is_pending(store: &Store, durable: &AtomicU64, done: &AtomicBool, writers: &std::thread::Thread) {
    while !done.load(Ordering::Acquire) {
        if store.has_pending() {
            durable.store(store.flush().expect("the disk works").0, Ordering::Release);
            writers.unpark();
        } else {
            std::thread::park();
        }
    }
}
