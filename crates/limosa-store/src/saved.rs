//! What a checkpoint holds beside blocks: the facts of each fragment, the role, the open stage, marks. Encoded here.
//!
//! ```text
//! "fragments.2" next id | count | { id | range | head | floor | history | range deletes | { range | version } | shelves | { start | shelf } }
//! "fragments"  as the first release wrote it: count | { id | range | head | floor | epoch rows | range deletes | { range | version } }
//! "node"       stamp | stage since (0: none) | role
//! "totals"     { state digest 16 | live | tombstones } of each fragment: a summary that is gone from redb's tables is noticed
//! "marks"      see crate::tail::Marks
//! "leases"     see crate::leases; missing in older folders: none
//! "notes"      see crate::notes; the same
//! "pasts"      see crate::past; the same: nothing more is known
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use limosa_core::commit::{put_range, read_range, read_u32};
use limosa_core::fragment::hashed_ranges;
use limosa_core::limits::{COMMIT_ENTRIES_MAX, COMMIT_PARTS_MAX, STORED_KEY_BYTES_MAX};
use limosa_core::varint::{self, Reader};
use limosa_core::{DecodeError, Digest, FragmentId, RangeDelete};
use limosa_tree::{BlockLoader, Fragment, FragmentMeta, Ledger, Summary};

use crate::checkpoint::{Checkpoint, CheckpointView, CheckpointWriter};
use crate::codec::{put_history, put_version, read_epochs, read_history, read_version};
use crate::error::StoreError;
use crate::journal::{Point, Position};
use crate::leases::Leases;
use crate::notes::Notes;
use crate::options::Options;
use crate::past::{self, Past};
use crate::save::{Covered, Snapshot};
use crate::tail::Marks;

/// What the first release wrote; from then on under a name of its own, which that release does not take for its own.
const FRAGMENTS_1: &str = "fragments";
const FRAGMENTS: &str = "fragments.2";
const NODE: &str = "node";
const MARKS: &str = "marks";
const TOTALS: &str = "totals";
const LEASES: &str = "leases";
const NOTES: &str = "notes";
const PASTS: &str = "pasts";
/// Longest role that a node may set, bytes.
const ROLE_BYTES_MAX: usize = 1 << 20;

/// Facts of the whole node in a checkpoint.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct NodeFacts {
    pub(crate) stamp_ms: u64,
    /// Journal position of the first record of the oldest open stage.
    pub(crate) stage_since: Option<Position>,
    pub(crate) role: Bytes,
}

/// What a start finds, before the journal's tail is replayed.
pub(crate) struct Saved {
    pub(crate) point: Point,
    pub(crate) fragments: Vec<Fragment>,
    /// Above every id that a fragment here ever had.
    pub(crate) next_fragment: u32,
    pub(crate) node: NodeFacts,
    pub(crate) marks: Marks,
    pub(crate) leases: Leases,
    pub(crate) notes: Notes,
    pub(crate) pasts: Vec<Past>,
}

