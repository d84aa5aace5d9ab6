//! Stored keys: how a user's key, and the elements under it, are laid out in byte order.
//!
//! ```text
//! hashed space:  slot (2, big-endian) | escape(user key) | 00 00                  the key itself
//!                slot (2, big-endian) | escape(user key) | 00 01 | tag (1) | rest  an element under it
//! escape: 00 -> 00 FF
//! behind all:    40 00 | 01 | stored key | generation (8)     a large value that is arriving, as nodes wrote it whose fragments had one owner
//! ```
//! A key's elements follow it directly and no user key can collide with them: inside an escaped key 00 is always followed by FF.

use crate::slot::{SLOTS, slot_of};

/// Tag of a large value's parts; `rest` is generation (8) | label (8), both big-endian.
pub const TAG_PART: u8 = 0x01;

/// Tag of the place where a node registers a large value that is arriving; `rest` is generation (8), big-endian.
pub const TAG_UPLOAD: u8 = 0x02;

/// Behind every stored key of a hashed space: where nodes registered them before each fragment had an owner of its own. Only read, and
/// removed.
pub const UPLOADS: [u8; 3] = [(SLOTS >> 8) as u8, (SLOTS & 0xFF) as u8, 0x01];

/// The stored key of a user's key in a hashed space.
pub fn stored(user_key: &[u8]) -> Vec<u8> {
    let mut out = prefix(user_key);
    out.extend_from_slice(&[0, 0]);
    out
}

/// The stored key of an element under `user_key`.
pub fn element(user_key: &[u8], tag: u8, rest: &[u8]) -> Vec<u8> {
    let mut out = prefix(user_key);
    out.extend_from_slice(&[0, 1, tag]);
    out.extend_from_slice(rest);
    out
}

/// The first stored key of `slot`; for `slot` = 16384 a key above every stored key of a hashed space.
pub fn slot_start(slot: u16) -> [u8; 2] {
    assert!(slot <= SLOTS, "slot {slot} is above {SLOTS}");
    slot.to_be_bytes()
}

/// The slot that a stored key of a hashed space lies in; `None` when the key is too short to have one.
pub fn slot(stored: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes([*stored.first()?, *stored.get(1)?]))
}

/// A user's key and, for an element under it, the element's tag and rest.
pub type Parsed<'a> = (Vec<u8>, Option<(u8, &'a [u8])>);

/// What a stored key stands for. `None` when the bytes are not a stored key of a hashed space.
pub fn parse(stored: &[u8]) -> Option<Parsed<'_>> {
    let escaped = stored.get(2..)?;
    let mut user = Vec::with_capacity(escaped.len());
    let mut at = 0;
    loop {
        match (*escaped.get(at)?, escaped.get(at + 1)) {
            (0, Some(0xFF)) => {
                user.push(0);
                at += 2;
            }
            (0, Some(0)) if at + 2 == escaped.len() => return Some((user, None)),
            (0, Some(1)) => return Some((user, Some((*escaped.get(at + 2)?, &escaped[at + 3..])))),
            (0, _) => return None,
            (byte, _) => {
                user.push(byte);
                at += 1;
            }
        }
    }
}

fn prefix(user_key: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(user_key.len() + 4);
    out.extend_from_slice(&slot_of(user_key).to_be_bytes());
    for &byte in user_key {
        out.push(byte);
        if byte == 0 {
            out.push(0xFF);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_stored_key_gives_its_user_key_back(user in proptest::collection::vec(any::<u8>(), 0..20), rest in proptest::collection::vec(any::<u8>(), 0..9)) {
            let head = stored(&user);
            let part = element(&user, TAG_PART, &rest);
            prop_assert_eq!(parse(&head), Some((user.clone(), None)));
            prop_assert_eq!(parse(&part), Some((user, Some((TAG_PART, rest.as_slice())))));
            prop_assert!(head < part);
        }

        #[test]
        fn elements_lie_between_their_key_and_the_next(a in proptest::collection::vec(0u8..3, 0..5), b in proptest::collection::vec(0u8..3, 0..5)) {
            // same slot on purpose: compare what follows the slot
            let (key_a, part_a, key_b) = (stored(&a), element(&a, 0xFF, &[0xFF; 4]), stored(&b));
            if key_a[2..] < key_b[2..] {
                prop_assert!(part_a[2..] < key_b[2..]);
            }
        }

        #[test]
        fn hostile_bytes_are_refused_not_panicked_on(bytes in proptest::collection::vec(0u8..3, 0..12)) {
            let _ = parse(&bytes);
        }
    }
}
