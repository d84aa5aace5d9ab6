//! Falling in with a manifest: nothing is lost by it, a merge is the same history everywhere, and a crash leaves something to go on from.

use bytes::Bytes;
use limosa_core::{Digest, FragmentId, KeyRange, key};
use limosa_store::disk::{Fault, MemoryDisk, Survivors};
use limosa_store::{FragmentGate, Framed, Options, ReframeError, Seam, Store};

use crate::common::*;

fn slot(slot: u16) -> Bytes {
    Bytes::copy_from_slice(&key::slot_start(slot))
}

/// Frames with these ids and first slots.
fn frames(of: &[(u32, u16)]) -> Vec<Framed> {
    let start = |first: u16| if first == 0 { Bytes::new() } else { slot(first) };
    let frame = |(index, (id, first)): (usize, &(u32, u16))| Framed {
        id: FragmentId(*id),
        range: KeyRange { start: start(*first), end: of.get(index + 1).map(|(_, next)| slot(*next)) },
        seam: None,
        is_needed: true,
    };
    of.iter().enumerate().map(frame).collect()
}

fn filled(disk: &MemoryDisk, node: &str) -> Store {
    let store = owner(disk, node);
    let mut dice = Dice(3);
    for i in 0..300 {
        set(&store, &format!("k{i}"), dice.bytes(50));
    }
    store.flush().expect("works");
    store
}

/// What a store has by range: ids of no matter.
fn shape(store: &Store) -> (Vec<KeyRange>, Digest, usize) {
    let facts = store.facts();
    (facts.iter().map(|facts| facts.range.clone()).collect(), facts.iter().map(|facts| facts.state).sum(), published(store).len())
}

fn ids(store: &Store) -> Vec<u32> {
    store.facts().iter().map(|facts| facts.id.0).collect()
}

/// The halves of `of` as a merge seals them.
fn seam(store: &Store, left: u32, right: u32, epoch: u32) -> Seam {
    let facts = store.facts();
    let one = |id: u32| facts.iter().find(|facts| facts.id.0 == id).expect("such a half").clone();
    Seam { at: one(right).range.start, left: one(left).head, right: one(right).head, epoch, opener: 77 }
}

#[test]
fn a_node_that_was_away_while_others_split_parts_its_own_copy_wherever_it_stands() {
    let disk = MemoryDisk::new();
    let store = filled(&disk, "a"); // fragments 0, 1, 2, 3 of 4,096 slots each
    let (_, sum, entries) = shape(&store);
    let heads: Vec<_> = store.facts().iter().map(|facts| facts.head).collect();
    // Of fragment 1 several generations of splits: the names between the first and the last are never known here.
    let wanted = frames(&[(0, 0), (10, 4_096), (12, 5_000), (14, 6_000), (15, 7_000), (2, 8_192), (3, 12_288)]);
    assert_eq!(store.align(&wanted).expect("works"), []);
    assert_eq!(ids(&store), [0, 10, 12, 14, 15, 2, 3]);
    let (ranges, now, live) = shape(&store);
    assert_eq!((ranges, now, live), (wanted.iter().map(|frame| frame.range.clone()).collect(), sum, entries));
    let facts = store.facts();
    assert!(facts[1..5].iter().all(|facts| facts.head == heads[1]), "each part goes on where the whole stood");
    assert_eq!(store.align(&wanted).expect("works"), [], "nothing is left to do");
    set(&store, "k1", "behind it");
    store.flush().expect("works");
    drop(store);
    let store = open(&power_cut(&disk), "a");
    assert_eq!(ids(&store), [0, 10, 12, 14, 15, 2, 3]);
    assert_eq!(get(&store, "k1").as_deref(), Some(&b"behind it"[..]));
    store.open_epoch(0).expect("works");
    assert_eq!(store.split(FragmentId(15), &slot(7_500)).expect("inside").0, FragmentId(16), "ids in passing do not count");
}

#[test]
fn halves_at_the_seal_are_put_together_to_one_history_on_every_node() {
    let wanted = |store: &Store| {
        let mut wanted = frames(&[(0, 0), (20, 4_096), (3, 12_288)]);
        wanted[1].seam = Some(seam(store, 1, 2, 7));
        wanted
    };
    let [one, other] = ["a", "b"].map(|node| {
        let store = open(&MemoryDisk::new(), node);
        store.open_epochs(&(0..4).map(|id| (FragmentId(id), 1)).collect::<Vec<_>>()).expect("works");
        (0..50).for_each(|i| _ = set(&store, &format!("k{i}"), "x"));
        store.flush().expect("works");
        store
    });
    let sum = shape(&one).1;
    for store in [&one, &other] {
        assert_eq!(store.align(&wanted(store)).expect("works"), []);
        assert_eq!((ids(store), shape(store).1), (vec![0, 20, 3], sum));
    }
    let facts = |store: &Store| store.facts()[1].clone();
    assert_eq!((facts(&one).head, facts(&one).state), (facts(&other).head, facts(&other).state));
    assert_eq!(facts(&one).head.epoch, 7);
    let row = |store: &Store| facts(store).epochs.epoch();
    assert_eq!((row(&one), row(&other)), (7, 7));
}