impl Saved {
    /// Out of the checkpoint, or as a new folder has it. No block is read.
    pub(crate) fn load(
        checkpoint: &Checkpoint,
        options: &Options,
        loader: &Arc<dyn BlockLoader>,
        ledger: &Arc<Ledger>,
    ) -> Result<Self, StoreError> {
        let point = checkpoint.point()?;
        let keys = Arc::new(options.keys.clone());
        if point.position == Position::ZERO {
            let ranges = if options.frames.is_empty() { hashed_ranges(options.fragments) } else { options.frames.clone() };
            let behind = ranges.iter().map(|(id, _)| id.0 + 1).max().unwrap_or(0);
            let new = |(id, range)| {
                let mut fragment = Fragment::new(id, range, keys.clone()).counted_by(ledger);
                fragment.set_loader(loader.clone());
                fragment
            };
            let fragments: Vec<Fragment> = ranges.into_iter().map(new).collect();
            let marks = Marks::new(Position::ZERO, fragments.iter().map(Fragment::head).collect(), options.tail_bytes);
            let (next_fragment, node, leases) = (behind, NodeFacts::default(), Leases::default());
            let (notes, pasts) = (Notes::default(), pasts_at(Position::ZERO, &fragments));
            return Ok(Self { point, fragments, next_fragment, node, marks, leases, notes, pasts });
        }
        let view = checkpoint.view()?;
        let (next_fragment, metas) = match view.meta(FRAGMENTS)? {
            Some(bytes) => decode_fragments(&bytes, Layout::Second)?,
            None => decode_fragments(&needed(&view, FRAGMENTS_1)?, Layout::First)?,
        };
        let open = |meta: FragmentMeta| {
            let mut blocks = Vec::new();
            for (shelf, part) in meta.shelved() {
                for row in view.blocks_in(shelf, &part)? {
                    let row = row?;
                    blocks.push((Bytes::from(row.first_key), Summary::from_bytes(&row.summary)?));
                }
            }
            Ok(Fragment::open(meta, keys.clone(), blocks, loader.clone(), ledger)?)
        };
        let fragments = metas.into_iter().map(open).collect::<Result<Vec<_>, StoreError>>()?;
        if view.has_totals() {
            check_totals(&needed(&view, TOTALS)?, &fragments)?;
        }
        let node = NodeFacts::decode(&needed(&view, NODE)?)?;
        let marks = Marks::decode(&needed(&view, MARKS)?, fragments.len(), options.tail_bytes)?;
        let leases = view.meta(LEASES)?.map(|bytes| Leases::decode(&bytes)).transpose()?.unwrap_or_default();
        let mut notes = Notes::default();
        view.meta(NOTES)?.map_or(Ok(()), |bytes| notes.apply(&bytes))?;
        let mut pasts = pasts_at(point.position, &fragments);
        view.meta(PASTS)?.map_or(Ok(()), |bytes| past::decode(&bytes, &mut pasts))?;
        Ok(Self { point, fragments, next_fragment, node, marks, leases, notes, pasts })
    }
}

/// Writes the facts of a checkpoint.
pub(crate) fn put_facts(writer: &mut CheckpointWriter<'_>, snapshot: &Snapshot) -> Result<(), StoreError> {
    writer.put_meta(FRAGMENTS, &encode_fragments(&snapshot.fragments, snapshot.next_fragment))?;
    writer.remove_meta(FRAGMENTS_1)?;
    writer.put_meta(TOTALS, &encode_totals(&snapshot.fragments))?;
    writer.put_meta(NODE, &snapshot.node.encode())?;
    writer.put_meta(MARKS, &snapshot.marks.encode())?;
    writer.put_meta(LEASES, &snapshot.leases.encode())?;
    writer.put_meta(NOTES, &snapshot.notes.encode())?;
    writer.put_meta(PASTS, &past::encode(&snapshot.pasts))
}

fn pasts_at(position: Position, fragments: &[Fragment]) -> Vec<Past> {
    fragments.iter().map(|fragment| Past::at(position, Covered::by(fragment))).collect()
}

fn encode_totals(fragments: &[Fragment]) -> Vec<u8> {
    let mut out = Vec::new();
    for total in fragments.iter().map(Fragment::total) {
        out.extend_from_slice(&total.state.to_bytes());
        varint::put(&mut out, total.live);
        varint::put(&mut out, total.tombstones);
    }
    out
}

/// redb does not check its pages when it reads them: a damaged one may show fewer rows, each of them sound.
fn check_totals(bytes: &[u8], fragments: &[Fragment]) -> Result<(), StoreError> {
    let mut reader = Reader::new(bytes);
    for total in fragments.iter().map(Fragment::total) {
        let state = Digest::from_bytes(reader.array("totals.state")?);
        let found = (state, reader.varint("totals.live")?, reader.varint("totals.tombstones")?);
        if found != (total.state, total.live, total.tombstones) {
            let why = "the summaries do not add up to what was written: some are gone";
            return Err(StoreError::Record(DecodeError::Invalid { field: "totals", why }));
        }
    }
    Ok(())
}

fn needed(view: &CheckpointView, key: &'static str) -> Result<Vec<u8>, StoreError> {
    let missing = DecodeError::Invalid { field: key, why: "the checkpoint does not have it" };
    view.meta(key)?.ok_or(StoreError::Record(missing))
}

