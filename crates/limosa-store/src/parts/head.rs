//! The head entry of a large value and the keys of its parts.

use bytes::Bytes;

use limosa_core::key::TAG_PART;
use limosa_core::limits::USER_VALUE_BYTES_MAX;
use limosa_core::varint::{self, Reader};
use limosa_core::{DecodeError, KeyRange};

/// What the head entry of a large value says: enough for STRLEN and to find the parts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PartedHead {
    /// Names this run of labels; a fresh one when labels ran out of room.
    pub(crate) generation: u64,
    /// Length of the value.
    pub(crate) bytes: u64,
    /// Number of parts.
    pub(crate) parts: u64,
}

impl PartedHead {
    /// The head entry's value.
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(12);
        varint::put(&mut out, self.generation);
        varint::put(&mut out, self.bytes);
        varint::put(&mut out, self.parts);
        out
    }

    /// The inverse of [`PartedHead::encode`].
    pub(crate) fn decode(value: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(value);
        let generation = reader.varint("parted.generation")?;
        let bytes = reader.varint_max("parted.bytes", USER_VALUE_BYTES_MAX as u64)?;
        let parts = reader.varint_max("parted.parts", USER_VALUE_BYTES_MAX as u64)?;
        Ok(Self { generation, bytes, parts })
    }
}

/// Every part of every generation under the key whose stored form is `stored_head`.
///
/// # Panics
/// If `stored_head` is not the stored key of a user key.
pub(crate) fn parts_range(stored_head: &[u8]) -> KeyRange {
    let prefix = element_prefix(stored_head);
    let bound = |tag: u8| Bytes::from([prefix, &[0, 1, tag]].concat());
    KeyRange::new(bound(TAG_PART), Some(bound(TAG_PART + 1)))
}

/// The stored key of one part.
pub(crate) fn part_key(stored_head: &[u8], generation: u64, label: u64) -> Vec<u8> {
    let prefix = element_prefix(stored_head);
    [prefix, &[0, 1, TAG_PART], &generation.to_be_bytes(), &label.to_be_bytes()].concat()
}

fn element_prefix(stored_head: &[u8]) -> &[u8] {
    stored_head.strip_suffix(&[0, 0]).expect("a user key's stored form ends with its terminator")
}

#[cfg(test)]
mod tests {
    use super::*;
    use limosa_core::key;

    #[test]
    fn part_keys_are_elements_of_their_key_and_lie_in_its_range() {
        let head = key::stored(b"a\0b");
        let part = part_key(&head, 7, 9);
        let rest = [7u64.to_be_bytes(), 9u64.to_be_bytes()].concat();
        assert_eq!(part, key::element(b"a\0b", TAG_PART, &rest));
        assert!(parts_range(&head).contains(&part));
        assert!(!parts_range(&head).contains(&head));
        assert!(!parts_range(&head).contains(&key::stored(b"a\0b\0")));
    }

    #[test]
    fn a_head_round_trips_and_is_refused_when_cut() {
        let head = PartedHead { generation: u64::MAX, bytes: 1 << 20, parts: 512 };
        let bytes = head.encode();
        assert_eq!(PartedHead::decode(&bytes), Ok(head));
        assert!((0..bytes.len()).all(|end| PartedHead::decode(&bytes[..end]).is_err()));
    }
}
