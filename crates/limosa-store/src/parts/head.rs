//! The head entry of a large value and the keys of its parts.

use bytes::Bytes;

use limosa_core::key::{self, TAG_PART, TAG_UPLOAD};
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

/// The parts of one generation.
pub(crate) fn generation_range(stored_head: &[u8], generation: u64) -> KeyRange {
    let start = Bytes::from(part_key(stored_head, generation, 0));
    let end = match generation.checked_add(1) {
        Some(next) => Some(Bytes::from(part_key(stored_head, next, 0))),
        None => parts_range(stored_head).end,
    };
    KeyRange { start, end }
}

/// Generation and label in the stored key of a part; `None` when it is too short to be one.
pub(crate) fn part_place(stored: &[u8]) -> Option<(u64, u64)> {
    let (rest, label) = stored.split_last_chunk::<8>()?;
    let (_, generation) = rest.split_last_chunk::<8>()?;
    Some((u64::from_be_bytes(*generation), u64::from_be_bytes(*label)))
}

/// Where an arriving value is registered: under its key, and so in its fragment.
pub(crate) fn upload_key(stored_head: &[u8], generation: u64) -> Vec<u8> {
    [element_prefix(stored_head), &[0, 1, TAG_UPLOAD], &generation.to_be_bytes()].concat()
}

/// Whether [`upload_of`] may know `stored`: a look that costs nothing.
pub(crate) fn may_be_upload(stored: &[u8]) -> bool {
    stored.len() > 11 && stored[..stored.len() - 8].ends_with(&[0, 1, TAG_UPLOAD])
}

/// Where arriving values were registered before each fragment had an owner of its own.
pub(crate) fn uploads_range() -> KeyRange {
    let [high, low, place] = key::UPLOADS;
    KeyRange::new(key::UPLOADS.to_vec(), Some(Bytes::from(vec![high, low, place + 1])))
}

/// The stored key and the generation that a place registers, in either form.
pub(crate) fn upload_of(registered: &[u8]) -> Option<(Vec<u8>, u64)> {
    if let Some(old) = registered.strip_prefix(&key::UPLOADS) {
        let (stored, generation) = old.split_last_chunk::<8>()?;
        return stored.ends_with(&[0, 0]).then(|| (stored.to_vec(), u64::from_be_bytes(*generation)));
    }
    match key::parse(registered)? {
        (user_key, Some((TAG_UPLOAD, generation))) => Some((key::stored(&user_key), u64::from_be_bytes(generation.try_into().ok()?))),
        _ => None,
    }
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
    fn a_generation_holds_its_parts_and_no_others_and_registers_under_its_key() {
        let head = key::stored(b"k");
        let range = generation_range(&head, 7);
        assert!([0, 1, u64::MAX].iter().all(|&label| range.contains(&part_key(&head, 7, label))));
        assert!(!range.contains(&part_key(&head, 6, u64::MAX)) && !range.contains(&part_key(&head, 8, 0)));
        assert!(generation_range(&head, u64::MAX).contains(&part_key(&head, u64::MAX, u64::MAX)));
        assert_eq!(part_place(&part_key(&head, 7, 9)), Some((7, 9)));
        let registered = upload_key(&head, 7);
        assert_eq!(registered[..2], head[..2], "in the same slot");
        assert!(!parts_range(&head).contains(&registered) && may_be_upload(&registered));
        assert_eq!(upload_of(&registered), Some((head.clone(), 7)));
        assert_eq!((upload_of(&registered[..9]), upload_of(&head), upload_of(&part_key(&head, 0x0102, 9))), (None, None, None));
        let old = [&key::UPLOADS[..], &head, &7u64.to_be_bytes()].concat();
        assert!(uploads_range().contains(&old));
        assert_eq!(upload_of(&old), Some((head, 7)));
    }

    #[test]
    fn a_head_round_trips_and_is_refused_when_cut() {
        let head = PartedHead { generation: u64::MAX, bytes: 1 << 20, parts: 512 };
        let bytes = head.encode();
        assert_eq!(PartedHead::decode(&bytes), Ok(head));
        assert!((0..bytes.len()).all(|end| PartedHead::decode(&bytes[..end]).is_err()));
    }
}
