//! The decoders of this crate for the fuzzers (see [`limosa_core::fuzzing`]), and what a fragment does with parts that a peer made.

use std::sync::Arc;

use limosa_core::fuzzing::Target;
use limosa_core::varint::Reader;
use limosa_core::{Commit, Digest, EntryRef, Expiry, FragmentId, KeyRange, Kind, LiveRef, SpaceKeys, Version};

use crate::block::{Block, BlockName};
use crate::fragment::{Fragment, StoredBlock};
use crate::summary::Summary;

/// Every target of this crate.
pub const TARGETS: &[Target] = &[
    Target::new("tree_block", block, blocks),
    Target::new("tree_summary", summary, summaries),
    // Blocks are written anew for each part that changes them.
    Target::new("tree_parts", parts, commits).allowed(1 << 20, 4 << 10),
];

/// Longer than what lies among the entries' bytes.
const LONG: &[u8] = &[7; 300];
const NAME: BlockName<'static> = BlockName { fragment: FragmentId(7), first_key: b"a" };

fn keys() -> SpaceKeys {
    SpaceKeys::derive(&[7; 32], "default")
}

/// is a patch (1) | a block's bytes before the seal, which is put behind them here.
fn block(bytes: &[u8]) {
    let Some((&is_patch, body)) = bytes.split_first() else { return };
    let (keys, summary) = (keys(), empty());
    let sealed = [body, &keys.block_check(body)].concat();
    let (whole, patches) = if is_patch == 0 { (sealed, vec![]) } else { (sound(&keys), vec![sealed]) };
    let Ok((block, _)) = Block::decode(&StoredBlock { summary, whole, patches }, &keys, NAME) else { return };
    let again = StoredBlock { summary, whole: block.encode(&keys, NAME), patches: vec![] };
    let (found, is_sealed) = Block::decode(&again, &keys, NAME).expect("what was read can be written");
    assert!(is_sealed && (0..block.len()).all(|i| block.entry(i) == found.entry(i)) && block.len() == found.len());
}

fn empty() -> Summary {
    Summary::from_bytes(&summaries()[0]).expect("a sound one")
}

fn entries() -> Vec<EntryRef<'static>> {
    let live = |value, expiry| Some(LiveRef { kind: Kind::STRING, expiry, value });
    let entry = |key, seq, live| EntryRef { key, version: Version::new(1, seq), live };
    vec![entry(b"a", 3, live(b"one", Expiry::NEVER)), entry(b"b", 4, None), entry(b"c", 5, live(LONG, Expiry::at(1_790_000_000_000)))]
}

fn made(which: &[EntryRef<'static>]) -> Block {
    let mut block = Block::default();
    for entry in which {
        block.push(entry, entry.live.map_or(Digest::ZERO, |live| keys().content(entry.key, live)));
    }
    block
}

fn sound(keys: &SpaceKeys) -> Vec<u8> {
    made(&entries()).encode(keys, NAME)
}

fn blocks() -> Vec<Vec<u8>> {
    let keys = keys();
    let of = |is_patch: u8, sealed: Vec<u8>| [&[is_patch], &sealed[..sealed.len() - 16]].concat();
    let patch = made(&entries()).encode_patch(&keys, NAME, Version::new(1, 3)).expect("two are newer");
    vec![of(0, sound(&keys)), of(1, patch)]
}

fn summary(bytes: &[u8]) {
    let Ok(summary) = Summary::from_bytes(bytes) else { return };
    assert!(summary.same_entries(&Summary::from_bytes(&summary.to_bytes()).expect("what was read can be written")));
}

fn summaries() -> Vec<Vec<u8>> {
    let mut fragment = Fragment::new(FragmentId(7), KeyRange::ALL, Arc::new(keys()));
    fragment.open_epoch(1, 9);
    fill(&mut fragment);
    vec![fragment.total().to_bytes().to_vec()]
}

fn fill(fragment: &mut Fragment) {
    for (seq, entry) in (1..).zip(entries()) {
        let version = Version::new(1, seq);
        let entries = vec![EntryRef { version, ..entry }];
        let part = limosa_core::Part { fragment: FragmentId(7), version, range_deletes: vec![], entries };
        fragment.apply_part(&part).expect("the next version");
    }
}

/// A commit: its parts are applied to a fragment with three entries, which stands at 1.3. A part that is refused changes nothing.
fn parts(bytes: &[u8]) {
    let Ok(commit) = Commit::decode(&mut Reader::new(bytes)) else { return };
    let range = KeyRange::new(&b"a"[..], Some(b"q"[..].to_vec().into()));
    let mut fragment = Fragment::new(FragmentId(7), range, Arc::new(keys()));
    fragment.open_epoch(1, 9);
    fill(&mut fragment);
    for part in &commit.parts {
        let before = (fragment.head(), fragment.total());
        match fragment.apply_part(part) {
            Ok(()) => assert!(fragment.head() == part.version && part.version.seq == before.0.seq + 1),
            Err(_) => assert_eq!((fragment.head(), fragment.total()), before),
        }
    }
}

fn commits() -> Vec<Vec<u8>> {
    let version = Version::new(1, 4);
    let deleted = limosa_core::RangeDelete { range: KeyRange::new(&b"b"[..], Some(b"d"[..].to_vec().into())), version };
    let entries: Vec<_> = entries().into_iter().map(|entry| EntryRef { version, ..entry }).collect();
    let part = |range_deletes, entries| limosa_core::Part { fragment: FragmentId(7), version, range_deletes, entries };
    let encoded = |part| {
        let mut out = Vec::new();
        Commit { stamp_ms: 9, parts: vec![part] }.encode(&mut out);
        out
    };
    vec![encoded(part(vec![], entries.clone())), encoded(part(vec![deleted], vec![entries[0]]))]
}
