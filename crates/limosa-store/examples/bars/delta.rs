//! What extracting a delta of random changes costs, against a full scan of the same blocks and an index of versions.
//!
//! The baselines fill the same columns as a frame does. The full scan looks at the version of every entry in every block,
//! and at the entries that are newer. The index holds every entry's
//! version and key; it is kept up to date for nothing, and a baseline only walks the changed part of it and looks each key up.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use limosa_core::columns::ColumnsBuilder;
use limosa_core::fragment::hashed_ranges;
use limosa_core::limits::FRAME_BYTES_BULK;
use limosa_core::{EntryRef, Expiry, KeyRange, Kind, LiveRef, Part, Version, key::stored};
use limosa_tree::{Extract, Fragment};

use crate::common::{Metrics, keys};
use crate::input::{Pool, Random, key};
use crate::machine::{resident_bytes, thread_cpu_seconds};

const FRAGMENTS: u16 = 64;
const VALUE_BYTES: usize = 100;
const ROUNDS: usize = 5;
/// Changed entries of 10,000, and how metrics call them.
const SHARES: &[(u64, &str)] = &[(1, "0_01_percent"), (10, "0_1_percent"), (100, "1_percent"), (1000, "10_percent")];

/// One fragment, and its entries by version.
struct Home {
    fragment: Fragment,
    index: BTreeMap<u64, Box<[u8]>>,
}

pub(crate) fn run(entries: u64, _: &Path) -> Metrics {
    let (pool, before) = (Pool::new(), resident_bytes());
    let mut homes = load(entries, &pool);
    let trees = resident_bytes() - before;
    for home in &mut homes {
        home.build_index();
    }
    let index = resident_bytes() - before - trees;
    let mut metrics = vec![("index_bytes_an_entry".to_string(), index / entries as f64)];
    let mut random = Random(7);
    for &(share, name) in SHARES {
        let rounds: Vec<[f64; 3]> =
            (0..ROUNDS).map(|_| measure(&mut homes, entries, entries * share / 10_000, &pool, &mut random)).collect();
        let middle = |what: usize| {
            let mut seconds: Vec<f64> = rounds.iter().map(|round| round[what]).collect();
            seconds.sort_by(f64::total_cmp);
            seconds[ROUNDS / 2]
        };
        let (delta, scan, index) = (middle(0), middle(1), middle(2));
        metrics.push((format!("delta_milliseconds_{name}"), delta * 1e3));
        metrics.push((format!("scan_milliseconds_{name}"), scan * 1e3));
        metrics.push((format!("index_milliseconds_{name}"), index * 1e3));
        metrics.push((format!("delta_per_best_{name}"), delta / scan.min(index)));
    }
    metrics
}

fn load(entries: u64, pool: &Pool) -> Vec<Home> {
    let space = Arc::new(keys());
    let new = |(id, range)| Home { fragment: Fragment::new(id, range, space.clone()), index: BTreeMap::new() };
    let mut homes: Vec<Home> = hashed_ranges(FRAGMENTS).into_iter().map(new).collect();
    let mut own: Vec<Vec<u32>> = vec![Vec::new(); homes.len()];
    for i in 0..u32::try_from(entries).expect("below 2^32 entries") {
        own[home_of(&homes, &stored(&key(i.into())))].push(i);
    }
    for (home, own) in homes.iter_mut().zip(&mut own) {
        home.fragment.open_epoch(1, 1);
        own.sort_by_cached_key(|i| stored(&key((*i).into()))); // in key order: each goes to the end
        for &i in &*own {
            home.write(&stored(&key(i.into())), pool.value(i.into(), VALUE_BYTES));
        }
    }
    homes
}