impl NodeFacts {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        varint::put(&mut out, self.stamp_ms);
        varint::put(&mut out, self.stage_since.map_or(0, |position| position.0));
        varint::put_bytes(&mut out, &self.role);
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let stamp_ms = reader.varint("node.stamp")?;
        let stage_since = reader.varint("node.stage")?;
        let role = Bytes::copy_from_slice(reader.bytes_max("node.role", ROLE_BYTES_MAX)?);
        Ok(Self { stamp_ms, stage_since: (stage_since > 0).then_some(Position(stage_since)), role })
    }
}

fn encode_fragments(fragments: &[Fragment], next_fragment: u32) -> Vec<u8> {
    encode_metas(fragments.iter().map(Fragment::meta), fragments.len(), next_fragment)
}

/// The fact of `count` fragments.
pub(crate) fn encode_metas(metas: impl Iterator<Item = FragmentMeta>, count: usize, next_fragment: u32) -> Vec<u8> {
    let mut out = Vec::new();
    varint::put(&mut out, u64::from(next_fragment));
    varint::put(&mut out, count as u64);
    for meta in metas {
        varint::put(&mut out, u64::from(meta.id.0));
        put_range(&mut out, &meta.range);
        put_version(&mut out, meta.head);
        put_version(&mut out, meta.floor);
        put_history(&mut out, &meta.epochs);
        varint::put(&mut out, meta.range_deletes.len() as u64);
        for delete in &meta.range_deletes {
            put_range(&mut out, &delete.range);
            put_version(&mut out, delete.version);
        }
        varint::put(&mut out, meta.shelves.len() as u64);
        for (start, shelf) in &meta.shelves {
            varint::put_bytes(&mut out, start);
            varint::put(&mut out, u64::from(shelf.0));
        }
    }
    out
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    First,
    Second,
}

pub(crate) fn decode_fragments(bytes: &[u8], layout: Layout) -> Result<(u32, Vec<FragmentMeta>), DecodeError> {
    let mut reader = Reader::new(bytes);
    let next = if layout == Layout::First { 0 } else { read_u32(&mut reader, "fragments.next")? };
    let count = reader.varint_max("fragments.count", COMMIT_PARTS_MAX)?;
    let metas: Vec<FragmentMeta> = (0..count).map(|_| decode_fragment(&mut reader, layout)).collect::<Result<_, _>>()?;
    let touch = metas.windows(2).all(|pair| pair[0].range.end.as_ref() == Some(&pair[1].range.start));
    let whole = metas.first().is_some_and(|meta| meta.range.start.is_empty()) && metas.last().is_some_and(|meta| meta.range.end.is_none());
    let ids: BTreeSet<FragmentId> = metas.iter().map(|meta| meta.id).collect();
    if !touch || !whole || ids.len() != metas.len() {
        return Err(DecodeError::Invalid { field: "fragments", why: "they do not cover every key once" });
    }
    let newest = ids.last().map_or(0, |id| id.0);
    Ok((next.max(newest.saturating_add(1)), metas))
}

fn decode_fragment(reader: &mut Reader<'_>, layout: Layout) -> Result<FragmentMeta, DecodeError> {
    let id = FragmentId(read_u32(reader, "fragment.id")?);
    let range = read_range(reader)?;
    let head = read_version(reader)?;
    let floor = read_version(reader)?;
    let epochs = if layout == Layout::First { read_epochs(reader)?.into() } else { read_history(reader)? };
    let count = reader.varint_max("fragment.range_deletes", COMMIT_ENTRIES_MAX)?;
    let delete = |reader: &mut Reader<'_>| Ok(RangeDelete { range: read_range(reader)?, version: read_version(reader)? });
    let range_deletes = (0..count).map(|_| delete(reader)).collect::<Result<_, DecodeError>>()?;
    let shelves = if layout == Layout::First { Vec::new() } else { decode_shelves(reader)? };
    Ok(FragmentMeta { id, range, head, floor, epochs, range_deletes, shelves })
}

fn decode_shelves(reader: &mut Reader<'_>) -> Result<Vec<(Bytes, FragmentId)>, DecodeError> {
    let count = reader.varint_max("fragment.shelves", COMMIT_PARTS_MAX)?;
    let shelf = |reader: &mut Reader<'_>| {
        let start = Bytes::copy_from_slice(reader.bytes_max("shelf.start", STORED_KEY_BYTES_MAX)?);
        Ok((start, FragmentId(read_u32(reader, "shelf.id")?)))
    };
    (0..count).map(|_| shelf(reader)).collect()
}
