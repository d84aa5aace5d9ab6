//! Any message comes back as it was sent, compressed or not, in pieces of any size.

mod common;

use std::collections::BTreeMap;

use bytes::Bytes;
use limosa_core::columns::ColumnsBuilder;
use limosa_core::{
    Columns, Digest, EntryRef, EpochRow, EpochTable, Expiry, FragmentId, Frame, History, IntervalMap, KeyRange, Kind, LiveRef, Mode,
    RangeDelete, Strand, Version,
};
use limosa_wire::{
    Ack, Close, Compression, Context, Decoder, Differ, Fetch, Fetched, FrameMessage, Greet, Have, HaveFragment, HavePart, Hello, Leave,
    Level, Live, Message, Method, MoveAt, Offer, OfferedFragment, OwnershipMessage, Plan, PlanItem, Purpose, Ready, Refusal, Refuse,
    Renewal, Seal, SealedFragment, Symbols, decode, encode, encode_with,
};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;

fn version() -> impl Strategy<Value = Version> {
    prop_oneof![
        Just(Version::ZERO),
        (1u32..4, 1u64..1000).prop_map(|(epoch, seq)| Version::new(epoch, seq)),
        (any::<u32>(), any::<u64>()).prop_map(|(epoch, seq)| Version::new(epoch, seq))
    ]
}

fn bytes(max: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..max).prop_map(Bytes::from)
}

fn digest() -> impl Strategy<Value = Digest> {
    any::<u128>().prop_map(Digest)
}

fn fragment() -> impl Strategy<Value = FragmentId> {
    any::<u32>().prop_map(FragmentId)
}

fn range() -> impl Strategy<Value = KeyRange> {
    (bytes(6), proptest::option::of(bytes(6))).prop_map(|(start, rest)| {
        let end = rest.map(|rest| [&start[..], &[0], &rest].concat().into());
        KeyRange { start, end }
    })
}

fn epochs() -> impl Strategy<Value = EpochTable> {
    vec((1u32..9, 0u64..1000, any::<u64>()), 0..5).prop_map(|steps| {
        let (mut epoch, mut first_seq) = (0, 1);
        let rows = steps.into_iter().map(|(epochs, seqs, opener)| {
            epoch += epochs;
            first_seq += seqs;
            EpochRow { epoch, first_seq, opener }
        });
        EpochTable::from_rows(rows.collect()).expect("ascending")
    })
}

fn scope() -> impl Strategy<Value = Vec<FragmentId>> {
    proptest::collection::btree_set(fragment(), 0..9).prop_map(|fragments| fragments.into_iter().collect())
}

fn purpose() -> impl Strategy<Value = Purpose> {
    prop_oneof![Just(Purpose::Follow), any::<u32>().prop_map(|epoch| Purpose::Collect { epoch })]
}

/// Up to three strands that end alike.
fn history() -> impl Strategy<Value = History> {
    (vec((epochs(), version()), 1..4), any::<u64>()).prop_map(|(parts, opener)| {
        let last = EpochRow { epoch: 100, first_seq: 100_000, opener };
        let strand = |(start, (table, floor)): (u8, (EpochTable, Version))| {
            let rows = table.rows().iter().copied().chain([last]).collect();
            let start = if start == 0 { Bytes::new() } else { vec![start].into() };
            Strand { start, epochs: EpochTable::from_rows(rows).expect("ascending"), floor }
        };
        History::from_strands((0u8..).zip(parts).map(strand).collect()).expect("in order")
    })
}

fn parts() -> impl Strategy<Value = Vec<HavePart>> {
    vec((version(), version()), 0..4).prop_map(|parts| {
        let start = |i: u8| if i == 0 { Bytes::new() } else { vec![i].into() };
        (0u8..).zip(parts).map(|(i, (head, common))| HavePart { start: start(i), head, common }).collect()
    })
}

fn map() -> impl Strategy<Value = IntervalMap> {
    (version(), vec((0u8..200, 1u8..50, version()), 0..6)).prop_map(|(version, sets)| {
        let mut map = IntervalMap::new(KeyRange::new(vec![0u8], Some(vec![255u8].into())), version);
        for (start, len, version) in sets {
            map.set(&KeyRange::new(vec![start], Some(vec![start + len].into())), version);
        }
        map
    })
}

