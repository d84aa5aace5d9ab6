//! The bytes of stage records in the journal: open, gather, reframe, install, end; and frames.
//!
//! ```text
//! open:    1 | session (8) | fragments | { fragment | range | commons | { from (bytes) | common } }
//! gather:  2 | session (8) | fragments | { fragment }                   reframe: 3 | session (8) | next session (8) | fragments | { fragment | range }
//! install: 4 | fragments | { fragment | head | state (16) | floor | epoch rows | { epoch | first seq | opener (8) } }
//!              | histories | { which of the fragments | history }        of those with several strands; left out when there are none
//! end:     5 | fragments | { fragment }
//! frame:   fragment | mode (1) | range | from | to | digest (16) | range deletes | { range | version }
//!          | rows | { flags (1) | key bytes | value bytes | epoch | seq | kind (1) | expiry } | keys | values | drops | id (8)..
//! ```
//! Numbers are varints, a version is epoch then seq. Row flags: live 1, expires 2; kind and expiry only where flagged.
//!
//! While there was one stage at a time, its records had kinds of their own, which are still read: `StageOpen` (3 | as open; 1 | the same
//! with one common version and no commons; 2 | session: all forks are gathered; 4 | session | fragments, as reframe), `StageInstall`
//! (as install, without the 4) and `StageAbort` (empty: all forks end).

use bytes::Bytes;

use limosa_core::columns::{ColumnsBuilder, RowParts};
use limosa_core::commit::{put_range, read_range, read_u32};
use limosa_core::limits::{
    COMMIT_ENTRIES_MAX, COMMIT_PARTS_MAX, ENTRY_VALUE_BYTES_MAX, FRAME_BYTES_MAX, FRAME_ENTRIES_MAX, INTERVALS_MAX, STORED_KEY_BYTES_MAX,
};
use limosa_core::varint::{self, Reader};
use limosa_core::{
    Columns, DecodeError, Digest, EntryRef, Expiry, FragmentId, Frame, History, IntervalMap, KeyRange, Kind, LiveRef, Mode, RangeDelete,
    Scope, Version,
};

use super::{SealedFacts, StageStart};
use crate::codec::{put_epochs, put_history, put_version, read_epochs, read_history, read_version};
use crate::journal::{Record, RecordKind};

const OPEN: u8 = 1;
const GATHER: u8 = 2;
const REFRAME: u8 = 3;
const INSTALL: u8 = 4;
const END: u8 = 5;
/// Tags of `StageOpen`.
mod single {
    pub(super) const OPEN_UNIFORM: u8 = 1;
    pub(super) const RESUME: u8 = 2;
    pub(super) const OPEN: u8 = 3;
    pub(super) const REFRAME: u8 = 4;
}
const LIVE: u8 = 1;
const EXPIRES: u8 = 2;

/// What happens to stages. Frames are apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum StageRecord {
    /// A stage begins.
    Open { session: u64, starts: Vec<StageStart> },
    /// `session` goes on with what is staged of the fragments in `scope`: short ids are salted with it from here on.
    Gather { session: u64, scope: Scope },
    /// `next` goes on with the stage of `session`, the only one where that is not said, in other fragments.
    Reframe { session: Option<u64>, next: u64, fragments: Vec<(FragmentId, KeyRange)> },
    /// The forks of these fragments become what is served.
    Install { sealed: Vec<SealedFacts> },
    /// What is staged of the fragments in `scope` is dropped.
    End { scope: Scope },
}

