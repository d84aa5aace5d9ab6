//! Bytes of an extent file: header, records, index.

use limosa_core::DecodeError;
use limosa_core::FragmentId;
use limosa_core::commit::read_u32;
use limosa_core::limits::STORED_KEY_BYTES_MAX;
use limosa_core::planted::{self, Bug};
use limosa_core::varint::{self, Reader};

use crate::journal::Owner;

const MAGIC: [u8; 8] = *b"LIMOEXTN";
pub(super) const FORMAT_VERSION: u32 = 1;
const FEATURES_KNOWN: u32 = 0;
pub(in crate::checkpoint) const HEADER_BYTES: usize = 64;
/// Bytes before the body of a record.
pub(in crate::checkpoint) const RECORD_BYTES: usize = 16;

/// What a record is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Block,
    Index,
}

impl Kind {
    fn magic(self) -> [u8; 4] {
        match self {
            Self::Block => *b"LREC",
            Self::Index => *b"LIDX",
        }
    }
}

/// The name of file `number`.
pub(in crate::checkpoint) fn file_name(number: u64) -> String {
    format!("extent-{number:020}.blk")
}

/// The number in a file's name, if it is one of ours.
pub(in crate::checkpoint) fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("extent-")?.strip_suffix(".blk")?;
    (digits.len() == 20).then(|| digits.parse().ok())?
}

/// The header of file `number`.
pub(super) fn header(owner: Owner, number: u64) -> [u8; HEADER_BYTES] {
    let (version, features) = (FORMAT_VERSION.to_le_bytes(), FEATURES_KNOWN.to_le_bytes());
    let fields = [&MAGIC[..], &version, &features, &owner.cluster, &owner.incarnation.to_le_bytes(), &number.to_le_bytes(), &[0; 12]];
    let fields = fields.concat();
    let crc = crc32fast::hash(&fields).to_le_bytes();
    [&fields[..], &crc].concat().try_into().expect("the fields above have 60 bytes")
}

/// Why a header is not the one of file `number` of `owner`.
pub(super) enum HeaderFault {
    Damaged(&'static str),
    Newer { what: &'static str, found: u32, known: u32 },
}

/// Judges a header.
pub(super) fn check_header(bytes: &[u8; HEADER_BYTES], owner: Owner, number: u64) -> Result<(), HeaderFault> {
    let (fields, crc) = bytes.split_last_chunk::<4>().expect("a header is longer");
    if crc32fast::hash(fields) != u32::from_le_bytes(*crc) || fields[..8] != MAGIC {
        return Err(HeaderFault::Damaged("its header's checksum does not match"));
    }
    let word = |at: usize| u32::from_le_bytes(fields[at..at + 4].try_into().expect("four bytes"));
    if word(8) != FORMAT_VERSION {
        return Err(HeaderFault::Newer { what: "format version", found: word(8), known: FORMAT_VERSION });
    }
    if word(12) & !FEATURES_KNOWN != 0 {
        return Err(HeaderFault::Newer { what: "feature bits", found: word(12), known: FEATURES_KNOWN });
    }
    if header(owner, number)[..60] == *fields { Ok(()) } else { Err(HeaderFault::Damaged("it is another folder's, or another file's")) }
}

/// Whether it is the header of file `number` of `owner`.
pub(in crate::checkpoint) fn header_is(bytes: &[u8; HEADER_BYTES], owner: Owner, number: u64) -> bool {
    check_header(bytes, owner, number).is_ok()
}

/// A sound header.
pub(in crate::checkpoint) fn sample_header(owner: Owner, number: u64) -> [u8; HEADER_BYTES] {
    header(owner, number)
}

/// What stands before a body that is to lie at `offset` of file `number`.
pub(super) fn record(kind: Kind, number: u64, offset: u64, body: &[u8]) -> [u8; RECORD_BYTES] {
    let bytes = u32::try_from(body.len()).expect("a record is far below 4 GiB");
    let mut out = [0; RECORD_BYTES];
    out[..4].copy_from_slice(&kind.magic());
    out[4..8].copy_from_slice(&bytes.to_le_bytes());
    out[8..12].copy_from_slice(&crc32fast::hash(body).to_le_bytes());
    let crc = prefix_check(number, offset, &out[..12]);
    out[12..].copy_from_slice(&crc.to_le_bytes());
    out
}

/// Whether `prefix` and `body` are what [`record`] wrote there.
pub(super) fn is_record(kind: Kind, number: u64, offset: u64, prefix: &[u8], body: &[u8]) -> bool {
    planted::has(Bug::ServeDamage) || u32::try_from(body.len()).is_ok() && record(kind, number, offset, body) == *prefix
}

fn prefix_check(number: u64, offset: u64, fields: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&number.to_le_bytes());
    hasher.update(&offset.to_le_bytes());
    hasher.update(fields);
    hasher.finalize()
}

/// A record that an index names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::checkpoint) struct Indexed {
    pub(in crate::checkpoint) fragment: FragmentId,
    pub(in crate::checkpoint) first_key: Vec<u8>,
    pub(in crate::checkpoint) offset: u64,
}

/// Appends a record to the rows of an index.
pub(in crate::checkpoint) fn put_indexed(rows: &mut Vec<u8>, fragment: FragmentId, first_key: &[u8], offset: u64, bytes: usize) {
    varint::put(rows, u64::from(fragment.0));
    varint::put_bytes(rows, first_key);
    varint::put(rows, offset);
    varint::put(rows, bytes as u64);
}

/// Reads an index.
pub(in crate::checkpoint) fn read_index(body: &[u8]) -> Result<Vec<Indexed>, DecodeError> {
    let mut reader = Reader::new(body);
    let count = reader.varint_max("index.count", body.len() as u64)?;
    let mut out = Vec::new();
    for _ in 0..count {
        let fragment = FragmentId(read_u32(&mut reader, "index.fragment")?);
        let first_key = reader.bytes_max("index.first_key", STORED_KEY_BYTES_MAX)?.to_vec();
        let offset = reader.varint("index.offset")?;
        reader.varint("index.bytes")?;
        out.push(Indexed { fragment, first_key, offset });
    }
    if reader.is_empty() { Ok(out) } else { Err(DecodeError::Invalid { field: "index", why: "bytes behind the last row" }) }
}
