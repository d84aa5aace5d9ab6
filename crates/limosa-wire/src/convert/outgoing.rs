//! Messages into envelopes.

use bytes::Bytes;

use limosa_core::limits::{ENTRY_VALUE_BYTES_MAX, FRAME_BYTES_MAX, FRAME_ENTRIES_MAX, STORED_KEY_BYTES_MAX};
use limosa_core::{Frame, Mode};

use super::key_list;
use super::ownership::{fragments_out, greet_out, ownership_out};
use super::shared::{digest_out, epochs_out, history_out, map_out, range_delete_out, range_out, text_out, version_out};
use crate::error::{WireError, limit};
use crate::generated::{self as pb, envelope::Body};
use crate::layout;
use crate::limits::{ITEMS_MAX, LIVE_JOINED_BYTES_MAX, LIVE_RECORDS_BYTES_MAX, NODE_NAME_BYTES_MAX};
use crate::message::{
    Differ, Fetched, FrameMessage, Have, HaveFragment, HavePart, Hello, Level, Live, Message, Method, Offer, OfferedFragment, Plan,
    PlanItem, Purpose, Refusal, Seal,
};
use crate::negotiate::MAGIC;
use crate::section::{self, Compression};

/// An envelope's message, and the columns that go behind it.
pub(crate) type Parts = (Body, Vec<Bytes>);

/// What goes into one or, for records of any length, several messages on the wire.
pub(crate) fn parts(message: &Message, compression: Compression) -> Result<Vec<Parts>, WireError> {
    match message {
        Message::Live(live) => live_out(live, compression),
        Message::Frame(message) => Ok(vec![frame(message, compression)?]),
        Message::Fetched(fetched) => Ok(vec![fetched_out(fetched, compression)?]),
        other => Ok(vec![(envelope_only(other)?, Vec::new())]),
    }
}

fn envelope_only(message: &Message) -> Result<Body, WireError> {
    Ok(match message {
        Message::Frame(_) | Message::Live(_) | Message::Fetched(_) => unreachable!("they have columns"),
        Message::Hello(hello) => Body::Hello(hello_out(hello)?),
        Message::Offer(offer) => Body::Offer(offer_out(offer)?),
        Message::Have(have) => Body::Have(have_out(have)?),
        Message::Plan(plan) => Body::Plan(plan_out(plan)?),
        Message::Ack(ack) => {
            Body::Ack(pb::Ack { frames: ack.frames, frame_bytes: ack.frame_bytes, live: ack.live, live_bytes: ack.live_bytes })
        }
        Message::Symbols(symbols) => Body::Symbols(pb::Symbols {
            level: level(symbols.level),
            first: symbols.first,
            total: symbols.total,
            symbols: symbols.symbols.clone(),
        }),
        Message::Differ(differ) => Body::Differ(pb::Differ { answer: Some(answer(differ)) }),
        Message::Seal(seal) => Body::Seal(seal_out(seal)?),
        Message::Ready(ready) => Body::Ready(pb::Ready { position: ready.position }),
        Message::Refuse(refuse) => Body::Refuse(pb::Refuse {
            fragment: refuse.fragment.0,
            range: range_out(&refuse.range),
            why: refusal(refuse.why),
            detail: text_out(&refuse.detail),
        }),
        Message::Close(close) => {
            Body::Close(pb::Close { code: text_out(&close.code), detail: text_out(&close.detail), retry: close.retry })
        }
        Message::Ping => Body::Ping(pb::Ping {}),
        Message::Fetch(fetch) => {
            Body::Fetch(pb::Fetch { number: fetch.number, fragment: fetch.fragment.0, range: range_out(&fetch.range) })
        }
        Message::Leave(leave) => Body::Leave(pb::Leave { fragments: fragments_out(&leave.fragments)? }),
        Message::Greet(greet) => Body::Greet(greet_out(greet)?),
        Message::Ownership(message) => Body::Ownership(ownership_out(message)?),
    })
}

fn hello_out(hello: &Hello) -> Result<pb::Hello, WireError> {
    limit("a node's name", hello.node.len(), NODE_NAME_BYTES_MAX)?;
    Ok(pb::Hello {
        magic: u64::from_le_bytes(MAGIC),
        wire_version_min: hello.wire_versions.0,
        wire_version_max: hello.wire_versions.1,
        features: hello.features,
        cluster: Bytes::copy_from_slice(&hello.cluster),
        node: hello.node.clone(),
        incarnation: hello.incarnation,
        space_keys: hello.space_keys,
        credit_window: hello.credit_window,
        epoch_max: hello.epoch_max,
        shared: digest_out(hello.shared),
        scope: fragments_out(&hello.scope)?,
        collect_epoch: match hello.purpose {
            Purpose::Follow => None,
            Purpose::Collect { epoch } => Some(epoch),
        },
    })
}

