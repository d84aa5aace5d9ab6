//! The small values that many messages have: versions, ranges, digests, tables, maps.

use bytes::Bytes;

use limosa_core::limits::{EPOCH_ROWS_MAX, INTERVALS_MAX, STORED_KEY_BYTES_MAX};
use limosa_core::{Digest, EpochRow, EpochTable, History, IntervalMap, KeyRange, RangeDelete, Strand, Version};

use crate::error::{WireError, limit};
use crate::generated as pb;
use crate::limits::TEXT_BYTES_MAX;

#[allow(clippy::unnecessary_wraps)] // protobuf's message fields are optional
pub(super) fn version_out(version: Version) -> Option<pb::Version> {
    Some(pb::Version { epoch: version.epoch, seq: version.seq })
}

/// A version that is left out is [`Version::ZERO`].
pub(super) fn version_in(version: Option<pb::Version>) -> Version {
    version.map_or(Version::ZERO, |version| Version::new(version.epoch, version.seq))
}

#[allow(clippy::unnecessary_wraps)] // as above
pub(super) fn range_out(range: &KeyRange) -> Option<pb::KeyRange> {
    Some(pb::KeyRange { start: range.start.clone(), end: range.end.clone() })
}

pub(super) fn range_in(range: Option<pb::KeyRange>) -> Result<KeyRange, WireError> {
    let range = range.ok_or(WireError::invalid("range", "it is missing"))?;
    limit("a range's start", range.start.len(), STORED_KEY_BYTES_MAX)?;
    limit("a range's end", range.end.as_ref().map_or(0, Bytes::len), STORED_KEY_BYTES_MAX)?;
    let range = KeyRange { start: range.start, end: range.end };
    if range.is_empty() {
        return Err(WireError::invalid("range", "it ends before it starts"));
    }
    Ok(range)
}

pub(super) fn range_delete_out(delete: &RangeDelete) -> pb::RangeDelete {
    pb::RangeDelete { range: range_out(&delete.range), version: version_out(delete.version) }
}

pub(super) fn range_delete_in(delete: pb::RangeDelete) -> Result<RangeDelete, WireError> {
    Ok(RangeDelete { range: range_in(delete.range)?, version: version_in(delete.version) })
}

pub(super) fn digest_out(digest: Digest) -> Bytes {
    Bytes::copy_from_slice(&digest.to_bytes())
}

pub(super) fn digest_in(bytes: &[u8]) -> Result<Digest, WireError> {
    let bytes = bytes.try_into().map_err(|_| WireError::invalid("digest", "it has not 16 bytes"))?;
    Ok(Digest::from_bytes(bytes))
}

pub(super) fn epochs_out(table: &EpochTable) -> Result<Option<pb::EpochTable>, WireError> {
    let rows = table.rows();
    limit("an epoch table", rows.len(), to_usize(EPOCH_ROWS_MAX))?;
    Ok(Some(pb::EpochTable {
        epochs: rows.iter().map(|row| row.epoch).collect(),
        first_seqs: rows.iter().map(|row| row.first_seq).collect(),
        openers: rows.iter().map(|row| row.opener).collect(),
    }))
}

pub(super) fn epochs_in(table: Option<pb::EpochTable>) -> Result<EpochTable, WireError> {
    let table = table.unwrap_or_default();
    let count = table.epochs.len();
    limit("an epoch table", count, to_usize(EPOCH_ROWS_MAX))?;
    if table.first_seqs.len() != count || table.openers.len() != count {
        return Err(WireError::invalid("epochs", "lists of different lengths"));
    }
    let rows = table.epochs.into_iter().zip(table.first_seqs).zip(table.openers);
    let rows = rows.map(|((epoch, first_seq), opener)| EpochRow { epoch, first_seq, opener }).collect();
    EpochTable::from_rows(rows).ok_or(WireError::invalid("epochs", "rows out of order"))
}

/// A history: the first strand's table, the other strands, the first one's floor.
pub(super) type HistoryOut = (Option<pb::EpochTable>, Vec<pb::Strand>, Option<pb::Version>);

pub(super) fn history_out(history: &History) -> Result<HistoryOut, WireError> {
    let (first, further) = history.strands().split_first().expect("a history has a strand");
    let strand = |strand: &Strand| {
        Ok(pb::Strand { start: strand.start.clone(), epochs: epochs_out(&strand.epochs)?, floor: version_out(strand.floor) })
    };
    let floor = if first.floor.is_zero() { None } else { version_out(first.floor) };
    Ok((epochs_out(&first.epochs)?, further.iter().map(strand).collect::<Result<_, WireError>>()?, floor))
}

pub(super) fn history_in((first, further, floor): HistoryOut) -> Result<History, WireError> {
    let mut strands = vec![Strand { start: Bytes::new(), epochs: epochs_in(first)?, floor: version_in(floor) }];
    for strand in further {
        limit("a strand's start", strand.start.len(), STORED_KEY_BYTES_MAX)?;
        strands.push(Strand { start: strand.start, epochs: epochs_in(strand.epochs)?, floor: version_in(strand.floor) });
    }
    History::from_strands(strands).ok_or(WireError::invalid("strands", "out of order, or they end differently"))
}

pub(super) fn map_out(map: &IntervalMap) -> Result<Option<pb::IntervalMap>, WireError> {
    limit("an interval map", map.len(), to_usize(INTERVALS_MAX))?;
    Ok(Some(pb::IntervalMap {
        range: range_out(map.range()),
        starts: map.iter().skip(1).map(|(range, _)| range.start).collect(),
        epochs: map.iter().map(|(_, version)| version.epoch).collect(),
        seqs: map.iter().map(|(_, version)| version.seq).collect(),
    }))
}

pub(super) fn map_in(map: Option<pb::IntervalMap>) -> Result<IntervalMap, WireError> {
    let map = map.ok_or(WireError::invalid("map", "it is missing"))?;
    let range = range_in(map.range)?;
    let count = map.epochs.len();
    limit("an interval map", count, to_usize(INTERVALS_MAX))?;
    if map.seqs.len() != count || map.starts.len() + 1 != count {
        return Err(WireError::invalid("map", "lists of different lengths"));
    }
    let mut versions = map.epochs.into_iter().zip(map.seqs).map(|(epoch, seq)| Version::new(epoch, seq));
    let mut out = IntervalMap::new(range.clone(), versions.next().expect("one more than the starts"));
    let mut before = range.start.clone();
    for (start, version) in map.starts.into_iter().zip(versions) {
        if start <= before || !range.contains(&start) {
            return Err(WireError::invalid("map", "a start out of order or outside the range"));
        }
        before = start.clone();
        out.set(&KeyRange::new(start, range.end.clone()), version);
    }
    if out.len() != count {
        return Err(WireError::invalid("map", "neighbours at the same version"));
    }
    Ok(out)
}

/// A text for people: cut, not refused, on the way out.
pub(super) fn text_out(text: &str) -> String {
    text[..text.floor_char_boundary(TEXT_BYTES_MAX)].to_owned()
}

pub(super) fn text_in(what: &'static str, text: String) -> Result<String, WireError> {
    limit(what, text.len(), TEXT_BYTES_MAX)?;
    Ok(text)
}

fn to_usize(limit: u64) -> usize {
    usize::try_from(limit).expect("limits fit in memory")
}
