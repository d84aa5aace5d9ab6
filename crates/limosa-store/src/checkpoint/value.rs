//! Keys and values as they lie in redb: each value behind a checksum over its key and itself.

use limosa_core::FragmentId;
use limosa_core::limits::STORED_KEY_BYTES_MAX;
use redb::TableDefinition;

use super::choice::ExtentFacts;
use crate::error::StoreError;
use crate::journal::{Chain, Owner, Point, Position};

/// A table of bytes by bytes, in byte order of the keys.
pub(super) type Bytes = &'static [u8];

pub(super) const BLOCKS: TableDefinition<'static, Bytes, Bytes> = TableDefinition::new("blocks");
pub(super) const SUMMARIES: TableDefinition<'static, Bytes, Bytes> = TableDefinition::new("summaries");
pub(super) const EXTENTS: TableDefinition<'static, Bytes, Bytes> = TableDefinition::new("extents");
pub(super) const META: TableDefinition<'static, Bytes, Bytes> = TableDefinition::new("meta");

/// Bytes of the checksum before each value.
pub(super) const CHECK_BYTES: usize = 4;
/// Names that start so are the checkpoint's own.
pub(super) const OWN_PREFIX: &str = "limosa.";
pub(super) const FORMAT_KEY: &str = "limosa.format";
pub(super) const POINT_KEY: &str = "limosa.point";
/// CRC-32 over keys and values of all rows of `extents`, in order: a row that is gone is noticed before a file is removed for it.
pub(super) const EXTENTS_KEY: &str = "limosa.extents";

const MAGIC: [u8; 8] = *b"LIMOCKPT";
/// Since 2 blocks lie in extent files, since 3 there are notes and several stages; older files are read, and of this format from the next
/// commit on.
const FORMAT_VERSION: u32 = 3;
const FORMAT_VERSION_MIN: u32 = 1;
const FEATURES_KNOWN: u32 = 0;

/// (fragment, first key): big-endian, so that a fragment's blocks lie together in key order.
pub(super) fn block_key(fragment: FragmentId, first_key: &[u8]) -> Result<Vec<u8>, StoreError> {
    if first_key.len() > STORED_KEY_BYTES_MAX {
        let (value, max) = (first_key.len() as u64, STORED_KEY_BYTES_MAX as u64);
        return Err(StoreError::Limit { what: "bytes of a block's first key", value, max });
    }
    Ok([&fragment.0.to_be_bytes()[..], first_key].concat())
}

/// First key of a fragment, and the first one behind it; `None` when no fragment can follow.
pub(super) fn fragment_bounds(fragment: FragmentId) -> ([u8; 4], Option<[u8; 4]>) {
    (fragment.0.to_be_bytes(), fragment.0.checked_add(1).map(u32::to_be_bytes))
}

/// Fills `slot`, which is [`CHECK_BYTES`] longer than `value`.
pub(super) fn fill(slot: &mut [u8], key: &[u8], value: &[u8]) {
    slot[..CHECK_BYTES].copy_from_slice(&check(key, value).to_le_bytes());
    slot[CHECK_BYTES..].copy_from_slice(value);
}

/// The value, if its checksum matches.
pub(super) fn open<'a>(key: &[u8], stored: &'a [u8]) -> Option<&'a [u8]> {
    let (crc, value) = stored.split_first_chunk::<CHECK_BYTES>()?;
    (u32::from_le_bytes(*crc) == check(key, value)).then_some(value)
}

fn check(key: &[u8], value: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(value);
    hasher.finalize()
}

/// "limosa.format": magic 8, format version 4, feature bits 4, cluster 16, incarnation 8. Little-endian.
pub(super) fn format_value(owner: Owner) -> Vec<u8> {
    let (version, features) = (FORMAT_VERSION.to_le_bytes(), FEATURES_KNOWN.to_le_bytes());
    [&MAGIC[..], &version, &features, &owner.cluster, &owner.incarnation.to_le_bytes()].concat()
}

/// Why a "limosa.format" is not ours.
pub(super) enum FormatFault {
    Damaged,
    Newer { what: &'static str, found: u32, known: u32 },
}

/// Reads "limosa.format".
pub(super) fn read_format(bytes: &[u8]) -> Result<(u32, Owner), FormatFault> {
    let mut reader = limosa_core::varint::Reader::new(bytes);
    let mut read = || {
        let magic = reader.array::<8>("format").ok()?;
        let version = u32::from_le_bytes(reader.array("format").ok()?);
        let features = u32::from_le_bytes(reader.array("format").ok()?);
        let cluster = reader.array("format").ok()?;
        let incarnation = u64::from_le_bytes(reader.array("format").ok()?);
        (magic == MAGIC).then_some((version, features, Owner { cluster, incarnation }))
    };
    let (version, features, owner) = read().ok_or(FormatFault::Damaged)?;
    if !(FORMAT_VERSION_MIN..=FORMAT_VERSION).contains(&version) {
        return Err(FormatFault::Newer { what: "format version", found: version, known: FORMAT_VERSION });
    }
    if features & !FEATURES_KNOWN != 0 {
        return Err(FormatFault::Newer { what: "feature bits", found: features, known: FEATURES_KNOWN });
    }
    Ok((version, owner))
}

/// Key of an extent file's row.
pub(super) fn extent_key(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

/// A row of `extents`: bytes 8, live bytes 8, offset of the index 8, its bytes 4.
pub(super) fn extent_value(file: &ExtentFacts) -> Vec<u8> {
    let numbers = [file.bytes, file.live_bytes, file.index_offset].map(u64::to_le_bytes).concat();
    [&numbers[..], &file.index_bytes.to_le_bytes()].concat()
}

/// Reads a row of `extents`.
pub(super) fn read_extent(key: &[u8], value: &[u8]) -> Option<ExtentFacts> {
    let mut reader = limosa_core::varint::Reader::new(value);
    let number = u64::from_be_bytes(key.try_into().ok()?);
    let mut word = || reader.array::<8>("extent").map(u64::from_le_bytes).ok();
    let (bytes, live_bytes, index_offset) = (word()?, word()?, word()?);
    let index_bytes = u32::from_le_bytes(reader.array("extent").ok()?);
    reader.is_empty().then_some(ExtentFacts { number, bytes, live_bytes, index_offset, index_bytes })
}

/// "limosa.extents".
pub(super) fn extents_check(files: &[ExtentFacts]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    for file in files {
        hasher.update(&extent_key(file.number));
        hasher.update(&extent_value(file));
    }
    hasher.finalize().to_le_bytes()
}

/// "limosa.point": position 8, chain 16.
pub(super) fn point_value(point: Point) -> Vec<u8> {
    [&point.position.0.to_le_bytes()[..], &point.chain.0].concat()
}

/// Reads "limosa.point".
pub(super) fn read_point(bytes: &[u8]) -> Option<Point> {
    let (position, chain) = bytes.split_first_chunk::<8>()?;
    Some(Point { position: Position(u64::from_le_bytes(*position)), chain: Chain(chain.try_into().ok()?) })
}
