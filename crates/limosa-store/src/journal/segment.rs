//! One file of the journal: its name, its header, and what its groups' checksums start from.

use std::path::{Path, PathBuf};

use limosa_core::varint::Reader;

use super::group::Salt;
use super::{Chain, Owner, Point, Position};
use crate::error::StoreError;

/// Version of the segment and group layout.
pub(crate) const FORMAT_VERSION: u32 = 1;
/// Feature bits that this program knows: none so far. A file with others is refused.
const FEATURES_KNOWN: u32 = 0;
/// Bytes of a segment's header.
pub(crate) const HEADER_BYTES: usize = 68;
const MAGIC: [u8; 8] = *b"LIMOJRNL";
/// Bytes under the header's checksum, in every version.
const CHECKED_BYTES: usize = HEADER_BYTES - 4;

/// The start of a segment. Numbers are little-endian.
///
/// ```text
///  0 magic "LIMOJRNL"  8 | 32 incarnation         8 | 64 CRC-32 of 0..64   4
///  8 format version    4 | 40 first position      8 |
/// 12 feature bits      4 | 48 chain before it    16 |
/// 16 cluster          16 |
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SegmentHeader {
    pub(crate) owner: Owner,
    /// The point before the segment's first record.
    pub(crate) before: Point,
}

/// Why a segment's header was refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum HeaderFault {
    /// Not what any Limosa wrote: a creation that a crash tore, or damage.
    Damaged(&'static str),
    /// Whole, from a newer program.
    Newer { what: &'static str, found: u64, known: u64 },
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[..8].copy_from_slice(&MAGIC);
        out[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        out[16..32].copy_from_slice(&self.owner.cluster);
        out[32..40].copy_from_slice(&self.owner.incarnation.to_le_bytes());
        out[40..48].copy_from_slice(&self.first().0.to_le_bytes());
        out[48..64].copy_from_slice(&self.before.chain.0);
        let crc = crc32fast::hash(&out[..CHECKED_BYTES]);
        out[64..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, HeaderFault> {
        let whole = bytes.first_chunk::<HEADER_BYTES>().ok_or(HeaderFault::Damaged("the segment's header is cut short"))?;
        let crc = u32::from_le_bytes(*whole.last_chunk().expect("a header has 68 bytes"));
        // The checksum comes first: a flipped bit in the version must not pass for a newer format.
        if crc != crc32fast::hash(&whole[..CHECKED_BYTES]) || whole[..8] != MAGIC {
            return Err(HeaderFault::Damaged("the segment's header is not one"));
        }
        Self::decode_checked(whole)
    }

    fn decode_checked(whole: &[u8; HEADER_BYTES]) -> Result<Self, HeaderFault> {
        let mut reader = Reader::new(&whole[8..]);
        let mut u32_at = || reader.array("segment").map(u32::from_le_bytes).expect("the header is whole");
        let (version, features) = (u32_at(), u32_at());
        if version != FORMAT_VERSION {
            return Err(HeaderFault::Newer { what: "format version", found: version.into(), known: FORMAT_VERSION.into() });
        }
        if features & !FEATURES_KNOWN != 0 {
            return Err(HeaderFault::Newer { what: "feature bits", found: features.into(), known: FEATURES_KNOWN.into() });
        }
        let cluster = reader.array("segment").expect("the header is whole");
        let mut u64_at = || reader.array("segment").map(u64::from_le_bytes).expect("the header is whole");
        let (incarnation, first) = (u64_at(), u64_at());
        let chain = Chain(reader.array("segment").expect("the header is whole"));
        let position = first.checked_sub(1).map(Position).ok_or(HeaderFault::Damaged("the segment starts before position 1"))?;
        Ok(Self { owner: Owner { cluster, incarnation }, before: Point { position, chain } })
    }

    /// Position of the segment's first record.
    pub(crate) fn first(&self) -> Position {
        self.before.position.next()
    }
}

/// The file of the segment that starts at `first`.
pub(crate) fn path(dir: &Path, first: Position) -> PathBuf {
    dir.join(format!("journal-{:020}.log", first.0))
}

/// The first position that a file's name tells; `None` for a file that is no segment.
pub(crate) fn first_of(name: &str) -> Option<Position> {
    let digits = name.strip_prefix("journal-")?.strip_suffix(".log")?;
    let all_digits = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| digits.parse().ok().map(Position)).flatten().filter(|first| *first > Position::ZERO)
}

/// Checks a header against the folder and the file's name.
pub(crate) fn admit(path: &Path, header: &SegmentHeader, owner: Owner, first: Position) -> Result<(), StoreError> {
    let foreign = |what, expected, found| StoreError::ForeignFolder { path: path.to_path_buf(), what, expected, found };
    if header.owner.cluster != owner.cluster {
        return Err(foreign("cluster", hex(&owner.cluster), hex(&header.owner.cluster)));
    }
    if header.owner.incarnation != owner.incarnation {
        let text = |incarnation: u64| format!("{incarnation:016x}");
        return Err(foreign("incarnation", text(owner.incarnation), text(header.owner.incarnation)));
    }
    if header.first() != first {
        let why = format!("its header says that it starts at position {}, its name at {first}", header.first());
        return Err(StoreError::JournalDamaged { path: path.to_path_buf(), offset: 0, why });
    }
    Ok(())
}

/// The salt of the groups in the segment that starts at `first`. It follows from what is known without the file, so that groups are
/// recognised behind a damaged header, and from the incarnation, which no client learns.
pub(crate) fn salt(owner: Owner, first: Position) -> Salt {
    let mut hasher = blake3::Hasher::new_derive_key("limosa 2026 journal group salt");
    hasher.update(&owner.cluster).update(&owner.incarnation.to_le_bytes()).update(&first.0.to_le_bytes());
    Salt(u32::from_le_bytes(*hasher.finalize().as_bytes().first_chunk().expect("a hash has 32 bytes")))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).expect("a nibble is below 16");
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
