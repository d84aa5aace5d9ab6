//! Large values in pieces: taken in, read, appended to and overwritten without anybody holding the whole.

use limosa_core::Expiry;
use limosa_store::disk::MemoryDisk;
use limosa_store::{Join, Look, Store};

use crate::common::*;

const PIECE: usize = 200_000;

/// Takes `value` in under `user_key`, a commit for each piece; not set yet.
fn upload(store: &Store, user_key: &str, value: &[u8]) -> u64 {
    let id = store.begin().upload_open(user_key.as_bytes()).expect("writable");
    let mut pieces = value.chunks(PIECE).peekable();
    while let Some(piece) = pieces.next() {
        let mut txn = store.begin();
        txn.upload_push(id, piece, pieces.peek().is_none()).expect("writable");
        txn.commit();
    }
    id
}

fn set_uploaded(store: &Store, user_key: &str, id: u64) {
    let mut txn = store.begin();
    txn.set_uploaded(user_key.as_bytes(), id, Expiry::NEVER).expect("complete");
    txn.upload_close(id).expect("writable");
    txn.commit();
}

fn close(store: &Store, id: u64) {
    let mut txn = store.begin();
    txn.upload_close(id).expect("writable");
    txn.commit();
}

/// Reads a stretch, at most `step` bytes and a part at a time.
fn stretch(store: &Store, user_key: &str, start: u64, end: u64, step: usize) -> Vec<u8> {
    let look = store.begin().look(user_key.as_bytes(), start..end, 0, 0).expect("readable").map(|look| match look {
        Look::Whole(string) => Err(string.value.into_owned()),
        Look::Parts { reading, .. } => Ok(reading),
    });
    match look.expect("it is there") {
        Err(value) => value,
        Ok(mut reading) => {
            let mut out = Vec::new();
            while reading.left() > 0 {
                reading.read(&mut out, step).expect("readable");
            }
            out
        }
    }
}

fn append(store: &Store, user_key: &str, bytes: &[u8]) -> u64 {
    let mut txn = store.begin();
    let len = txn.append(user_key.as_bytes(), bytes, 0).expect("writable");
    txn.commit();
    len
}

fn set_range(store: &Store, user_key: &str, offset: usize, bytes: &[u8]) -> u64 {
    let mut txn = store.begin();
    let len = txn.set_range(user_key.as_bytes(), offset as u64, bytes, 0).expect("writable");
    txn.commit();
    len
}

/// Entries that the published state has and that are newer than `store` had before `edit`, tombstones included.
fn written(store: &Store, edit: impl FnOnce()) -> usize {
    let before = versions(store);
    edit();
    store.flush().expect("works");
    (0..before.len()).map(|index| own_keys(store, index, before[index].1).len()).sum()
}

#[test]
fn a_value_that_arrives_in_pieces_is_seen_by_nobody_until_it_is_set() {
    let store = owner(&MemoryDisk::new(), "a");
    let (old, new) = (Dice(1).bytes(300_000), Dice(2).bytes(3_000_000));
    set(&store, "k", &old);
    let id = upload(&store, "k", &new);
    assert_eq!(get(&store, "k"), Some(old.clone()), "pending");
    store.flush().expect("works");
    assert_eq!(get(&store, "k"), Some(old), "published");
    assert_eq!(store.cut().top_level(), 1);
    set_uploaded(&store, "k", id);
    assert_eq!(get(&store, "k").as_ref(), Some(&new), "set");
    store.flush().expect("works");
    assert_eq!(published(&store).remove(&b"k"[..]).map(|(value, _)| value), Some(new), "only its own parts are left");
    del(&store, "k");
    store.flush().expect("works");
    assert_eq!(store.stats().live, 0, "nor is anything else");
}

#[test]
fn a_value_that_is_given_up_leaves_nothing() {
    let store = owner(&MemoryDisk::new(), "a");
    set(&store, "k", "small");
    for publish in [false, true] {
        let id = upload(&store, "k", &Dice(1).bytes(1_000_000));
        if publish {
            store.flush().expect("works");
        }
        close(&store, id);
        store.flush().expect("works");
        assert_eq!((get(&store, "k"), store.stats().live), (Some(b"small".to_vec()), 1));
    }
}