#[test]
fn a_copy_that_stands_elsewhere_is_kept_where_it_is_needed_and_dropped_where_not() {
    let store = filled(&MemoryDisk::new(), "a");
    let mut wanted = frames(&[(0, 0), (20, 4_096), (3, 12_288)]);
    let mut elsewhere = seam(&store, 1, 2, 7);
    elsewhere.left.seq += 1;
    wanted[1].seam = Some(elsewhere);
    let before = published(&store);
    assert_eq!(store.align(&wanted).expect("works"), [FragmentId(20)]);
    assert_eq!((ids(&store), published(&store)), (vec![0, 1, 2, 3], before), "nothing of it was touched");
    wanted[1].is_needed = false;
    assert_eq!(store.align(&wanted).expect("works"), []);
    let facts = store.facts();
    assert_eq!((ids(&store), facts[1].live, facts[1].head.is_zero()), (vec![0, 20, 3], 0, true));
    assert!(facts[0].live > 0 && facts[2].live > 0);
}

#[test]
fn what_is_absent_is_put_together_freely_and_names_that_are_taken_make_way() {
    let store = open(&MemoryDisk::new(), "a");
    store.set_gates(&(0..4).map(|id| (FragmentId(id), FragmentGate::Closed)).collect::<Vec<_>>());
    let wanted = frames(&[(3, 0), (9, 3_000), (0, 9_000)]);
    assert_eq!(store.align(&wanted).expect("works"), []);
    assert_eq!(ids(&store), [3, 9, 0]);
    assert!(store.facts().iter().all(|facts| facts.head.is_zero() && facts.epochs.epoch() == 0), "still absent, without a history");
    let all = frames(&[(40, 0)]);
    assert_eq!(store.align(&all).expect("works"), []);
    assert_eq!(ids(&store), [40]);
    assert!(store.gates().iter().all(|(_, gate)| *gate == FragmentGate::Closed));
    store.open_epochs(&[(FragmentId(40), 5)]).expect("no row is open");
}

#[test]
fn frames_with_gaps_and_edges_inside_a_slot_are_refused() {
    let store = open(&MemoryDisk::new(), "a");
    let mut gap = frames(&[(0, 0), (1, 100), (2, 200)]);
    gap.remove(1);
    let refused = |frames: &[Framed]| store.align(frames).expect_err("refused").code();
    assert_eq!(refused(&gap), "store.invalid");
    assert_eq!(refused(&[]), "store.invalid");
    let mut inside = frames(&[(0, 0), (1, 100)]);
    let edge = key::stored(b"k1");
    inside[0].range.end = Some(edge.clone().into());
    inside[1].range.start = edge.into();
    assert_eq!(refused(&inside), "fragment.not_a_boundary");
    assert_eq!(ids(&store), [0, 1, 2, 3]);
}

#[test]
fn a_crash_at_any_effect_leaves_something_to_go_on_from() {
    let options = |disk: &MemoryDisk| Options { checkpoint_bytes: 0, ..options(disk, "a") };
    let wanted = |store: &Store| {
        let mut wanted = frames(&[(0, 0), (10, 4_096), (11, 5_000), (12, 6_000), (20, 8_192)]);
        if ids(store).contains(&3) {
            wanted[4].seam = Some(seam(store, 2, 3, 9));
        }
        wanted
    };
    let run = |disk: &MemoryDisk| -> Result<(), ReframeError> {
        let store = Store::open(options(disk))?;
        store.open_epochs(&(0..4).map(|id| (FragmentId(id), 1)).collect::<Vec<_>>())?;
        (0..60).for_each(|i| _ = set(&store, &format!("k{i}"), "x"));
        store.flush()?;
        store.align(&wanted(&store)).map(drop)
    };
    let calm = MemoryDisk::new();
    run(&calm).expect("without a fault all goes well");
    let whole = shape(&Store::open(options(&calm)).expect("works"));
    for effect in 0..calm.effects() {
        let survivors = [Survivors::None, Survivors::All, Survivors::Some(effect)][usize::try_from(effect % 3).expect("small")];
        let disk = MemoryDisk::new();
        disk.fault_at(effect, Fault::Crash { done: usize::try_from(effect * 37 % 300).expect("small") });
        let _ = run(&disk);
        let store = Store::open(options(&disk.restart(survivors))).unwrap_or_else(|error| panic!("effect {effect}: {error}"));
        if published(&store).len() < 60 {
            continue; // it never came to be written
        }
        assert_eq!(store.align(&wanted(&store)).expect("works"), [], "effect {effect}");
        assert_eq!((ids(&store), shape(&store)), (vec![0, 10, 11, 12, 20], whole.clone()), "effect {effect}");
    }
}