fn offer_out(offer: &Offer) -> Result<pb::Offer, WireError> {
    items("an offer", offer.fragments.len())?;
    Ok(pb::Offer {
        wire_version: offer.wire_version,
        session: offer.session,
        equal: offer.equal,
        fragments: offer.fragments.iter().map(offered_fragment).collect::<Result<_, _>>()?,
        features: offer.features,
    })
}

fn offered_fragment(fragment: &OfferedFragment) -> Result<pb::OfferedFragment, WireError> {
    let (epochs, strands, first_floor) = history_out(&fragment.epochs)?;
    Ok(pb::OfferedFragment {
        id: fragment.id.0,
        range: range_out(&fragment.range),
        head: version_out(fragment.head),
        state: digest_out(fragment.state),
        live: fragment.live,
        live_bytes: fragment.live_bytes,
        floor: version_out(fragment.floor),
        epochs,
        strands,
        first_floor,
    })
}

fn have_out(have: &Have) -> Result<pb::Have, WireError> {
    items("a have", have.fragments.len())?;
    Ok(pb::Have { fragments: have.fragments.iter().map(have_fragment).collect::<Result<_, _>>()?, last: have.last })
}

fn have_fragment(fragment: &HaveFragment) -> Result<pb::HaveFragment, WireError> {
    Ok(pb::HaveFragment {
        id: fragment.id.0,
        head: version_out(fragment.head),
        state: digest_out(fragment.state),
        live: fragment.live,
        common: version_out(fragment.common),
        map: map_out(&fragment.map)?,
        own_keys: key_list::encode(&fragment.own_keys)?,
        parts: fragment.parts.iter().map(have_part).collect(),
    })
}

fn have_part(part: &HavePart) -> pb::HavePart {
    pb::HavePart { start: part.start.clone(), head: version_out(part.head), common: version_out(part.common) }
}

fn plan_out(plan: &Plan) -> Result<pb::Plan, WireError> {
    items("a plan", plan.items.len())?;
    Ok(pb::Plan { items: plan.items.iter().map(plan_item).collect() })
}

fn plan_item(item: &PlanItem) -> pb::PlanItem {
    let method = match item.method {
        Method::Nothing => pb::Method::Nothing,
        Method::Tail => pb::Method::Tail,
        Method::Delta => pb::Method::Delta,
        Method::Reconcile => pb::Method::Reconcile,
        Method::Copy => pb::Method::Copy,
    };
    pb::PlanItem {
        fragment: item.fragment.0,
        method: method.into(),
        entries: item.entries,
        bytes: item.bytes,
        reason: text_out(&item.reason),
        range: item.range.as_ref().and_then(range_out),
    }
}

fn frame(message: &FrameMessage, compression: Compression) -> Result<Parts, WireError> {
    let (mut body, columns) = frame_out(&message.frame, compression)?;
    body.number = message.number;
    body.drops.clone_from(&message.drops);
    Ok((Body::Frame(body), columns))
}

fn fetched_out(fetched: &Fetched, compression: Compression) -> Result<Parts, WireError> {
    let frame = fetched.frame.as_ref().map(|frame| frame_out(frame, compression)).transpose()?;
    let (frame, columns) = frame.map_or((None, Vec::new()), |(frame, columns)| (Some(frame), columns));
    let (floor, why_not) = (version_out(fetched.floor), text_out(&fetched.why_not));
    Ok((Body::Fetched(pb::Fetched { number: fetched.number, frame, floor, why_not }), columns))
}

fn frame_out(frame: &Frame, compression: Compression) -> Result<(pb::FrameMessage, Vec<Bytes>), WireError> {
    check_frame(frame)?;
    let mode = match frame.mode {
        Mode::Advance => pb::Mode::Advance,
        Mode::ReplaceKeys => pb::Mode::ReplaceKeys,
        Mode::ReplaceRange => pb::Mode::ReplaceRange,
    };
    let (layout, layout_bytes) = section::pack(layout::encode(&frame.entries, frame.to).into(), compression);
    let (values, value_bytes) = section::pack(frame.entries.value_bytes().clone(), compression);
    let body = pb::FrameMessage {
        number: 0,
        drops: Vec::new(),
        fragment: frame.fragment.0,
        mode: mode.into(),
        range: range_out(&frame.range),
        from: version_out(frame.from),
        to: version_out(frame.to),
        range_deletes: frame.range_deletes.iter().map(range_delete_out).collect(),
        digest: digest_out(frame.digest),
        entries: section::to_u32(frame.entries.len()),
        layout: Some(layout),
        values: Some(values),
    };
    Ok((body, vec![layout_bytes, value_bytes]))
}

