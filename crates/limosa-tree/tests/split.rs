//! Splits and merges: entries, sums and versions stay, and of the blocks only those at the seams are written.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use common::{Checkpoint, Model, Pair, Value, between, key, keys, range};
use limosa_core::{EntryRef, FragmentId, KeyRange, Part, RangeDelete, Version};
use limosa_tree::{Extract, Fragment, MergeEpoch, StoredBlock, Summary};
use proptest::prelude::*;

/// Fragments side by side that began as one, with one checkpoint and one model.
struct Row {
    fragments: Vec<Fragment>,
    model: Model,
    checkpoint: Checkpoint,
    /// The heads that the checkpoint has.
    heads: Vec<(KeyRange, Version)>,
    next_id: u32,
}

impl Row {
    fn of(pair: Pair, checkpoint: Checkpoint) -> Self {
        Self { fragments: vec![pair.fragment], model: pair.model, checkpoint, heads: Vec::new(), next_id: 100 }
    }

    fn id(&mut self) -> FragmentId {
        self.next_id += 1;
        FragmentId(self.next_id)
    }

    fn split(&mut self, at: u32) {
        let at = Bytes::from(key(at));
        let (left, right) = (self.id(), self.id());
        let index = self.fragments.partition_point(|fragment| fragment.range().start < at) - 1;
        let (left, right) = self.fragments[index].split(&at, left, right).expect("loads");
        self.fragments.splice(index..=index, [left, right]);
    }

    fn merge(&mut self, index: usize) {
        let id = self.id();
        let [left, right] = [&self.fragments[index], &self.fragments[index + 1]];
        let epoch = MergeEpoch { epoch: left.epochs().epoch().max(right.epochs().epoch()) + 1, opener: u64::from(self.next_id) };
        let merged = Fragment::merge(left, right, id, epoch).expect("loads");
        assert!(merged.head() > left.head().max(right.head()) && merged.epochs().contains_in(merged.range(), merged.head()));
        self.fragments.splice(index..=index + 1, [merged]);
    }

    fn commit(&mut self, deletes: &[(u32, u32)], writes: &[(u32, Option<Value>)]) {
        let writes: BTreeMap<_, _> = writes.iter().map(|(k, value)| (key(*k), value)).collect();
        for fragment in &mut self.fragments {
            let version = Version::new(fragment.epochs().epoch(), fragment.head().seq + 1);
            let own = fragment.range().clone();
            let clip = |&(a, b): &(u32, u32)| Some(RangeDelete { range: between(a, b).intersect(&own)?, version });
            let here = writes.iter().filter(|(key, _)| own.contains(key));
            let entries: Vec<_> = here.map(|(key, value)| EntryRef { key, version, live: value.as_ref().map(Value::live) }).collect();
            let part = Part { fragment: fragment.id(), version, range_deletes: deletes.iter().filter_map(clip).collect(), entries };
            if part.entries.is_empty() && part.range_deletes.is_empty() {
                continue;
            }
            fragment.apply_part(&part).expect("the next part");
            self.model.apply(&part);
        }
    }

    /// Writes one checkpoint of all, as the store does: one generation for every fragment, patches by the parents' heads. Answers how many
    /// blocks it wrote and removed.
    fn save(&mut self) -> (usize, usize) {
        let generation = self.fragments.iter().map(Fragment::generation).max().expect("there is one");
        let (mut written, mut removed) = (0, 0);
        for fragment in &mut self.fragments {
            fragment.raise_generation(generation);
            let parents = self.heads.iter().filter(|(range, _)| range.intersect(fragment.range()).is_some());
            let head = parents.map(|(_, head)| *head).min();
            let gone = fragment.removed(self.checkpoint.generation);
            self.checkpoint.blocks.retain(|name, _| !gone.ranges.iter().any(|range| range.contains(name)));
            for name in gone.names {
                removed += usize::from(self.checkpoint.blocks.remove(&name).is_some());
            }
            fragment.forget_removed(generation);
            for dirty in fragment.dirty_since(self.checkpoint.generation) {
                written += 1;
                let stored = self.checkpoint.blocks.get_mut(&dirty.first_key).filter(|stored| stored.patches.len() < 3);
                if let (Some(patch), Some(stored)) = (head.and_then(|head| dirty.patch(head).expect("in memory")), stored) {
                    stored.summary = dirty.summary;
                    stored.patches.push(patch);
                    continue;
                }
                let stored = StoredBlock { summary: dirty.summary, whole: dirty.whole().expect("in memory"), patches: Vec::new() };
                self.checkpoint.blocks.insert(dirty.first_key.clone(), stored);
            }
        }
        self.checkpoint.generation = generation;
        self.heads = self.fragments.iter().map(|fragment| (fragment.range().clone(), fragment.head())).collect();
        let loader = self.checkpoint.loader();
        self.fragments.iter_mut().for_each(|fragment| fragment.set_loader(loader.clone()));
        (written, removed)
    }

