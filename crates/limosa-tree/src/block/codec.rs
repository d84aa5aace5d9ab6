//! A block's bytes in a checkpoint.
//!
//! ```text
//! magic "LMBK" | format version (1) | feature bits (1) | space-key id (8) | fragment | first key (bytes) | count | entry.. | CRC-32 (4)
//! entry: flags (1): live 1, expiry 2 | epoch | seq | key (bytes) | kind (1, if live) | expiry (if flagged) | value (bytes, if live)
//! ```
//! Numbers are varints where no width is given, widths are little-endian, "bytes" are length-prefixed. Content digests are not stored:
//! they are computed again on reading, so that the comparison with the block's summary finds rot that a checksum written over it hides.

use limosa_core::commit::read_u32;
use limosa_core::limits::{ENTRY_VALUE_BYTES_MAX, STORED_KEY_BYTES_MAX};
use limosa_core::varint::{self, Reader};
use limosa_core::{DecodeError, Digest, EntryRef, Expiry, FragmentId, Kind, LiveRef, SpaceKeys, Version};

use super::Block;

const MAGIC: [u8; 4] = *b"LMBK";
const FORMAT: u8 = 1;
const FEATURES_KNOWN: u8 = 0;
const LIVE: u8 = 1;
const EXPIRES: u8 = 2;
/// Flags, epoch, seq, key length: the shortest entry.
const ENTRY_BYTES_MIN: usize = 4;

/// Which block some bytes must be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockName<'a> {
    /// Which fragment.
    pub(crate) fragment: FragmentId,
    /// What the block is filed under.
    pub(crate) first_key: &'a [u8],
}

impl Block {
    /// The block's bytes.
    pub(crate) fn encode(&self, keys: &SpaceKeys, name: BlockName<'_>) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + self.bytes.len() + 16 * self.len());
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[FORMAT, FEATURES_KNOWN]);
        out.extend_from_slice(&keys.id().to_le_bytes());
        varint::put(&mut out, u64::from(name.fragment.0));
        varint::put_bytes(&mut out, name.first_key);
        varint::put(&mut out, self.len() as u64);
        for i in 0..self.len() {
            put_entry(&mut out, &self.entry(i));
        }
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads a block that must be `name`'s, and computes its content digests.
    pub(crate) fn decode(bytes: &[u8], keys: &SpaceKeys, name: BlockName<'_>) -> Result<Self, DecodeError> {
        let (body, crc) = bytes.split_last_chunk::<4>().ok_or(DecodeError::Truncated { field: "block" })?;
        if crc32fast::hash(body) != u32::from_le_bytes(*crc) {
            return Err(DecodeError::Damaged { field: "block" });
        }
        let mut reader = Reader::new(body);
        check_header(&mut reader, keys, name)?;
        let count = reader.varint_max("block.count", (body.len() / ENTRY_BYTES_MIN) as u64)?;
        let mut block = Self::default(); // grows with what is really there: the count is only a claim
        for _ in 0..count {
            let entry = read_entry(&mut reader)?;
            let above = if block.len() == 0 { entry.key >= name.first_key } else { entry.key > block.key(block.len() - 1) };
            if !above {
                return Err(DecodeError::Invalid { field: "block.key", why: "keys are not ascending" });
            }
            block.push(&entry, entry.live.map_or(Digest::ZERO, |live| keys.content(entry.key, live)));
        }
        if !reader.is_empty() || count == 0 {
            return Err(DecodeError::Invalid { field: "block", why: "empty, or bytes behind the last entry" });
        }
        Ok(block.finish())
    }
}

fn check_header(reader: &mut Reader<'_>, keys: &SpaceKeys, name: BlockName<'_>) -> Result<(), DecodeError> {
    let invalid = |field, why| Err(DecodeError::Invalid { field, why });
    if reader.array("block.magic")? != MAGIC {
        return invalid("block.magic", "not a block");
    }
    if reader.u8("block.format")? != FORMAT || reader.u8("block.features")? & !FEATURES_KNOWN != 0 {
        return invalid("block.format", "written by a newer version");
    }
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

fn put_entry(out: &mut Vec<u8>, entry: &EntryRef<'_>) {
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
        varint::put_bytes(out, live.value);
    }
}

fn read_entry<'a>(reader: &mut Reader<'a>) -> Result<EntryRef<'a>, DecodeError> {
    let flags = reader.u8("entry.flags")?;
    if flags & !(LIVE | EXPIRES) != 0 || flags == EXPIRES {
        return Err(DecodeError::Invalid { field: "entry.flags", why: "an unknown flag" });
    }
    let version = Version::new(read_u32(reader, "entry.epoch")?, reader.varint("entry.seq")?);
    let key = reader.bytes_max("entry.key", STORED_KEY_BYTES_MAX)?;
    if flags & LIVE == 0 {
        return Ok(EntryRef { key, version, live: None });
    }
    let kind = Kind::from_code(reader.u8("entry.kind")?);
    let expiry = if flags & EXPIRES == 0 { Expiry::NEVER } else { Expiry::from_millis(reader.varint("entry.expiry")?) };
    let value = reader.bytes_max("entry.value", ENTRY_VALUE_BYTES_MAX)?;
    Ok(EntryRef { key, version, live: Some(LiveRef { kind, expiry, value }) })
}
