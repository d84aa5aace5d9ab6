//! The decoders of this crate for the fuzzers (see [`limosa_core::fuzzing`]): records of the journal, facts and rows of a checkpoint, and what
//! lies beside them. Each is given what is behind the checksum that guards it.

use bytes::Bytes;
use limosa_core::commit::Commit;
use limosa_core::fuzzing::Target;
use limosa_core::varint::Reader;
use limosa_core::{Digest, EpochRow, EpochTable, FragmentId, History, KeyRange, Scope, Strand, Version};
use limosa_tree::{FragmentMeta, MergeEpoch};

use crate::codec::{decode_rows, encode_rows};
use crate::journal::{Position, Record, RecordKind};
use crate::leases::{Leases, put_floors, read_floors};
use crate::notes::Notes;
use crate::parts::PartedHead;
use crate::past::{self, Past};
use crate::reframe::Reframe;
use crate::save::Covered;
use crate::saved::{self, Layout, NodeFacts};
use crate::stage::{SealedFacts, StageRecord, StageStart, decode_frame};
use crate::tail::Marks;
use crate::{checkpoint, drop, folder, journal};

/// Every target of this crate.
pub const TARGETS: &[Target] = &[
    Target::new("store_record", record, records),
    // A window reads a large piece of its file at once.
    Target::new("store_group", journal::fuzzing::group, journal::fuzzing::groups).allowed(1 << 20, 256),
    Target::new("store_segment", journal::fuzzing::segment, journal::fuzzing::segments),
    Target::new("store_facts", facts, all_facts),
    Target::new("store_checkpoint", checkpoint::fuzzing::value, checkpoint::fuzzing::values),
    Target::new("store_identity", identity, identities),
    Target::new("store_parted_head", parted_head, parted_heads),
];

const V: Version = Version::new(2, 300);
const F: FragmentId = FragmentId(7);

/// kind (1) | body.
fn record(bytes: &[u8]) {
    let Some((&code, body)) = bytes.split_first() else { return };
    let Some(kind) = RecordKind::from_code(code) else { return };
    match kind {
        RecordKind::Commit => let_go(Commit::decode(&mut Reader::new(body))),
        RecordKind::OpenEpoch => {
            let Ok(rows) = decode_rows(body) else { return };
            assert_eq!(decode_rows(&encode_rows(&rows)), Ok(rows));
        }
        RecordKind::StageFrame => let_go(decode_frame(body)),
        RecordKind::StageOpen | RecordKind::StageInstall | RecordKind::Stage => let_go(StageRecord::decode(&Record { kind, body })),
        RecordKind::Leases => let_go(Leases::decode(body)),
        RecordKind::Floors => let_go(read_floors(&mut Reader::new(body))),
        RecordKind::Reframe => {
            let Ok(reframe) = Reframe::decode(body) else { return };
            let _ = (reframe.heads(), reframe.makes(), reframe.parents());
            assert_eq!(Reframe::decode(&reframe.encode()), Ok(reframe));
        }
        RecordKind::Notes => let_go(Notes::default().apply(body)),
        RecordKind::Drop => let_go(drop::decode(body)),
        RecordKind::StageAbort | RecordKind::Role | RecordKind::Witness => {}
    }
}

/// It was decoded or refused; nothing more is known of it here.
fn let_go<T, E>(_: Result<T, E>) {}

fn records() -> Vec<Vec<u8>> {
    let of = |kind: RecordKind, body: &[u8]| [&[kind.code()], body].concat();
    let stage = |record: StageRecord| of(RecordKind::Stage, &record.encode());
    let mut start = StageStart::at(F, KeyRange::ALL, V);
    start.common.set(&KeyRange { start: Bytes::from_static(b"m"), end: None }, Version::ZERO);
    let plain = SealedFacts { id: F, head: V, state: Digest(3), floor: Version::ZERO, epochs: epochs().into() };
    let stranded = SealedFacts { epochs: history(), ..plain.clone() };
    let mut floors = Vec::new();
    put_floors(&mut floors, &[(F, V), (FragmentId(8), Version::ZERO)]);
    let split = Reframe::Split { fragment: F, at: Bytes::from_static(b"\x10\0"), head: V, left: FragmentId(64), right: FragmentId(65) };
    let (left, right) = ((FragmentId(64), V), (FragmentId(65), V));
    let merge = Reframe::Merge { left, right, merged: FragmentId(66), epoch: MergeEpoch { epoch: 3, opener: 9 } };
    vec![
        of(RecordKind::Commit, b"\x01\x01\x07\x02\xAC\x02\x00\x01\x01\x01k\x00\x01v"),
        of(RecordKind::OpenEpoch, &encode_rows(&[(F, epochs())])),
        of(RecordKind::StageFrame, &crate::stage::sample_frame()),
        stage(StageRecord::Open { session: 9, starts: vec![start] }),
        stage(StageRecord::Gather { session: 9, scope: Scope::only([F]) }),
        stage(StageRecord::Reframe { session: Some(9), next: 10, fragments: vec![(F, KeyRange::ALL)] }),
        stage(StageRecord::Install { sealed: vec![plain, stranded] }),
        stage(StageRecord::End { scope: Scope::only([F]) }),
        of(RecordKind::Leases, &leases().encode()),
        of(RecordKind::Floors, &floors),
        of(RecordKind::Reframe, &split.encode()),
        of(RecordKind::Reframe, &merge.encode()),
        of(RecordKind::Notes, &notes().encode()),
        of(RecordKind::Drop, &[2, 7, 9]),
    ]
}

