//! A frame's entries as columns: the layout section. Values lie in a section of their own, one after another.
//!
//! ```text
//! flags (1 each) | shared prefix lengths | suffix lengths | value lengths | kinds (1 each) | key suffixes | versions | expiries
//! ```
//! Numbers are varints. An entry has a number in a column only when its flags say so; a key shares its prefix with the key before it.
//! A version is told as its distance from the frame's `to`: in a delta both are close together.

use bytes::Bytes;

use limosa_core::columns::RowParts;
use limosa_core::commit::read_u32;
use limosa_core::limits::{ENTRY_VALUE_BYTES_MAX, FRAME_BYTES_MAX, FRAME_ENTRIES_MAX, STORED_KEY_BYTES_MAX};
use limosa_core::varint::{self, Reader};
use limosa_core::{Columns, DecodeError, EntryRef, Expiry, Kind, Version};

/// A value follows; without it the entry is a tombstone and has none of the three below.
const LIVE: u8 = 1;
/// The entry has an expiry.
const EXPIRES: u8 = 1 << 1;
/// The entry is no string: its kind is in the kinds.
const KIND: u8 = 1 << 2;
/// The value is as long as the last live entry's.
const SAME_LENGTH: u8 = 1 << 3;
/// The version is the last entry's.
const SAME_VERSION: u8 = 1 << 4;
/// The epoch is not that of `to`: its distance comes before the seq's.
const OTHER_EPOCH: u8 = 1 << 5;

/// What an entry is told relative to.
struct Before<'a> {
    key: &'a [u8],
    value_len: u32,
    version: Version,
    expiry: u64,
}

impl Before<'_> {
    fn first(to: Version) -> Self {
        Self { key: &[], value_len: 0, version: to, expiry: 0 }
    }
}

/// Writes the layout of `entries`.
pub(crate) fn encode(entries: &Columns, to: Version) -> Vec<u8> {
    let mut columns = Writer { flags: Vec::with_capacity(entries.len()), ..Writer::default() };
    let mut before = Before::first(to);
    for entry in entries.iter() {
        columns.push(&entry, &mut before, to);
    }
    columns.join()
}

#[derive(Default)]
struct Writer {
    flags: Vec<u8>,
    shared: Vec<u8>,
    suffix_lens: Vec<u8>,
    value_lens: Vec<u8>,
    kinds: Vec<u8>,
    suffixes: Vec<u8>,
    versions: Vec<u8>,
    expiries: Vec<u8>,
}

impl Writer {
    fn push<'a>(&mut self, entry: &EntryRef<'a>, before: &mut Before<'a>, to: Version) {
        let mut flags = self.push_version(entry.version, before.version, to);
        let shared = before.key.iter().zip(entry.key).take_while(|(a, b)| a == b).count();
        varint::put(&mut self.shared, shared as u64);
        varint::put(&mut self.suffix_lens, (entry.key.len() - shared) as u64);
        self.suffixes.extend_from_slice(&entry.key[shared..]);
        if let Some(live) = entry.live {
            flags |= LIVE;
            let value_len = u32::try_from(live.value.len()).expect("values are bounded by a frame");
            if value_len == before.value_len {
                flags |= SAME_LENGTH;
            } else {
                varint::put(&mut self.value_lens, u64::from(value_len));
            }
            if live.kind != Kind::STRING {
                flags |= KIND;
                self.kinds.push(live.kind.code());
            }
            if live.expiry != Expiry::NEVER {
                flags |= EXPIRES;
                varint::put(&mut self.expiries, zigzag(live.expiry.millis().wrapping_sub(before.expiry)));
                before.expiry = live.expiry.millis();
            }
            before.value_len = value_len;
        }
        before.key = entry.key;
        before.version = entry.version;
        self.flags.push(flags);
    }

    fn push_version(&mut self, version: Version, before: Version, to: Version) -> u8 {
        if version == before {
            return SAME_VERSION;
        }
        let other_epoch = version.epoch != to.epoch;
        if other_epoch {
            varint::put(&mut self.versions, u64::from(to.epoch.wrapping_sub(version.epoch)));
        }
        varint::put(&mut self.versions, to.seq.wrapping_sub(version.seq));
        if other_epoch { OTHER_EPOCH } else { 0 }
    }

    fn join(self) -> Vec<u8> {
        [self.flags, self.shared, self.suffix_lens, self.value_lens, self.kinds, self.suffixes, self.versions, self.expiries].concat()
    }
}

/// Reads `count` entries whose values lie in `values`.
pub(crate) fn decode(layout: &[u8], values: Bytes, count: u32, to: Version) -> Result<Columns, DecodeError> {
    let mut reader = Reader::new(layout);
    if u64::from(count) > FRAME_ENTRIES_MAX {
        return Err(DecodeError::TooLarge { field: "frame.entries", value: u64::from(count), max: FRAME_ENTRIES_MAX });
    }
    let flags = reader.take("frame.flags", count as usize)?; // each entry has a byte here: nothing is allocated for entries that are not there
    let (shared, suffix_lens) = key_lengths(&mut reader, flags.len(), FRAME_BYTES_MAX.saturating_sub(values.len()))?;
    let mut rows = rows(&mut reader, flags)?;
    let keys = keys(&mut reader, &shared, &suffix_lens, &mut rows)?;
    versions(&mut reader, flags, to, &mut rows)?;
    expiries(&mut reader, flags, &mut rows)?;
    if !reader.is_empty() {
        return Err(DecodeError::Invalid { field: "frame.layout", why: "bytes behind the last column" });
    }
    Columns::from_parts(keys.into(), values, rows)
        .ok_or(DecodeError::Invalid { field: "frame.entries", why: "lengths that do not add up, or keys in disorder" })
}

