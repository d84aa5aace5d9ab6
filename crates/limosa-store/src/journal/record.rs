//! One record: a kind and bytes that the journal does not look into.

use limosa_core::DecodeError;
use limosa_core::varint::{self, Reader};

/// What a record is. Codes are stable; an unknown one was written by a newer Limosa.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum RecordKind {
    /// A commit, of this node as owner or replicated from one: `limosa_core::Commit`.
    Commit = 1,
    /// A new epoch row on every fragment.
    OpenEpoch = 2,
    /// A stage was opened. As the stages of before, of which there was one at a time: only read; so with the install and the drop of one.
    StageOpen = 3,
    /// A frame was applied to a stage.
    StageFrame = 4,
    /// The stage replaced the served state.
    StageInstall = 5,
    /// The stage was dropped.
    StageAbort = 6,
    /// The node's role changed.
    Role = 7,
    /// What another node has said that it holds.
    Witness = 8,
    /// Which peers still need which deletions.
    Leases = 9,
    /// Deletions up to these versions are forgotten.
    Floors = 10,
    /// A fragment was split, or two were merged.
    Reframe = 11,
    /// A stage beside others: opened, gone on with, installed, dropped.
    Stage = 12,
    /// Notes of whoever drives the store.
    Notes = 13,
    /// Fragments are absent from here on.
    Drop = 14,
}

impl RecordKind {
    /// The newest code that this program knows.
    pub const NEWEST: u8 = Self::Drop as u8;

    /// The byte in the journal.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// `None` for a code that this program does not know.
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Commit,
            2 => Self::OpenEpoch,
            3 => Self::StageOpen,
            4 => Self::StageFrame,
            5 => Self::StageInstall,
            6 => Self::StageAbort,
            7 => Self::Role,
            8 => Self::Witness,
            9 => Self::Leases,
            10 => Self::Floors,
            11 => Self::Reframe,
            12 => Self::Stage,
            13 => Self::Notes,
            14 => Self::Drop,
            _ => return None,
        })
    }
}

/// A record as it lies in a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record<'a> {
    /// What it is.
    pub kind: RecordKind,
    /// Its bytes, without kind and length.
    pub body: &'a [u8],
}

/// Why a record was refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum RecordError {
    /// Bytes that no Limosa writes.
    Bytes(DecodeError),
    /// A kind from the future.
    Kind(u8),
}

impl From<DecodeError> for RecordError {
    fn from(error: DecodeError) -> Self {
        Self::Bytes(error)
    }
}

/// Appends a record: length of kind and body, kind, body, which may lie in pieces.
pub(crate) fn put(out: &mut Vec<u8>, kind: RecordKind, body: &[&[u8]]) {
    varint::put(out, body_bytes(body) as u64 + 1);
    out.push(kind.code());
    for piece in body {
        out.extend_from_slice(piece);
    }
}

/// As [`put`], with a body that `write` appends where it will lie: about `guess` bytes. A wrong guess moves them once.
pub(crate) fn put_with(out: &mut Vec<u8>, kind: RecordKind, guess: usize, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    let guessed = varint::len(guess as u64 + 1);
    out.resize(start + guessed, 0);
    out.push(kind.code());
    write(out);
    let bytes = out.len() - start - guessed;
    let needed = varint::len(bytes as u64);
    if needed > guessed {
        out.resize(out.len() + needed - guessed, 0);
    }
    if needed != guessed {
        out.copy_within(start + guessed..start + guessed + bytes, start + needed);
        out.truncate(start + needed + bytes);
    }
    let mut length = Vec::with_capacity(needed);
    varint::put(&mut length, bytes as u64);
    out[start..start + needed].copy_from_slice(&length);
}

/// Bytes of a body that lies in pieces.
pub(crate) fn body_bytes(body: &[&[u8]]) -> usize {
    body.iter().map(|piece| piece.len()).sum()
}

/// Reads one record.
pub(crate) fn read<'a>(reader: &mut Reader<'a>) -> Result<Record<'a>, RecordError> {
    let bytes = reader.bytes_max("record", super::group::BODY_BYTES_MAX)?;
    let (&code, body) = bytes.split_first().ok_or(DecodeError::Truncated { field: "record.kind" })?;
    let kind = RecordKind::from_code(code).ok_or(RecordError::Kind(code))?;
    Ok(Record { kind, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_written_in_place_has_the_bytes_of_one_that_was_copied_whatever_was_guessed() {
        for (bytes, guess) in [(0, 0), (100, 100), (100, 20_000), (126, 130), (127, 90), (300, 3), (20_000, 0), (20_000, 20_100)] {
            let body = vec![7; bytes];
            let (mut copied, mut in_place) = (vec![1, 2], vec![1, 2]);
            put(&mut copied, RecordKind::Commit, &[&body]);
            put_with(&mut in_place, RecordKind::Commit, guess, |out| out.extend_from_slice(&body));
            assert_eq!(in_place, copied, "{bytes} bytes, {guess} guessed");
        }
    }
}
