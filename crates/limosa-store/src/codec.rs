//! Encodings that several records and the checkpoint's facts share: versions, epoch tables, rows of an opened epoch.

use bytes::Bytes;
use limosa_core::commit::read_u32;
use limosa_core::limits::{COMMIT_PARTS_MAX, EPOCH_ROWS_MAX, STORED_KEY_BYTES_MAX, STRANDS_MAX};
use limosa_core::varint::{self, Reader};
use limosa_core::{DecodeError, EpochRow, EpochTable, FragmentId, History, Strand, Version};

/// Appends a version: epoch, seq.
pub(crate) fn put_version(out: &mut Vec<u8>, version: Version) {
    varint::put(out, u64::from(version.epoch));
    varint::put(out, version.seq);
}

/// The inverse of [`put_version`].
pub(crate) fn read_version(reader: &mut Reader<'_>) -> Result<Version, DecodeError> {
    Ok(Version::new(read_u32(reader, "version.epoch")?, reader.varint("version.seq")?))
}

/// Appends the rows of an epoch table.
pub(crate) fn put_epochs(out: &mut Vec<u8>, epochs: &EpochTable) {
    varint::put(out, epochs.rows().len() as u64);
    for row in epochs.rows() {
        varint::put(out, u64::from(row.epoch));
        varint::put(out, row.first_seq);
        out.extend_from_slice(&row.opener.to_le_bytes());
    }
}

/// The inverse of [`put_epochs`].
pub(crate) fn read_epochs(reader: &mut Reader<'_>) -> Result<EpochTable, DecodeError> {
    let count = reader.varint_max("epochs", EPOCH_ROWS_MAX)?;
    let row = |reader: &mut Reader<'_>| {
        Ok(EpochRow {
            epoch: read_u32(reader, "epochs.epoch")?,
            first_seq: reader.varint("epochs.first_seq")?,
            opener: u64::from_le_bytes(reader.array("epochs.opener")?),
        })
    };
    let rows = (0..count).map(|_| row(reader)).collect::<Result<_, DecodeError>>()?;
    EpochTable::from_rows(rows).ok_or(DecodeError::Invalid { field: "epochs", why: "rows are out of order" })
}

/// Appends a history: strands | { start | floor | epoch rows }.
pub(crate) fn put_history(out: &mut Vec<u8>, history: &History) {
    varint::put(out, history.strands().len() as u64);
    for strand in history.strands() {
        varint::put_bytes(out, &strand.start);
        put_version(out, strand.floor);
        put_epochs(out, &strand.epochs);
    }
}

/// The inverse of [`put_history`].
pub(crate) fn read_history(reader: &mut Reader<'_>) -> Result<History, DecodeError> {
    let count = reader.varint_max("history.strands", STRANDS_MAX)?;
    let strand = |reader: &mut Reader<'_>| {
        let start = Bytes::copy_from_slice(reader.bytes_max("strand.start", STORED_KEY_BYTES_MAX)?);
        Ok(Strand { start, floor: read_version(reader)?, epochs: read_epochs(reader)? })
    };
    let strands = (0..count).map(|_| strand(reader)).collect::<Result<_, DecodeError>>()?;
    History::from_strands(strands).ok_or(DecodeError::Invalid { field: "history", why: "its strands are out of order or end differently" })
}

/// The body of an epoch record: fragments | { fragment | rows }.
pub(crate) fn encode_rows(rows: &[(FragmentId, EpochTable)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(rows.len() * 16);
    varint::put(&mut out, rows.len() as u64);
    for (fragment, table) in rows {
        varint::put(&mut out, u64::from(fragment.0));
        put_epochs(&mut out, table);
    }
    out
}

/// The inverse of [`encode_rows`].
pub(crate) fn decode_rows(body: &[u8]) -> Result<Vec<(FragmentId, EpochTable)>, DecodeError> {
    let mut reader = Reader::new(body);
    let count = reader.varint_max("epoch_rows.fragments", COMMIT_PARTS_MAX)?;
    (0..count).map(|_| Ok((FragmentId(read_u32(&mut reader, "epoch_rows.fragment")?), read_epochs(&mut reader)?))).collect()
}
