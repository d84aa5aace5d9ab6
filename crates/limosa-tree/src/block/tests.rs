//! Packed entries in place, in runs, and as hostile bytes.

use std::collections::BTreeMap;

use limosa_core::{DecodeError, Digest, EntryRef, Expiry, FragmentId, Kind, LiveRef, SpaceKeys, Version};
use proptest::prelude::*;

use super::{Block, BlockName};
use crate::fragment::StoredBlock;
use crate::summary::Summary;

const NAME: BlockName<'static> = BlockName { fragment: FragmentId(7), first_key: b"" };

fn keys() -> SpaceKeys {
    SpaceKeys::derive(&[3; 32], "default")
}

type Owned = (Vec<u8>, Version, Option<(u8, u64, Vec<u8>)>);

fn entry(owned: &Owned) -> EntryRef<'_> {
    let live =
        owned.2.as_ref().map(|(kind, expiry, value)| LiveRef { kind: Kind::from_code(*kind), expiry: Expiry::from_millis(*expiry), value });
    EntryRef { key: &owned.0, version: owned.1, live }
}

fn owned() -> impl Strategy<Value = Owned> {
    let expiry = prop_oneof![Just(0u64), any::<u64>()];
    let value = prop_oneof![proptest::collection::vec(any::<u8>(), 0..20), (200usize..400).prop_map(|len| vec![5; len])];
    let live = proptest::option::weighted(0.8, (0u8..3, expiry, value));
    let key = prop_oneof![proptest::collection::vec(0u8..4, 0..4), (100usize..200).prop_map(|len| vec![1; len])];
    (key, (0u32..4, any::<u64>()).prop_map(|(epoch, seq)| Version::new(epoch, seq)), live)
}

fn put(block: &mut Block, entry: &EntryRef<'_>) {
    let content = entry.live.map_or(Digest::ZERO, |live| keys().content(entry.key, live));
    match block.search(entry.key) {
        Ok(i) => block.replace(i, entry, content),
        Err(i) => block.insert(i, entry, content),
    }
}

fn built(writes: &[Owned]) -> (Block, BTreeMap<Vec<u8>, Owned>) {
    let (mut block, mut model) = (Block::default(), BTreeMap::new());
    for write in writes {
        put(&mut block, &entry(write));
        model.insert(write.0.clone(), write.clone());
    }
    (block, model)
}

fn check(block: &Block, model: &BTreeMap<Vec<u8>, Owned>) {
    assert_eq!(block.len(), model.len());
    for (i, held) in model.values().enumerate() {
        assert_eq!(block.entry(i), entry(held));
        assert_eq!(block.search(&held.0), Ok(i));
        assert_eq!(block.content(i), entry(held).live.map_or(Digest::ZERO, |live| keys().content(&held.0, live)));
    }
    let large = model.values().filter(|held| held.2.as_ref().is_some_and(|(.., value)| value.len() > 256)).count();
    assert_eq!(block.large.iter().flatten().count(), large, "nothing is held for an entry that is gone");
    let bytes: usize = block.large.iter().flatten().map(|value| crate::memory::allocated(value.len())).sum();
    assert_eq!(block.large_bytes, bytes, "what large values take is counted as they come and go");
}

fn stored(whole: &[u8], patches: &[Vec<u8>]) -> StoredBlock {
    StoredBlock { summary: Summary::EMPTY, whole: whole.to_vec(), patches: patches.to_vec() }
}

fn whole(bytes: &[u8]) -> Result<Block, DecodeError> {
    Block::decode(&stored(bytes, &[]), &keys(), NAME).map(|(block, _)| block)
}

proptest! {
    #[test]
    fn a_block_equals_a_map(writes in proptest::collection::vec(owned(), 0..80), cut in any::<prop::sample::Index>()) {
        let (block, model) = built(&writes);
        check(&block, &model);
        let cut = cut.index(block.len() + 1);
        let mut copied = Block::default();
        copied.push_run(&block, 0, cut);
        copied.push_run(&block, cut, block.len());
        check(&copied.finish(), &model);
    }

    #[test]
    fn a_block_comes_back_from_its_bytes(writes in proptest::collection::vec(owned(), 1..40)) {
        let (block, model) = built(&writes);
        let decoded = whole(&block.encode(&keys(), NAME)).expect("well formed");
        check(&decoded, &model);
    }

    #[test]
    fn a_block_comes_back_from_an_older_one_and_its_patches(
        writes in proptest::collection::vec(owned(), 1..60),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 1..4),
    ) {
        // versions ascend with the writes, as commits give them
        let mut writes = writes;
        writes.iter_mut().zip(1..).for_each(|(write, seq)| write.1 = Version::new(1, seq));
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| 1 + cut.index(writes.len())).collect();
        cuts.sort_unstable();
        let bytes = built(&writes[..cuts[0]]).0.encode(&keys(), NAME);
        let mut patches = Vec::new();
        for (from, to) in cuts.iter().zip(cuts[1..].iter().chain([&writes.len()])) {
            let since = Version::new(1, u64::try_from(*from).expect("small"));
            patches.extend(built(&writes[..*to]).0.encode_patch(&keys(), NAME, since));
        }
        let (decoded, is_sealed) = Block::decode(&stored(&bytes, &patches), &keys(), NAME).expect("well formed");
        prop_assert!(is_sealed);
        check(&decoded, &built(&writes).1);
        prop_assert!(Block::decode(&stored(&bytes, std::slice::from_ref(&bytes)), &keys(), NAME).is_err(), "a whole block is no patch");
    }

    #[test]
    fn hostile_bytes_are_refused_without_a_panic(
        writes in proptest::collection::vec(owned(), 1..20),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = built(&writes).0.encode(&keys(), NAME);
        for (at, flip) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let _ = whole(&bytes);
        // with the checksum put right, what stands behind it is tried too
        if let Some(end) = bytes.len().checked_sub(16) {
            let seal = keys().block_check(&bytes[..end]);
            bytes[end..].copy_from_slice(&seal);
            if let Ok(block) = whole(&bytes) {
                prop_assert!((1..block.len()).all(|i| block.key(i - 1) < block.key(i)));
            }
        }
    }
}

