//! A fragment beside a plain ordered map that says what it must hold, and a checkpoint in memory.
#![allow(dead_code, unreachable_pub)] // each test program uses its own part

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use limosa_core::{EntryRef, Expiry, FragmentId, KeyRange, Kind, LiveRef, Part, RangeDelete, SpaceKeys, Version};
use limosa_tree::{BlockLoader, Extract, Fragment, Ledger, LoadError, StoredBlock, Summary};

pub const ID: FragmentId = FragmentId(3);

pub fn keys() -> Arc<SpaceKeys> {
    Arc::new(SpaceKeys::derive(&[7; 32], "default"))
}

pub fn range() -> KeyRange {
    KeyRange::new(&b"k"[..], Some(Bytes::from_static(b"l")))
}

pub fn fragment() -> Fragment {
    let mut fragment = Fragment::new(ID, range(), keys());
    fragment.open_epoch(1, 11);
    fragment
}

/// [`fragment`], its blocks counted by `ledger`.
pub fn fragment_of(ledger: &Arc<Ledger>) -> Fragment {
    let mut fragment = Fragment::new(ID, range(), keys()).counted_by(ledger);
    fragment.open_epoch(1, 11);
    fragment
}

pub fn key(i: u32) -> Vec<u8> {
    format!("k{i:05}").into_bytes()
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Value {
    pub kind: Kind,
    pub expiry: Expiry,
    pub bytes: Vec<u8>,
}

impl Value {
    /// A value that depends on `seed` in length, kind and deadline.
    pub fn of(seed: u32) -> Self {
        let len = [0, 1, 7, 100, 256, 257, 900][seed as usize % 7];
        let expiry = if seed.is_multiple_of(3) { Expiry::at(u64::from(seed % 50)) } else { Expiry::NEVER };
        let kind = if seed.is_multiple_of(5) { Kind::PART } else { Kind::STRING };
        Self { kind, expiry, bytes: seed.to_le_bytes().into_iter().cycle().take(len).collect() }
    }

    pub fn live(&self) -> LiveRef<'_> {
        LiveRef { kind: self.kind, expiry: self.expiry, value: &self.bytes }
    }
}

/// What a fragment must hold.
#[derive(Clone, Default)]
pub struct Model {
    pub entries: BTreeMap<Vec<u8>, (Version, Option<Value>)>,
}

impl Model {
    pub fn apply(&mut self, part: &Part<'_>) {
        self.entries.retain(|key, _| !part.range_deletes.iter().any(|delete| delete.range.contains(key)));
        for entry in &part.entries {
            let value = entry.live.map(|live| Value { kind: live.kind, expiry: live.expiry, bytes: live.value.to_vec() });
            self.entries.insert(entry.key.to_vec(), (entry.version, value));
        }
    }

    pub fn within<'a>(&'a self, range: &'a KeyRange) -> impl Iterator<Item = EntryRef<'a>> {
        self.entries.iter().filter(|(key, _)| range.contains(key)).map(|(key, (version, value))| EntryRef {
            key,
            version: *version,
            live: value.as_ref().map(Value::live),
        })
    }

    /// Asserts that `fragment` holds exactly this, every way that it can be asked.
    pub fn check(&self, fragment: &Fragment) {
        let all = KeyRange::ALL;
        let mut at = self.within(&all);
        let flow = fragment.scan(&KeyRange::ALL, |entry| {
            assert_eq!(Some(entry), at.next());
            ControlFlow::Continue(())
        });
        assert!(flow.expect("loads").is_continue());
        assert_eq!(at.next(), None);
        self.check_sums(fragment, &KeyRange::ALL);
        let top: Vec<_> = self.within(&all).filter(|e| e.live.is_some_and(|live| live.kind.is_top_level())).collect();
        assert_eq!(fragment.top_level(), top.len() as u64);
        for (k, entry) in top.iter().enumerate() {
            assert_eq!(fragment.kth_live(k as u64).expect("loads").as_deref(), Some(entry.key));
        }
        assert_eq!(fragment.kth_live(top.len() as u64), Ok(None));
        let deadlines = || self.within(&all).filter_map(|e| Some((e.live?.expiry.deadline()?, e.key)));
        assert_eq!(fragment.earliest_expiry(), deadlines().map(|(at, _)| at).min());
        let past: Vec<_> = deadlines().filter(|(at, _)| *at <= 20).map(|(_, key)| Bytes::copy_from_slice(key)).take(5).collect();
        assert_eq!(fragment.expired(20, 5).expect("loads"), past);
    }

    /// Asserts that the sums over `range` are right.
    pub fn check_sums(&self, fragment: &Fragment, range: &KeyRange) {
        let sum = fragment.summary(range).expect("loads");
        let mut expected = Summary::EMPTY;
        let mut newest = Version::ZERO;
        for entry in self.within(range) {
            newest = newest.max(entry.version);
            let Some(live) = entry.live else {
                expected.tombstones += 1;
                continue;
            };
            let content = keys().content(entry.key, live);
            expected.live += 1;
            expected.top_level += u64::from(live.kind.is_top_level());
            expected.live_bytes += (entry.key.len() + live.value.len()) as u64;
            expected.content += content;
            expected.state += keys().state(content, entry.version);
        }
        let sums = |s: &Summary| (s.live, s.top_level, s.live_bytes, s.tombstones, s.content, s.state);
        assert_eq!(sums(&sum), sums(&expected), "{range:?}");
        assert!(sum.max_version() >= newest, "the bound covers what is there");
    }
}

