//! Splits and merges in the store: what is served stays, nothing is rewritten, standbys follow, and a crash at any effect leaves one or the
//! other.

use std::collections::BTreeMap;

use bytes::Bytes;
use limosa_core::{Digest, FragmentId, IntervalMap, KeyRange, Version, key};
use limosa_store::disk::{Fault, MemoryDisk, Survivors};
use limosa_store::{Extract, Options, ReframeError, SealedFacts, StageError, StageStart, Store, TailRead};

use crate::common::*;

fn slot(slot: u16) -> Bytes {
    Bytes::copy_from_slice(&key::slot_start(slot))
}

fn filled(disk: &MemoryDisk, node: &str, keys: usize) -> Store {
    let store = owner(disk, node);
    let mut dice = Dice(3);
    for i in 0..keys {
        set(&store, &format!("k{i}"), dice.bytes(50));
    }
    store.flush().expect("works");
    store
}

fn ids(store: &Store) -> Vec<u32> {
    store.facts().iter().map(|facts| facts.id.0).collect()
}

fn digest(store: &Store) -> Digest {
    store.facts().iter().map(|facts| facts.state).sum()
}

#[test]
fn fragments_are_split_and_merged_while_what_is_served_stays() {
    let disk = MemoryDisk::new();
    let store = filled(&disk, "a", 300);
    let (before, sum) = (published(&store), digest(&store));
    let whole = store.facts()[1].clone();
    let (left, right) = store.split(FragmentId(1), &slot(5_000)).expect("a boundary inside");
    assert_eq!(ids(&store), [0, 4, 5, 2, 3], "new ids, in key order");
    assert_eq!((digest(&store), published(&store)), (sum, before.clone()));
    for part in &store.facts()[1..3] {
        assert_eq!((part.head, &part.epochs), (whole.head, &whole.epochs), "both go on at the parent's head");
    }
    (0..40).for_each(|i| _ = set(&store, &format!("k{i}"), "changed"));
    store.flush().expect("works");
    let parts = store.facts();
    let merged = store.merge(left, right).expect("neighbours");
    let facts = store.facts();
    assert_eq!(ids(&store), [0, 6, 2, 3]);
    assert_eq!((facts[1].id, &facts[1].range), (merged, &whole.range));
    assert!(facts[1].head > parts[1].head.max(parts[2].head));
    assert!(facts[1].head.epoch > parts[1].epochs.epoch());
    set(&store, "k1", "behind the merge");
    store.flush().expect("works");
    drop(store);
    let store = open(&power_cut(&disk), "a");
    assert_eq!(ids(&store), [0, 6, 2, 3]);
    assert_eq!(get(&store, "k1").as_deref(), Some(&b"behind the merge"[..]));
    assert_eq!(published(&store).len(), before.len());
    store.open_epoch(0).expect("works");
    assert_eq!(store.split(merged, &slot(5_000)).expect("again").0, FragmentId(7), "ids are not used again");
}

#[test]
fn what_can_not_be_parted_or_joined_is_refused_typed() {
    let disk = MemoryDisk::new();
    let store = filled(&disk, "a", 50);
    let code = |result: Result<_, ReframeError>| result.map(|_: (FragmentId, FragmentId)| ()).expect_err("refused").code();
    assert_eq!(code(store.split(FragmentId(9), &slot(100))), "fragment.unknown");
    assert_eq!(code(store.split(FragmentId(0), b"\x10")), "fragment.not_a_boundary");
    assert_eq!(code(store.split(FragmentId(0), &key::stored(b"k1"))), "fragment.not_a_boundary");
    assert_eq!(code(store.split(FragmentId(0), &slot(9_000))), "fragment.boundary_outside");
    assert_eq!(code(store.split(FragmentId(1), &slot(4_096))), "fragment.boundary_outside", "where it starts");
    let merge = |a, b| store.merge(FragmentId(a), FragmentId(b)).expect_err("refused").code();
    assert_eq!((merge(0, 2), merge(1, 0), merge(0, 0)), ("fragment.not_neighbours", "fragment.not_neighbours", "fragment.not_neighbours"));
    assert_eq!(merge(0, 8), "fragment.unknown");
    let (_, right) = store.split(FragmentId(0), &slot(4_095)).expect("the last slot alone");
    assert!(matches!(store.split_point(right), Err(ReframeError::OneSlot { .. })));
    let other = open(&MemoryDisk::new(), "b");
    assert!(matches!(other.split(FragmentId(0), &slot(9)), Err(ReframeError::NotOwner)));
    other.stage_open(1, &starts(&filled(&MemoryDisk::new(), "c", 1), &other)).expect("none is open");
    assert!(matches!(other.split(FragmentId(0), &slot(9)), Err(ReframeError::StageOpen)));
}

