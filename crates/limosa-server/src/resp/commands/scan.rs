//! The keyspace as a whole: DBSIZE, KEYS, RANDOMKEY, and SCAN with its cursor.
//!
//! ```text
//! cursor: slot (14 bits) | hash (50 bits)      0: the beginning, and as an answer the end
//! ```
//! A scan goes slot by slot. A slot with few keys is answered whole. One with many (hash tags) is answered in ascending order of
//! the keys' hashes, from `hash` on; keys with equal hashes stay together. A cursor is so a point in a fixed order of all possible
//! keys, which knows no process and no snapshot: a key that stays is met exactly once, also when the node restarts or a standby goes
//! on, and deleting keys can't throw a scan back.

use std::collections::BinaryHeap;
use std::ops::ControlFlow;

use limosa_core::slot::SLOTS;

use super::super::call::{Call, Done, View, is};
use super::super::error::CommandError;
use super::super::glob;
use super::super::keyspace::{Published, ScannedKey};
use super::super::number::parse_i64;

pub(super) fn dbsize(call: &mut Call<'_>, view: &View<'_>) -> Done {
    call.reply.count(view.keys.key_count());
    Ok(())
}

pub(super) fn keys(call: &mut Call<'_>, view: &View<'_>) -> Done {
    let (pattern, now_ms) = (call.args[1], call.now_ms);
    let mut found = Found::default();
    view.keys.each_key(0..=SLOTS - 1, &mut |scanned| {
        if !scanned.expiry.is_past(now_ms) && glob::matches(pattern, scanned.key) {
            found.push(scanned.key);
        }
        ControlFlow::Continue(())
    })?;
    found.reply(call)
}

/// How often a key that has ended is thrown back.
const RANDOM_TRIES: u64 = 100;

pub(super) fn randomkey(call: &mut Call<'_>, view: &View<'_>) -> Done {
    for attempt in 0..RANDOM_TRIES {
        let Some((key, expiry)) = view.keys.random_key(mix(view.random.wrapping_add(attempt)))? else { break };
        if !expiry.is_past(call.now_ms) {
            call.reply.bulk(&key);
            return Ok(());
        }
    }
    call.reply.null();
    Ok(())
}

/// Keys one after another in one buffer.
#[derive(Default)]
struct Found {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Found {
    fn push(&mut self, key: &[u8]) {
        self.bytes.extend_from_slice(key);
        self.ends.push(self.bytes.len());
    }

    fn reply(&self, call: &mut Call<'_>) -> Done {
        call.reply.array(self.ends.len());
        let mut start = 0;
        for &end in &self.ends {
            call.reply.bulk(&self.bytes[start..end]);
            start = end;
            call.check_reply_len()?;
        }
        Ok(())
    }
}

const HASH_BITS: u32 = 50;
const HASH_MASK: u64 = (1 << HASH_BITS) - 1;
const DEFAULT_COUNT: usize = 10;
/// A slot of at most so many keys, or of twice the wanted number, is answered whole.
const WHOLE_SLOT_KEYS: usize = 128;
/// A large slot is walked again for every page: pages are at least this part of it, so that a scan stays below so many walks.
const PAGES_PER_SLOT: usize = 64;

/// A place in the order of all keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Cursor {
    slot: u16,
    hash: u64,
}

impl Cursor {
    fn parse(bytes: &[u8]) -> Result<Self, CommandError> {
        let text = std::str::from_utf8(bytes).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let value: u64 = text.and_then(|text| text.parse().ok()).ok_or(CommandError::Cursor)?;
        let slot = u16::try_from(value >> HASH_BITS).expect("14 bits");
        Ok(Self { slot, hash: value & HASH_MASK })
    }

    fn value(self) -> u64 {
        u64::from(self.slot) << HASH_BITS | self.hash
    }
}

/// Stable over restarts and versions: it is part of cursors that clients hold. Never 0, which stands for a slot's beginning.
fn key_hash(key: &[u8]) -> u64 {
    let fnv = key.iter().fold(0xCBF2_9CE4_8422_2325u64, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3));
    (mix(fnv) & HASH_MASK).max(1)
}

/// The finalizer of splitmix64: every bit of the input reaches every bit of the output.
fn mix(mut x: u64) -> u64 {
    x = (x ^ x >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ x >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ x >> 31
}

/// Options of SCAN.
struct Filter<'a> {
    pattern: Option<&'a [u8]>,
    is_string: bool,
    count: usize,
}

impl<'a> Filter<'a> {
    fn parse(args: &[&'a [u8]]) -> Result<Self, CommandError> {
        let mut filter = Self { pattern: None, is_string: true, count: DEFAULT_COUNT };
        let (pairs, rest) = args.as_chunks::<2>();
        for [option, value] in pairs {
            if is(option, "COUNT") {
                let count = parse_i64(value).ok_or(CommandError::NotInteger)?;
                filter.count = usize::try_from(count).ok().filter(|count| *count > 0).ok_or(CommandError::Syntax)?;
            } else if is(option, "MATCH") {
                filter.pattern = Some(value);
            } else if is(option, "TYPE") {
                filter.is_string = is(value, "STRING");
            } else {
                return Err(CommandError::Syntax);
            }
        }
        if rest.is_empty() { Ok(filter) } else { Err(CommandError::Syntax) }
    }

    fn takes(&self, key: &[u8]) -> bool {
        self.is_string && self.pattern.is_none_or(|pattern| glob::matches(pattern, key))
    }
}

pub(super) fn scan(call: &mut Call<'_>, view: &View<'_>) -> Done {
    let cursor = Cursor::parse(call.args[1])?;
    let filter = Filter::parse(&call.args[2..])?;
    let mut page = Page { found: Found::default(), seen: 0, now_ms: call.now_ms, filter };
    let next = page.fill(view.keys, cursor)?;
    call.reply.array(2);
    call.reply.bulk(next.map_or(0, Cursor::value).to_string().as_bytes());
    page.found.reply(call)
}

/// One answer of SCAN.
struct Page<'a> {
    found: Found,
    /// Keys met, those included that the filter left out: what COUNT counts.
    seen: usize,
    now_ms: u64,
    filter: Filter<'a>,
}

