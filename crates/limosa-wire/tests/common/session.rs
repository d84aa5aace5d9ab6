//! One small session with true digests: a target that missed an overwrite and a deletion.

use std::collections::BTreeMap;

use bytes::Bytes;
use limosa_core::columns::ColumnsBuilder;
use limosa_core::{
    Commit, Digest, EntryRef, EpochRow, EpochTable, Expiry, FragmentId, Frame, IntervalMap, KeyRange, Kind, LiveRef, Mode, Part, SpaceKeys,
    Version, varint,
};
use limosa_wire::{
    Ack, Close, FrameMessage, Have, HaveFragment, Hello, Live, Message, Method, Offer, OfferedFragment, Plan, PlanItem, Purpose, Ready,
    Seal, SealedFragment, WIRE_VERSION, WIRE_VERSIONS, features,
};

/// What the first version understood: the golden conversation was spoken with it, and stays valid.
pub const FIRST_FEATURES: u64 = features::ZSTD | features::RECONCILE | features::LIVE;

/// Which end speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    Target,
    Source,
}

/// Keys, versions and values of one fragment.
pub type State = BTreeMap<&'static [u8], (Version, &'static [u8])>;

const ID: FragmentId = FragmentId(0);

pub fn space_keys() -> SpaceKeys {
    SpaceKeys::derive(&[7; 32], "default")
}

/// What the target has before the session.
pub fn before() -> State {
    BTreeMap::from([(&b"a"[..], (v(1), &b"one"[..])), (b"b", (v(2), b"two")), (b"c", (v(3), b"three"))])
}

/// What both ends have at the seal.
pub fn after() -> State {
    BTreeMap::from([(&b"a"[..], (v(1), &b"one"[..])), (b"b", (v(4), b"deux"))])
}

/// The state digest of a fragment.
pub fn digest(state: &State) -> Digest {
    let keys = space_keys();
    state.iter().map(|(key, (version, value))| keys.state(keys.content(key, string(value)), *version)).sum()
}

fn v(seq: u64) -> Version {
    Version::new(1, seq)
}

fn string(value: &[u8]) -> LiveRef<'_> {
    LiveRef { kind: Kind::STRING, expiry: Expiry::NEVER, value }
}

fn epochs() -> EpochTable {
    EpochTable::from_rows(vec![EpochRow { epoch: 1, first_seq: 1, opener: 0xC0FFEE }]).expect("one row")
}

/// The messages in the order of the wire.
pub fn conversation() -> Vec<(End, Message)> {
    use End::{Source, Target};
    vec![
        (Target, Message::Hello(hello())),
        (Source, Message::Offer(offer())),
        (Target, Message::Have(have())),
        (Source, Message::Plan(plan())),
        (Source, Message::Frame(FrameMessage { number: 1, drops: vec![], frame: frame() })),
        (Target, Message::Ack(Ack { frames: 1, frame_bytes: 103, live: 0, live_bytes: 0 })),
        (Source, Message::Seal(seal())),
        (Target, Message::Ready(Ready { position: 5 })),
        (Source, Message::Live(live())),
        (Target, Message::Ack(Ack { frames: 1, frame_bytes: 103, live: 6, live_bytes: 64 + live().records.len() as u64 })),
        (Source, Message::Ping),
        (Source, Message::Close(Close { code: "node.stopping".into(), detail: "the source was asked to stop".into(), retry: true })),
    ]
}

fn hello() -> Hello {
    Hello {
        wire_versions: WIRE_VERSIONS,
        features: FIRST_FEATURES,
        cluster: *b"golden cluster 1",
        node: "b".into(),
        incarnation: 2,
        space_keys: space_keys().id(),
        credit_window: 4 << 20,
        epoch_max: 1,
        shared: Digest(3),
        scope: vec![],
        purpose: Purpose::Follow,
    }
}

fn offer() -> Offer {
    let fragment = OfferedFragment {
        id: ID,
        range: KeyRange::ALL,
        head: v(5),
        state: digest(&after()),
        live: 2,
        live_bytes: 9,
        floor: Version::ZERO,
        epochs: epochs().into(),
    };
    Offer { wire_version: WIRE_VERSION, features: FIRST_FEATURES, session: 0x5E55, equal: false, fragments: vec![fragment] }
}

fn have() -> Have {
    let map = IntervalMap::new(KeyRange::ALL, v(3));
    let fragment =
        HaveFragment { id: ID, head: v(3), state: digest(&before()), live: 3, common: v(3), map, own_keys: vec![], parts: vec![] };
    Have { fragments: vec![fragment], last: true }
}

fn plan() -> Plan {
    let reason = "the latest value of each key changed since a common version (since 1.3)".into();
    Plan { items: vec![PlanItem { fragment: ID, method: Method::Delta, entries: 2, bytes: 6, reason, range: None }] }
}

/// Brings [`before`] to [`after`].
pub fn frame() -> Frame {
    let mut entries = ColumnsBuilder::default();
    entries.push(EntryRef { key: b"b", version: v(4), live: Some(string(b"deux")) });
    entries.push(EntryRef { key: b"c", version: v(5), live: None });
    Frame {
        fragment: ID,
        mode: Mode::Advance,
        range: KeyRange::ALL,
        from: v(3),
        to: v(5),
        range_deletes: vec![],
        entries: entries.finish(),
        digest: digest(&after()),
    }
}

fn seal() -> Seal {
    let fragment = SealedFragment { id: ID, head: v(5), state: digest(&after()), floor: Version::ZERO, epochs: epochs().into() };
    Seal { position: 5, fragments: vec![fragment] }
}

fn live() -> Live {
    let entry = EntryRef { key: b"d", version: v(6), live: Some(string(b"four")) };
    let part = Part { fragment: ID, version: v(6), range_deletes: vec![], entries: vec![entry] };
    let mut commit = Vec::new();
    Commit { stamp_ms: 1_790_000_000_000, parts: vec![part] }.encode(&mut commit);
    let mut records = Vec::new();
    varint::put_bytes(&mut records, &commit);
    let mut state = after();
    state.insert(b"d", (v(6), b"four"));
    let checks = vec![(ID, v(6), digest(&state))];
    Live { upto: 6, records: Bytes::from(records), epochs: vec![], checks, floors: vec![], reframe: Bytes::new() }
}
