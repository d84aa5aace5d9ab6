//! A list of keys, each told by what it shares with the one before: `shared (varint) | suffix length (varint) | suffix`.

use bytes::Bytes;

use limosa_core::DecodeError;
use limosa_core::limits::STORED_KEY_BYTES_MAX;
use limosa_core::varint::{self, Reader};

use crate::error::{WireError, limit};
use crate::limits::KEY_LIST_BYTES_MAX;

pub(super) fn encode(keys: &[Bytes]) -> Result<Bytes, WireError> {
    limit("a key list", keys.iter().map(Bytes::len).sum(), KEY_LIST_BYTES_MAX)?;
    let mut out = Vec::new();
    let mut before: &[u8] = &[];
    for key in keys {
        let shared = before.iter().zip(key).take_while(|(a, b)| a == b).count();
        varint::put(&mut out, shared as u64);
        varint::put_bytes(&mut out, &key[shared..]);
        before = key;
    }
    Ok(out.into())
}

/// The keys, as slices of one buffer.
pub(super) fn decode(list: &[u8]) -> Result<Vec<Bytes>, DecodeError> {
    let mut reader = Reader::new(list);
    let mut buffer: Vec<u8> = Vec::with_capacity(list.len().min(KEY_LIST_BYTES_MAX));
    let mut ends = Vec::new();
    let mut start = 0;
    while !reader.is_empty() {
        let shared = reader.varint_max("key_list.shared", (buffer.len() - start) as u64)?;
        let shared = usize::try_from(shared).expect("bounded by a length");
        let suffix = reader.bytes_max("key_list.suffix", STORED_KEY_BYTES_MAX - shared)?;
        let next = buffer.len();
        if next + shared + suffix.len() > KEY_LIST_BYTES_MAX {
            return Err(DecodeError::TooLarge {
                field: "key_list",
                value: (next + shared + suffix.len()) as u64,
                max: KEY_LIST_BYTES_MAX as u64,
            });
        }
        buffer.extend_from_within(start..start + shared);
        buffer.extend_from_slice(suffix);
        ends.push(buffer.len());
        start = next;
    }
    let buffer = Bytes::from(buffer);
    let starts = std::iter::once(0).chain(ends.iter().copied());
    Ok(starts.zip(&ends).map(|(start, &end)| buffer.slice(start..end)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_list_comes_back_in_its_order(keys in proptest::collection::vec(proptest::collection::vec(0u8..3, 0..9), 0..20)) {
            let keys: Vec<Bytes> = keys.into_iter().map(Bytes::from).collect();
            prop_assert_eq!(decode(&encode(&keys).expect("small")), Ok(keys));
        }

        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn prefixes_that_multiply_are_refused() {
        let mut list = Vec::new();
        varint::put(&mut list, 0);
        varint::put_bytes(&mut list, &vec![7; STORED_KEY_BYTES_MAX - 1]);
        for _ in 0..100 {
            varint::put(&mut list, STORED_KEY_BYTES_MAX as u64 - 1);
            varint::put_bytes(&mut list, &[]);
        }
        assert!(matches!(decode(&list), Err(DecodeError::TooLarge { field: "key_list", .. })));
    }
}