impl StageRecord {
    /// The body of a record of kind `Stage`.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Open { session, starts } => {
                out.push(OPEN);
                out.extend_from_slice(&session.to_le_bytes());
                put_starts(&mut out, starts);
            }
            Self::Gather { session, scope } => {
                out.push(GATHER);
                out.extend_from_slice(&session.to_le_bytes());
                put_names(&mut out, scope);
            }
            Self::Reframe { session, next, fragments } => {
                out.push(REFRAME);
                out.extend_from_slice(&session.expect("it is said in what is written").to_le_bytes());
                out.extend_from_slice(&next.to_le_bytes());
                varint::put(&mut out, fragments.len() as u64);
                for (fragment, range) in fragments {
                    varint::put(&mut out, u64::from(fragment.0));
                    put_range(&mut out, range);
                }
            }
            Self::Install { sealed } => {
                out.push(INSTALL);
                put_install(&mut out, sealed);
            }
            Self::End { scope } => {
                out.push(END);
                put_names(&mut out, scope);
            }
        }
        out
    }

    /// What a record of kind `Stage` says, or of one of the kinds from before.
    pub(crate) fn decode(record: &Record<'_>) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(record.body);
        let decoded = match record.kind {
            RecordKind::StageOpen => Self::decode_single_open(&mut reader)?,
            RecordKind::StageInstall => Self::Install { sealed: read_install(&mut reader)? },
            RecordKind::StageAbort => Self::End { scope: Scope::All },
            _ => Self::decode_stage(&mut reader)?,
        };
        if reader.is_empty() { Ok(decoded) } else { Err(DecodeError::Invalid { field: "stage", why: "bytes behind its end" }) }
    }

    fn decode_stage(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match reader.u8("stage.tag")? {
            OPEN => Self::Open { session: read_session(reader)?, starts: read_starts(reader, read_start)? },
            GATHER => Self::Gather { session: read_session(reader)?, scope: read_names(reader)? },
            REFRAME => {
                let session = Some(read_session(reader)?);
                Self::Reframe { session, next: read_session(reader)?, fragments: read_frames(reader)? }
            }
            INSTALL => Self::Install { sealed: read_install(reader)? },
            END => Self::End { scope: read_names(reader)? },
            _ => return Err(DecodeError::Invalid { field: "stage.tag", why: "none of open, gather, reframe, install and end" }),
        })
    }

    fn decode_single_open(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let tag = reader.u8("stage_open.tag")?;
        let session = read_session(reader)?;
        Ok(match tag {
            single::RESUME => Self::Gather { session, scope: Scope::All },
            single::OPEN => Self::Open { session, starts: read_starts(reader, read_start)? },
            single::OPEN_UNIFORM => Self::Open { session, starts: read_starts(reader, read_uniform_start)? },
            single::REFRAME => Self::Reframe { session: None, next: session, fragments: read_frames(reader)? },
            _ => return Err(DecodeError::Invalid { field: "stage_open.tag", why: "none of open, resume and reframe" }),
        })
    }
}

fn read_session(reader: &mut Reader<'_>) -> Result<u64, DecodeError> {
    Ok(u64::from_le_bytes(reader.array("stage.session")?))
}

fn put_names(out: &mut Vec<u8>, scope: &Scope) {
    let names = scope.fragments().expect("what is written names its fragments");
    varint::put(out, names.len() as u64);
    for id in names {
        varint::put(out, u64::from(id.0));
    }
}

fn read_names(reader: &mut Reader<'_>) -> Result<Scope, DecodeError> {
    let count = reader.varint_max("stage.fragments", COMMIT_PARTS_MAX)?;
    let ids = (0..count).map(|_| Ok(FragmentId(read_u32(reader, "stage.fragment")?)));
    Ok(Scope::only(ids.collect::<Result<Vec<_>, DecodeError>>()?))
}

fn read_frames(reader: &mut Reader<'_>) -> Result<Vec<(FragmentId, KeyRange)>, DecodeError> {
    let count = reader.varint_max("stage.fragments", COMMIT_PARTS_MAX)?;
    (0..count).map(|_| Ok((FragmentId(read_u32(reader, "stage.fragment")?), read_range(reader)?))).collect()
}

fn put_starts(out: &mut Vec<u8>, starts: &[StageStart]) {
    varint::put(out, starts.len() as u64);
    for start in starts {
        varint::put(out, u64::from(start.fragment.0));
        put_range(out, &start.range);
        varint::put(out, start.common.len() as u64);
        for (interval, common) in start.common.iter() {
            varint::put_bytes(out, &interval.start);
            put_version(out, common);
        }
    }
}