fn text() -> impl Strategy<Value = String> {
    select(vec!["", "ok", "naïve — 4 KiB", "the digests differ"]).prop_map(str::to_owned)
}

fn level() -> impl Strategy<Value = Level> {
    select(vec![Level::Blocks, Level::Entries])
}

fn columns() -> impl Strategy<Value = Columns> {
    let live = (any::<u8>(), prop_oneof![Just(0u64), any::<u64>()], vec(prop_oneof![Just(7u8), any::<u8>()], 0..300));
    btree_map(vec(any::<u8>(), 0..20), (version(), proptest::option::of(live)), 0..60).prop_map(|rows| join(&rows))
}

type Rows = BTreeMap<Vec<u8>, (Version, Option<(u8, u64, Vec<u8>)>)>;

fn join(rows: &Rows) -> Columns {
    let mut builder = ColumnsBuilder::default();
    for (key, (version, live)) in rows {
        let live = live.as_ref().map(|(kind, expiry, value)| LiveRef {
            kind: Kind::from_code(*kind),
            expiry: Expiry::from_millis(*expiry),
            value,
        });
        builder.push(EntryRef { key, version: *version, live });
    }
    builder.finish()
}

fn frame() -> impl Strategy<Value = FrameMessage> {
    let mode = select(vec![Mode::Advance, Mode::ReplaceKeys, Mode::ReplaceRange]);
    let head = (any::<u64>(), vec(any::<u64>(), 0..9), fragment(), mode, version(), version());
    (head, vec((range(), version()), 0..3), columns(), digest()).prop_map(
        |((number, drops, fragment, mode, from, to), deletes, entries, digest)| {
            let range_deletes = deletes.into_iter().map(|(range, version)| RangeDelete { range, version }).collect();
            FrameMessage { number, drops, frame: Frame { fragment, mode, range: KeyRange::ALL, from, to, range_deletes, entries, digest } }
        },
    )
}

fn opening() -> impl Strategy<Value = Message> {
    let hello =
        ((any::<(u32, u32)>(), any::<u64>(), any::<[u8; 16]>()), text(), any::<(u64, u64, u64, u32)>(), (digest(), scope(), purpose()));
    let offered = (fragment(), range(), version(), digest(), any::<(u64, u64)>(), version(), history());
    let offered = offered.prop_map(|(id, range, head, state, (live, live_bytes), floor, epochs)| OfferedFragment {
        id,
        range,
        head,
        state,
        live,
        live_bytes,
        floor,
        epochs,
    });
    let held = (fragment(), version(), digest(), any::<u64>(), version(), (map(), parts()), vec(bytes(12), 0..6));
    let held = held.prop_map(|(id, head, state, live, common, (map, parts), own_keys)| HaveFragment {
        id,
        head,
        state,
        live,
        common,
        map,
        own_keys,
        parts,
    });
    let methods = select(vec![Method::Nothing, Method::Tail, Method::Delta, Method::Reconcile, Method::Copy]);
    let item = (fragment(), methods, any::<(u64, u64)>(), text(), proptest::option::of(range()));
    let item =
        item.prop_map(|(fragment, method, (entries, bytes), reason, range)| PlanItem { fragment, method, entries, bytes, reason, range });
    prop_oneof![
        hello.prop_map(
            |((wire_versions, features, cluster), node, (incarnation, space_keys, credit_window, epoch_max), (shared, scope, purpose))| {
                Message::Hello(Hello {
                    wire_versions,
                    features,
                    cluster,
                    node,
                    incarnation,
                    space_keys,
                    credit_window,
                    epoch_max,
                    shared,
                    scope,
                    purpose,
                })
            }
        ),
        (any::<(u32, u64, u64, bool)>(), vec(offered, 0..4)).prop_map(|((wire_version, features, session, equal), mut fragments)| {
            fragments.truncate(if equal { 0 } else { 4 });
            Message::Offer(Offer { wire_version, features, session, equal, fragments })
        }),
        (vec(held, 0..4), any::<bool>()).prop_map(|(fragments, last)| Message::Have(Have { fragments, last })),
        vec(item, 0..4).prop_map(|items| Message::Plan(Plan { items })),
    ]
}

