//! Fixed messages of every kind, and a small session with true digests.
#![allow(dead_code, unreachable_pub)] // each test file uses a part

pub mod session;

use bytes::Bytes;
use limosa_core::columns::ColumnsBuilder;
use limosa_core::{
    Columns, Digest, EntryRef, EpochRow, EpochTable, Expiry, FragmentId, Frame, IntervalMap, KeyRange, Kind, LiveRef, Mode, RangeDelete,
    Version,
};
use limosa_wire::{
    Ack, Close, Context, Differ, Fetch, Fetched, FrameMessage, Greet, Have, HaveFragment, Hello, Leave, Level, Live, Message, Method,
    MoveAt, Offer, OfferedFragment, OwnershipMessage, Plan, PlanItem, Purpose, Ready, Refusal, Refuse, Renewal, Seal, SealedFragment,
    Symbols, WIRE_VERSIONS,
};

/// The name of the golden file, the message, and what is said beside it.
pub type Sample = (&'static str, Message, Context);

/// One message of every kind and shape, none of them compressed.
pub fn samples() -> Vec<Sample> {
    let plain = Context::default();
    let traced = Context {
        stream: 7,
        deadline_ms: Some(2500),
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
    };
    let more = Differ::More { level: Level::Blocks, first: 96, count: 32 };
    let found = Differ::Found { level: Level::Entries, target_only: vec![0, 1, u64::MAX] };
    vec![
        ("hello", Message::Hello(hello()), plain.clone()),
        ("offer", Message::Offer(offer()), traced.clone()),
        ("offer_equal", Message::Offer(Offer { equal: true, fragments: vec![], ..offer() }), plain.clone()),
        ("have", Message::Have(have()), plain.clone()),
        ("plan", Message::Plan(plan()), plain.clone()),
        ("frame_advance", Message::Frame(frame(Mode::Advance, small())), traced),
        ("frame_replace_keys", Message::Frame(frame(Mode::ReplaceKeys, small())), plain.clone()),
        ("frame_replace_range", Message::Frame(frame(Mode::ReplaceRange, small())), plain.clone()),
        ("frame_empty", Message::Frame(frame(Mode::Advance, Columns::default())), plain.clone()),
        ("ack", Message::Ack(Ack { frames: 3, frame_bytes: 70_000, live: 12, live_bytes: 900 }), plain.clone()),
        ("symbols", Message::Symbols(symbols()), plain.clone()),
        ("differ_more", Message::Differ(more), plain.clone()),
        ("differ_found", Message::Differ(found), plain.clone()),
        ("differ_list", Message::Differ(Differ::List { level: Level::Blocks }), plain.clone()),
        ("seal", Message::Seal(seal()), plain.clone()),
        ("ready", Message::Ready(Ready { position: 4711 }), plain.clone()),
        ("live", Message::Live(live(Bytes::from_static(b"\x05hello"))), plain.clone()),
        ("refuse", Message::Refuse(refuse()), plain.clone()),
        (
            "close",
            Message::Close(Close { code: "wire.damaged".into(), detail: "the checksum does not match".into(), retry: true }),
            plain.clone(),
        ),
        ("ping", Message::Ping, plain.clone()),
        (
            "fetch",
            Message::Fetch(Fetch { number: 2, fragment: FragmentId(3), range: KeyRange::new(&b"k1"[..], Some(b"k9"[..].into())) }),
            plain.clone(),
        ),
        ("fetched", Message::Fetched(Box::new(fetched(Some(frame(Mode::ReplaceRange, small()).frame)))), plain.clone()),
        ("fetched_none", Message::Fetched(Box::new(Fetched { why_not: "its block is damaged here too".into(), ..fetched(None) })), plain),
    ]
    .into_iter()
    .chain(of_some_fragments())
    .chain(about_ownership())
    .collect()
}

/// Sessions about some fragments.
fn of_some_fragments() -> Vec<Sample> {
    let scope = vec![FragmentId(0), FragmentId(7), FragmentId(u32::MAX)];
    let scoped = Hello { scope: scope.clone(), ..hello() };
    let collecting = Hello { purpose: Purpose::Collect { epoch: 6 }, ..scoped.clone() };
    let all = [
        ("hello_scope", Message::Hello(scoped)),
        ("hello_collect", Message::Hello(collecting)),
        ("leave", Message::Leave(Leave { fragments: scope })),
    ];
    all.into_iter().map(|(name, message)| (name, message, Context::default())).collect()
}

/// Every message of the control lane.
fn about_ownership() -> Vec<Sample> {
    let fragment = FragmentId(7);
    let renewal = |id, epoch, acknowledged| Renewal { fragment: FragmentId(id), epoch, base: Version::new(epoch - 1, 9), acknowledged };
    let fragments = vec![renewal(0, 3, Version::new(3, 70_000)), renewal(7, 1, Version::ZERO)];
    let at = MoveAt { move_id: 0xABCD, fragment, epoch: 3, version: Version::new(3, 70_001), state: Digest(9) };
    let (installed, acknowledged) = (Version::new(3, 70_002), Version::new(3, 70_000));
    let all = [
        ("ownership_renew", OwnershipMessage::Renew { beat: 12, fragments }),
        ("ownership_renewed", OwnershipMessage::Renewed { beat: 12, refused: vec![(fragment, 4)] }),
        ("ownership_seal", OwnershipMessage::Seal(at)),
        ("ownership_ready", OwnershipMessage::Ready(at)),
        ("ownership_not_ready", OwnershipMessage::NotReady { move_id: 0xABCD, fragment, why: "it stands at 3.69999".into() }),
        ("ownership_committed", OwnershipMessage::Committed { fragment, epoch: 4, revision: 99 }),
        ("ownership_unsealed", OwnershipMessage::Unsealed { move_id: 0xABCD, fragment }),
        ("ownership_fence", OwnershipMessage::Fence { fragment, epoch: 5 }),
        ("ownership_doubt", OwnershipMessage::Doubt { fragments: vec![(FragmentId(1), 3), (fragment, 4)] }),
        ("ownership_doubted", OwnershipMessage::Doubted { fragments: vec![(fragment, 4)] }),
        ("ownership_fenced", OwnershipMessage::Fenced { fragment, epoch: 5, installed, acknowledged }),
    ];
    let greet = Greet {
        wire_versions: WIRE_VERSIONS,
        features: limosa_wire::features::SCOPE,
        cluster: *b"sixteen byte id!",
        node: "b.example".into(),
        incarnation: 0x0123_4567_89AB_CDEF,
        start: 0xFEDC,
        revision: 98,
    };
    let greeted = ("greet", Message::Greet(greet), Context::default());
    all.into_iter().map(|(name, message)| (name, Message::Ownership(message), Context::default())).chain([greeted]).collect()
}

/// Messages whose columns shrink. Their bytes depend on the version of zstd, so only what they decode to is fixed.
pub fn compressed_samples() -> Vec<Sample> {
    let frame_of = |mode| Message::Frame(frame(mode, repetitive()));
    vec![
        ("frame_advance_zstd", frame_of(Mode::Advance), Context::default()),
        ("frame_replace_keys_zstd", frame_of(Mode::ReplaceKeys), Context::default()),
        ("frame_replace_range_zstd", frame_of(Mode::ReplaceRange), Context::default()),
        ("live_zstd", Message::Live(live(Bytes::from(b"a commit's record ".repeat(100)))), Context::default()),
    ]
}

fn fetched(frame: Option<Frame>) -> Fetched {
    Fetched { number: 2, frame, floor: Version::new(1, 7), why_not: String::new() }
}

fn hello() -> Hello {
    Hello {
        wire_versions: WIRE_VERSIONS,
        features: session::FIRST_FEATURES,
        cluster: *b"sixteen byte id!",
        node: "b.example".into(),
        incarnation: 0x0123_4567_89AB_CDEF,
        space_keys: 42,
        credit_window: 4 << 20,
        epoch_max: 3,
        shared: Digest(1 << 100),
        scope: vec![],
        purpose: Purpose::Follow,
    }
}

fn epochs() -> EpochTable {
    let row = |epoch, first_seq, opener| EpochRow { epoch, first_seq, opener };
    EpochTable::from_rows(vec![row(1, 1, u64::MAX), row(2, 1000, 77), row(5, 1000, 78)]).expect("in order")
}

fn range() -> KeyRange {
    KeyRange::new(&b"a"[..], Some(Bytes::from_static(b"q")))
}

fn offer() -> Offer {
    let fragment = OfferedFragment {
        id: FragmentId(1),
        range: range(),
        head: Version::new(5, 5000),
        state: Digest(u128::MAX),
        live: 100,
        live_bytes: 12_345,
        floor: Version::new(1, 10),
        epochs: epochs().into(),
    };
    let empty = OfferedFragment {
        id: FragmentId(0),
        range: KeyRange::ALL,
        head: Version::ZERO,
        state: Digest::ZERO,
        live: 0,
        live_bytes: 0,
        floor: Version::ZERO,
        epochs: EpochTable::default().into(),
    };
    Offer { wire_version: 1, features: session::FIRST_FEATURES, session: 99, equal: false, fragments: vec![empty, fragment] }
}

fn have() -> Have {
    let mut map = IntervalMap::new(range(), Version::new(2, 1500));
    map.set(&KeyRange::new(&b"c"[..], Some(Bytes::from_static(b"f"))), Version::new(5, 5000));
    map.set(&KeyRange::new(&b"k"[..], Some(Bytes::from_static(b"q"))), Version::ZERO);
    let fragment = HaveFragment {
        id: FragmentId(1),
        head: Version::new(2, 1600),
        state: Digest(5),
        live: 9,
        common: Version::new(2, 1500),
        map,
        own_keys: [&b"alpha"[..], b"alphabet", b"beta"].map(Bytes::from_static).to_vec(),
        parts: vec![],
    };
    Have { fragments: vec![fragment], last: true }
}

fn plan() -> Plan {
    let item = |id, method| PlanItem {
        fragment: FragmentId(id),
        method,
        entries: 10,
        bytes: 1000,
        reason: format!("{} is cheapest", method.word()),
        range: None,
    };
    let methods = [Method::Nothing, Method::Tail, Method::Delta, Method::Reconcile, Method::Copy];
    Plan { items: (0..).zip(methods).map(|(id, method)| item(id, method)).collect() }
}

fn frame(mode: Mode, entries: Columns) -> FrameMessage {
    let delete = RangeDelete { range: KeyRange::new(&b"b"[..], Some(Bytes::from_static(b"c"))), version: Version::new(2, 1600) };
    let frame = Frame {
        fragment: FragmentId(1),
        mode,
        range: range(),
        from: Version::new(2, 1500),
        to: Version::new(5, 5000),
        range_deletes: vec![delete],
        entries,
        digest: Digest(0x1234_5678),
    };
    FrameMessage { number: 3, drops: vec![11, u64::MAX], frame }
}

/// A tombstone, an absent key, an expiry, a kind that nobody knows, an empty value, epochs old and new.
fn small() -> Columns {
    let string = LiveRef { kind: Kind::STRING, expiry: Expiry::NEVER, value: b"value" };
    let mut builder = ColumnsBuilder::default();
    for (key, version, live) in [
        (&b"a"[..], Version::new(5, 4999), Some(string)),
        (b"alpha", Version::new(5, 4999), Some(LiveRef { value: b"vague", ..string })),
        (b"alphabet", Version::new(2, 1501), None),
        (b"c", Version::ZERO, None),
        (b"ca", Version::new(5, 5000), Some(LiveRef { expiry: Expiry::at(1_790_000_000_000), ..string })),
        (b"cb", Version::new(5, 1000), Some(LiveRef { expiry: Expiry::at(1_789_999_999_000), kind: Kind::from_code(200), value: b"" })),
    ] {
        builder.push(EntryRef { key, version, live });
    }
    builder.finish()
}

fn repetitive() -> Columns {
    let mut builder = ColumnsBuilder::default();
    for i in 0..300u32 {
        let (key, value) = (format!("key:{i:06}"), format!("{{\"id\":{i},\"name\":\"customer {i}\",\"active\":true}}"));
        let live = LiveRef { kind: Kind::STRING, expiry: Expiry::NEVER, value: value.as_bytes() };
        builder.push(EntryRef { key: key.as_bytes(), version: Version::new(5, 2000 + u64::from(i * 7919 % 3000)), live: Some(live) });
    }
    builder.finish()
}

fn symbols() -> Symbols {
    Symbols { level: Level::Blocks, first: 0, total: 1000, symbols: Bytes::from_static(&[0xAB; 26]) }
}

fn seal() -> Seal {
    let fragment = SealedFragment {
        id: FragmentId(1),
        head: Version::new(5, 5000),
        state: Digest(8),
        floor: Version::new(5, 5000),
        epochs: epochs().into(),
    };
    Seal { position: 4711, fragments: vec![fragment] }
}

fn live(records: Bytes) -> Live {
    let checks = vec![(FragmentId(1), Version::new(5, 5001), Digest(2))];
    Live { upto: 4712, records, epochs: vec![(FragmentId(1), epochs())], checks, floors: Vec::new(), reframe: Bytes::new() }
}

fn refuse() -> Refuse {
    Refuse { fragment: FragmentId(1), range: range(), why: Refusal::Mismatch, detail: "digest 05, expected 06".into() }
}
