//! Envelopes into messages: every field is checked, whatever the peer is.

use bytes::Bytes;

use limosa_core::limits::FRAME_BYTES_MAX;
use limosa_core::{FragmentId, Frame, KeyRange, Mode};

use super::key_list;
use super::ownership::{fragments_in, greet_in, ownership_in};
use super::shared::{digest_in, epochs_in, history_in, map_in, range_delete_in, range_in, text_in, version_in};
use crate::error::{WireError, limit};
use crate::generated::{self as pb, envelope::Body};
use crate::layout;
use crate::limits::{LAYOUT_BYTES_MAX, LIVE_RECORDS_BYTES_MAX, NODE_NAME_BYTES_MAX};
use crate::message::{
    Ack, Close, Differ, Fetch, Fetched, FrameMessage, Have, HaveFragment, HavePart, Hello, Leave, Level, Live, Message, Method, Offer,
    OfferedFragment, Plan, PlanItem, Purpose, Ready, Refusal, Refuse, Seal, SealedFragment, Symbols,
};
use crate::negotiate::MAGIC;
use crate::section;

/// Whether the records of a live message go on in the next one.
pub(crate) fn goes_on(body: &Body) -> bool {
    matches!(body, Body::Live(live) if live.more)
}

/// The message of an envelope and the columns behind it.
pub(crate) fn message(body: Body, mut columns: Bytes) -> Result<Message, WireError> {
    let message = match body {
        Body::Hello(hello) => Message::Hello(hello_in(hello)?),
        Body::Offer(offer) => Message::Offer(offer_in(offer)?),
        Body::Have(have) => Message::Have(Have { fragments: each(have.fragments, have_fragment)?, last: have.last }),
        Body::Plan(plan) => Message::Plan(Plan { items: each(plan.items, plan_item)? }),
        Body::Frame(frame) => Message::Frame(frame_in(frame, &mut columns)?),
        Body::Ack(ack) => {
            Message::Ack(Ack { frames: ack.frames, frame_bytes: ack.frame_bytes, live: ack.live, live_bytes: ack.live_bytes })
        }
        Body::Symbols(symbols) => Message::Symbols(symbols_in(symbols)?),
        Body::Differ(differ) => Message::Differ(differ_in(differ)?),
        Body::Seal(seal) => Message::Seal(Seal { position: seal.position, fragments: each(seal.fragments, sealed_fragment)? }),
        Body::Ready(ready) => Message::Ready(Ready { position: ready.position }),
        Body::Live(live) => Message::Live(live_in(live, &mut columns)?),
        Body::Refuse(refuse) => Message::Refuse(refuse_in(refuse)?),
        Body::Close(close) => {
            let (code, detail) = (text_in("a code", close.code)?, text_in("a detail", close.detail)?);
            Message::Close(Close { code, detail, retry: close.retry })
        }
        Body::Ping(pb::Ping {}) => Message::Ping,
        Body::Fetch(fetch) => {
            let (fragment, range) = (FragmentId(fetch.fragment), range_in(fetch.range)?);
            Message::Fetch(Fetch { number: fetch.number, fragment, range })
        }
        Body::Fetched(fetched) => Message::Fetched(Box::new(fetched_in(fetched, &mut columns)?)),
        Body::Leave(leave) => Message::Leave(Leave { fragments: fragments_in(&leave.fragments)? }),
        Body::Greet(greet) => Message::Greet(greet_in(greet)?),
        Body::Ownership(message) => Message::Ownership(ownership_in(message)?),
    };
    if !columns.is_empty() {
        return Err(WireError::invalid("columns", "bytes that no section claims"));
    }
    Ok(message)
}

fn each<A, B>(items: Vec<A>, read: impl Fn(A) -> Result<B, WireError>) -> Result<Vec<B>, WireError> {
    items.into_iter().map(read).collect()
}

fn hello_in(hello: pb::Hello) -> Result<Hello, WireError> {
    if hello.magic.to_le_bytes() != MAGIC {
        return Err(WireError::NotLimosa { why: "its Hello starts with other bytes" });
    }
    limit("a node's name", hello.node.len(), NODE_NAME_BYTES_MAX)?;
    Ok(Hello {
        wire_versions: (hello.wire_version_min, hello.wire_version_max),
        features: hello.features,
        cluster: hello.cluster[..].try_into().map_err(|_| WireError::invalid("hello.cluster", "it has not 16 bytes"))?,
        node: hello.node,
        incarnation: hello.incarnation,
        space_keys: hello.space_keys,
        credit_window: hello.credit_window,
        epoch_max: hello.epoch_max,
        shared: digest_in(&hello.shared)?,
        scope: fragments_in(&hello.scope)?,
        purpose: hello.collect_epoch.map_or(Purpose::Follow, |epoch| Purpose::Collect { epoch }),
    })
}

