//! What the store's tests share: stores on a disk in memory, and a transfer between two of them without a wire.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use limosa_core::{Expiry, FragmentFacts, FragmentId, KeyRange, SpaceKeys, Version, key};
use limosa_store::disk::{MemoryDisk, Survivors};
use limosa_store::{Durability, Extract, Identity, Options, Position, SealedFacts, StageStart, Store, TailRead};

/// A deterministic generator (splitmix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).take(len).collect()
    }
}

pub(crate) fn options(disk: &MemoryDisk, node: &str) -> Options {
    let identity = Identity { cluster: [7; 16], node: node.into() };
    let mut options = Options::new(format!("/{node}"), identity, SpaceKeys::derive(&[9; 32], "default"));
    options.disk = Arc::new(disk.clone());
    options.fragments = 4;
    options.clock = Arc::new(|| 1_000);
    options
}

pub(crate) fn open(disk: &MemoryDisk, node: &str) -> Store {
    Store::open(options(disk, node)).expect("the folder is sound")
}

/// A store that may write.
pub(crate) fn owner(disk: &MemoryDisk, node: &str) -> Store {
    let store = open(disk, node);
    store.open_epoch(0).expect("the disk works");
    store
}

/// The disk after a power cut: what was not flushed is gone. The old store must not be used any more.
pub(crate) fn power_cut(disk: &MemoryDisk) -> MemoryDisk {
    disk.restart(Survivors::None)
}

pub(crate) fn set(store: &Store, user_key: &str, value: impl AsRef<[u8]>) -> Position {
    let mut txn = store.begin();
    txn.set(user_key.as_bytes(), value.as_ref(), Expiry::NEVER).expect("writable");
    txn.commit();
    txn.seen()
}

pub(crate) fn del(store: &Store, user_key: &str) -> Position {
    let mut txn = store.begin();
    txn.delete(user_key.as_bytes(), 0).expect("writable");
    txn.commit();
    txn.seen()
}

pub(crate) fn get(store: &Store, user_key: &str) -> Option<Vec<u8>> {
    let mut txn = store.begin();
    txn.get(user_key.as_bytes(), 0).expect("readable").map(|string| string.value.into_owned())
}

/// Forgets deletions up to these versions, in small steps; answers how many tombstones went.
pub(crate) fn collect(store: &Store, up_to: &[(FragmentId, Version)]) -> u64 {
    store.adopt_floors(up_to).expect("writable");
    store.flush().expect("works");
    let mut collected = 0;
    while let Some(dropped) = store.sweep_some(2).expect("readable") {
        collected += dropped;
    }
    collected
}

/// Every published string with its deadline, by user key, large ones joined; also checks that counts agree.
pub(crate) fn published(store: &Store) -> BTreeMap<Vec<u8>, (Vec<u8>, u64)> {
    let mut out = BTreeMap::new();
    let cut = store.cut();
    cut.scan(&KeyRange::ALL, |entry| {
        if let Some(live) = entry.live {
            let (user, element) = key::parse(entry.key).expect("stored keys are well formed");
            match element {
                None if live.kind == limosa_core::Kind::STRING => drop(out.insert(user, (live.value.to_vec(), live.expiry.millis()))),
                None => drop(out.insert(user, (Vec::new(), live.expiry.millis()))),
                Some(_) => out.get_mut(&user).expect("a part follows its head").0.extend_from_slice(live.value),
            }
        }
        ControlFlow::Continue(())
    })
    .map(drop)
    .expect("readable");
    assert_eq!(cut.top_level(), out.len() as u64, "the count of top-level keys");
    out
}

pub(crate) fn facts_equal(a: &Store, b: &Store) -> bool {
    let core = |facts: FragmentFacts| (facts.id, facts.head, facts.state, facts.content, facts.live);
    a.facts().into_iter().map(core).eq(b.facts().into_iter().map(core))
}

/// The starts of a stage at `target` for everything that `source` has.
pub(crate) fn starts(source: &Store, target: &Store) -> Vec<StageStart> {
    let pairs = source.facts().into_iter().zip(target.facts());
    let start = |(theirs, ours): (FragmentFacts, FragmentFacts)| {
        let common = ours.epochs.common_points(ours.head, &theirs.epochs, theirs.head, &ours.range)[0].1;
        StageStart::at(ours.id, ours.range, common)
    };
    pairs.map(start).collect()
}

pub(crate) fn sealed(source: &Store) -> Vec<SealedFacts> {
    let seal =
        |facts: FragmentFacts| SealedFacts { id: facts.id, head: facts.head, state: facts.state, floor: facts.floor, epochs: facts.epochs };
    source.facts().into_iter().map(seal).collect()
}

/// Keys that `target` changed after `common` in its fragment `index`.
pub(crate) fn own_keys(target: &Store, index: usize, common: Version) -> Vec<bytes::Bytes> {
    let cut = target.cut();
    let view = &cut.fragments()[index];
    let mut keys = Vec::new();
    view.scan(&KeyRange::ALL, |entry| {
        if entry.version > common {
            keys.push(bytes::Bytes::copy_from_slice(entry.key));
        }
        ControlFlow::Continue(())
    })
    .map(drop)
    .expect("readable");
    keys
}

/// Brings `target` to where `source` is: stage, delta with the target's own keys replaced, install.
pub(crate) fn transfer(source: &Store, target: &Store) {
    let starts = starts(source, target);
    target.stage_open(1, &starts).expect("no stage is open");
    let cut = source.cut();
    for (index, start) in starts.iter().enumerate() {
        let view = &cut.fragments()[index];
        let common = start.common.uniform().expect("one version");
        let own = own_keys(target, index, common);
        let what = if own.is_empty() { Extract::Changes } else { Extract::ReplaceKeys(&own) };
        if view.head() == common && own.is_empty() {
            continue;
        }
        let (frame, next) = view.delta(&start.range, common, what, usize::MAX).expect("readable");
        assert_eq!(next, None, "one frame takes all");
        target.stage_apply(1, &frame, &[]).expect("the frame fits");
    }
    target.flush().expect("the disk works");
    target.stage_install(1, &sealed(source)).expect("the stage is complete");
}

/// Streams everything behind `tail` from one store to the other, and publishes it there.
pub(crate) fn stream(tail: &mut limosa_store::Tail, target: &Store) -> bool {
    loop {
        match tail.next(1 << 16).expect("readable") {
            TailRead::Batch(batch) => {
                target.replicate(&batch.records, &batch.epochs, &batch.checks).expect("contiguous");
                target.flush().expect("the disk works");
            }
            TailRead::CaughtUp => return true,
            TailRead::Lost => return false,
        }
    }
}

pub(crate) fn versions(store: &Store) -> Vec<(limosa_core::FragmentId, Version)> {
    store.facts().into_iter().map(|facts| (facts.id, facts.head)).collect()
}

pub(crate) fn interval(disk: &MemoryDisk, node: &str) -> Options {
    Options { durability: Durability::Interval, ..options(disk, node) }
}
