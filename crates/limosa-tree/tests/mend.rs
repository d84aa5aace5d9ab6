//! A damaged block gets its entries back from another node, or nothing changes.

mod common;

use bytes::Bytes;
use common::{Checkpoint, Pair, Value, frames, key};
use limosa_core::{EntryRef, Frame, KeyRange, Version};
use limosa_tree::{ColdBlock, Extract, Fragment, MendError, Mended, TreeError};

/// A peer with everything, and a node whose blocks are all damaged.
fn damaged(pair: &Pair) -> (Fragment, Vec<Bytes>) {
    let mut checkpoint = Checkpoint::default();
    checkpoint.write(&mut pair.fragment.clone());
    checkpoint.blocks.values_mut().for_each(|stored| stored.whole[20] ^= 1);
    let firsts = checkpoint.blocks.keys().cloned().collect();
    (checkpoint.open(&pair.fragment), firsts)
}

/// Everything that a peer has of a block's range.
fn fetched(peer: &Fragment, block: &ColdBlock) -> Frame {
    let (frame, next) = peer.delta(&block.range, Version::ZERO, Extract::WholeRange, usize::MAX).expect("the peer's blocks are sound");
    assert_eq!(next, None);
    frame
}

fn mend_all(node: &mut Fragment, peer: &Fragment, firsts: &[Bytes]) {
    for first in firsts {
        let block = node.cold_block(first).expect("damaged, so never loaded");
        let frame = fetched(peer, &block);
        assert_eq!(node.mend(first, frame.entries.iter(), peer.floor()), Ok(Mended::Yes));
    }
}

#[test]
fn damaged_blocks_come_back_whole_dirty_and_only_as_their_summaries_say() {
    let mut pair = Pair::fill(3_000);
    pair.commit(&[], &(0..300).map(|i| (i * 9, None)).collect::<Vec<_>>());
    let (mut node, firsts) = damaged(&pair);
    assert!(matches!(node.get(&key(5)), Err(TreeError::Corrupt { .. })), "before");
    let (before, snapshot) = (node.facts(), node.clone());
    mend_all(&mut node, &pair.fragment, &firsts);
    assert_eq!(node.facts(), before);
    pair.model.check(&node);
    pair.model.check(&snapshot);
    let written: Vec<_> = node.dirty_since(0).map(|block| block.first_key).collect();
    assert_eq!(written, firsts, "the next checkpoint writes every one");
    assert_eq!(node.mend(&firsts[0], [], Version::ZERO), Ok(Mended::NotNeeded), "mended already");
    let mut checkpoint = Checkpoint::default();
    checkpoint.write(&mut node);
    pair.model.check(&checkpoint.open(&node));
}

#[test]
fn a_peer_that_is_ahead_behind_or_wrong_changes_nothing() {
    let pair = Pair::fill(2_000);
    let (mut node, firsts) = damaged(&pair);
    let before = node.facts();
    let block = node.cold_block(&firsts[3]).expect("cold");
    let in_block = pair.model.within(&block.range).map(|entry| entry.key.to_vec()).next().expect("never empty");
    let mut ahead = pair.clone();
    let number: u32 = String::from_utf8_lossy(&in_block[1..]).parse().expect("a key of ours");
    ahead.commit(&[], &[(number, Some(Value::of(77)))]);
    let frame = fetched(&ahead.fragment, &block);
    assert!(matches!(node.mend(&firsts[3], frame.entries.iter(), Version::ZERO), Err(MendError::Differs { .. })), "ahead");
    let good = fetched(&pair.fragment, &block);
    let lacking = good.entries.iter().skip(1);
    assert!(matches!(node.mend(&firsts[3], lacking, Version::ZERO), Err(MendError::Differs { .. })), "an entry lacks");
    let stray = EntryRef { key: &key(99_999), version: Version::new(1, 1), live: None };
    let strayed = good.entries.iter().chain([stray]);
    assert!(matches!(node.mend(&firsts[3], strayed, Version::ZERO), Err(MendError::Misplaced { .. })), "another block's key");
    let twice = good.entries.iter().chain(good.entries.iter());
    assert!(matches!(node.mend(&firsts[3], twice, Version::ZERO), Err(MendError::Misplaced { .. })), "out of order");
    assert_eq!(node.facts(), before);
    assert!(node.cold_block(&firsts[3]).is_some(), "still damaged");
}