type ReadStart = fn(&mut Reader<'_>) -> Result<StageStart, DecodeError>;

fn read_starts(reader: &mut Reader<'_>, read: ReadStart) -> Result<Vec<StageStart>, DecodeError> {
    let count = reader.varint_max("stage.fragments", COMMIT_PARTS_MAX)?;
    (0..count).map(|_| read(reader)).collect()
}

fn read_uniform_start(reader: &mut Reader<'_>) -> Result<StageStart, DecodeError> {
    Ok(StageStart::at(FragmentId(read_u32(reader, "stage_open.fragment")?), read_range(reader)?, read_version(reader)?))
}

fn read_start(reader: &mut Reader<'_>) -> Result<StageStart, DecodeError> {
    let fragment = FragmentId(read_u32(reader, "stage_open.fragment")?);
    let range = read_range(reader)?;
    let count = reader.varint_max("stage_open.commons", INTERVALS_MAX)?;
    let common = |reader: &mut Reader<'_>| {
        let start = Bytes::copy_from_slice(reader.bytes_max("stage_open.from", STORED_KEY_BYTES_MAX)?);
        Ok((KeyRange { start, end: range.end.clone() }, read_version(reader)?))
    };
    let commons = (0..count).map(|_| common(reader)).collect::<Result<Vec<_>, DecodeError>>()?;
    if commons.iter().any(|(interval, _)| interval.is_empty()) {
        return Err(DecodeError::Invalid { field: "stage_open.from", why: "it lies behind its fragment" });
    }
    Ok(StageStart { fragment, common: IntervalMap::of(range.clone(), commons), range })
}

fn put_install(out: &mut Vec<u8>, sealed: &[SealedFacts]) {
    varint::put(out, sealed.len() as u64);
    for facts in sealed {
        varint::put(out, u64::from(facts.id.0));
        put_version(out, facts.head);
        out.extend_from_slice(&facts.state.to_bytes());
        put_version(out, facts.floor);
        put_epochs(out, &facts.epochs.strands()[0].epochs);
    }
    let is_plain = |facts: &SealedFacts| History::from(facts.epochs.strands()[0].epochs.clone()) == facts.epochs;
    let stranded: Vec<_> = sealed.iter().enumerate().filter(|(_, facts)| !is_plain(facts)).collect();
    if !stranded.is_empty() {
        varint::put(out, stranded.len() as u64);
        for (place, facts) in stranded {
            varint::put(out, place as u64);
            put_history(out, &facts.epochs);
        }
    }
}

/// The inverse of [`put_install`].
fn read_install(reader: &mut Reader<'_>) -> Result<Vec<SealedFacts>, DecodeError> {
    let count = reader.varint_max("install.fragments", COMMIT_PARTS_MAX)?;
    let facts = |reader: &mut Reader<'_>| {
        Ok(SealedFacts {
            id: FragmentId(read_u32(reader, "install.fragment")?),
            head: read_version(reader)?,
            state: Digest::from_bytes(reader.array("install.state")?),
            floor: read_version(reader)?,
            epochs: read_epochs(reader)?.into(),
        })
    };
    let mut sealed = (0..count).map(|_| facts(reader)).collect::<Result<Vec<_>, DecodeError>>()?;
    if !reader.is_empty() {
        for _ in 0..reader.varint_max("install.histories", count)? {
            let place = reader.varint_max("install.which", count.saturating_sub(1))?;
            let place = usize::try_from(place).expect("bounded by a list in memory");
            let facts = sealed.get_mut(place).ok_or(DecodeError::Invalid { field: "install.which", why: "there are no fragments" })?;
            facts.epochs = read_history(reader)?;
        }
    }
    Ok(sealed)
}

/// The body of a frame record, in pieces: the values are the frame's own.
pub(crate) struct FrameRecord {
    before_values: Vec<u8>,
    values: Bytes,
    drops: Vec<u8>,
}

impl FrameRecord {
    pub(crate) fn new(frame: &Frame, drops: &[u64]) -> Self {
        let values = frame.entries.value_bytes().clone();
        let mut before_values = encode_head(frame);
        varint::put(&mut before_values, values.len() as u64);
        Self { before_values, values, drops: encode_drops(drops) }
    }

    pub(crate) fn pieces(&self) -> [&[u8]; 3] {
        [&self.before_values, &self.values, &self.drops]
    }
}

/// All that stands before the values and their length.
fn encode_head(frame: &Frame) -> Vec<u8> {
    let key_bytes = frame.entries.payload_bytes() - frame.entries.value_bytes().len();
    let mut out = Vec::with_capacity(key_bytes + frame.entries.len() * 12 + 256);
    varint::put(&mut out, u64::from(frame.fragment.0));
    out.push(mode_code(frame.mode));
    put_range(&mut out, &frame.range);
    put_version(&mut out, frame.from);
    put_version(&mut out, frame.to);
    out.extend_from_slice(&frame.digest.to_bytes());
    varint::put(&mut out, frame.range_deletes.len() as u64);
    for delete in &frame.range_deletes {
        put_range(&mut out, &delete.range);
        put_version(&mut out, delete.version);
    }
    put_rows_and_keys(&mut out, &frame.entries);
    out
}