fn comparing() -> impl Strategy<Value = Message> {
    prop_oneof![
        (level(), any::<(u64, u64)>(), bytes(60)).prop_map(|(level, (first, total), symbols)| Message::Symbols(Symbols {
            level,
            first,
            total,
            symbols
        })),
        (level(), any::<(u64, u64)>()).prop_map(|(level, (first, count))| Message::Differ(Differ::More { level, first, count })),
        (level(), vec(any::<u64>(), 0..9)).prop_map(|(level, target_only)| Message::Differ(Differ::Found { level, target_only })),
        level().prop_map(|level| Message::Differ(Differ::List { level })),
    ]
}

fn ending() -> impl Strategy<Value = Message> {
    let sealed = (fragment(), version(), digest(), version(), history());
    let sealed = sealed.prop_map(|(id, head, state, floor, epochs)| SealedFragment { id, head, state, floor, epochs });
    let live = (any::<u64>(), prop_oneof![bytes(60), Just(Bytes::from(vec![3; 5000]))], vec((fragment(), epochs()), 0..3));
    let refusal = select(vec![Refusal::Stale, Refusal::Gap, Refusal::Mismatch, Refusal::NoRoom]);
    prop_oneof![
        (any::<u64>(), vec(sealed, 0..4)).prop_map(|(position, fragments)| Message::Seal(Seal { position, fragments })),
        any::<u64>().prop_map(|position| Message::Ready(Ready { position })),
        (live, vec((fragment(), version(), digest()), 0..3), vec((fragment(), version()), 0..3), bytes(9)).prop_map(
            |((upto, records, epochs), checks, floors, reframe)| Message::Live(Live { upto, records, epochs, checks, floors, reframe })
        ),
        any::<(u64, u64, u64, u64)>().prop_map(|(frames, frame_bytes, live, live_bytes)| Message::Ack(Ack {
            frames,
            frame_bytes,
            live,
            live_bytes
        })),
        (fragment(), range(), refusal, text()).prop_map(|(fragment, range, why, detail)| Message::Refuse(Refuse {
            fragment,
            range,
            why,
            detail
        })),
        (text(), text(), any::<bool>()).prop_map(|(code, detail, retry)| Message::Close(Close { code, detail, retry })),
        Just(Message::Ping),
    ]
}

fn repairing() -> impl Strategy<Value = Message> {
    let whole = |message: FrameMessage| Frame { mode: Mode::ReplaceRange, ..message.frame };
    prop_oneof![
        (any::<u64>(), fragment(), range()).prop_map(|(number, fragment, range)| Message::Fetch(Fetch { number, fragment, range })),
        (any::<u64>(), proptest::option::of(frame().prop_map(whole)), version(), text())
            .prop_map(|(number, frame, floor, why_not)| { Message::Fetched(Box::new(Fetched { number, frame, floor, why_not })) }),
    ]
}

fn move_at() -> impl Strategy<Value = MoveAt> {
    (any::<u64>(), fragment(), any::<u32>(), version(), digest()).prop_map(|(move_id, fragment, epoch, version, state)| MoveAt {
        move_id,
        fragment,
        epoch,
        version,
        state,
    })
}

fn owned() -> impl Strategy<Value = Vec<(FragmentId, u32)>> {
    btree_map(fragment(), any::<u32>(), 0..9).prop_map(|owned| owned.into_iter().collect())
}