fn epochs() -> EpochTable {
    let row = |epoch, first_seq| EpochRow { epoch, first_seq, opener: u64::from(epoch) * 77 };
    EpochTable::from_rows(vec![row(1, 1), row(2, 200)]).expect("in order")
}

fn history() -> History {
    let strand = |start: &'static [u8]| Strand { start: Bytes::from_static(start), epochs: epochs(), floor: Version::new(1, 9) };
    History::from_strands(vec![strand(b""), strand(b"m")]).expect("in order")
}

fn leases() -> Leases {
    let mut leases = Leases::default();
    leases.renew("b", 7, 1_790_000_000_000, [(F, V)].into_iter(), |_| Version::ZERO);
    leases
}

fn notes() -> Notes {
    let mut notes = Notes::default();
    notes.apply(b"\x02\x07fence/3\x019\x01r\x02\0\xFF").expect("two notes");
    notes
}

/// which (1) | a fact of a checkpoint.
fn facts(bytes: &[u8]) {
    let Some((&which, fact)) = bytes.split_first() else { return };
    match which {
        0 => let_go(saved::decode_fragments(fact, Layout::First)),
        1 => {
            let Ok((_, metas)) = saved::decode_fragments(fact, Layout::Second) else { return };
            let shelves: usize = metas.iter().map(|meta| meta.shelved().len()).sum();
            assert!(shelves <= fact.len(), "each shelf was told of");
        }
        2 => let_go(NodeFacts::decode(fact)),
        3 => {
            let Ok(marks) = Marks::decode(fact, 2, 1 << 20) else { return };
            let _ = (marks.find(&[(0, V), (1, V)]), marks.bytes_behind(Position(3)), marks.position_before(10));
            assert_eq!(Marks::decode(&marks.encode(), 2, 1 << 20), Ok(marks));
        }
        4 => let_go(Leases::decode(fact)),
        5 => let_go(Notes::default().apply(fact)),
        6 => let_go(past::decode(fact, &mut pasts())),
        _ => {}
    }
}

fn pasts() -> [Past; 2] {
    [1, 2].map(|at| Past::at(Position(at), Covered { generation: at, head: Some(V) }))
}

fn all_facts() -> Vec<Vec<u8>> {
    let of = |which: u8, fact: &[u8]| [&[which], fact].concat();
    let mut marks = Marks::new(Position(1), vec![Version::ZERO; 2], 1 << 20);
    marks.advance_at(Position(20), 1 << 20, || vec![V, Version::ZERO]);
    let meta = |id, range: KeyRange, shelf: &[u8]| FragmentMeta {
        id: FragmentId(id),
        head: V,
        floor: Version::new(1, 9),
        epochs: epochs().into(),
        range_deletes: vec![],
        shelves: vec![(Bytes::copy_from_slice(shelf), FragmentId(3))],
        range,
    };
    let whole = [
        meta(64, KeyRange::new(&b""[..], Some(Bytes::from_static(b"m"))), b""),
        meta(65, KeyRange { start: Bytes::from_static(b"m"), end: None }, b"m"),
    ];
    let node = NodeFacts { stamp_ms: 1_790_000_000_000, stage_since: Some(Position(9)), role: Bytes::from_static(b"owner") };
    vec![
        of(1, &saved::encode_metas(whole.into_iter(), 2, 66)),
        of(2, &node.encode()),
        of(3, &marks.encode()),
        of(4, &leases().encode()),
        of(5, &notes().encode()),
        of(6, &past::encode(&pasts())),
    ]
}

/// The text of an identity file before its checksum, which is put behind it here.
fn identity(text: &[u8]) {
    let checksum = format!("checksum = \"{:08x}\"\n", crc32fast::hash(text));
    let_go(folder::check_text(&[text, checksum.as_bytes()].concat()));
}

fn identities() -> Vec<Vec<u8>> {
    let text = folder::sample();
    let checked = text.rfind("checksum = ").expect("it ends with one");
    vec![text.into_bytes().into_iter().take(checked).collect()]
}

fn parted_head(bytes: &[u8]) {
    let Ok(head) = PartedHead::decode(bytes) else { return };
    assert_eq!(PartedHead::decode(&head.encode()), Ok(head));
}

fn parted_heads() -> Vec<Vec<u8>> {
    vec![
        PartedHead { generation: 0, bytes: 1, parts: 1 }.encode(),
        PartedHead { generation: u64::MAX, bytes: 1 << 20, parts: 512 }.encode(),
    ]
}