    fn reload(&mut self) {
        self.save();
        self.checkpoint.generation = 0;
        let open = |fragment: &Fragment| {
            let own = self.checkpoint.blocks.iter().filter(|(key, _)| fragment.range().contains(key));
            let read = |summary: &Summary| Summary::from_bytes(&summary.to_bytes()).expect("well formed");
            let rows = own.map(|(key, stored)| (key.clone(), read(&stored.summary)));
            Fragment::open(fragment.meta(), keys(), rows.collect::<Vec<_>>(), self.checkpoint.loader(), &Arc::default()).expect("in order")
        };
        self.fragments = self.fragments.iter().map(open).collect();
    }

    /// Every fragment holds its part of the model; together they hold all of it.
    fn check(&self) {
        assert!(self.fragments.windows(2).all(|pair| pair[0].range().end.as_ref() == Some(&pair[1].range().start)));
        for fragment in &self.fragments {
            let own = self.model.entries.iter().filter(|(key, _)| fragment.range().contains(key));
            Model { entries: own.map(|(key, entry)| (key.clone(), entry.clone())).collect() }.check(fragment);
        }
        let mut sum = Summary::EMPTY;
        self.fragments.iter().for_each(|fragment| sum.add(&fragment.total()));
        let mut expected = limosa_core::Digest::ZERO;
        for entry in self.model.within(&KeyRange::ALL) {
            expected += entry.live.map_or(limosa_core::Digest::ZERO, |live| keys().state(keys().content(entry.key, live), entry.version));
        }
        assert_eq!(sum.state, expected, "digests of the parts add up");
    }
}

fn saved(count: u32) -> Row {
    let mut row = Row::of(Pair::fill(count), Checkpoint::default());
    row.save();
    row
}

#[test]
fn digests_of_the_parts_add_up_at_every_boundary() {
    let pair = Pair::fill(300);
    let whole = pair.fragment.total();
    for at in 1..300 {
        let boundary = Bytes::from(key(at));
        let (left, right) = pair.fragment.split(&boundary, FragmentId(8), FragmentId(9)).expect("loads");
        let (mut sum, rest) = (left.total(), right.total());
        sum.add(&rest);
        assert!(sum.same_entries(&whole), "at {at}");
        assert_eq!((sum.max_version(), left.head(), right.head()), (whole.max_version(), pair.fragment.head(), pair.fragment.head()));
        pair.model.check_sums(&left, left.range());
        pair.model.check_sums(&right, right.range());
        let again = Fragment::merge(&left, &right, FragmentId(10), MergeEpoch { epoch: 2, opener: 1 }).expect("loads");
        assert!(again.total().same_entries(&whole));
        assert_eq!(again.range(), pair.fragment.range());
        assert_eq!(again.head(), Version::new(2, pair.fragment.head().seq + 1));
    }
}

#[test]
fn a_checkpoint_behind_a_split_or_merge_writes_the_blocks_at_the_seam_and_no_other() {
    let mut row = saved(30_000);
    row.reload();
    row.save();
    row.split(11_111);
    assert!(row.save().0 <= 2, "one block in two");
    row.split(22_222);
    row.split(1);
    assert!(row.save().0 <= 4);
    row.commit(&[], &[(5, Some(Value::of(1)))]);
    assert_eq!(row.save().0, 1);
    while row.fragments.len() > 1 {
        row.merge(0);
        let (written, removed) = row.save();
        assert!(written <= 1 && removed <= 1, "{written} {removed}");
    }
    row.reload();
    row.check();
}

#[test]
fn clones_keep_the_whole_while_parts_move_on() {
    let pair = Pair::fill(3_000);
    let mut row = Row::of(pair.clone(), Checkpoint::default());
    row.split(700);
    row.split(1_500);
    let parts: Vec<Fragment> = row.fragments.clone();
    let model = row.model.clone();
    row.commit(&[(0, 2_500)], &[(600, Some(Value::of(4)))]);
    row.merge(1);
    row.check();
    pair.model.check(&pair.fragment);
    let before = Row { fragments: parts, model, checkpoint: Checkpoint::default(), heads: Vec::new(), next_id: 0 };
    before.check();
}