fn ownership() -> impl Strategy<Value = OwnershipMessage> {
    let renewals = btree_map(fragment(), (any::<u32>(), version(), version()), 0..9).prop_map(|fragments| {
        let renewal = |(fragment, (epoch, base, acknowledged))| Renewal { fragment, epoch, base, acknowledged };
        fragments.into_iter().map(renewal).collect()
    });
    prop_oneof![
        (any::<u64>(), renewals).prop_map(|(beat, fragments)| OwnershipMessage::Renew { beat, fragments }),
        (any::<u64>(), vec((fragment(), any::<u32>()), 0..9)).prop_map(|(beat, refused)| OwnershipMessage::Renewed { beat, refused }),
        move_at().prop_map(OwnershipMessage::Seal),
        move_at().prop_map(OwnershipMessage::Ready),
        (any::<u64>(), fragment(), text()).prop_map(|(move_id, fragment, why)| OwnershipMessage::NotReady { move_id, fragment, why }),
        (fragment(), any::<u32>(), any::<u64>()).prop_map(|(fragment, epoch, revision)| OwnershipMessage::Committed {
            fragment,
            epoch,
            revision
        }),
        (any::<u64>(), fragment()).prop_map(|(move_id, fragment)| OwnershipMessage::Unsealed { move_id, fragment }),
        owned().prop_map(|fragments| OwnershipMessage::Doubt { fragments }),
        owned().prop_map(|fragments| OwnershipMessage::Doubted { fragments }),
        (fragment(), any::<u32>()).prop_map(|(fragment, epoch)| OwnershipMessage::Fence { fragment, epoch }),
        (fragment(), any::<u32>(), version(), version()).prop_map(|(fragment, epoch, installed, acknowledged)| OwnershipMessage::Fenced {
            fragment,
            epoch,
            installed,
            acknowledged
        }),
    ]
}

