//! Bytes that nobody of ours sent: each is a typed error, none costs more memory than a message may.

mod common;

use bytes::{Bytes, BytesMut};
use common::{compressed_samples, samples};
use limosa_core::limits::MESSAGE_BYTES_MAX;
use limosa_core::{DecodeError, Retry, varint};
use limosa_wire::{Context, Decoder, Message, WireError, decode, encode};
use proptest::prelude::*;

/// A message with a valid header around any envelope and columns.
fn sealed(format: u8, envelope: &[u8], columns: &[u8]) -> Bytes {
    let mut behind = vec![format];
    varint::put_bytes(&mut behind, envelope);
    behind.extend_from_slice(columns);
    let length = u32::try_from(behind.len() + 4).expect("small").to_be_bytes();
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length);
    hasher.update(&behind);
    [&length[..], &hasher.finalize().to_be_bytes(), &behind].concat().into()
}

/// One protobuf field with bytes of its own.
fn field(number: u64, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    varint::put(&mut out, number << 3 | 2);
    varint::put_bytes(&mut out, bytes);
    out
}

fn golden_bytes() -> Vec<(&'static str, Bytes)> {
    let all = samples().into_iter().chain(compressed_samples());
    all.map(|(name, message, context)| (name, encode(&message, &context).expect("within limits").to_bytes())).collect()
}

