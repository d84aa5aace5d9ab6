//! How long a start takes: after a clean stop, and after kill -9 with a tail of the journal to replay.
//!
//! A child process writes and is killed, so that what is found is what a killed process leaves.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use limosa_store::{Durability, Identity, Options, Store};

use crate::common::{Metrics, keys, set_all};
use crate::input::{Pool, shuffled};
use crate::machine::process_cpu_seconds;

const VALUE_BYTES: usize = 100;
/// Overwrites behind the last checkpoint, as a share of the entries.
const TAIL_SHARE: u64 = 8;
const REPLAY_BYTES_PER_SECOND: f64 = 200e6;
const ALLOWED_SECONDS: f64 = 2.0;

pub(crate) fn run(entries: u64, folder: &Path) -> Metrics {
    let name = std::env::current_exe().expect("this program has a path");
    let mut child =
        Command::new(name).args(["start-child", &entries.to_string()]).arg(folder).stdout(Stdio::piped()).spawn().expect("runs");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("the child says that it is done");
    child.kill().expect("it waits to be killed");
    child.wait().expect("it was killed");
    let tail_bytes: f64 = line.trim().parse().expect("bytes behind the checkpoint");
    let (store, killed) = timed_open(folder);
    assert_eq!(store.stats().live, entries);
    stop_cleanly(&store);
    drop(store);
    let (store, clean) = timed_open(folder);
    assert_eq!((store.stats().live, store.stats().blocks_read), (entries, 0));
    drop(store);
    std::fs::remove_dir_all(folder.join("start")).expect("it was made here");
    vec![
        ("clean_seconds".into(), clean.0),
        ("clean_cpu_seconds".into(), clean.1),
        ("killed_seconds".into(), killed.0),
        ("killed_cpu_seconds".into(), killed.1),
        ("journal_tail_megabytes".into(), tail_bytes / 1e6),
        ("killed_seconds_per_allowed".into(), killed.0 / (ALLOWED_SECONDS + tail_bytes / REPLAY_BYTES_PER_SECOND)),
    ]
}

/// What the child does: fills, checkpoints, overwrites, says how many bytes lie behind the checkpoint, and waits for its end.
pub(crate) fn child(entries: u64, folder: &Path) -> Metrics {
    let (store, pool) = (open(folder), Pool::new());
    store.open_epoch(0).expect("the disk works");
    set_all(&store, entries, &pool, VALUE_BYTES, shuffled(entries));
    store.checkpoint().expect("the disk works");
    let (before, order) = (store.stats().journal_bytes, shuffled(entries));
    set_all(&store, entries / TAIL_SHARE, &pool, VALUE_BYTES, |i| order(i.wrapping_mul(13) + 5));
    println!("{}", store.stats().journal_bytes - before);
    std::thread::sleep(std::time::Duration::from_secs(600));
    Vec::new()
}

fn stop_cleanly(store: &Store) {
    store.sync().expect("the disk works");
    store.checkpoint().expect("the disk works");
}

fn timed_open(folder: &Path) -> (Store, (f64, f64)) {
    let (start, cpu) = (Instant::now(), process_cpu_seconds());
    let store = open(folder);
    (store, (start.elapsed().as_secs_f64(), process_cpu_seconds() - cpu))
}

fn open(folder: &Path) -> Store {
    let identity = Identity { cluster: [1; 16], node: "bench".into() };
    let options = Options { durability: Durability::Interval, ..Options::new(folder.join("start"), identity, keys()) };
    Store::open(options).expect("the folder is sound")
}