fn controlling() -> impl Strategy<Value = Message> {
    prop_oneof![
        (any::<(u32, u32)>(), any::<[u8; 16]>(), text(), any::<[u64; 4]>()).prop_map(
            |(wire_versions, cluster, node, [features, incarnation, start, revision])| {
                Message::Greet(Greet { wire_versions, features, cluster, node, incarnation, start, revision })
            }
        ),
        ownership().prop_map(Message::Ownership),
        scope().prop_map(|fragments| Message::Leave(Leave { fragments })),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![opening(), frame().prop_map(Message::Frame), comparing(), ending(), repairing(), controlling()]
}

fn context() -> impl Strategy<Value = Context> {
    (any::<u64>(), any::<Option<u32>>(), proptest::option::of(text())).prop_map(|(stream, deadline_ms, traceparent)| Context {
        stream,
        deadline_ms,
        traceparent,
    })
}

proptest! {
    #[test]
    fn any_message_comes_back(message in message(), context in context(), compress in any::<bool>()) {
        let compression = if compress { Compression::WhereItShrinks } else { Compression::Never };
        let encoded = encode_with(&message, &context, compression).expect("within limits");
        prop_assert_eq!(encoded.len(), encoded.to_bytes().len());
        prop_assert_eq!(decode(encoded.to_bytes()), Ok((message, context)));
    }

    #[test]
    fn messages_come_out_of_a_stream_in_pieces_of_any_size(messages in vec(message(), 1..5), piece in 1usize..400) {
        let context = Context::default();
        let stream: Vec<u8> = messages.iter().flat_map(|message| encode(message, &context).expect("within limits").to_bytes()).collect();
        let mut decoder = Decoder::default();
        let mut heard = Vec::new();
        for piece in stream.chunks(piece) {
            decoder.push(piece);
            while let Some((message, ..)) = decoder.next().expect("valid") {
                heard.push(message);
            }
        }
        prop_assert_eq!(decoder.finish(), Ok(()));
        prop_assert_eq!(heard, messages);
    }
}

#[test]
fn values_that_do_not_shrink_are_never_copied() {
    let noise: Vec<u8> = (0..200_000u64).map(|i| (i.wrapping_mul(i).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as u8).collect();
    let mut builder = ColumnsBuilder::default();
    for (i, value) in noise.chunks(1000).enumerate() {
        let live = LiveRef { kind: Kind::STRING, expiry: Expiry::NEVER, value };
        builder.push(EntryRef { key: &i.to_be_bytes(), version: Version::new(1, i as u64 + 1), live: Some(live) });
    }
    let (to, digest) = (Version::new(1, 500), Digest(1));
    let (range, from) = (KeyRange::ALL, Version::ZERO);
    let frame =
        Frame { fragment: FragmentId(0), mode: Mode::Advance, range, from, to, range_deletes: vec![], entries: builder.finish(), digest };
    let values = frame.entries.value_bytes().as_ptr();
    let encoded = encode(&Message::Frame(FrameMessage { number: 1, drops: vec![], frame }), &Context::default()).expect("within limits");
    assert!(encoded.columns.iter().any(|piece| piece.as_ptr() == values), "sent as they lie");
    let received = encoded.to_bytes();
    let span = received.as_ptr_range();
    let (Message::Frame(message), _) = decode(received).expect("valid") else { panic!("a frame") };
    assert!(span.contains(&message.frame.entries.value_bytes().as_ptr()), "read where they lie");
}

fn long_records(bytes: usize) -> Message {
    let records: Vec<u8> = (0..bytes).map(|i| (i % 251) as u8).collect();
    let checks = vec![(FragmentId(3), Version::new(1, 2), Digest(4))];
    Message::Live(Live { upto: 9, records: records.into(), epochs: vec![], checks, floors: vec![], reframe: Bytes::new() })
}

#[test]
fn records_longer_than_a_message_are_cut_and_joined() {
    const MIB: usize = 1 << 20;
    for (bytes, compression) in [(MIB, Compression::Never), (MIB + 1, Compression::Never), (9 * MIB + 77, Compression::WhereItShrinks)] {
        let message = long_records(bytes);
        let encoded = encode_with(&message, &Context::default(), compression).expect("within limits");
        let mut decoder = Decoder::default();
        let mut heard = Vec::new();
        for piece in encoded.to_bytes().chunks(100_000) {
            decoder.push(piece);
            while let Some((message, _, length)) = decoder.next().expect("valid") {
                assert_eq!(length, encoded.len());
                heard.push(message);
            }
        }
        assert!(heard == [message], "{bytes} bytes");
        assert_eq!(decoder.finish(), Ok(()));
    }
}

#[test]
fn records_that_do_not_go_on_are_a_typed_error() {
    let encoded = encode(&long_records(3 << 20), &Context::default()).expect("within limits").to_bytes();
    let first = limosa_wire::message_length(*encoded.first_chunk().expect("a header")).expect("valid");
    assert!(first < encoded.len());
    assert_eq!(decode(encoded.slice(..first)).expect_err("a piece").code(), "wire.malformed");
    let mut decoder = Decoder::default();
    decoder.push(&encoded[..first]);
    assert_eq!(decoder.next(), Ok(None));
    assert!(decoder.finish().is_err(), "the connection may not end here");
    decoder.push(&encode(&Message::Ping, &Context::default()).expect("small").to_bytes());
    assert_eq!(decoder.next().expect_err("not a live message").code(), "wire.malformed");
}

#[test]
fn a_list_of_fragments_has_its_limit_at_both_ends() {
    let fragments = |count: u32| (u32::MAX - count + 1..=u32::MAX).map(FragmentId).collect::<Vec<_>>();
    let leave = |count| Message::Leave(Leave { fragments: fragments(count) });
    let renewal = |fragment| Renewal {
        fragment,
        epoch: u32::MAX,
        base: Version::new(u32::MAX, u64::MAX),
        acknowledged: Version::new(u32::MAX, u64::MAX),
    };
    let renew = |count| {
        let fragments = fragments(count).into_iter().map(renewal).collect();
        Message::Ownership(OwnershipMessage::Renew { beat: u64::MAX, fragments })
    };
    for (most, one_more) in [(leave(4096), leave(4097)), (renew(4096), renew(4097))] {
        let bytes = encode(&most, &Context::default()).expect("at the limit").to_bytes();
        assert_eq!(decode(bytes), Ok((most, Context::default())));
        assert_eq!(encode(&one_more, &Context::default()).expect_err("above the limit").code(), "wire.too_large");
    }
}

#[test]
fn what_a_peer_would_refuse_is_not_sent() {
    let plan = Plan {
        items: vec![
            PlanItem { fragment: FragmentId(0), method: Method::Copy, entries: 0, bytes: 0, reason: String::new(), range: None };
            70_000
        ],
    };
    let error = encode(&Message::Plan(plan), &Context::default()).expect_err("too large");
    assert_eq!(error.code(), "wire.too_large");
    let symbols = Symbols { level: Level::Blocks, first: 0, total: 1, symbols: vec![0; 5 << 20].into() };
    assert!(encode(&Message::Symbols(symbols), &Context::default()).is_err());
}