/// What ended a walk over whole slots.
enum Stop {
    /// Every slot was walked.
    End,
    /// Enough keys: the next one is in this slot.
    Full(u16),
    /// This slot has many keys; none of them was taken.
    Large(u16),
}

impl Page<'_> {
    /// Takes keys from `cursor` on; returns where the next page starts.
    fn fill(&mut self, keys: &dyn Published, mut cursor: Cursor) -> Result<Option<Cursor>, CommandError> {
        loop {
            if cursor.hash == 0 {
                match self.whole_slots(keys, cursor.slot)? {
                    Stop::End => return Ok(None),
                    Stop::Full(slot) => return Ok(Some(Cursor { slot, hash: 0 })),
                    Stop::Large(slot) if self.seen > 0 => return Ok(Some(Cursor { slot, hash: 0 })),
                    Stop::Large(slot) => cursor.slot = slot,
                }
            }
            if let Some(hash) = self.part_of_slot(keys, cursor)? {
                return Ok(Some(Cursor { slot: cursor.slot, hash }));
            }
            cursor = Cursor { slot: cursor.slot + 1, hash: 0 };
            if cursor.slot >= SLOTS {
                return Ok(None);
            }
            if self.seen >= self.filter.count {
                return Ok(Some(cursor));
            }
        }
    }

    fn whole_slots(&mut self, keys: &dyn Published, first_slot: u16) -> Result<Stop, CommandError> {
        let whole_max = WHOLE_SLOT_KEYS.max(self.filter.count.saturating_mul(2));
        let (mut slot, mut in_slot, mut stop) = (first_slot, Found::default(), Stop::End);
        keys.each_key(first_slot..=SLOTS - 1, &mut |scanned| {
            if scanned.slot != slot {
                self.take_slot(&mut in_slot);
                slot = scanned.slot;
                if self.seen >= self.filter.count {
                    stop = Stop::Full(slot);
                    return ControlFlow::Break(());
                }
            }
            if in_slot.ends.len() == whole_max {
                stop = Stop::Large(slot);
                return ControlFlow::Break(());
            }
            if !scanned.expiry.is_past(self.now_ms) {
                in_slot.push(scanned.key);
            }
            ControlFlow::Continue(())
        })?;
        if matches!(stop, Stop::End) {
            self.take_slot(&mut in_slot);
        }
        Ok(stop)
    }

    fn take_slot(&mut self, in_slot: &mut Found) {
        let mut start = 0;
        for &end in &in_slot.ends {
            self.take(&in_slot.bytes[start..end]);
            start = end;
        }
        in_slot.bytes.clear();
        in_slot.ends.clear();
    }

    fn take(&mut self, key: &[u8]) {
        self.seen += 1;
        if self.filter.takes(key) {
            self.found.push(key);
        }
    }

    /// Takes the keys of one slot with the lowest hashes from the cursor's on; returns the hash that follows them.
    fn part_of_slot(&mut self, keys: &dyn Published, cursor: Cursor) -> Result<Option<u64>, CommandError> {
        let mut total = 0;
        each_in_slot(keys, cursor.slot, &mut |_| total += 1)?;
        let wanted = self.filter.count.max(total / PAGES_PER_SLOT);
        // The lowest `wanted` + 1 distinct positions: the highest of them is where the next page starts.
        let mut lowest: BinaryHeap<(u64, Vec<u8>)> = BinaryHeap::new();
        let mut left_out = u64::MAX;
        each_in_slot(keys, cursor.slot, &mut |scanned| {
            let hash = key_hash(scanned.key);
            if hash < cursor.hash || hash >= left_out || scanned.expiry.is_past(self.now_ms) {
                return;
            }
            lowest.push((hash, scanned.key.to_vec()));
            if lowest.len() > wanted {
                left_out = drop_highest(&mut lowest, left_out);
            }
        })?;
        for (_, key) in lowest.into_sorted_vec() {
            self.take(&key);
        }
        Ok((left_out != u64::MAX).then_some(left_out))
    }
}

/// Drops every key with the highest hash, unless it is the only one: equal hashes stay on one page, whatever its size.
fn drop_highest(lowest: &mut BinaryHeap<(u64, Vec<u8>)>, left_out: u64) -> u64 {
    let Some(highest) = lowest.peek().map(|top| top.0) else { return left_out };
    if lowest.iter().all(|(hash, _)| *hash == highest) {
        return left_out;
    }
    while lowest.peek().is_some_and(|top| top.0 == highest) {
        lowest.pop();
    }
    highest
}

fn each_in_slot(keys: &dyn Published, slot: u16, visit: &mut dyn FnMut(ScannedKey<'_>)) -> Done {
    keys.each_key(slot..=slot, &mut |scanned| {
        visit(scanned);
        ControlFlow::Continue(())
    })?;
    Ok(())
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
