//! A block's bytes in a checkpoint: the whole block, or a patch with the entries that changed since an earlier checkpoint.
//!
//! ```text
//! format 2   magic "LMBK" | 2 (1) | feature bits (1) | shape (1): whole 0, patch 1 | name | count | entry.. | seal (16)
//! format 1   magic "LMBK" | 1 (1) | feature bits (1)                               | name | count | entry.. | CRC-32 (4)     only read
//! name       space-key id (8) | fragment | first key (bytes)
//! entry      flags (1): live 1, expiry 2 | epoch | seq | key (bytes) | live: kind (1) | expiry (if flagged)
//!                                                                          | content digest (16, format 2) | value (bytes)
//! ```
//! Numbers are varints where no width is given, widths are little-endian, "bytes" are length-prefixed. The *seal* is keyed BLAKE3 over all
//! before it. Reading checks one hash over the block, and the sum of the digests that it stores; format 1 has none, each is computed again.

use limosa_core::commit::read_u32;
use limosa_core::limits::{ENTRY_VALUE_BYTES_MAX, STORED_KEY_BYTES_MAX};
use limosa_core::planted::{self, Bug};
use limosa_core::varint::{self, Reader};
use limosa_core::{DecodeError, Digest, EntryRef, Expiry, FragmentId, Kind, LiveRef, SpaceKeys, Version};

use super::Block;
use crate::fragment::StoredBlock;

const MAGIC: [u8; 4] = *b"LMBK";
const FORMAT: u8 = 2;
const FORMAT_UNSEALED: u8 = 1;
const FEATURES_KNOWN: u8 = 0;
const WHOLE: u8 = 0;
const PATCH: u8 = 1;
const SEAL_BYTES: usize = 16;
const LIVE: u8 = 1;
const EXPIRES: u8 = 2;
/// Flags, epoch, seq, key length: the shortest entry.
const ENTRY_BYTES_MIN: usize = 4;
/// Bytes of an entry beside key and value, about.
const ENTRY_BYTES_BESIDE: usize = 34;

/// Which block some bytes must be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockName<'a> {
    /// Which fragment.
    pub(crate) fragment: FragmentId,
    /// What the block is filed under.
    pub(crate) first_key: &'a [u8],
}

/// An entry in stored bytes, with its content digest.
type Entry<'a> = (EntryRef<'a>, Digest);

impl Block {
    /// The whole block's bytes.
    pub(crate) fn encode(&self, keys: &SpaceKeys, name: BlockName<'_>) -> Vec<u8> {
        self.encode_some(keys, name, WHOLE, &(0..self.len()).collect::<Vec<_>>())
    }

    /// The bytes of those entries that are newer than `since`; `None` when there are none.
    pub(crate) fn encode_patch(&self, keys: &SpaceKeys, name: BlockName<'_>, since: Version) -> Option<Vec<u8>> {
        let newer: Vec<usize> = (0..self.len()).filter(|&i| self.version(i) > since).collect();
        (!newer.is_empty()).then(|| self.encode_some(keys, name, PATCH, &newer))
    }

    fn encode_some(&self, keys: &SpaceKeys, name: BlockName<'_>, shape: u8, which: &[usize]) -> Vec<u8> {
        let payload: usize = which.iter().map(|&i| self.entry(i).payload_bytes() + ENTRY_BYTES_BESIDE).sum();
        let mut out = Vec::with_capacity(64 + name.first_key.len() + payload);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[FORMAT, FEATURES_KNOWN, shape]);
        out.extend_from_slice(&keys.id().to_le_bytes());
        varint::put(&mut out, u64::from(name.fragment.0));
        varint::put_bytes(&mut out, name.first_key);
        varint::put(&mut out, which.len() as u64);
        for &i in which {
            put_entry(&mut out, &self.entry(i), self.content(i));
        }
        let seal = keys.block_check(&out);
        out.extend_from_slice(&seal);
        out
    }

    /// Reads a block that must be `name`'s, and whether a seal vouches for the digests and versions in it.
    pub(crate) fn decode(stored: &StoredBlock, keys: &SpaceKeys, name: BlockName<'_>) -> Result<(Self, bool), DecodeError> {
        let (mut entries, mut is_sealed) = read(&stored.whole, keys, name, WHOLE)?;
        for patch in &stored.patches {
            let (newer, sealed) = read(patch, keys, name, PATCH)?;
            entries = merged(entries, newer);
            is_sealed &= sealed;
        }
        let mut block = Self::with_room(&entries);
        for (entry, content) in &entries {
            block.push(entry, *content);
        }
        Ok((block, is_sealed))
    }
}

/// The entries of both, the newer ones where both have a key.
fn merged<'a>(older: Vec<Entry<'a>>, newer: Vec<Entry<'a>>) -> Vec<Entry<'a>> {
    let mut out = Vec::with_capacity(older.len() + newer.len());
    let mut older = older.into_iter().peekable();
    for entry in newer {
        while let Some(before) = older.next_if(|(old, _)| old.key < entry.0.key) {
            out.push(before);
        }
        older.next_if(|(old, _)| old.key == entry.0.key);
        out.push(entry);
    }
    out.extend(older);
    out
}