#[test]
fn what_arrived_when_an_owner_ended_is_removed_by_the_next_one() {
    let disk = MemoryDisk::new();
    let store = owner(&disk, "a");
    let standby = open(&disk, "b");
    transfer(&store, &standby);
    let mut tail = store.tail(&versions(&standby)).expect("the ring has it");
    set(&store, "k", Dice(3).bytes(200_000));
    upload(&store, "k", &Dice(1).bytes(1_000_000));
    upload(&store, "other", &Dice(2).bytes(1_000_000));
    store.flush().expect("works");
    assert!(stream(&mut tail, &standby), "the standby has the parts as well");
    let live = |store: &Store| (store.flush().expect("works"), store.stats().live).1;
    assert!(live(&standby) > 500);
    drop(store);
    for next in [owner(&power_cut(&disk), "a"), {
        standby.open_epoch(0).expect("works");
        standby
    }] {
        let value = get(&next, "k").expect("it was set");
        assert_eq!(value, Dice(3).bytes(200_000));
        assert!(live(&next) < 200, "head and parts of the value that was set: {}", live(&next));
        del(&next, "k");
        assert_eq!(live(&next), 0);
    }
}

#[test]
fn deletes_of_the_key_and_of_everything_leave_an_arriving_value_whole() {
    let store = owner(&MemoryDisk::new(), "a");
    let value = Dice(1).bytes(1_000_000);
    let wipe: [fn(&Store); 4] = [
        |store| _ = del(store, "k"),
        |store| {
            let mut txn = store.begin();
            txn.clear().expect("writable");
            txn.commit();
        },
        |store| _ = set(store, "k", Dice(5).bytes(100_000)),
        |store| _ = set(store, "k", "small"),
    ];
    for wipe in wipe {
        set(&store, "k", Dice(4).bytes(50_000));
        set(&store, "another", Dice(4).bytes(50_000));
        let id = upload(&store, "k", &value);
        wipe(&store);
        store.flush().expect("works");
        set_uploaded(&store, "k", id);
        assert_eq!(get(&store, "k").as_ref(), Some(&value));
        let mut txn = store.begin();
        txn.clear().expect("writable");
        txn.commit();
        drop(txn);
        store.flush().expect("works");
        assert_eq!(store.stats().live, 0);
    }
}

#[test]
fn two_values_that_arrive_under_one_key_do_not_mix() {
    let store = owner(&MemoryDisk::new(), "a");
    let (a, b) = (Dice(1).bytes(1_000_000), Dice(2).bytes(1_000_000));
    let (first, second) = (upload(&store, "k", &a), upload(&store, "k", &b));
    set_uploaded(&store, "k", second);
    assert_eq!(get(&store, "k"), Some(b));
    store.flush().expect("works");
    set_uploaded(&store, "k", first);
    assert_eq!(get(&store, "k"), Some(a));
    store.flush().expect("works");
    del(&store, "k");
    store.flush().expect("works");
    assert_eq!(store.stats().live, 0);
}

#[test]
fn a_reading_shows_one_version_whatever_is_written_meanwhile() {
    let store = owner(&MemoryDisk::new(), "a");
    let value = Dice(1).bytes(1_000_000);
    for publish in [false, true] {
        set(&store, "k", &value);
        if publish {
            store.flush().expect("works");
        }
        set_range(&store, "k", 500_000, b"pending");
        let mut expected = value.clone();
        expected[500_000..500_007].copy_from_slice(b"pending");
        let Some(Look::Parts { mut reading, .. }) = store.begin().look(b"k", 0..u64::MAX, 0, 0).expect("readable") else {
            panic!("a large value is read in pieces")
        };
        let mut out = Vec::new();
        while reading.left() > 0 {
            reading.read(&mut out, 50_000).expect("readable");
            set_range(&store, "k", out.len() + 10, b"later");
            store.flush().expect("works");
        }
        assert!(out == expected, "published first: {publish}");
        del(&store, "k");
        store.flush().expect("works");
    }
}