#[test]
fn tombstones_that_the_peer_has_collected_are_gone_and_the_floor_says_so() {
    let mut pair = Pair::fill(2_000);
    let firsts_of = |pair: &Pair| damaged(pair).1;
    // Among them keys that start blocks: their leaves must not lose the key that they are filed under.
    let numbers: Vec<u32> = firsts_of(&pair)
        .iter()
        .filter_map(|first| String::from_utf8_lossy(&first[1..]).parse().ok())
        .chain((0..200).map(|i| i * 7))
        .collect();
    pair.commit(&[], &numbers.iter().map(|i| (*i, None)).collect::<Vec<_>>());
    let mut peer = pair.fragment.clone();
    peer.collect_tombstones(pair.fragment.head()).expect("in memory");
    let (mut node, firsts) = damaged(&pair);
    let before = node.facts();
    mend_all(&mut node, &peer, &firsts);
    let after = node.facts();
    assert_eq!((after.live, after.state, after.content, after.head), (before.live, before.state, before.content, before.head));
    assert!(after.tombstones < before.tombstones);
    assert_eq!(after.floor, peer.floor());
    // The mended tree goes on as any other: commits, a delta, and a frame onto it.
    let mut going_on = Pair { fragment: node, model: pair.model.clone() };
    going_on.model.entries.retain(|key, (_, value)| value.is_some() || going_on.fragment.get(key).expect("sound").is_some());
    for (key, (version, value)) in &mut going_on.model.entries {
        if value.is_none() {
            *version = going_on.fragment.get(key).expect("sound").expect("kept").as_ref().version;
        }
    }
    for number in numbers {
        going_on.commit(&[], &[(number, Some(Value::of(number)))]);
    }
    going_on.model.check(&going_on.fragment);
    let mut other = common::fragment();
    for frame in frames(&going_on.fragment, Version::ZERO, Extract::Changes, 10_000) {
        other.apply_frame(&frame, &[]).expect("a copy into an empty range");
    }
    assert_eq!(other.facts().state, going_on.fragment.facts().state);
}

#[test]
fn tombstones_that_this_node_has_collected_do_not_tear_blocks_apart() {
    let mut pair = Pair::fill(2_000);
    let firsts = damaged(&pair).1;
    let numbers: Vec<u32> = firsts.iter().filter_map(|first| String::from_utf8_lossy(&first[1..]).parse().ok()).collect();
    pair.commit(&[], &numbers.iter().map(|i| (*i, None)).collect::<Vec<_>>());
    let peer = pair.fragment.clone();
    pair.fragment.collect_tombstones(peer.head()).expect("in memory");
    pair.model.entries.retain(|_, (_, value)| value.is_some());
    let (mut node, merged) = damaged(&pair);
    assert!(merged.len() < firsts.len(), "blocks that lost their first key joined their predecessors");
    mend_all(&mut node, &peer, &merged);
    pair.model.check(&node);
}

#[test]
fn the_range_of_a_block_ends_where_the_next_one_or_the_fragment_does() {
    let pair = Pair::fill(1_000);
    let (node, firsts) = damaged(&pair);
    let ranges: Vec<KeyRange> = firsts.iter().map(|first| node.cold_block(first).expect("cold").range).collect();
    assert!(ranges.windows(2).all(|pair| pair[0].end.as_ref() == Some(&pair[1].start)));
    assert_eq!(ranges.last().expect("some").end, common::range().end);
    assert_eq!(node.cold_block(b"k-none"), None);
}
