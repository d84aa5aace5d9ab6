//! The commit: an atomic batch on one or several fragments, and its bytes, which journal, ring and live stream share.
//!
//! ```text
//! commit: stamp | parts | part..
//! part:   fragment | epoch | seq | range deletes | range delete.. | entries | entry..
//! range delete: start (bytes) | has end (1) | end (bytes, if it has)      version = the part's
//! entry:  flags (1): live 1, expiry 2 | key (bytes) | kind (1, if live) | expiry (if flagged) | value (bytes, if live)
//! ```
//! Numbers are varints, "bytes" are length-prefixed. A part's range deletes come before its entries and do not touch them.

use bytes::Bytes;

use crate::entry::{EntryRef, Expiry, Kind, LiveRef};
use crate::error::DecodeError;
use crate::fragment::FragmentId;
use crate::limits::{COMMIT_ENTRIES_MAX, COMMIT_PARTS_MAX, ENTRY_VALUE_BYTES_MAX, STORED_KEY_BYTES_MAX};
use crate::range::{KeyRange, RangeDelete};
use crate::varint::{self, Reader};
use crate::version::Version;

/// What a commit does to one fragment, under one version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part<'a> {
    /// Which fragment.
    pub fragment: FragmentId,
    /// The version of every entry and range delete in this part.
    pub version: Version,
    /// Applied first.
    pub range_deletes: Vec<RangeDelete>,
    /// Applied behind the range deletes, in any order; each key at most once.
    pub entries: Vec<EntryRef<'a>>,
}

/// An atomic batch. Parts name distinct fragments.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Commit<'a> {
    /// Hybrid logical clock, milliseconds since the Unix epoch: for people, staleness and expiry. Decides no write's safety.
    pub stamp_ms: u64,
    /// What happens to each fragment.
    pub parts: Vec<Part<'a>>,
}

const LIVE: u8 = 1;
const EXPIRES: u8 = 2;

impl<'a> Commit<'a> {
    /// Appends the commit's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        varint::put(out, self.stamp_ms);
        varint::put(out, self.parts.len() as u64);
        for part in &self.parts {
            part.encode(out);
        }
    }

    /// Reads one commit; `reader` stands behind it afterwards.
    ///
    /// # Errors
    /// The bytes end early, declare more than the limits allow, or hold an unknown flag.
    pub fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let stamp_ms = reader.varint("commit.stamp")?;
        let count = reader.varint_max("commit.parts", COMMIT_PARTS_MAX)?;
        let parts = (0..count).map(|_| Part::decode(reader)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { stamp_ms, parts })
    }
}

impl<'a> Part<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        varint::put(out, u64::from(self.fragment.0));
        varint::put(out, u64::from(self.version.epoch));
        varint::put(out, self.version.seq);
        varint::put(out, self.range_deletes.len() as u64);
        for delete in &self.range_deletes {
            put_range(out, &delete.range);
        }
        varint::put(out, self.entries.len() as u64);
        for entry in &self.entries {
            put_entry(out, entry);
        }
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let fragment = FragmentId(read_u32(reader, "part.fragment")?);
        let version = Version::new(read_u32(reader, "part.epoch")?, reader.varint("part.seq")?);
        let deletes = reader.varint_max("part.range_deletes", COMMIT_ENTRIES_MAX)?;
        let range_deletes =
            (0..deletes).map(|_| Ok(RangeDelete { range: read_range(reader)?, version })).collect::<Result<Vec<_>, DecodeError>>()?;
        let count = reader.varint_max("part.entries", COMMIT_ENTRIES_MAX)?;
        let entries = (0..count).map(|_| read_entry(reader, version)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { fragment, version, range_deletes, entries })
    }
}

/// Appends a key range: start, then whether it has an end, then the end.
pub fn put_range(out: &mut Vec<u8>, range: &KeyRange) {
    varint::put_bytes(out, &range.start);
    match &range.end {
        None => out.push(0),
        Some(end) => {
            out.push(1);
            varint::put_bytes(out, end);
        }
    }
}

