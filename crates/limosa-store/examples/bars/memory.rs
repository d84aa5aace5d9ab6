//! Memory beside keys and values: entries of 100 bytes written in random order through the store, then half of them overwritten.

use std::path::Path;

use limosa_store::{Durability, Store};

use crate::common::{Metrics, open, set_all};
use crate::input::{Pool, shuffled};
use crate::machine::resident_bytes;

const VALUE_BYTES: usize = 100;

pub(crate) fn run(entries: u64, folder: &Path) -> Metrics {
    let pool = Pool::new();
    let store = open(folder, "memory", Durability::Interval);
    // buffers of the commit path reach their size before the first look: their bytes are not the entries'
    set_all(&store, entries / 1000, &pool, VALUE_BYTES, |i| i);
    let before = resident_bytes() - stats_bytes(&store);
    set_all(&store, entries, &pool, VALUE_BYTES, shuffled(entries));
    let loaded = beside(&store, before);
    // some a little shorter, some a little longer: no overwrite fits exactly
    set_all(&store, entries / 2, &pool, VALUE_BYTES - 2, shuffled(entries));
    let overwritten = beside(&store, before);
    drop(store);
    std::fs::remove_dir_all(folder.join("memory")).expect("it was made here");
    vec![("bytes_beside_an_entry".into(), loaded), ("bytes_beside_an_entry_overwritten".into(), overwritten)]
}

/// The ring of recent commits is a buffer with a limit of its own, not memory of entries.
fn stats_bytes(store: &Store) -> f64 {
    store.stats().ring_bytes as f64
}

fn beside(store: &Store, before: f64) -> f64 {
    let stats = store.stats();
    (resident_bytes() - before - stats_bytes(store) - stats.live_bytes as f64) / stats.live as f64
}
