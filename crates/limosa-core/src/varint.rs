//! LEB128 variable-length integers and length-prefixed bytes: the one integer encoding of every Limosa format.

use crate::error::DecodeError;

/// Appends `value` in 1 to 10 bytes, seven bits a byte, low bits first.
pub fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends `bytes` behind their length.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Number of bytes that [`put`] writes for `value`.
pub fn len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Reads forward over borrowed bytes; every read is checked, none panics.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether everything has been read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// One byte.
    pub fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        let (&first, rest) = self.rest.split_first().ok_or(DecodeError::Truncated { field })?;
        self.rest = rest;
        Ok(first)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(DecodeError::Truncated { field })?;
        self.rest = rest;
        Ok(*head)
    }

    /// A variable-length integer.
    pub fn varint(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8(field)?;
            let bits = u64::from(byte & 0x7F);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::Invalid { field, why: "an integer of more than 64 bits" })
    }

    /// A variable-length integer of at most `max`.
    pub fn varint_max(&mut self, field: &'static str, max: u64) -> Result<u64, DecodeError> {
        let value = self.varint(field)?;
        if value > max {
            return Err(DecodeError::TooLarge { field, value, max });
        }
        Ok(value)
    }

    /// The next `count` bytes.
    pub fn take(&mut self, field: &'static str, count: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or(DecodeError::Truncated { field })?;
        self.rest = rest;
        Ok(head)
    }

    /// Bytes behind their length, at most `max` of them. The length is checked before anything is read or allocated.
    pub fn bytes_max(&mut self, field: &'static str, max: usize) -> Result<&'a [u8], DecodeError> {
        let count = self.varint_max(field, max as u64)?;
        self.take(field, usize::try_from(count).expect("bounded by max, a usize"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_round_trip_at_their_edges() {
        for value in [0, 1, 127, 128, 16383, 16384, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            put(&mut out, value);
            assert_eq!(out.len(), len(value));
            assert_eq!(Reader::new(&out).varint("v"), Ok(value));
        }
    }

    #[test]
    fn an_integer_of_more_than_64_bits_is_refused() {
        let bytes = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02];
        assert!(matches!(Reader::new(&bytes).varint("v"), Err(DecodeError::Invalid { .. })));
        assert!(matches!(Reader::new(&[0x80]).varint("v"), Err(DecodeError::Truncated { .. })));
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_before_reading() {
        let mut out = Vec::new();
        put(&mut out, 1 << 40);
        assert!(matches!(Reader::new(&out).bytes_max("v", 100), Err(DecodeError::TooLarge { .. })));
    }
}