/// The inverse of [`put_range`].
///
/// # Errors
/// The bytes end early, a bound is longer than a stored key can be, or the range is empty.
pub fn read_range(reader: &mut Reader<'_>) -> Result<KeyRange, DecodeError> {
    let start = Bytes::copy_from_slice(reader.bytes_max("range.start", STORED_KEY_BYTES_MAX)?);
    let end = match reader.u8("range.has_end")? {
        0 => None,
        1 => Some(Bytes::copy_from_slice(reader.bytes_max("range.end", STORED_KEY_BYTES_MAX)?)),
        _ => return Err(DecodeError::Invalid { field: "range.has_end", why: "neither 0 nor 1" }),
    };
    let range = KeyRange { start, end };
    if range.is_empty() {
        return Err(DecodeError::Invalid { field: "range", why: "it ends before it starts" });
    }
    Ok(range)
}

fn put_entry(out: &mut Vec<u8>, entry: &EntryRef<'_>) {
    let expires = entry.live.is_some_and(|live| live.expiry != Expiry::NEVER);
    out.push(if entry.live.is_some() { LIVE } else { 0 } | if expires { EXPIRES } else { 0 });
    varint::put_bytes(out, entry.key);
    if let Some(live) = entry.live {
        out.push(live.kind.code());
        if expires {
            varint::put(out, live.expiry.millis());
        }
        varint::put_bytes(out, live.value);
    }
}

fn read_entry<'a>(reader: &mut Reader<'a>, version: Version) -> Result<EntryRef<'a>, DecodeError> {
    let flags = reader.u8("entry.flags")?;
    if flags & !(LIVE | EXPIRES) != 0 || flags == EXPIRES {
        return Err(DecodeError::Invalid { field: "entry.flags", why: "an unknown flag" });
    }
    let key = reader.bytes_max("entry.key", STORED_KEY_BYTES_MAX)?;
    if flags & LIVE == 0 {
        return Ok(EntryRef { key, version, live: None });
    }
    let kind = Kind::from_code(reader.u8("entry.kind")?);
    let expiry = if flags & EXPIRES == 0 { Expiry::NEVER } else { Expiry::from_millis(reader.varint("entry.expiry")?) };
    let value = reader.bytes_max("entry.value", ENTRY_VALUE_BYTES_MAX)?;
    Ok(EntryRef { key, version, live: Some(LiveRef { kind, expiry, value }) })
}

/// Reads a 32-bit number out of a varint.
///
/// # Errors
/// The bytes end early or the number has more than 32 bits.
pub fn read_u32(reader: &mut Reader<'_>, field: &'static str) -> Result<u32, DecodeError> {
    let value = reader.varint_max(field, u64::from(u32::MAX))?;
    Ok(u32::try_from(value).expect("bounded above"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Commit<'static> {
        let live = LiveRef { kind: Kind::STRING, expiry: Expiry::at(77), value: b"value" };
        let version = Version::new(3, 900);
        Commit {
            stamp_ms: 1_790_000_000_000,
            parts: vec![Part {
                fragment: FragmentId(7),
                version,
                range_deletes: vec![RangeDelete { range: KeyRange::new(&b"a"[..], Some(Bytes::from_static(b"c"))), version }],
                entries: vec![
                    EntryRef { key: b"k", version, live: Some(live) },
                    EntryRef { key: b"l", version, live: None },
                    EntryRef { key: b"m", version, live: Some(LiveRef { expiry: Expiry::NEVER, value: b"", ..live }) },
                ],
            }],
        }
    }

    #[test]
    fn a_commit_round_trips() {
        let mut bytes = Vec::new();
        sample().encode(&mut bytes);
        let mut reader = Reader::new(&bytes);
        assert_eq!(Commit::decode(&mut reader), Ok(sample()));
        assert!(reader.is_empty());
    }

    #[test]
    fn a_commit_cut_anywhere_is_refused() {
        let mut bytes = Vec::new();
        sample().encode(&mut bytes);
        for end in 0..bytes.len() {
            assert!(Commit::decode(&mut Reader::new(&bytes[..end])).is_err(), "cut at {end}");
        }
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Commit::decode(&mut Reader::new(&bytes));
        }
    }
}