/// What the peer would refuse is not sent.
fn check_frame(frame: &Frame) -> Result<(), WireError> {
    limit("a frame", frame.entries.payload_bytes(), FRAME_BYTES_MAX)?;
    limit("a frame's entries", frame.entries.len(), usize::try_from(FRAME_ENTRIES_MAX).expect("limits fit in memory"))?;
    items("a frame's range deletes", frame.range_deletes.len())?;
    for entry in frame.entries.iter() {
        limit("a key", entry.key.len(), STORED_KEY_BYTES_MAX)?;
        limit("a value", entry.live.map_or(0, |live| live.value.len()), ENTRY_VALUE_BYTES_MAX)?;
    }
    Ok(())
}

/// All pieces of the records but the last are messages of their own that say `more`.
fn live_out(live: &Live, compression: Compression) -> Result<Vec<Parts>, WireError> {
    limit("a live message", live.records.len(), LIVE_JOINED_BYTES_MAX)?;
    let mut rest = live.records.clone();
    let mut out = Vec::new();
    while rest.len() > LIVE_RECORDS_BYTES_MAX {
        let (records, bytes) = section::pack(rest.split_to(LIVE_RECORDS_BYTES_MAX), compression);
        out.push((Body::Live(pb::Live { records: Some(records), more: true, ..pb::Live::default() }), vec![bytes]));
    }
    out.push(live_last(live, rest, compression)?);
    Ok(out)
}

fn live_last(live: &Live, records: Bytes, compression: Compression) -> Result<Parts, WireError> {
    items("a live message's lists", live.epochs.len() + live.checks.len() + live.floors.len())?;
    let (records, bytes) = section::pack(records, compression);
    let epochs = live.epochs.iter().map(|(id, rows)| Ok(pb::LiveEpochs { fragment: id.0, rows: epochs_out(rows)? }));
    let checks = live.checks.iter().map(|(id, version, state)| pb::LiveCheck {
        fragment: id.0,
        version: version_out(*version),
        state: digest_out(*state),
    });
    let epochs = epochs.collect::<Result<_, WireError>>()?;
    let floors = live.floors.iter().map(|(id, version)| pb::LiveFloor { fragment: id.0, version: version_out(*version) });
    let (checks, floors, reframe) = (checks.collect(), floors.collect(), live.reframe.clone());
    let body = pb::Live { upto: live.upto, records: Some(records), epochs, checks, more: false, floors, reframe };
    Ok((Body::Live(body), vec![bytes]))
}

fn answer(differ: &Differ) -> pb::differ::Answer {
    match differ {
        Differ::More { level: which, first, count } => {
            pb::differ::Answer::More(pb::DifferMore { level: level(*which), first: *first, count: *count })
        }
        Differ::Found { level: which, target_only } => {
            pb::differ::Answer::Found(pb::DifferFound { level: level(*which), target_only: target_only.clone() })
        }
        Differ::List { level: which } => pb::differ::Answer::List(pb::DifferList { level: level(*which) }),
    }
}

fn seal_out(seal: &Seal) -> Result<pb::Seal, WireError> {
    items("a seal", seal.fragments.len())?;
    let fragments = seal.fragments.iter().map(|fragment| {
        let (epochs, strands, first_floor) = history_out(&fragment.epochs)?;
        Ok(pb::SealedFragment {
            id: fragment.id.0,
            head: version_out(fragment.head),
            state: digest_out(fragment.state),
            floor: version_out(fragment.floor),
            epochs,
            strands,
            first_floor,
        })
    });
    Ok(pb::Seal { position: seal.position, fragments: fragments.collect::<Result<_, WireError>>()? })
}

fn level(level: Level) -> i32 {
    match level {
        Level::Blocks => pb::Level::Blocks.into(),
        Level::Entries => pb::Level::Entries.into(),
    }
}

fn refusal(why: Refusal) -> i32 {
    match why {
        Refusal::Stale => pb::Refusal::Stale.into(),
        Refusal::Gap => pb::Refusal::Gap.into(),
        Refusal::Mismatch => pb::Refusal::Mismatch.into(),
        Refusal::NoRoom => pb::Refusal::NoRoom.into(),
    }
}

/// Leaves room for a message's fields beside its list: the reader counts both.
fn items(what: &'static str, count: usize) -> Result<(), WireError> {
    limit(what, count, usize::try_from(ITEMS_MAX - 64).expect("limits fit in memory"))
}