#[test]
fn the_point_to_split_leaves_halves() {
    let store = filled(&MemoryDisk::new(), "a", 2_000);
    for fragment in 0..4 {
        let at = store.split_point(FragmentId(fragment)).expect("many slots");
        let (left, right) = store.split(FragmentId(fragment), &at).expect("a boundary inside");
        let facts = store.facts();
        let bytes = |id| facts.iter().find(|facts| facts.id == id).expect("made").live_bytes;
        assert!(bytes(left).abs_diff(bytes(right)) <= 200, "{} {}", bytes(left), bytes(right));
    }
    let empty = owner(&MemoryDisk::new(), "b");
    assert_eq!(empty.split_point(FragmentId(0)).expect("slots").len(), 2, "an empty one is parted by slots");
}

#[test]
fn a_checkpoint_behind_splits_and_merges_writes_only_the_blocks_at_their_seams() {
    let disk = MemoryDisk::new();
    let store = filled(&disk, "a", 6_000);
    let first = store.checkpoint().expect("works");
    assert!(first.blocks > 60, "{}", first.blocks);
    drop(store);
    let store = open(&disk, "a");
    store.open_epoch(0).expect("works");
    let (left, right) = store.split(FragmentId(2), &slot(10_000)).expect("inside");
    assert!(store.checkpoint().expect("works").blocks <= 2);
    store.split(FragmentId(0), &slot(77)).expect("inside");
    store.merge(left, right).expect("neighbours");
    assert!(store.checkpoint().expect("works").blocks <= 4);
    store.merge(FragmentId(8), FragmentId(3)).expect("neighbours that began apart");
    set(&store, "k1", "x");
    store.flush().expect("works");
    assert!(store.checkpoint().expect("works").blocks <= 3);
    let before = published(&store);
    let facts = store.facts();
    drop(store);
    let store = open(&power_cut(&disk), "a");
    assert_eq!(store.facts(), facts);
    assert_eq!(published(&store), before);
    assert!(store.stats().blocks_read >= first.blocks, "every block is found where it was filed");
}

#[test]
fn a_standby_follows_splits_and_merges_among_the_commits() {
    let disk = MemoryDisk::new();
    let (owner, standby) = (owner(&disk, "a"), open(&disk, "b"));
    let mut tail = owner.tail(&versions(&standby)).expect("everything is in the ring");
    let mut slow = owner.tail(&versions(&standby)).expect("everything is in the ring");
    let mut dice = Dice(11);
    for round in 0..40 {
        for _ in 0..10 {
            set(&owner, &format!("k{}", dice.below(150)), dice.bytes(30));
            del(&owner, &format!("k{}", dice.below(150)));
        }
        if round % 2 == 0 {
            owner.flush().expect("works");
        }
        reframe_somewhere(&owner, &mut dice);
        set(&owner, "behind", dice.bytes(9));
        owner.flush().expect("works");
        assert!(follow(&mut tail, &standby));
        assert!(facts_equal(&owner, &standby), "round {round}");
        assert_eq!(owner.facts(), standby.facts());
        assert_eq!(standby.drift(), None);
    }
    // one that was slow reads the same out of the journal
    let late = open(&disk, "c");
    assert!(follow(&mut slow, &late));
    assert_eq!(owner.facts(), late.facts());
    assert_eq!(published(&owner), published(&late));
    let facts = owner.facts();
    drop((tail, slow, owner, standby, late));
    let disk = power_cut(&disk);
    for node in ["a", "b", "c"] {
        assert_eq!(open(&disk, node).facts(), facts, "{node}");
    }
}

