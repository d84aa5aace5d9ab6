//! Random histories against a model map: the store says the same at the head, published, and behind every kind of restart.

use std::collections::BTreeMap;

use limosa_core::{Expiry, KeyRange};
use limosa_store::disk::MemoryDisk;
use limosa_store::{Options, Store};

use crate::common::*;

type Map = BTreeMap<Vec<u8>, (Vec<u8>, u64)>;

struct World {
    disk: MemoryDisk,
    store: Option<Store>,
    head: Map,
    published: Map,
    dice: Dice,
    memory_max: u64,
    /// Snapshots, and what they must hold.
    cuts: Vec<(limosa_store::Cut, Vec<limosa_core::FragmentFacts>, u64)>,
}

impl World {
    fn new(seed: u64, memory_max: u64) -> Self {
        let disk = MemoryDisk::new();
        let mut world = Self { disk, store: None, head: Map::new(), published: Map::new(), dice: Dice(seed), memory_max, cuts: Vec::new() };
        world.start();
        world
    }

    fn options(&self) -> Options {
        // small segments and tails, so that checkpoints release journal
        Options { segment_bytes: 20_000, tail_bytes: 30_000, ring_bytes: 10_000, memory_max: self.memory_max, ..options(&self.disk, "a") }
    }

    fn start(&mut self) {
        let store = Store::open(self.options()).expect("sound");
        assert_eq!(published(&store), self.published, "behind a restart");
        store.open_epoch(0).expect("works");
        self.store = Some(store);
    }

    fn store(&self) -> &Store {
        self.store.as_ref().expect("open")
    }

    fn step(&mut self) {
        match self.dice.below(100) {
            0..=53 => self.write(),
            54..=57 => self.snapshot(),
            58..=59 => self.store().relieve(),
            60..=63 => self.flush_all(),
            64..=69 => self.expire(),
            70..=89 => self.flush(),
            90..=93 => {
                self.flush();
                self.store().checkpoint().map(drop).expect("works");
            }
            94..=95 => self.collect(),
            96..=97 => self.lose_power(),
            _ => {
                self.flush();
                self.cuts.clear();
                self.store = None;
                self.start();
            }
        }
        self.check_some();
    }

    fn write(&mut self) {
        let mut txn = self.store.as_ref().expect("open").begin();
        for _ in 0..=self.dice.below(4) {
            let key = format!("k{}", self.dice.below(120)).into_bytes();
            let expiry = if self.dice.below(5) == 0 { Expiry::at(10 + self.dice.below(50)) } else { Expiry::NEVER };
            match self.dice.below(10) {
                0..=4 => {
                    let value = self.dice.bytes(1 + usize::try_from(self.dice.0 % 300).expect("small"));
                    txn.set(&key, &value, expiry).expect("writable");
                    self.head.insert(key, (value, expiry.millis()));
                }
                5 => {
                    let key = format!("large{}", self.dice.below(3)).into_bytes();
                    let mut value = self.head.get(&key).map_or_else(|| self.dice.bytes(40_000), |(value, _)| value.clone());
                    let at = usize::try_from(self.dice.0).expect("64 bits") % value.len();
                    value.splice(at..at, self.dice.bytes(50));
                    txn.set(&key, &value, expiry).expect("writable");
                    self.head.insert(key, (value, expiry.millis()));
                }
                6 => {
                    let done = txn.set_expiry(&key, expiry, 0).expect("writable");
                    assert_eq!(done, self.head.contains_key(&key));
                    self.head.entry(key).and_modify(|(_, at)| *at = expiry.millis());
                }
                _ => {
                    let key = if self.dice.below(6) == 0 { b"large1".to_vec() } else { key };
                    let done = txn.delete(&key, 0).expect("writable");
                    assert_eq!(done, self.head.remove(&key).is_some());
                }
            }
        }
        txn.commit();
    }

