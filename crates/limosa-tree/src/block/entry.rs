//! The bytes of one entry inside a block, written and read. They are this process' own: disorder here is a broken invariant.

use bytes::Bytes;
use limosa_core::{EntryRef, Expiry, Kind, LiveRef, varint};

use super::INLINE_VALUE_BYTES_MAX;

pub(super) const LIVE: u8 = 1;
pub(super) const EXPIRES: u8 = 2;
pub(super) const LARGE: u8 = 4;
pub(super) const KIND: u8 = 8;

/// Reads a varint that this process wrote.
pub(super) fn varint(bytes: &[u8], at: &mut usize) -> u64 {
    let (mut value, mut shift) = (0u64, 0);
    loop {
        let byte = bytes[*at];
        *at += 1;
        value |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return value;
        }
        shift += 7;
    }
}

/// Reads a length that this process wrote; most fit into one byte.
pub(super) fn length(bytes: &[u8], at: &mut usize) -> usize {
    let first = bytes[*at];
    if first < 0x80 {
        *at += 1;
        return usize::from(first);
    }
    usize::try_from(varint(bytes, at)).expect("lengths inside a block fit into memory")
}

/// One entry's bytes, taken apart.
pub(super) struct Head<'a> {
    flags: u8,
    pub(super) key: &'a [u8],
    kind: Kind,
    expiry: Expiry,
    value: Value<'a>,
}

#[derive(Clone, Copy)]
enum Value<'a> {
    Inline(&'a [u8]),
    Large(u32),
}

impl<'a> Head<'a> {
    /// The entry at the start of `bytes`.
    pub(super) fn read(bytes: &'a [u8]) -> Self {
        let flags = bytes[0];
        let mut at = 1;
        let key_len = length(bytes, &mut at);
        let key = &bytes[at..at + key_len];
        at += key_len;
        let mut kind = Kind::STRING;
        if flags & KIND != 0 {
            kind = Kind::from_code(bytes[at]);
            at += 1;
        }
        let expiry = if flags & EXPIRES == 0 { Expiry::NEVER } else { Expiry::from_millis(varint(bytes, &mut at)) };
        let value = match flags & (LIVE | LARGE) {
            LIVE => {
                let len = length(bytes, &mut at);
                Value::Inline(&bytes[at..at + len])
            }
            0 => Value::Inline(&[]),
            _ => Value::Large(u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))),
        };
        Self { flags, key, kind, expiry, value }
    }

    /// The live part; `large` is the block's.
    pub(super) fn live(&self, large: &'a [Option<Bytes>]) -> Option<LiveRef<'a>> {
        if self.flags & LIVE == 0 {
            return None;
        }
        let value = match self.value {
            Value::Inline(value) => value,
            Value::Large(index) => large[index as usize].as_ref().expect("an entry's large value is held as long as the entry"),
        };
        Some(LiveRef { kind: self.kind, expiry: self.expiry, value })
    }

    pub(super) fn large_index(&self) -> Option<u32> {
        match self.value {
            Value::Large(index) => Some(index),
            Value::Inline(_) => None,
        }
    }

    /// The deadline, if the entry is live and has one.
    pub(super) fn expiry(&self) -> Option<Expiry> {
        (self.flags & EXPIRES != 0).then_some(self.expiry)
    }
}

/// What lies around the key of an entry: built on the stack, so that an entry is written without an allocation.
pub(super) struct Framing {
    before: Small<6>,
    after: Small<16>,
}

impl Framing {
    /// For `entry`; `large` is the index of its value if that lies out of line.
    pub(super) fn new(entry: &EntryRef<'_>, large: Option<u32>) -> Self {
        let mut before = Small::<6>::default();
        let mut after = Small::<16>::default();
        before.push(flags_of(entry));
        before.varint(entry.key.len() as u64);
        if let Some(live) = entry.live {
            if live.kind != Kind::STRING {
                after.push(live.kind.code());
            }
            if live.expiry != Expiry::NEVER {
                after.varint(live.expiry.millis());
            }
            match large {
                Some(index) => index.to_le_bytes().into_iter().for_each(|byte| after.push(byte)),
                None => after.varint(live.value.len() as u64),
            }
        }
        Self { before, after }
    }

    pub(super) fn before(&self) -> &[u8] {
        self.before.bytes()
    }

    pub(super) fn after(&self) -> &[u8] {
        self.after.bytes()
    }
}

/// Whether the value of `entry` lies out of line.
pub(super) fn large_value<'a>(entry: &EntryRef<'a>) -> Option<&'a [u8]> {
    entry.live.map(|live| live.value).filter(|value| value.len() > INLINE_VALUE_BYTES_MAX)
}

/// The value of `entry` as far as it lies among the entry's bytes.
pub(super) fn inline_value<'a>(entry: &EntryRef<'a>) -> &'a [u8] {
    entry.live.map(|live| live.value).filter(|value| value.len() <= INLINE_VALUE_BYTES_MAX).unwrap_or_default()
}

/// Bytes that `entry` takes among the block's bytes.
pub(super) fn encoded_len(entry: &EntryRef<'_>) -> usize {
    let live = entry.live.map_or(0, |live| {
        let kind = usize::from(live.kind != Kind::STRING);
        let expiry = if live.expiry == Expiry::NEVER { 0 } else { varint::len(live.expiry.millis()) };
        let value = if live.value.len() > INLINE_VALUE_BYTES_MAX { 4 } else { varint::len(live.value.len() as u64) + live.value.len() };
        kind + expiry + value
    });
    1 + varint::len(entry.key.len() as u64) + entry.key.len() + live
}

fn flags_of(entry: &EntryRef<'_>) -> u8 {
    let Some(live) = entry.live else { return 0 };
    let flag = |on: bool, flag: u8| if on { flag } else { 0 };
    LIVE | flag(live.expiry != Expiry::NEVER, EXPIRES)
        | flag(live.value.len() > INLINE_VALUE_BYTES_MAX, LARGE)
        | flag(live.kind != Kind::STRING, KIND)
}

/// A few bytes on the stack.
struct Small<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Default for Small<N> {
    fn default() -> Self {
        Self { bytes: [0; N], len: 0 }
    }
}

impl<const N: usize> Small<N> {
    fn push(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.push(value.to_le_bytes()[0]);
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}
