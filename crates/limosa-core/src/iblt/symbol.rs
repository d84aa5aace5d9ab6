//! One coded symbol, and its bytes on the wire.
//!
//! ```text
//! symbol: id xor (8 bytes, little-endian) | check xor (4 bytes, little-endian) | count − expected count (zigzag varint)
//! ```
//! The expected count of symbol i for a set of `total` ids is ⌊2 · total / (2 + i)⌋: what remains is noise of about √expected, mostly one byte.

use crate::error::DecodeError;
use crate::varint::{self, Reader};

/// Most ids that an end may say it has. Keeps every count far inside 64 bits.
pub const TOTAL_MAX: u64 = 1 << 40;
/// Fewest bytes of an encoded symbol.
pub const SYMBOL_BYTES_MIN: usize = 13;
/// Most bytes of an encoded symbol: a count is off by less than [`TOTAL_MAX`], six bytes of varint.
pub const SYMBOL_BYTES_MAX: usize = 18;

const _: () = assert!(TOTAL_MAX * 2 < 1 << (7 * (SYMBOL_BYTES_MAX - 12)));

/// XOR of ids, XOR of their checks, and how many they are. Made by [`super::Encoder`] and [`decode`] alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Symbol {
    id: u64,
    check: u32,
    count: i64,
}

impl Symbol {
    /// A symbol that holds no id.
    pub(super) const ZERO: Self = Self { id: 0, check: 0, count: 0 };

    /// Adds one id `times` (1 or -1).
    pub(super) fn toggle(&mut self, id: u64, check: u32, times: i64) {
        self.id ^= id;
        self.check ^= check;
        self.count += times;
    }

    /// Adds what `remote` holds and takes out what `local` holds.
    pub(super) fn add_difference(&mut self, remote: &Self, local: &Self) {
        self.id ^= remote.id ^ local.id;
        self.check ^= remote.check ^ local.check;
        self.count += remote.count - local.count;
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn check(&self) -> u32 {
        self.check
    }

    pub(super) fn count(&self) -> i64 {
        self.count
    }
}

/// Appends `symbols`, the first of which has index `first`, of a set of `total` ids.
///
/// # Panics
/// If `total` is above [`TOTAL_MAX`].
pub fn encode(symbols: &[Symbol], first: u64, total: u64, out: &mut Vec<u8>) {
    assert!(total <= TOTAL_MAX, "an end has at most {TOTAL_MAX} ids");
    out.reserve(symbols.len() * (SYMBOL_BYTES_MIN + 1));
    for (index, symbol) in (first..).zip(symbols) {
        out.extend_from_slice(&symbol.id.to_le_bytes());
        out.extend_from_slice(&symbol.check.to_le_bytes());
        varint::put(out, zigzag(symbol.count - expected(total, index)));
    }
}

/// Reads all symbols of `bytes`, the first of which has index `first`, of a set that its sender says has `total` ids.
///
/// # Errors
/// If `total` is above [`TOTAL_MAX`], the bytes end inside a symbol, or a count is impossible for a set of that size.
pub fn decode(bytes: &[u8], first: u64, total: u64) -> Result<Vec<Symbol>, DecodeError> {
    if total > TOTAL_MAX {
        return Err(DecodeError::TooLarge { field: "symbols.total", value: total, max: TOTAL_MAX });
    }
    let mut reader = Reader::new(bytes);
    let mut symbols = Vec::with_capacity(bytes.len() / SYMBOL_BYTES_MIN);
    let mut index = first;
    while !reader.is_empty() {
        symbols.push(read(&mut reader, index, total)?);
        index = index.checked_add(1).ok_or(DecodeError::Invalid { field: "symbols.first", why: "no index is left behind it" })?;
    }
    Ok(symbols)
}

fn read(reader: &mut Reader<'_>, index: u64, total: u64) -> Result<Symbol, DecodeError> {
    let id = u64::from_le_bytes(reader.array("symbol.id")?);
    let check = u32::from_le_bytes(reader.array("symbol.check")?);
    let off = unzigzag(reader.varint_max("symbol.count", 2 * TOTAL_MAX)?);
    let count = expected(total, index) + off;
    let possible = if index == 0 { count == signed(total) } else { (0..=signed(total)).contains(&count) };
    if !possible {
        return Err(DecodeError::Invalid { field: "symbol.count", why: "impossible for a set of this many ids" });
    }
    Ok(Symbol { id, check, count })
}

fn expected(total: u64, index: u64) -> i64 {
    signed(2 * total / index.saturating_add(2))
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).expect("totals are at most TOTAL_MAX")
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zigzag_round_trips() {
        for value in [0, -1, 1, -64, 63, i64::MIN, i64::MAX] {
            assert_eq!(unzigzag(zigzag(value)), value);
        }
        assert_eq!((zigzag(-64), zigzag(63)), (127, 126));
    }

    #[test]
    fn impossible_counts_are_refused() {
        let bytes = |count: u64| {
            let mut out = vec![0; 12];
            varint::put(&mut out, count);
            out
        };
        assert!(decode(&bytes(0), 0, 5).is_ok());
        assert!(matches!(decode(&bytes(2), 0, 5), Err(DecodeError::Invalid { .. })), "symbol 0 holds every id");
        assert!(matches!(decode(&bytes(zigzag(6)), 9, 5), Err(DecodeError::Invalid { .. })), "more than all ids");
        assert!(matches!(decode(&bytes(zigzag(-1)), 90, 5), Err(DecodeError::Invalid { .. })), "less than none");
        assert!(matches!(decode(&bytes(u64::MAX), 1, 5), Err(DecodeError::TooLarge { .. })));
        assert!(matches!(decode(&bytes(0), 0, TOTAL_MAX + 1), Err(DecodeError::TooLarge { .. })));
        assert!(matches!(decode(&[0; 12], 0, 0), Err(DecodeError::Truncated { .. })));
        assert!(matches!(decode(&bytes(0), u64::MAX, 0), Err(DecodeError::Invalid { .. })));
    }
}