fn encode_drops(drops: &[u64]) -> Vec<u8> {
    let mut out = Vec::new();
    varint::put(&mut out, drops.len() as u64);
    for id in drops {
        out.extend_from_slice(&id.to_le_bytes());
    }
    out
}

fn put_rows_and_keys(out: &mut Vec<u8>, entries: &Columns) {
    varint::put(out, entries.len() as u64);
    for entry in entries.iter() {
        let expires = entry.live.is_some_and(|live| live.expiry != Expiry::NEVER);
        out.push(if entry.live.is_some() { LIVE } else { 0 } | if expires { EXPIRES } else { 0 });
        varint::put(out, entry.key.len() as u64);
        varint::put(out, entry.live.map_or(0, |live| live.value.len()) as u64);
        put_version(out, entry.version);
        if let Some(live) = entry.live {
            out.push(live.kind.code());
            if expires {
                varint::put(out, live.expiry.millis());
            }
        }
    }
    varint::put(out, entries.iter().map(|entry| entry.key.len() as u64).sum());
    entries.iter().for_each(|entry| out.extend_from_slice(entry.key));
}

/// The inverse of [`FrameRecord`].
pub(crate) fn decode_frame(body: &[u8]) -> Result<(Frame, Vec<u64>), DecodeError> {
    let mut reader = Reader::new(body);
    let fragment = FragmentId(read_u32(&mut reader, "frame.fragment")?);
    let mode = mode_of(reader.u8("frame.mode")?)?;
    let range = read_range(&mut reader)?;
    let from = read_version(&mut reader)?;
    let to = read_version(&mut reader)?;
    let digest = Digest::from_bytes(reader.array("frame.digest")?);
    let deletes = reader.varint_max("frame.range_deletes", COMMIT_ENTRIES_MAX)?;
    let range_deletes = (0..deletes).map(|_| read_delete(&mut reader)).collect::<Result<_, _>>()?;
    let entries = read_columns(&mut reader)?;
    let count = reader.varint_max("frame.drops", COMMIT_ENTRIES_MAX)?;
    let drops = (0..count).map(|_| Ok(u64::from_le_bytes(reader.array("frame.drop")?))).collect::<Result<_, DecodeError>>()?;
    Ok((Frame { fragment, mode, range, from, to, range_deletes, entries, digest }, drops))
}

fn read_delete(reader: &mut Reader<'_>) -> Result<RangeDelete, DecodeError> {
    let range: KeyRange = read_range(reader)?;
    Ok(RangeDelete { range, version: read_version(reader)? })
}

fn read_columns(reader: &mut Reader<'_>) -> Result<Columns, DecodeError> {
    let count = reader.varint_max("frame.rows", FRAME_ENTRIES_MAX)?;
    let rows: Vec<RowParts> = (0..count).map(|_| read_row(reader)).collect::<Result<_, _>>()?;
    let keys = Bytes::copy_from_slice(reader.bytes_max("frame.keys", FRAME_BYTES_MAX)?);
    let values = Bytes::copy_from_slice(reader.bytes_max("frame.values", FRAME_BYTES_MAX)?);
    Columns::from_parts(keys, values, rows).ok_or(DecodeError::Invalid { field: "frame.rows", why: "lengths or order are wrong" })
}

fn read_row(reader: &mut Reader<'_>) -> Result<RowParts, DecodeError> {
    let flags = reader.u8("row.flags")?;
    let key_len = u32::try_from(reader.varint_max("row.key", STORED_KEY_BYTES_MAX as u64)?).expect("bounded above");
    let value_len = u32::try_from(reader.varint_max("row.value", ENTRY_VALUE_BYTES_MAX as u64)?).expect("bounded above");
    let version = read_version(reader)?;
    let is_live = flags & LIVE != 0;
    let kind = if is_live { Kind::from_code(reader.u8("row.kind")?) } else { Kind::STRING };
    let expiry = if flags & EXPIRES == 0 { Expiry::NEVER } else { Expiry::from_millis(reader.varint("row.expiry")?) };
    Ok(RowParts { key_len, value_len, version, expiry, kind, is_live })
}