#[test]
fn a_message_cut_at_any_byte_is_a_typed_error() {
    for (name, bytes) in golden_bytes() {
        for end in 0..bytes.len() {
            assert!(matches!(decode(bytes.slice(..end)), Err(WireError::Damaged { .. })), "{name} cut at {end}");
            let mut decoder = Decoder::default();
            decoder.push(&bytes[..end]);
            assert_eq!(decoder.next(), Ok(None), "{name} cut at {end}");
            assert_eq!(decoder.finish().is_err(), end > 0);
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_is_a_typed_error() {
    for (name, bytes) in golden_bytes() {
        let mut flipped = BytesMut::from(&bytes[..]);
        for bit in 0..bytes.len() * 8 {
            flipped[bit / 8] ^= 1 << (bit % 8);
            let error = decode(Bytes::copy_from_slice(&flipped)).expect_err("damaged");
            assert!(matches!(error, WireError::Damaged { .. } | WireError::TooLarge { .. }), "{name}, bit {bit}: {error}");
            let mut decoder = Decoder::default();
            decoder.push(&flipped);
            let outcome = decoder.next();
            assert!(outcome.is_err() || (outcome == Ok(None) && decoder.finish().is_err()), "{name}, bit {bit}: {outcome:?}");
            flipped[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn a_length_above_the_limit_is_refused_from_the_header() {
    for length in [u32::MAX, u32::try_from(MESSAGE_BYTES_MAX).expect("fits") - 3, u32::from_be_bytes(*b"GET ")] {
        let mut decoder = Decoder::default();
        decoder.push(&length.to_be_bytes());
        let error = decoder.next().expect_err("too large");
        assert_eq!((error.code(), error.retry()), ("wire.too_large", Retry::Never));
    }
    let mut before_hello = Decoder::new(4096);
    before_hello.push(&5000u32.to_be_bytes());
    assert!(matches!(before_hello.next(), Err(WireError::TooLarge { max: 4096, .. })));
    let mut short = Decoder::default();
    short.push(&[0, 0, 0, 5]);
    assert!(matches!(short.next(), Err(WireError::Damaged { .. })));
}

#[test]
fn what_a_newer_peer_says_is_a_typed_error() {
    assert_eq!(decode(sealed(1, &field(16 + 90, b""), b"")), Err(WireError::UnknownMessage));
    assert_eq!(decode(sealed(1, b"", b"")), Err(WireError::UnknownMessage));
    assert_eq!(decode(sealed(2, &field(29, b""), b"")), Err(WireError::UnknownFormat { format: 2 }));
    assert!(matches!(decode(sealed(1, &field(23, &field(9, b"")), b"")), Err(WireError::Malformed(_))), "an unknown answer in a Differ");
    let refuse = [field(2, b""), vec![3 << 3, 9]].concat();
    assert!(matches!(decode(sealed(1, &field(27, &refuse), b"")), Err(WireError::Malformed(_))), "an unknown refusal");
}

#[test]
fn lists_of_fragments_that_do_not_fit_together_are_refused() {
    let refused = |envelope: Vec<u8>| {
        let error = decode(sealed(1, &envelope, b"")).expect_err("refused");
        assert!(matches!(error, WireError::Malformed(DecodeError::Invalid { .. })), "{error}");
    };
    refused(field(50, &field(1, &[3, 3])));
    refused(field(50, &field(1, &[4, 3])));
    refused(field(32, b"")); // of no kind
    refused(field(32, &field(14, b""))); // of an unknown kind
    refused(field(32, &field(1, &[field(2, &[1, 2]), field(3, &[1])].concat())));
    refused(field(32, &field(2, &[field(2, &[1, 2]), field(3, &[1])].concat())));
    refused(field(32, &field(3, &field(5, b"no digest"))));
    assert!(matches!(decode(sealed(1, &field(31, b""), b"")), Err(WireError::NotLimosa { .. })));
}

#[test]
fn more_fragments_than_a_message_may_name_are_refused_by_its_bytes() {
    let packed = |body: u64, list: Vec<u8>| field(body, &list);
    let long = vec![1u8; 200 << 10];
    for envelope in
        [packed(16, field(16, &long)), packed(50, field(1, &long)), packed(31, field(6, &long)), packed(32, field(1, &field(2, &long)))]
    {
        let error = decode(sealed(1, &envelope, b"")).expect_err("too many");
        assert!(matches!(error, WireError::Malformed(DecodeError::TooLarge { field: "envelope.body", .. })), "{error}");
    }
    let ascending: Vec<u8> = (0..5000u64)
        .flat_map(|id| {
            let mut out = Vec::new();
            varint::put(&mut out, id);
            out
        })
        .collect();
    let error = decode(sealed(1, &packed(50, field(1, &ascending)), b"")).expect_err("too many");
    assert!(matches!(error, WireError::TooLarge { max: 4096, .. }), "{error}");
}

#[test]
fn a_field_that_this_program_does_not_know_is_passed_over() {
    let envelope = [field(5, b"a dependency vector"), field(29, b"")].concat();
    assert_eq!(decode(sealed(1, &envelope, b"")), Ok((Message::Ping, Context::default())));
}

#[test]
fn a_hello_of_another_protocol_is_refused() {
    assert!(matches!(decode(sealed(1, &field(16, b""), b"")), Err(WireError::NotLimosa { .. })));
}

#[test]
fn bytes_that_no_column_claims_are_refused() {
    assert!(matches!(decode(sealed(1, &field(29, b""), b"extra")), Err(WireError::Malformed(_))));
    let claimed = [vec![4 << 3, 5], field(29, b"")].concat();
    assert!(matches!(decode(sealed(1, &claimed, b"extra")), Err(WireError::Malformed(_))));
}

#[test]
fn a_key_outside_the_frame_s_range_is_refused() {
    let (_, message, context) = samples().into_iter().find(|(name, ..)| *name == "frame_advance").expect("it is there");
    let Message::Frame(mut message) = message else { panic!("a frame") };
    message.frame.range.start = Bytes::from_static(b"aa");
    let bytes = encode(&Message::Frame(message), &context).expect("within limits").to_bytes();
    assert!(matches!(decode(bytes), Err(WireError::Malformed(DecodeError::Invalid { field: "frame.entries", .. }))));
}

/// Kilobytes that the process has held at most, of which the test below is the only large user.
#[cfg(target_os = "linux")]
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// The densest lists that fit in an envelope, each of which would grow a hundredfold, a bomb, and prefixes that multiply.
#[test]
#[cfg(target_os = "linux")]
fn the_densest_lists_cost_a_bounded_amount_of_memory() {
    let list = |body: u64, item: u64| field(body, &field(item, b"").repeat(1 << 20));
    let starts = field(18, &field(1, &field(6, &field(2, b"").repeat(1 << 20))));
    let before = peak_kib();
    for envelope in [list(17, 4), list(18, 1), list(19, 1), list(20, 8), list(24, 2), list(26, 3), list(26, 4), starts] {
        let error = decode(sealed(1, &envelope, b"")).expect_err("too many items");
        assert!(matches!(error, WireError::Malformed(DecodeError::TooLarge { .. })), "{error}");
    }
    let packed = field(17, &field(4, &field(8, &field(2, &vec![1; 3 << 20]))));
    assert!(decode(sealed(1, &packed, b"")).is_err());
    let grown = peak_kib() - before;
    assert!(grown < 96 << 10, "{grown} KiB");
}

proptest! {
    #[test]
    fn hostile_envelopes_never_panic(envelope in proptest::collection::vec(any::<u8>(), 0..200), columns in proptest::collection::vec(any::<u8>(), 0..100)) {
        let _ = decode(sealed(1, &envelope, &columns));
    }

    /// Valid headers around golden envelopes with a few bytes changed: gets past the checksum, deep into every field.
    #[test]
    fn changed_envelopes_never_panic(which in any::<prop::sample::Index>(), edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let all = golden_bytes();
        let (_, bytes) = &all[which.index(all.len())];
        let mut behind = bytes[8..].to_vec();
        for (at, byte) in edits {
            let at = at.index(behind.len());
            behind[at] = byte;
        }
        let length = &bytes[..4];
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(length);
        hasher.update(&behind);
        let whole = [length, &hasher.finalize().to_be_bytes(), &behind].concat();
        if let Ok((message, context)) = decode(whole.into()) {
            let again = encode(&message, &context).expect("what was read can be sent").to_bytes();
            prop_assert_eq!(decode(again), Ok((message, context)));
        }
    }

    #[test]
    fn hostile_streams_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), piece in 1usize..50) {
        let mut decoder = Decoder::default();
        for piece in bytes.chunks(piece) {
            decoder.push(piece);
            if decoder.next().is_err() {
                break;
            }
        }
    }
}