/// Splits or merges something.
fn reframe_somewhere(store: &Store, dice: &mut Dice) {
    let facts = store.facts();
    if dice.below(2) == 0 || facts.len() == 1 {
        let at = slot(u16::try_from(1 + dice.below(16_383)).expect("a slot"));
        let holder = facts.iter().find(|facts| facts.range.contains(&at)).expect("every key has a place");
        if holder.range.start != at {
            store.split(holder.id, &at).expect("inside");
        }
    } else {
        let left = usize::try_from(dice.below(facts.len() as u64 - 1)).expect("small");
        store.merge(facts[left].id, facts[left + 1].id).expect("neighbours");
    }
}

fn follow(tail: &mut limosa_store::Tail, target: &Store) -> bool {
    loop {
        match tail.next(1 << 12).expect("readable") {
            TailRead::Batch(batch) => {
                if batch.reframe.is_empty() {
                    target.replicate(&batch.records, &batch.epochs, &batch.checks).expect("contiguous");
                } else {
                    target.replicate_reframe(&batch.reframe).expect("it stands where the owner did");
                    target.replicate_reframe(&batch.reframe).expect("twice is once");
                }
                target.flush().expect("the disk works");
            }
            TailRead::CaughtUp => return true,
            TailRead::Lost => return false,
        }
    }
}

#[test]
fn a_standby_that_stands_elsewhere_does_not_follow() {
    let (owner, standby) = (filled(&MemoryDisk::new(), "a", 20), open(&MemoryDisk::new(), "b"));
    let mut tail = owner.tail_from(owner.cut().position());
    owner.split(FragmentId(1), &slot(5_000)).expect("inside");
    let TailRead::Batch(batch) = tail.next(1 << 12).expect("readable") else { panic!("a split is told") };
    assert!(batch.records.is_empty() && batch.epochs.is_empty());
    assert_eq!(standby.replicate_reframe(&batch.reframe).expect_err("it is behind").code(), "replicate.gap");
    assert_eq!(standby.replicate_reframe(b"\x03").expect_err("no such record").code(), "replicate.record");
    assert_eq!(ids(&standby), [0, 1, 2, 3]);
    let hostile: &[&[u8]] = &[
        b"\x01\x01\x02\x10\x00\x00\x00\x01\x02",                 // what it makes is there already
        b"\x01\x01\x02\x14\x00\x00\x00\x09\x09",                 // twice the same
        b"\x01\x01\x03\x14\x00\x01\x00\x00\x08\x09",             // inside a slot
        b"\x01\x01\x02\x10\x00\x00\x00\x08\x09",                 // at its start
        b"\x02\x00\x00\x00\x02\x00\x00\x09\x05\0\0\0\0\0\0\0\0", // not neighbours
        b"\x02\x00\x00\x00\x01\x00\x00\x09\x00\0\0\0\0\0\0\0\0", // under no epoch
    ];
    for record in hostile {
        assert_eq!(standby.replicate_reframe(record).expect_err("refused").code(), "replicate.record", "{record:?}");
    }
}

#[test]
fn commands_go_on_over_a_split_that_waits_for_the_disk() {
    let disk = MemoryDisk::new();
    let store = filled(&disk, "a", 100);
    set(&store, "k1", "pending");
    std::thread::scope(|scope| {
        let splitter = scope.spawn(|| {
            for slot_number in [5_000, 6_000, 7_000] {
                let at = slot(slot_number);
                let holder = store.cut().holding(&at).id();
                store.split(holder, &at).expect("inside");
                store.merge(store.facts()[0].id, store.facts()[1].id).expect("neighbours");
            }
        });
        for i in 0..2_000 {
            set(&store, &format!("k{}", i % 150), format!("{i}"));
            if i % 64 == 0 {
                store.flush().expect("works");
            }
        }
        splitter.join().expect("it works");
    });
    store.flush().expect("works");
    let all = published(&store);
    assert_eq!(all.len(), 150);
    let sum: u64 = store.facts().iter().map(|facts| facts.live).sum();
    assert_eq!(sum, 150);
    drop(store);
    assert_eq!(published(&open(&power_cut(&disk), "a")), all);
}