#[test]
fn a_claimed_count_allocates_nothing() {
    let mut bytes = Vec::from(*b"LMBK\x01\x00");
    bytes.extend_from_slice(&keys().id().to_le_bytes());
    bytes.extend_from_slice(&[7, 0]);
    limosa_core::varint::put(&mut bytes, 1 << 40);
    let crc = crc32fast::hash(&bytes).to_le_bytes();
    bytes.extend_from_slice(&crc);
    assert!(matches!(whole(&bytes), Err(DecodeError::TooLarge { field: "block.count", .. })));
}

#[test]
fn a_block_of_another_place_is_refused() {
    let live = LiveRef { kind: Kind::STRING, expiry: Expiry::NEVER, value: b"v" };
    let mut block = Block::default();
    put(&mut block, &EntryRef { key: b"k", version: Version::new(1, 1), live: Some(live) });
    let bytes = block.encode(&keys(), NAME);
    let other = SpaceKeys::derive(&[4; 32], "default");
    assert!(Block::decode(&stored(&bytes, &[]), &other, NAME).is_err());
    assert!(Block::decode(&stored(&bytes, &[]), &keys(), BlockName { fragment: FragmentId(8), ..NAME }).is_err());
    assert!(Block::decode(&stored(&bytes, &[]), &keys(), BlockName { first_key: b"a", ..NAME }).is_err());
}

#[test]
fn buffers_do_not_keep_the_room_of_values_that_shrank() {
    let live = |value| Some(LiveRef { kind: Kind::STRING, expiry: Expiry::NEVER, value });
    let mut block = Block::default();
    for i in 0..64u8 {
        put(&mut block, &EntryRef { key: &[i], version: Version::ZERO, live: live(&[1; 250]) });
    }
    assert!(block.bytes.footprint() < block.bytes.len() + block.bytes.len() / 16, "{}", block.bytes.footprint());
    for i in 0..64u8 {
        put(&mut block, &EntryRef { key: &[i], version: Version::ZERO, live: live(&[1; 10]) });
    }
    assert!(block.bytes.footprint() <= 64 * 13 + 64 * 13 / 4 + 256, "{}", block.bytes.footprint());
}

#[test]
fn a_block_beyond_64_kib_or_with_seqs_far_apart_is_a_block_like_others() {
    let live = Some(LiveRef { kind: Kind::STRING, expiry: Expiry::NEVER, value: &[1; 250] });
    let (mut block, mut model) = (Block::default(), BTreeMap::new());
    for i in (0..400u32).rev() {
        let version = if i == 7 { Version::new(2, u64::MAX) } else { Version::new(2, u64::from(i) + (1 << 40)) };
        let key = i.to_be_bytes().to_vec();
        put(&mut block, &EntryRef { key: &key, version, live });
        model.insert(key.clone(), (key, version, Some((Kind::STRING.code(), 0, vec![1; 250]))));
    }
    check(&block, &model);
    assert!(block.bytes.len() > 1 << 16);
    let mut part = Block::default();
    part.push_run(&block, 100, 300);
    let part = part.finish();
    assert!((0..200).all(|i| part.entry(i) == block.entry(100 + i)));
    assert!(part.table.bytes_held() <= 200 * 23, "near to each other again: {}", part.table.bytes_held());
}

#[test]
fn a_scratch_block_takes_no_more_room_for_the_thousandth_block_of_several_epochs_than_for_the_second() {
    let mut block = Block::default();
    for i in 0..64u32 {
        let version = Version::new(1 + i % 3, u64::from(i) << (i % 2 * 40)); // of mixed epochs, and seqs far apart
        put(&mut block, &EntryRef { key: &i.to_be_bytes(), version, live: None });
    }
    let mut scratch = Block::default();
    let mut round = || {
        scratch.push_run(&block, 0, block.len());
        assert_eq!(scratch.finish().len(), 64);
        scratch.footprint()
    };
    let second = (round(), round()).1;
    assert_eq!((0..1000).map(|_| round()).max(), Some(second));
}