impl Home {
    /// A commit of its own for each entry, as clients' writes are.
    fn write(&mut self, key: &[u8], value: &[u8]) -> u64 {
        let fragment = &mut self.fragment;
        let version = Version::new(1, fragment.head().seq + 1);
        let live = Some(LiveRef { kind: Kind::STRING, expiry: Expiry::NEVER, value });
        let entries = vec![EntryRef { key, version, live }];
        let part = Part { fragment: fragment.id(), version, range_deletes: Vec::new(), entries };
        fragment.apply_part(&part).expect("the next commit of this fragment");
        version.seq
    }

    fn overwrite(&mut self, key: &[u8], value: &[u8]) {
        let old = self.fragment.get(key).expect("in memory").expect("every key was loaded").as_ref().version.seq;
        let new = self.write(key, value);
        let key = self.index.remove(&old).expect("the index has every entry");
        self.index.insert(new, key);
    }

    fn build_index(&mut self) {
        let Self { fragment, index } = self;
        let flow = fragment.scan(&KeyRange::ALL, |entry| {
            index.insert(entry.version.seq, entry.key.into());
            std::ops::ControlFlow::Continue(())
        });
        assert!(flow.expect("in memory").is_continue());
    }
}

/// CPU seconds of the delta, the full scan and the index, after `changes` overwrites of random keys; each yields the same entries.
fn measure(homes: &mut [Home], entries: u64, changes: u64, pool: &Pool, random: &mut Random) -> [f64; 3] {
    let since: Vec<Version> = homes.iter().map(|home| home.fragment.head()).collect();
    for _ in 0..changes {
        let i = random.next();
        let key = stored(&key(i % entries));
        let home = home_of(homes, &key);
        homes[home].overwrite(&key, pool.value(i, VALUE_BYTES));
    }
    let timed = |extract: fn(&Home, Version) -> usize| {
        let before = thread_cpu_seconds();
        let found: usize = homes.iter().zip(&since).map(|(home, since)| extract(home, *since)).sum();
        (thread_cpu_seconds() - before, found)
    };
    // a scan before each of the two that skip, so that neither finds in the caches what the writes or its rival left there
    let ((scan, by_scan), (delta, by_delta)) = (timed(by_scan), timed(by_delta));
    let (_, (index, by_index)) = (timed(self::by_scan), timed(by_index));
    assert!(by_delta == by_scan && by_delta == by_index, "all three find the same entries");
    [delta, scan, index]
}

fn by_delta(home: &Home, since: Version) -> usize {
    let (mut sent, mut rest) = (0, Some(home.fragment.range().clone()));
    while let Some(range) = rest {
        let (frame, next) = home.fragment.delta(&range, since, Extract::Changes, FRAME_BYTES_BULK).expect("in memory");
        sent += frame.entries.len();
        rest = next.map(|start| KeyRange { start, ..range });
    }
    sent
}

fn by_scan(home: &Home, since: Version) -> usize {
    let mut out = Out::default();
    home.fragment.scan_newer_everywhere(since, |entry| out.push(entry)).expect("in memory");
    out.sent()
}

/// The index gives keys in version order; a frame has them in key order, so they are sorted first.
fn by_index(home: &Home, since: Version) -> usize {
    let mut changed: Vec<&[u8]> = home.index.range(since.seq + 1..).map(|(_, key)| &**key).collect();
    changed.sort_unstable();
    let mut out = Out::default();
    for key in changed {
        out.push(home.fragment.get(key).expect("in memory").expect("the index names what is there").as_ref());
    }
    out.sent()
}

/// Columns, frozen whenever they are as large as a frame.
#[derive(Default)]
struct Out {
    columns: ColumnsBuilder,
    sent: usize,
}

impl Out {
    fn push(&mut self, entry: EntryRef<'_>) {
        if self.columns.payload_bytes() >= FRAME_BYTES_BULK {
            self.sent += std::mem::take(&mut self.columns).finish().len();
        }
        self.columns.push(entry);
    }

    fn sent(self) -> usize {
        self.sent + self.columns.finish().len()
    }
}

fn home_of(homes: &[Home], key: &[u8]) -> usize {
    homes.partition_point(|home| home.fragment.range().start[..] <= *key) - 1
}