#[test]
fn a_crash_at_every_effect_around_splits_and_merges_keeps_what_was_acknowledged() {
    let options = |disk: &MemoryDisk| Options { segment_bytes: 3_000, tail_bytes: 0, ring_bytes: 2_000, ..options(disk, "a") };
    // Answers the values that were acknowledged, and the ids behind the last step that was.
    let run = |disk: &MemoryDisk| {
        let mut done = (0u32, Vec::new());
        let mut steps = || -> Result<(), ReframeError> {
            let store = Store::open(options(disk))?;
            store.open_epoch(0)?;
            for step in 1..=8u32 {
                (0..6).for_each(|key| _ = set(&store, &format!("k{key}"), format!("{step}")));
                store.flush()?;
                done.0 = step;
                match step {
                    2 => drop(store.split(FragmentId(1), &slot(6_000))?),
                    3 => drop(store.split(FragmentId(3), &slot(14_000))?),
                    5 => drop(store.merge(FragmentId(2), FragmentId(6))?),
                    6 => drop(store.merge(FragmentId(4), FragmentId(5))?),
                    4 | 7 => drop(store.checkpoint()?),
                    _ => {}
                }
                done.1 = ids(&store);
            }
            Ok(())
        };
        let result = steps();
        (done, result)
    };
    let histories = [vec![], vec![0, 1, 2, 3], vec![0, 4, 5, 2, 3], vec![0, 4, 5, 2, 6, 7], vec![0, 4, 5, 8, 7], vec![0, 9, 8, 7]];
    let calm = MemoryDisk::new();
    run(&calm).1.expect("without a fault all goes well");
    for effect in 0..calm.effects() {
        let survivors = [Survivors::None, Survivors::All, Survivors::Some(effect)][usize::try_from(effect % 3).expect("small")];
        let disk = MemoryDisk::new();
        disk.fault_at(effect, Fault::Crash { done: usize::try_from(effect * 37 % 300).expect("small") });
        let ((acknowledged, had), _) = run(&disk);
        let disk = disk.restart(survivors);
        let store = Store::open(options(&disk)).unwrap_or_else(|error| panic!("effect {effect}, {survivors:?}: {error}"));
        for key in 0..6 {
            let found = get(&store, &format!("k{key}")).map_or(0, |value| String::from_utf8_lossy(&value).parse::<u32>().expect("a step"));
            assert!((acknowledged..=acknowledged + 1).contains(&found), "effect {effect}: {acknowledged} acknowledged, {found} found");
        }
        let (now, at) = (ids(&store), |ids: &[u32]| histories.iter().position(|known| known == ids).expect("a state on the way"));
        assert!((at(&had)..=at(&had) + 1).contains(&at(&now)) || had.is_empty(), "effect {effect}: {had:?} acknowledged, {now:?} found");
        let live: u64 = store.facts().iter().map(|facts| facts.live).sum();
        assert_eq!(live, published(&store).len() as u64);
        store.open_epoch(0).expect("works");
        let facts = store.facts();
        store.split(facts[0].id, &slot(9)).expect("inside");
        set(&store, "k0", "after");
        store.flush().expect("works");
        assert_eq!(store.facts().len(), facts.len() + 1);
    }
}

/// The starts and frames that bring `target`, whose fragments may be others, to where `source` stands.
fn plan(source: &Store, target: &Store) -> Vec<StageStart> {
    let ours = target.facts();
    let start = |theirs: limosa_core::FragmentFacts| {
        let points = ours.iter().flat_map(|own| {
            let both = own.range.intersect(&theirs.range);
            both.map_or_else(Vec::new, |both| theirs.epochs.common_points(theirs.head, &own.epochs, own.head, &both))
        });
        let common = IntervalMap::of(theirs.range.clone(), points);
        StageStart { fragment: theirs.id, range: theirs.range, common }
    };
    source.facts().into_iter().map(start).collect()
}

/// Entries sent.
fn catch_up(source: &Store, target: &Store) -> usize {
    let starts = plan(source, target);
    target.stage_open(5, &starts).expect("the starts hold every key");
    let sent = send(source, target, &starts.iter().map(|start| start.common.clone()).collect::<Vec<_>>());
    target.stage_install(5, &sealed(source)).expect("complete");
    sent
}

