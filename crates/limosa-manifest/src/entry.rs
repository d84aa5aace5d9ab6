//! How an entry lies in the store: one line that says what it is and guards it, then JSON that people can read.
//!
//! ```text
//! limosa-manifest <format> <feature bits> <CRC-32, 8 hex digits> <signature, or ->
//! {"fragment":7,…}
//! ```
//! The checksum covers the key, a zero byte and everything behind the first line: an entry under a wrong key is found too.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::ManifestError;
use crate::key::Key;

const MAGIC: &str = "limosa-manifest";
const FORMAT: u32 = 1;
const FEATURES_KNOWN: u32 = 0;
/// Room for a signature over the same bytes as the checksum; there is none yet.
const UNSIGNED: &str = "-";

/// Largest entry, bytes: far below what etcd takes in one request (1.5 MiB).
pub const ENTRY_BYTES_MAX: usize = 256 << 10;

/// The entry's text.
pub fn encode<T: Serialize>(key: &Key, value: &T) -> Result<String, ManifestError> {
    let body = serde_json::to_string(value).expect("entries are maps with text keys");
    let text = sealed(key, &body);
    if text.len() > ENTRY_BYTES_MAX {
        return Err(ManifestError::Limit { what: "bytes of a manifest entry", value: text.len() as u64, max: ENTRY_BYTES_MAX as u64 });
    }
    Ok(text)
}

/// The entry with this body.
pub(crate) fn sealed(key: &Key, body: &str) -> String {
    format!("{MAGIC} {FORMAT} {FEATURES_KNOWN} {:08x} {UNSIGNED}\n{body}", checksum(key, body))
}

/// What an entry says, if it is whole and of a format that this program knows.
pub fn decode<T: DeserializeOwned>(key: &Key, stored: &[u8]) -> Result<T, ManifestError> {
    let damaged = |why: &str| ManifestError::Damaged { key: key.to_string(), why: why.to_owned() };
    if stored.len() > ENTRY_BYTES_MAX {
        return Err(damaged("it is larger than any entry may be"));
    }
    let text = std::str::from_utf8(stored).map_err(|_| damaged("it is not text"))?;
    let (head, body) = text.split_once('\n').ok_or_else(|| damaged("it has no first line"))?;
    let words: Vec<&str> = head.split(' ').collect();
    let &[magic, format, features, crc, _signature] = &words[..] else { return Err(damaged("its first line has not five words")) };
    let number =
        |text: &str, radix| u32::from_str_radix(text, radix).map_err(|_| damaged("its first line holds no number where one belongs"));
    let (format, features, crc) = (number(format, 10)?, number(features, 10)?, number(crc, 16)?);
    if magic != MAGIC {
        return Err(damaged("it does not begin as an entry does"));
    }
    // The checksum first: a flipped bit does not pass for a newer format.
    if crc != checksum(key, body) {
        return Err(damaged("its checksum does not match"));
    }
    newer(key, "format version", format, FORMAT)?;
    newer(key, "feature bits", features & !FEATURES_KNOWN, 0)?;
    serde_json::from_str(body).map_err(|error| damaged(&error.to_string()))
}

fn newer(key: &Key, what: &'static str, found: u32, known: u32) -> Result<(), ManifestError> {
    if found > known {
        return Err(ManifestError::Newer { key: key.to_string(), what, found, known });
    }
    Ok(())
}

fn checksum(key: &Key, body: &str) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key.to_string().as_bytes());
    hasher.update(&[0]);
    hasher.update(body.as_bytes());
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use limosa_core::FragmentId;
    use std::collections::BTreeMap;

    const KEY: Key = Key::Fragment(FragmentId(7));

    fn value() -> BTreeMap<String, u32> {
        BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 20)])
    }

    #[test]
    fn an_entry_survives_and_a_flip_at_every_byte_behind_the_first_line_is_found() {
        let text = encode(&KEY, &value()).expect("small");
        assert_eq!(decode::<BTreeMap<String, u32>>(&KEY, text.as_bytes()).expect("whole"), value());
        let body = text.find('\n').expect("a first line") + 1;
        for at in body..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            let refused = decode::<BTreeMap<String, u32>>(&KEY, &bytes).expect_err("a flipped bit");
            assert_eq!(refused.code(), "manifest.damaged", "at {at}");
        }
    }

    #[test]
    fn an_entry_under_another_key_is_damaged() {
        let text = encode(&KEY, &value()).expect("small");
        let other = Key::Fragment(FragmentId(8));
        assert_eq!(decode::<BTreeMap<String, u32>>(&other, text.as_bytes()).expect_err("wrong key").code(), "manifest.damaged");
    }

    #[test]
    fn a_newer_format_is_refused_by_name() {
        let text = encode(&KEY, &value()).expect("small").replacen("limosa-manifest 1 0", "limosa-manifest 2 0", 1);
        assert_eq!(decode::<BTreeMap<String, u32>>(&KEY, text.as_bytes()).expect_err("newer").code(), "manifest.format_newer");
        let text = encode(&KEY, &value()).expect("small").replacen("limosa-manifest 1 0", "limosa-manifest 1 4", 1);
        assert_eq!(decode::<BTreeMap<String, u32>>(&KEY, text.as_bytes()).expect_err("features").code(), "manifest.format_newer");
    }

    #[test]
    fn foreign_bytes_are_damaged_never_a_panic() {
        for bytes in [&b""[..], b"\n", b"limosa-manifest", b"limosa-manifest 1 0 zz -\n{}", b"\xff\xfe\n", b"a b c d e\n{}"] {
            assert_eq!(decode::<BTreeMap<String, u32>>(&KEY, bytes).expect_err("no entry").code(), "manifest.damaged");
        }
    }

    #[test]
    fn too_large_an_entry_is_refused_before_it_is_sent() {
        let large = "x".repeat(ENTRY_BYTES_MAX);
        assert_eq!(encode(&KEY, &large).expect_err("above the limit").code(), "manifest.limit");
    }

    #[test]
    fn a_cell_survives_its_entry_and_one_without_replicas_is_read() {
        use limosa_core::{KeyRange, Version};
        let name = |text: &str| text.parse::<limosa_core::NodeName>().expect("a good name");
        let cell = crate::FragmentCell::new("main", FragmentId(7), 1, KeyRange::ALL, name("a"));
        let cell = cell.join(&name("a"), &name("b"), Version::ZERO).expect("the owner asks");
        let cell = cell.prepare(&name("a"), crate::cell::Move { id: 5, to: name("b"), deadline_ms: 100 }).expect("at rest");
        let cell = cell.marked(crate::Intent(3));
        let text = encode(&KEY, &cell).expect("small");
        assert_eq!(decode::<crate::FragmentCell>(&KEY, text.as_bytes()).expect("whole"), cell);
        assert!(text.contains("\"serving\":\"a\""), "people can read it: {text}");
        let body = text.split_once('\n').expect("a first line").1.replace("\"replicas\":[],", "");
        assert!(!body.contains("replicas"), "as earlier versions wrote it: {body}");
        assert_eq!(serde_json::from_str::<crate::FragmentCell>(&body).expect("replicas may be missing"), cell);
    }
}