fn read<'a>(bytes: &'a [u8], keys: &SpaceKeys, name: BlockName<'_>, shape: u8) -> Result<(Vec<Entry<'a>>, bool), DecodeError> {
    let is_sealed = bytes.get(MAGIC.len()) != Some(&FORMAT_UNSEALED);
    let body = if is_sealed { sealed_body(bytes, keys)? } else { checked_body(bytes)? };
    let mut reader = Reader::new(body);
    check_format(&mut reader)?;
    let found = if is_sealed { reader.u8("block.shape")? } else { WHOLE };
    if found != shape {
        return Err(DecodeError::Invalid { field: "block.shape", why: "a patch for a whole block, or the reverse" });
    }
    check_name(&mut reader, keys, name)?;
    let count = reader.varint_max("block.count", (body.len() / ENTRY_BYTES_MIN) as u64)?;
    let mut entries: Vec<Entry<'a>> = Vec::new(); // grows with what is really there: the count is only a claim
    for _ in 0..count {
        let entry = read_entry(&mut reader, is_sealed, keys)?;
        let above = entries.last().map_or(entry.0.key >= name.first_key, |(last, _)| entry.0.key > last.key);
        if !above {
            return Err(DecodeError::Invalid { field: "block.key", why: "keys are not ascending" });
        }
        entries.push(entry);
    }
    if !reader.is_empty() || count == 0 {
        return Err(DecodeError::Invalid { field: "block", why: "empty, or bytes behind the last entry" });
    }
    Ok((entries, is_sealed))
}

/// What lies before the seal.
fn sealed_body<'a>(bytes: &'a [u8], keys: &SpaceKeys) -> Result<&'a [u8], DecodeError> {
    let (body, seal) = bytes.split_last_chunk::<SEAL_BYTES>().ok_or(DecodeError::Truncated { field: "block" })?;
    if keys.block_check(body) == *seal || planted::has(Bug::ServeDamage) { Ok(body) } else { Err(DecodeError::Damaged { field: "block" }) }
}

/// What lies before the checksum of format 1.
fn checked_body(bytes: &[u8]) -> Result<&[u8], DecodeError> {
    let (body, crc) = bytes.split_last_chunk::<4>().ok_or(DecodeError::Truncated { field: "block" })?;
    if crc32fast::hash(body) == u32::from_le_bytes(*crc) { Ok(body) } else { Err(DecodeError::Damaged { field: "block" }) }
}

fn check_format(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    if reader.array("block.magic")? != MAGIC {
        return Err(DecodeError::Invalid { field: "block.magic", why: "not a block" });
    }
    let format = reader.u8("block.format")?;
    if !(FORMAT_UNSEALED..=FORMAT).contains(&format) || reader.u8("block.features")? & !FEATURES_KNOWN != 0 {
        return Err(DecodeError::Invalid { field: "block.format", why: "written by a newer version" });
    }
    Ok(())
}

fn check_name(reader: &mut Reader<'_>, keys: &SpaceKeys, name: BlockName<'_>) -> Result<(), DecodeError> {
    let invalid = |field, why| Err(DecodeError::Invalid { field, why });
    if u64::from_le_bytes(reader.array("block.keys")?) != keys.id() {
        return invalid("block.keys", "made with other space keys");
    }
    if read_u32(reader, "block.fragment")? != name.fragment.0 {
        return invalid("block.fragment", "a block of another fragment");
    }
    if reader.bytes_max("block.first_key", STORED_KEY_BYTES_MAX)? != name.first_key {
        return invalid("block.first_key", "another block");
    }
    Ok(())
}

fn put_entry(out: &mut Vec<u8>, entry: &EntryRef<'_>, content: Digest) {
    let expires = entry.live.is_some_and(|live| live.expiry != Expiry::NEVER);
    out.push(if entry.live.is_some() { LIVE } else { 0 } | if expires { EXPIRES } else { 0 });
    varint::put(out, u64::from(entry.version.epoch));
    varint::put(out, entry.version.seq);
    varint::put_bytes(out, entry.key);
    if let Some(live) = entry.live {
        out.push(live.kind.code());
        if expires {
            varint::put(out, live.expiry.millis());
        }
        out.extend_from_slice(&content.to_bytes());
        varint::put_bytes(out, live.value);
    }
}

/// Reads an entry; its digest is stored if the block is sealed, and computed if not.
fn read_entry<'a>(reader: &mut Reader<'a>, is_sealed: bool, keys: &SpaceKeys) -> Result<Entry<'a>, DecodeError> {
    let flags = reader.u8("entry.flags")?;
    if flags & !(LIVE | EXPIRES) != 0 || flags == EXPIRES {
        return Err(DecodeError::Invalid { field: "entry.flags", why: "an unknown flag" });
    }
    let version = Version::new(read_u32(reader, "entry.epoch")?, reader.varint("entry.seq")?);
    let key = reader.bytes_max("entry.key", STORED_KEY_BYTES_MAX)?;
    if flags & LIVE == 0 {
        return Ok((EntryRef { key, version, live: None }, Digest::ZERO));
    }
    let kind = Kind::from_code(reader.u8("entry.kind")?);
    let expiry = if flags & EXPIRES == 0 { Expiry::NEVER } else { Expiry::from_millis(reader.varint("entry.expiry")?) };
    let stored = is_sealed.then(|| reader.array("entry.content")).transpose()?;
    let live = LiveRef { kind, expiry, value: reader.bytes_max("entry.value", ENTRY_VALUE_BYTES_MAX)? };
    let content = stored.map_or_else(|| keys.content(key, live), Digest::from_bytes);
    Ok((EntryRef { key, version, live: Some(live) }, content))
}