fn offer_in(offer: pb::Offer) -> Result<Offer, WireError> {
    if offer.equal && !offer.fragments.is_empty() {
        return Err(WireError::invalid("offer.fragments", "present in an offer of equal ends"));
    }
    let (wire_version, features, session, equal) = (offer.wire_version, offer.features, offer.session, offer.equal);
    Ok(Offer { wire_version, features, session, equal, fragments: each(offer.fragments, offered_fragment)? })
}

fn offered_fragment(fragment: pb::OfferedFragment) -> Result<OfferedFragment, WireError> {
    Ok(OfferedFragment {
        id: FragmentId(fragment.id),
        range: range_in(fragment.range)?,
        head: version_in(fragment.head),
        state: digest_in(&fragment.state)?,
        live: fragment.live,
        live_bytes: fragment.live_bytes,
        floor: version_in(fragment.floor),
        epochs: history_in((fragment.epochs, fragment.strands, fragment.first_floor))?,
    })
}

fn have_fragment(fragment: pb::HaveFragment) -> Result<HaveFragment, WireError> {
    let map = map_in(fragment.map)?;
    let parts = have_parts(fragment.parts, map.range())?;
    Ok(HaveFragment {
        id: FragmentId(fragment.id),
        head: version_in(fragment.head),
        state: digest_in(&fragment.state)?,
        live: fragment.live,
        common: version_in(fragment.common),
        map,
        own_keys: key_list::decode(&fragment.own_keys)?,
        parts,
    })
}

fn have_parts(parts: Vec<pb::HavePart>, range: &KeyRange) -> Result<Vec<HavePart>, WireError> {
    let parts: Vec<HavePart> = parts
        .into_iter()
        .map(|part| HavePart { start: part.start, head: version_in(part.head), common: version_in(part.common) })
        .collect();
    let first_starts = parts.first().is_none_or(|first| first.start.is_empty());
    let inside = parts.iter().skip(1).all(|part| part.start > range.start && range.contains(&part.start));
    if !first_starts || !inside || parts.windows(2).any(|pair| pair[0].start >= pair[1].start) {
        return Err(WireError::invalid("have.parts", "they do not part the range in key order"));
    }
    Ok(parts)
}

fn plan_item(item: pb::PlanItem) -> Result<PlanItem, WireError> {
    let method = match item.method() {
        pb::Method::Nothing => Method::Nothing,
        pb::Method::Tail => Method::Tail,
        pb::Method::Delta => Method::Delta,
        pb::Method::Reconcile => Method::Reconcile,
        pb::Method::Copy => Method::Copy,
        pb::Method::Unspecified => return Err(WireError::invalid("plan.method", "unknown")),
    };
    let (reason, range) = (text_in("a reason", item.reason)?, item.range.map(|range| range_in(Some(range))).transpose()?);
    Ok(PlanItem { fragment: FragmentId(item.fragment), method, entries: item.entries, bytes: item.bytes, reason, range })
}

fn frame_in(message: pb::FrameMessage, columns: &mut Bytes) -> Result<FrameMessage, WireError> {
    let mode = match message.mode() {
        pb::Mode::Advance => Mode::Advance,
        pb::Mode::ReplaceKeys => Mode::ReplaceKeys,
        pb::Mode::ReplaceRange => Mode::ReplaceRange,
        pb::Mode::Unspecified => return Err(WireError::invalid("frame.mode", "unknown")),
    };
    let to = version_in(message.to);
    let layout = section::unpack(columns, message.layout, "frame.layout", LAYOUT_BYTES_MAX)?;
    let values = section::unpack(columns, message.values, "frame.values", FRAME_BYTES_MAX)?;
    let frame = Frame {
        fragment: FragmentId(message.fragment),
        mode,
        range: range_in(message.range)?,
        from: version_in(message.from),
        to,
        range_deletes: each(message.range_deletes, range_delete_in)?,
        entries: layout::decode(&layout, values, message.entries, to)?,
        digest: digest_in(&message.digest)?,
    };
    check_inside(&frame)?;
    Ok(FrameMessage { number: message.number, drops: message.drops, frame })
}