fn send(source: &Store, target: &Store, maps: &[IntervalMap]) -> usize {
    let (cut, mut sent) = (source.cut(), 0);
    for (view, map) in cut.fragments().iter().zip(maps) {
        for (range, since) in map.iter().filter(|(_, since)| *since != view.head()) {
            let (frame, next) = view.delta(&range, since, Extract::Changes, usize::MAX).expect("readable");
            assert_eq!(next, None);
            sent += frame.entries.len();
            target.stage_apply(target.stages()[0].session, &frame, &[]).expect("it fits");
        }
    }
    sent
}

#[test]
fn a_target_with_other_fragments_gets_what_changed_and_takes_the_sources_fragments_over() {
    let disk = MemoryDisk::new();
    let (source, target) = (filled(&MemoryDisk::new(), "a", 500), open(&disk, "b"));
    assert_eq!(catch_up(&source, &target), 500);
    assert_eq!(catch_up(&source, &target), 0);
    let mut dice = Dice(9);
    for round in 0..25 {
        let mut changed = BTreeMap::new();
        for _ in 0..=dice.below(6) {
            let key = format!("k{}", dice.below(500));
            set(&source, &key, dice.bytes(20));
            changed.insert(key, ());
            if dice.below(2) == 0 {
                reframe_somewhere(&source, &mut dice);
            }
        }
        source.flush().expect("works");
        reframe_somewhere(&source, &mut dice);
        let sent = catch_up(&source, &target);
        assert_eq!(sent, changed.len(), "round {round}: what changed, and nothing else");
        assert!(facts_equal(&source, &target), "round {round}");
        if round % 5 == 4 {
            target.checkpoint().expect("works");
        }
    }
    assert_eq!(published(&source), published(&target));
    drop(target);
    let target = open(&power_cut(&disk), "b");
    assert!(facts_equal(&source, &target));
    assert_eq!(published(&source), published(&target));
    // from here on it streams
    let mut tail = source.tail(&versions(&target)).expect("nothing is behind");
    set(&source, "new", "one");
    reframe_somewhere(&source, &mut dice);
    source.flush().expect("works");
    assert!(follow(&mut tail, &target));
    assert_eq!(ids(&source), ids(&target));
    assert!(facts_equal(&source, &target));
}

#[test]
fn an_open_stage_goes_on_in_the_sources_new_fragments_also_behind_a_crash() {
    let disk = MemoryDisk::new();
    let (source, target) = (filled(&MemoryDisk::new(), "a", 400), open(&disk, "b"));
    let starts = plan(&source, &target);
    target.stage_open(5, &starts).expect("none is open");
    let view = source.cut();
    for fragment in &view.fragments()[..2] {
        let (frame, _) = fragment.delta(&fragment.facts().range, Version::ZERO, Extract::Changes, usize::MAX).expect("readable");
        target.stage_apply(5, &frame, &[]).expect("fits");
    }
    let staged: u64 = view.fragments()[..2].iter().map(|fragment| fragment.facts().live).sum();
    let (left, _) = source.split(FragmentId(1), &slot(5_000)).expect("inside");
    source.merge(FragmentId(0), left).expect("neighbours");
    let wanted: Vec<(FragmentId, KeyRange)> = source.facts().into_iter().map(|facts| (facts.id, facts.range)).collect();
    assert!(matches!(target.stage_reframe(5, 6, &wanted[1..]), Err(StageError::Misplaced { .. } | StageError::UnknownFragment { .. })));
    target.stage_reframe(5, 6, &wanted).expect("every key has a place");
    target.flush().expect("works");
    let state = target.stage(6).expect("open");
    drop(target);
    let target = open(&power_cut(&disk), "b");
    assert_eq!(target.stage(6).expect("still open"), state);
    assert_eq!(state.session, 6);
    let maps: Vec<IntervalMap> = state.fragments.into_iter().map(|staged| staged.map).collect();
    assert_eq!(send(&source, &target, &maps) as u64, 400 - staged, "what was staged is not sent again");
    let sealed: Vec<SealedFacts> = sealed(&source);
    target.stage_install(6, &sealed).expect("complete");
    assert!(facts_equal(&source, &target));
    assert_eq!(published(&source), published(&target));
}
