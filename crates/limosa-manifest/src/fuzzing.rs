//! The decoders of this crate for the fuzzers (see [`limosa_core::fuzzing`]): entries of the manifest, and what a node notes of it.

use limosa_core::cell::Move;
use limosa_core::fuzzing::Target;
use limosa_core::{FragmentId, KeyRange, NodeName, Version};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::entry;
use crate::ratchet::Ratchet;
use crate::{FragmentCell, Key, NodeEntry};

/// Every target of this crate.
pub const TARGETS: &[Target] = &[
    Target::new("manifest_cell", cell, cells),
    Target::new("manifest_node", node, nodes),
    Target::new("manifest_entry", bare, entries),
    Target::new("manifest_key", key, keys),
    Target::new("manifest_ratchet", ratchet, ratchets),
];

const CELL: Key = Key::Fragment(FragmentId(7));

/// The JSON of a cell; the line with its checksum is put before it here.
fn cell(json: &[u8]) {
    sealed::<FragmentCell>(&CELL, json);
}

/// The same of a node.
fn node(json: &[u8]) {
    sealed::<NodeEntry>(&Key::Node(name("a")), json);
}

fn sealed<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(key: &Key, json: &[u8]) {
    let Ok(json) = std::str::from_utf8(json) else { return };
    let Ok(value) = entry::decode::<T>(key, entry::sealed(key, json).as_bytes()) else { return };
    let text = entry::encode(key, &value).expect("what was read can be written");
    assert_eq!(entry::decode::<T>(key, text.as_bytes()).expect("what was written can be read"), value);
}

/// An entry as it lies in the store.
fn bare(stored: &[u8]) {
    drop(entry::decode::<FragmentCell>(&CELL, stored));
}

fn name(text: &str) -> NodeName {
    text.parse().expect("a good name")
}

fn sound_cells() -> Vec<FragmentCell> {
    let range = KeyRange::new(&b"\x10\0"[..], Some(b"\x20\0"[..].to_vec().into()));
    let new = FragmentCell::new("main", FragmentId(7), 1, range, name("a"));
    let joined = new.join(&name("a"), &name("b"), Version::ZERO).expect("the owner asks");
    let moving = joined.prepare(&name("a"), Move { id: 5, to: name("b"), deadline_ms: 100 }).expect("at rest");
    vec![new, joined, moving.marked(crate::Intent(3))]
}

fn cells() -> Vec<Vec<u8>> {
    sound_cells().iter().map(|cell| serde_json::to_vec(cell).expect("text")).collect()
}

fn nodes() -> Vec<Vec<u8>> {
    let at = |port| format!("a.example:{port}");
    let labels = [("rack".to_owned(), "7".to_owned())].into();
    let node = NodeEntry {
        name: name("a"),
        incarnation: 77,
        peer: at(1),
        resp: at(2),
        http: at(3),
        zone: "west".to_owned(),
        labels,
        leaving: false,
    };
    vec![serde_json::to_vec(&node).expect("text")]
}

fn entries() -> Vec<Vec<u8>> {
    sound_cells().iter().map(|cell| entry::encode(&CELL, cell).expect("small").into_bytes()).collect()
}

fn key(text: &[u8]) {
    let Some(key) = std::str::from_utf8(text).ok().and_then(Key::parse) else { return };
    assert_eq!(key.to_string().as_bytes(), text, "a key has one text");
}

fn keys() -> Vec<Vec<u8>> {
    [CELL, Key::Node(name("n1")), Key::Alive(name("n1"))].iter().map(|key| key.to_string().into_bytes()).collect()
}

fn ratchet(bytes: &[u8]) {
    let Ok(ratchet) = Ratchet::from_bytes(bytes) else { return };
    assert_eq!(Ratchet::from_bytes(&ratchet.to_bytes()), Ok(ratchet));
}

fn ratchets() -> Vec<Vec<u8>> {
    let mut ratchet = Ratchet::default();
    ratchet.see_revision(9, 300, 0).expect("the first one");
    ratchet.see_epoch(FragmentId(7), 3, 0).expect("the first one");
    ratchet.see_epoch(FragmentId(300), 1, 0).expect("the first one");
    vec![ratchet.to_bytes(), Ratchet::default().to_bytes()]
}