/// Edits of a large value and of a plain one, published at random moments: both stay equal.
#[test]
fn appended_overwritten_and_read_stretches_equal_those_of_plain_bytes() {
    let mut dice = Dice(7);
    let store = owner(&MemoryDisk::new(), "a");
    let mut plain = dice.bytes(300_000);
    set(&store, "k", &plain);
    for turn in 0..150 {
        let bytes = {
            let len = usize::try_from(dice.below(if turn % 10 == 0 { 60_000 } else { 100 })).expect("small") + 1;
            dice.bytes(len)
        };
        if dice.below(2) == 0 {
            plain.extend_from_slice(&bytes);
            assert_eq!(append(&store, "k", &bytes), plain.len() as u64);
        } else {
            let offset = usize::try_from(dice.below(plain.len() as u64 + 3000)).expect("small");
            plain.resize(plain.len().max(offset + bytes.len()), 0);
            plain[offset..offset + bytes.len()].copy_from_slice(&bytes);
            assert_eq!(set_range(&store, "k", offset, &bytes), plain.len() as u64);
        }
        if dice.below(3) == 0 {
            store.flush().expect("works");
        }
        let start = usize::try_from(dice.below(plain.len() as u64)).expect("small");
        let end = plain.len().min(start + usize::try_from(dice.below(20_000)).expect("small"));
        assert!(stretch(&store, "k", start as u64, end as u64, 5000) == plain[start..end], "turn {turn}: {start}..{end}");
    }
    assert_eq!(get(&store, "k"), Some(plain));
}

#[test]
fn small_edits_of_a_large_value_write_few_entries_and_a_stretch_reads_few() {
    let store = owner(&MemoryDisk::new(), "a");
    let value = Dice(1).bytes(20 << 20);
    let id = upload(&store, "k", &value);
    set_uploaded(&store, "k", id);
    store.flush().expect("works");
    let appended = written(&store, || assert_eq!(append(&store, "k", b"0123456789"), value.len() as u64 + 10));
    assert!((2..=3).contains(&appended), "head, last part, and one more at most: {appended}");
    let overwritten = written(&store, || _ = set_range(&store, "k", 10 << 20, &[7; 50]));
    assert!((1..=2).contains(&overwritten), "{overwritten}");
    for publish in [false, true] {
        if publish {
            store.flush().expect("works");
        }
        let before = store.stats().entries_read;
        assert_eq!(stretch(&store, "k", 10 << 20, (10 << 20) + 50, 1 << 20), [7; 50]);
        let read = store.stats().entries_read - before;
        assert!((1..=2).contains(&read), "{read}");
    }
}

#[test]
fn a_large_value_is_joined_to_the_one_that_is_there() {
    let store = owner(&MemoryDisk::new(), "a");
    let mut dice = Dice(3);
    let piece = dice.bytes(700_000);
    for old_bytes in [0, 5, 40_000, 1_500_000] {
        for join in [Join::Append, Join::At(0), Join::At(1000), Join::At(1_000_000), Join::At(3_000_000)] {
            let mut plain = dice.bytes(old_bytes);
            del(&store, "k");
            append(&store, "k", &plain);
            let id = upload(&store, "k", &piece);
            let mut steps = 0;
            loop {
                let mut txn = store.begin();
                let is_ready = txn.upload_join(b"k", id, join, 0).expect("writable");
                txn.commit();
                if is_ready {
                    break;
                }
                steps += 1;
                if steps == 2 {
                    drop(txn);
                    append(&store, "k", b"meanwhile");
                    plain.extend_from_slice(b"meanwhile");
                }
            }
            let offset = match join {
                Join::Append => plain.len(),
                Join::At(offset) => usize::try_from(offset).expect("small"),
            };
            plain.resize(plain.len().max(offset + piece.len()), 0);
            plain[offset..offset + piece.len()].copy_from_slice(&piece);
            let mut txn = store.begin();
            assert_eq!(txn.set_joined(b"k", id, 0).expect("writable"), Some(plain.len() as u64));
            txn.upload_close(id).expect("writable");
            txn.commit();
            drop(txn);
            assert!(get(&store, "k") == Some(plain.clone()), "{old_bytes} {join:?}");
            store.flush().expect("works");
            assert!(stretch(&store, "k", 0, u64::MAX, 100_000) == plain, "{old_bytes} {join:?}");
        }
    }
    del(&store, "k");
    store.flush().expect("works");
    assert_eq!(store.stats().live, 0);
}

#[test]
fn a_value_that_changed_since_it_was_joined_is_not_overwritten() {
    let store = owner(&MemoryDisk::new(), "a");
    set(&store, "k", "old");
    let id = upload(&store, "k", &Dice(1).bytes(500_000));
    let ready = |store: &Store| {
        let mut txn = store.begin();
        while !txn.upload_join(b"k", id, Join::Append, 0).expect("writable") {}
        txn.commit();
    };
    ready(&store);
    append(&store, "k", b"er");
    assert_eq!(store.begin().set_joined(b"k", id, 0).expect("writable"), None);
    ready(&store);
    assert_eq!(store.begin().set_joined(b"k", id, 0).expect("writable"), Some(500_005));
}