/// Lengths of prefixes and suffixes; the keys they describe, written out, have at most `max` bytes.
fn key_lengths(reader: &mut Reader<'_>, count: usize, max: usize) -> Result<(Vec<u32>, Vec<u32>), DecodeError> {
    let mut lens = |field| (0..count).map(|_| read_key_len(reader, field)).collect::<Result<Vec<u32>, _>>();
    let shared = lens("frame.shared")?;
    let suffixes = lens("frame.suffixes")?;
    let (mut total, mut before) = (0u64, 0u64);
    for (&shared, &suffix) in shared.iter().zip(&suffixes) {
        let len = u64::from(shared) + u64::from(suffix);
        total += len;
        if u64::from(shared) > before {
            return Err(DecodeError::Invalid { field: "frame.shared", why: "longer than the key before" });
        }
        if len > STORED_KEY_BYTES_MAX as u64 {
            return Err(DecodeError::TooLarge { field: "frame.key", value: len, max: STORED_KEY_BYTES_MAX as u64 });
        }
        before = len;
    }
    if total > max as u64 {
        return Err(DecodeError::TooLarge { field: "frame.keys", value: total, max: max as u64 });
    }
    Ok((shared, suffixes))
}

fn read_key_len(reader: &mut Reader<'_>, field: &'static str) -> Result<u32, DecodeError> {
    let len = reader.varint_max(field, STORED_KEY_BYTES_MAX as u64)?;
    Ok(u32::try_from(len).expect("bounded above"))
}

/// Rows with the lengths of their values and their kinds.
fn rows(reader: &mut Reader<'_>, flags: &[u8]) -> Result<Vec<RowParts>, DecodeError> {
    let mut rows = Vec::with_capacity(flags.len());
    let mut value_len = 0;
    for &flags in flags {
        check_flags(flags)?;
        let is_live = flags & LIVE != 0;
        if is_live && flags & SAME_LENGTH == 0 {
            let len = reader.varint_max("frame.value", ENTRY_VALUE_BYTES_MAX as u64)?;
            value_len = u32::try_from(len).expect("bounded above");
        }
        let own_len = if is_live { value_len } else { 0 };
        let blank = RowParts { key_len: 0, value_len: own_len, version: Version::ZERO, expiry: Expiry::NEVER, kind: Kind::STRING, is_live };
        rows.push(blank);
    }
    for (row, &flags) in rows.iter_mut().zip(flags) {
        if flags & KIND != 0 {
            row.kind = Kind::from_code(reader.u8("frame.kinds")?);
        }
    }
    Ok(rows)
}

fn check_flags(flags: u8) -> Result<(), DecodeError> {
    let of_live = EXPIRES | KIND | SAME_LENGTH;
    let known = LIVE | of_live | SAME_VERSION | OTHER_EPOCH;
    let is_valid = flags & !known == 0
        && (flags & LIVE != 0 || flags & of_live == 0)
        && flags & (SAME_VERSION | OTHER_EPOCH) != SAME_VERSION | OTHER_EPOCH;
    if is_valid {
        Ok(())
    } else {
        Err(DecodeError::Invalid { field: "frame.flags", why: "an unknown flag, or two that exclude each other" })
    }
}

/// The keys, written out; `rows` get their lengths. The sum of the lengths was checked before.
fn keys(reader: &mut Reader<'_>, shared: &[u32], suffix_lens: &[u32], rows: &mut [RowParts]) -> Result<Vec<u8>, DecodeError> {
    let total: usize = shared.iter().zip(suffix_lens).map(|(&shared, &suffix)| shared as usize + suffix as usize).sum();
    let mut keys = Vec::with_capacity(total);
    let mut start = 0;
    for ((row, &shared), &suffix_len) in rows.iter_mut().zip(shared).zip(suffix_lens) {
        let suffix = reader.take("frame.keys", suffix_len as usize)?;
        let next = keys.len();
        keys.extend_from_within(start..start + shared as usize);
        keys.extend_from_slice(suffix);
        row.key_len = shared + suffix_len;
        start = next;
    }
    Ok(keys)
}

fn versions(reader: &mut Reader<'_>, flags: &[u8], to: Version, rows: &mut [RowParts]) -> Result<(), DecodeError> {
    let mut version = to;
    for (row, &flags) in rows.iter_mut().zip(flags) {
        if flags & SAME_VERSION == 0 {
            let epochs = if flags & OTHER_EPOCH == 0 { 0 } else { read_u32(reader, "frame.epochs")? };
            let seqs = reader.varint("frame.seqs")?;
            version = Version::new(to.epoch.wrapping_sub(epochs), to.seq.wrapping_sub(seqs));
        }
        row.version = version;
    }
    Ok(())
}

fn expiries(reader: &mut Reader<'_>, flags: &[u8], rows: &mut [RowParts]) -> Result<(), DecodeError> {
    let mut millis = 0u64;
    for (row, _) in rows.iter_mut().zip(flags).filter(|(_, flags)| **flags & EXPIRES != 0) {
        millis = millis.wrapping_add(unzigzag(reader.varint("frame.expiries")?));
        if millis == 0 {
            return Err(DecodeError::Invalid { field: "frame.expiries", why: "never, on an entry that expires" });
        }
        row.expiry = Expiry::from_millis(millis);
    }
    Ok(())
}

/// Small distances in either direction become small numbers.
fn zigzag(distance: u64) -> u64 {
    (distance << 1) ^ (distance.cast_signed() >> 63).cast_unsigned()
}

fn unzigzag(coded: u64) -> u64 {
    (coded >> 1) ^ (coded & 1).wrapping_neg()
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