#[test]
fn a_delta_since_a_version_of_a_parent_brings_its_range_to_the_merged_head() {
    let mut row = Row::of(Pair::fill(2_000), Checkpoint::default());
    row.split(1_000);
    for i in 0..40 {
        row.commit(&[], &[(i * 20, Some(Value::of(i)))]); // the left part gets ahead
    }
    let peers = row.fragments.clone();
    row.commit(&[(1_200, 1_210)], &[(3, None), (1_500, Some(Value::of(1)))]);
    row.merge(0);
    row.commit(&[], &[(1_700, Some(Value::of(2))), (9, Some(Value::of(3)))]);
    let merged = &row.fragments[0];
    for peer in &peers {
        let points = merged.epochs().common_points(merged.head(), peer.epochs(), peer.head(), peer.range());
        assert_eq!(points, [(peer.range().clone(), peer.head())], "all that a parent gave is in the merged history");
        let (mut frame, next) = merged.delta(peer.range(), peer.head(), Extract::Changes, usize::MAX).expect("loads");
        assert_eq!(next, None);
        assert!(frame.entries.len() <= 2, "what changed since");
        frame.fragment = peer.id();
        let mut peer = peer.clone();
        peer.apply_frame(&frame, &[]).expect("the digest of the range is the merged fragment's");
    }
}

#[test]
fn any_range_is_assembled_out_of_fragments_that_cover_it() {
    let mut row = Row::of(Pair::fill(900), Checkpoint::default());
    [300, 301, 600].into_iter().for_each(|at| row.split(at));
    row.merge(1);
    for (from, to) in [(0, 899), (10, 20), (300, 600), (299, 301), (301, 700), (550, 899)] {
        let range = between(from, to);
        let got = Fragment::assemble(&row.fragments, FragmentId(9), &range).expect("loads").expect("covered");
        assert_eq!((got.id(), got.range()), (FragmentId(9), &range));
        Model { entries: row.model.within(&range).map(|entry| (entry.key.to_vec(), row.model.entries[entry.key].clone())).collect() }
            .check(&got);
    }
    assert!(Fragment::assemble(&row.fragments[..1], FragmentId(9), &between(10, 400)).expect("loads").is_none());
    assert!(Fragment::assemble(&row.fragments[1..], FragmentId(9), &KeyRange::ALL).expect("loads").is_none());
}

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<(u32, u32)>, Vec<(u32, Option<u32>)>),
    Split(u32),
    Merge(usize),
    Save,
    Reload,
    Cold,
    Collect,
    Epoch,
}

fn step() -> impl Strategy<Value = Step> {
    let writes = proptest::collection::vec((0..900u32, proptest::option::weighted(0.7, any::<u32>())), 0..40);
    let deletes = proptest::collection::vec((0..900u32, 0u32..200).prop_map(|(a, len)| (a, a + len)), 0..2);
    prop_oneof![
        6 => (deletes, writes).prop_map(|(deletes, writes)| Step::Commit(deletes, writes)),
        4 => (1..900u32).prop_map(Step::Split),
        3 => any::<usize>().prop_map(Step::Merge),
        1 => Just(Step::Save),
        1 => Just(Step::Reload),
        1 => Just(Step::Cold),
        1 => Just(Step::Collect),
        1 => Just(Step::Epoch),
    ]
}

fn take(step: &Step, row: &mut Row) {
    match step {
        Step::Commit(deletes, writes) => {
            let writes: Vec<_> = writes.iter().map(|(k, seed)| (*k, seed.map(Value::of))).collect();
            row.commit(deletes, &writes);
        }
        Step::Split(at) if row.fragments.iter().any(|fragment| fragment.range().start == key(*at)) => {}
        Step::Split(at) => row.split(*at),
        Step::Merge(_) if row.fragments.len() == 1 => {}
        Step::Merge(index) => row.merge(index % (row.fragments.len() - 1)),
        Step::Save => drop(row.save()),
        Step::Reload => row.reload(),
        Step::Cold => {
            row.save();
            row.fragments.iter_mut().for_each(|fragment| _ = fragment.make_cold(fragment.generation()));
        }
        Step::Collect => {
            for fragment in &mut row.fragments {
                let head = fragment.head();
                fragment.collect_tombstones(head).expect("loads");
            }
            row.model.entries.retain(|_, (_, value)| value.is_some());
        }
        Step::Epoch => row.fragments.iter_mut().for_each(|fragment| fragment.open_epoch(fragment.epochs().epoch() + 1, 5)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn fragments_side_by_side_equal_a_map_over_random_histories(steps in proptest::collection::vec(step(), 1..40)) {
        let mut row = saved(600);
        for step in &steps {
            take(step, &mut row);
        }
        row.check();
        while row.fragments.len() > 1 {
            row.merge(0);
        }
        row.check();
        prop_assert_eq!(row.fragments[0].range(), &range());
        row.reload();
        row.check();
    }
}