/// Writes parts one after another, to a fragment and to its model.
#[derive(Clone)]
pub struct Pair {
    pub fragment: Fragment,
    pub model: Model,
}

impl Pair {
    pub fn new() -> Self {
        Self { fragment: fragment(), model: Model::default() }
    }

    pub fn next(&self) -> Version {
        Version::new(self.fragment.epochs().epoch(), self.fragment.head().seq + 1)
    }

    /// One commit: `deletes` of key ranges, then `writes` of keys to values or tombstones.
    pub fn commit(&mut self, deletes: &[(u32, u32)], writes: &[(u32, Option<Value>)]) {
        let version = self.next();
        let writes: BTreeMap<_, _> = writes.iter().map(|(k, value)| (key(*k), value)).collect();
        let part = Part {
            fragment: ID,
            version,
            range_deletes: deletes.iter().map(|&(a, b)| RangeDelete { range: between(a, b), version }).collect(),
            entries: writes.iter().map(|(key, value)| EntryRef { key, version, live: value.as_ref().map(Value::live) }).collect(),
        };
        self.fragment.apply_part(&part).expect("the next part");
        self.model.apply(&part);
    }

    /// `count` keys, each with its own version.
    pub fn fill(count: u32) -> Self {
        let mut pair = Self::new();
        for i in 0..count {
            pair.commit(&[], &[(i.wrapping_mul(7919) % count, Some(Value::of(i)))]);
        }
        pair
    }
}

pub fn between(a: u32, b: u32) -> KeyRange {
    KeyRange::new(key(a.min(b)), Some(key(a.max(b) + 1).into()))
}

/// Brings `target` from `since` to `source`'s head in frames of about `max_bytes`.
pub fn frames(source: &Fragment, since: Version, what: Extract<'_>, max_bytes: usize) -> Vec<limosa_core::Frame> {
    let mut out = Vec::new();
    let mut range = range();
    loop {
        let (frame, next) = source.delta(&range, since, what, max_bytes).expect("loads");
        assert_eq!(frame.range.start, range.start, "frames leave no gap");
        assert_eq!(frame.range.end, next.clone().or(range.end.clone()));
        out.push(frame);
        match next {
            Some(next) => range.start = next,
            None => return out,
        }
    }
}

/// A checkpoint in memory. Its loaders go on reading the state that they were made of.
#[derive(Clone, Default)]
pub struct Checkpoint {
    pub blocks: BTreeMap<Bytes, StoredBlock>,
    pub generation: u64,
    /// The fragment's head in it; `None` writes whole blocks.
    pub head: Option<Version>,
    /// Patches written so far.
    pub patches: usize,
}

impl Checkpoint {
    /// Writes what changed since the last time, and nothing else.
    pub fn write(&mut self, fragment: &mut Fragment) {
        let removed = fragment.removed(self.generation);
        for range in removed.ranges {
            self.blocks.retain(|first_key, _| !range.contains(first_key));
        }
        for first_key in removed.names {
            self.blocks.remove(&first_key);
        }
        fragment.forget_removed(fragment.generation());
        for dirty in fragment.dirty_since(self.generation) {
            let patch = self.head.and_then(|head| dirty.patch(head).expect("in memory"));
            let stored = self.blocks.get_mut(&dirty.first_key).filter(|stored| stored.patches.len() < 3);
            if let (Some(patch), Some(stored)) = (patch, stored) {
                stored.summary = dirty.summary;
                stored.patches.push(patch);
                self.patches += 1;
                continue;
            }
            let stored = StoredBlock { summary: dirty.summary, whole: dirty.whole().expect("in memory"), patches: Vec::new() };
            self.blocks.insert(dirty.first_key.clone(), stored);
        }
        self.generation = fragment.generation();
        self.head = Some(fragment.head());
        fragment.set_loader(self.loader());
    }

    /// Opens the fragment again, cold.
    pub fn open(&mut self, fragment: &Fragment) -> Fragment {
        let read = |summary: &Summary| Summary::from_bytes(&summary.to_bytes()).expect("well formed");
        let summaries = self.blocks.iter().map(|(key, stored)| (key.clone(), read(&stored.summary)));
        self.generation = 0;
        Fragment::open(fragment.meta(), keys(), summaries, self.loader(), &Arc::default()).expect("in order")
    }

    pub fn loader(&self) -> Arc<dyn BlockLoader> {
        Arc::new(Blocks(self.blocks.clone()))
    }
}

struct Blocks(BTreeMap<Bytes, StoredBlock>);

impl BlockLoader for Blocks {
    fn load(&self, fragment: FragmentId, first_key: &[u8]) -> Result<StoredBlock, LoadError> {
        assert_eq!(fragment, ID);
        self.0.get(first_key).cloned().ok_or(LoadError::Missing)
    }
}