const fn mode_code(mode: Mode) -> u8 {
    match mode {
        Mode::Advance => 0,
        Mode::ReplaceKeys => 1,
        Mode::ReplaceRange => 2,
    }
}

fn mode_of(code: u8) -> Result<Mode, DecodeError> {
    match code {
        0 => Ok(Mode::Advance),
        1 => Ok(Mode::ReplaceKeys),
        2 => Ok(Mode::ReplaceRange),
        _ => Err(DecodeError::Invalid { field: "frame.mode", why: "unknown" }),
    }
}

/// A frame's record for those who try to break its reader.
pub(crate) fn sample_frame() -> Vec<u8> {
    FrameRecord::new(&full_frame(), &[7, u64::MAX]).pieces().concat()
}

/// A frame with everything that one may have.
fn full_frame() -> Frame {
    let mut entries = ColumnsBuilder::default();
    let live = LiveRef { kind: Kind::PART, expiry: Expiry::at(9), value: b"value" };
    entries.push(EntryRef { key: b"a", version: Version::new(1, 300), live: Some(live) });
    entries.push(EntryRef { key: b"b", version: Version::ZERO, live: None });
    entries.push(EntryRef { key: b"c", version: Version::new(2, 1), live: Some(LiveRef { expiry: Expiry::NEVER, ..live }) });
    let range = KeyRange::new(&b"a"[..], Some(Bytes::from_static(b"x")));
    let range_deletes = vec![RangeDelete { range: range.clone(), version: Version::new(1, 7) }];
    let (from, to) = (Version::new(1, 5), Version::new(2, 9));
    Frame { fragment: FragmentId(3), mode: Mode::ReplaceKeys, range, from, to, range_deletes, entries: entries.finish(), digest: Digest(5) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use limosa_core::EpochTable;
    use proptest::prelude::*;

    #[test]
    fn a_frame_and_its_drops_round_trip_and_are_refused_when_cut() {
        let bytes = sample_frame();
        assert_eq!(decode_frame(&bytes), Ok((full_frame(), vec![7, u64::MAX])));
        assert!((0..bytes.len()).all(|end| decode_frame(&bytes[..end]).is_err()));
    }

    #[test]
    fn opens_and_installs_round_trip() {
        let mut start = StageStart::at(FragmentId(1), KeyRange::ALL, Version::new(1, 4));
        start.common.set(&KeyRange { start: Bytes::from_static(b"m"), end: None }, Version::ZERO);
        let fragments = vec![(FragmentId(7), KeyRange::ALL)];
        let scope = Scope::only([FragmentId(7), FragmentId(300)]);
        let reframe = StageRecord::Reframe { session: Some(10), next: 11, fragments };
        let gather = StageRecord::Gather { session: 10, scope: scope.clone() };
        for record in [StageRecord::Open { session: 9, starts: vec![start] }, gather, reframe, StageRecord::End { scope }] {
            round_trips(&record);
        }
        let (head, floor) = (Version::new(2, 2), Version::new(1, 1));
        let plain = SealedFacts { id: FragmentId(1), head, state: Digest(3), floor, epochs: History::default() };
        round_trips(&StageRecord::Install { sealed: vec![plain.clone()] });
        let strand = |start: &'static [u8]| limosa_core::Strand { start: Bytes::from_static(start), epochs: EpochTable::default(), floor };
        let epochs = History::from_strands(vec![strand(b""), strand(b"m")]).expect("in order");
        let sealed = vec![plain.clone(), SealedFacts { id: FragmentId(2), epochs, ..plain }];
        round_trips(&StageRecord::Install { sealed });
    }

    fn round_trips(record: &StageRecord) {
        let body = record.encode();
        let decode = |body: &[u8]| StageRecord::decode(&Record { kind: RecordKind::Stage, body });
        assert_eq!(decode(&body).as_ref(), Ok(record));
        // a record without the histories behind it is one of fragments with one strand each
        let is_whole = |end: usize| matches!(decode(&body[..end]), Ok(StageRecord::Install { .. }));
        assert!((0..body.len()).all(|end| decode(&body[..end]).is_err() || is_whole(end)));
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (decode_frame(&bytes), crate::codec::decode_rows(&bytes));
            for kind in [RecordKind::Stage, RecordKind::StageOpen, RecordKind::StageInstall] {
                let _ = StageRecord::decode(&Record { kind, body: &bytes });
            }
        }
    }
}