    /// Takes a snapshot, or looks whether one still holds what it did.
    fn snapshot(&mut self) {
        if self.dice.below(3) > 0 {
            let cut = self.store().cut();
            let facts = cut.fragments().iter().map(limosa_store::FragmentView::facts).collect();
            let content = content_of(&cut);
            self.cuts.push((cut, facts, content));
        } else if !self.cuts.is_empty() {
            let at = self.dice.below(self.cuts.len() as u64);
            let (cut, facts, content) = self.cuts.swap_remove(usize::try_from(at).expect("small"));
            assert_eq!(cut.fragments().iter().map(limosa_store::FragmentView::facts).collect::<Vec<_>>(), facts);
            assert_eq!(content_of(&cut), content, "a snapshot reads its own version");
        }
    }

    fn flush_all(&mut self) {
        if self.dice.below(8) == 0 {
            let mut txn = self.store.as_ref().expect("open").begin();
            txn.remove_range(&KeyRange::ALL).expect("writable");
            txn.commit();
            self.head.clear();
        }
    }

    fn expire(&mut self) {
        self.flush();
        let now = 10 + self.dice.below(50);
        let due = |(_, at): &(Vec<u8>, u64)| *at > 0 && *at <= now;
        let expected = self.head.values().filter(|entry| due(entry)).count();
        assert_eq!(self.store().expire_due(now, 10_000).expect("writable"), expected);
        self.head.retain(|_, entry| !due(entry));
    }

    fn flush(&mut self) {
        self.store().flush().expect("works");
        self.published = self.head.clone();
    }

    fn collect(&mut self) {
        self.flush();
        let store = self.store();
        collect(store, &versions(store));
    }

    fn lose_power(&mut self) {
        self.cuts.clear();
        self.store = None;
        self.disk = power_cut(&self.disk);
        self.head = self.published.clone();
        self.start();
    }

    fn check_some(&mut self) {
        for _ in 0..5 {
            let key = format!("k{}", self.dice.below(120)).into_bytes();
            let mut txn = self.store().begin();
            let found = txn.get(&key, 0).expect("readable").map(|s| (s.value.into_owned(), s.expiry.millis()));
            assert_eq!(found.as_ref(), self.head.get(&key));
        }
        let key = format!("large{}", self.dice.below(3)).into_bytes();
        let found = self.store().begin().get(&key, 0).expect("readable").map(|s| s.value.into_owned());
        assert!(found.as_ref() == self.head.get(&key).map(|(value, _)| value), "a large value at the head");
    }
}

/// A hash over every entry.
fn content_of(cut: &limosa_store::Cut) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    let flow = cut.scan(&KeyRange::ALL, |entry| {
        (entry.key, entry.version.seq, entry.live.map(|live| live.value)).hash(&mut hasher);
        std::ops::ControlFlow::Continue(())
    });
    assert!(flow.expect("readable").is_continue());
    hasher.finish()
}

#[test]
fn a_store_equals_a_map_over_random_histories_and_restarts() {
    histories(0..8, u64::MAX);
}

#[test]
fn a_store_with_next_to_no_memory_equals_a_map_too() {
    histories(20..30, 160_000); // 20 KB of blocks, where the state has some 200
}

fn histories(seeds: std::ops::Range<u64>, memory_max: u64) {
    for seed in seeds {
        let mut world = World::new(seed, memory_max);
        for step in 0..250 {
            world.step();
            if step % 40 == 0 {
                world.flush();
                assert_eq!(published(world.store()), world.published, "seed {seed} step {step}");
            }
        }
        world.lose_power();
    }
}

#[test]
fn recovery_and_a_standby_reach_the_owners_digests() {
    let disk = MemoryDisk::new();
    let (owner, standby) = (owner(&disk, "a"), open(&disk, "b"));
    let mut tail = owner.tail(&versions(&standby)).expect("everything is in the ring");
    let mut dice = Dice(5);
    for round in 0..30 {
        for _ in 0..20 {
            set(&owner, &format!("k{}", dice.below(200)), dice.bytes(30));
            del(&owner, &format!("k{}", dice.below(200)));
        }
        owner.flush().expect("works");
        assert!(stream(&mut tail, &standby));
        assert!(facts_equal(&owner, &standby), "round {round}");
        assert_eq!(standby.drift(), None);
    }
    let facts = owner.facts();
    drop((tail, owner));
    assert_eq!(open(&power_cut(&disk), "a").facts(), facts);
}
