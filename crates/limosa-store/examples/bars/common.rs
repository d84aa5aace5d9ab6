//! What the measurements share: a store in a fresh folder, and how it is filled.

use std::path::Path;

use limosa_core::{Expiry, SpaceKeys};
use limosa_store::{Durability, Identity, Options, Store};

use crate::input::{Pool, key};

/// Measured values by name.
pub(crate) type Metrics = Vec<(String, f64)>;

/// Commands between two flushes: 50 clients with 16 commands in the pipeline.
pub(crate) const BATCH: u64 = 800;

pub(crate) fn keys() -> SpaceKeys {
    SpaceKeys::derive(&[7; 32], "bench")
}

/// A store in a folder of its own under `folder`; the caller removes it.
pub(crate) fn open(folder: &Path, name: &str, durability: Durability) -> Store {
    let identity = Identity { cluster: [1; 16], node: "bench".into() };
    let mut options = Options::new(folder.join(name), identity, keys());
    options.durability = durability;
    let store = Store::open(options).expect("a fresh folder");
    store.open_epoch(0).expect("the disk works");
    store
}

/// Sets keys `order(0..entries)` to random values of `value_bytes`, flushing as it goes.
pub(crate) fn set_all(store: &Store, entries: u64, pool: &Pool, value_bytes: usize, mut order: impl FnMut(u64) -> u64) {
    for i in 0..entries {
        let key = key(order(i));
        let mut txn = store.begin();
        txn.set(&key, pool.value(i, value_bytes), Expiry::NEVER).expect("writable");
        txn.commit();
        drop(txn);
        if i % BATCH == BATCH - 1 {
            store.flush().expect("the disk works");
        }
    }
    store.flush().expect("the disk works");
}