/// A frame changes nothing outside its range: its digest could not tell. Entries are ascending, so first and last speak for all.
fn check_inside(frame: &Frame) -> Result<(), WireError> {
    let last = frame.entries.len().saturating_sub(1);
    let ends = [0, last].into_iter().take(frame.entries.len());
    if !ends.map(|index| frame.entries.entry(index).key).all(|key| frame.range.contains(key)) {
        return Err(WireError::invalid("frame.entries", "a key outside the frame's range"));
    }
    if !frame.range_deletes.iter().all(|delete| frame.range.covers(&delete.range)) {
        return Err(WireError::invalid("frame.range_deletes", "one reaches outside the frame's range"));
    }
    Ok(())
}

fn fetched_in(fetched: pb::Fetched, columns: &mut Bytes) -> Result<Fetched, WireError> {
    let frame = fetched.frame.map(|frame| frame_in(frame, columns)).transpose()?;
    if frame.as_ref().is_some_and(|message| message.frame.mode != Mode::ReplaceRange || !message.drops.is_empty()) {
        return Err(WireError::invalid("fetched.frame", "not every entry of its range"));
    }
    let why_not = text_in("a reason", fetched.why_not)?;
    Ok(Fetched { number: fetched.number, frame: frame.map(|message| message.frame), floor: version_in(fetched.floor), why_not })
}

fn symbols_in(symbols: pb::Symbols) -> Result<Symbols, WireError> {
    Ok(Symbols { level: level_in(symbols.level)?, first: symbols.first, total: symbols.total, symbols: symbols.symbols })
}

fn differ_in(differ: pb::Differ) -> Result<Differ, WireError> {
    Ok(match differ.answer.ok_or(WireError::invalid("differ", "an unknown answer"))? {
        pb::differ::Answer::More(more) => Differ::More { level: level_in(more.level)?, first: more.first, count: more.count },
        pb::differ::Answer::Found(found) => Differ::Found { level: level_in(found.level)?, target_only: found.target_only },
        pb::differ::Answer::List(list) => Differ::List { level: level_in(list.level)? },
    })
}

fn sealed_fragment(fragment: pb::SealedFragment) -> Result<SealedFragment, WireError> {
    Ok(SealedFragment {
        id: FragmentId(fragment.id),
        head: version_in(fragment.head),
        state: digest_in(&fragment.state)?,
        floor: version_in(fragment.floor),
        epochs: history_in((fragment.epochs, fragment.strands, fragment.first_floor))?,
    })
}

fn live_in(live: pb::Live, columns: &mut Bytes) -> Result<Live, WireError> {
    let check = |check: pb::LiveCheck| Ok((FragmentId(check.fragment), version_in(check.version), digest_in(&check.state)?));
    Ok(Live {
        upto: live.upto,
        records: section::unpack(columns, live.records, "live.records", LIVE_RECORDS_BYTES_MAX)?,
        epochs: each(live.epochs, |row| Ok((FragmentId(row.fragment), epochs_in(row.rows)?)))?,
        checks: each(live.checks, check)?,
        floors: each(live.floors, |floor| Ok((FragmentId(floor.fragment), version_in(floor.version))))?,
        reframe: live.reframe,
    })
}

fn refuse_in(refuse: pb::Refuse) -> Result<Refuse, WireError> {
    let why = match refuse.why() {
        pb::Refusal::Stale => Refusal::Stale,
        pb::Refusal::Gap => Refusal::Gap,
        pb::Refusal::Mismatch => Refusal::Mismatch,
        pb::Refusal::NoRoom => Refusal::NoRoom,
        pb::Refusal::Unspecified => return Err(WireError::invalid("refuse.why", "unknown")),
    };
    let detail = text_in("a detail", refuse.detail)?;
    Ok(Refuse { fragment: FragmentId(refuse.fragment), range: range_in(refuse.range)?, why, detail })
}

fn level_in(level: i32) -> Result<Level, WireError> {
    match pb::Level::try_from(level) {
        Ok(pb::Level::Blocks) => Ok(Level::Blocks),
        Ok(pb::Level::Entries) => Ok(Level::Entries),
        Ok(pb::Level::Unspecified) | Err(_) => Err(WireError::invalid("level", "unknown")),
    }
}
