//! The decoders of this crate for the fuzzers (see [`limosa_core::fuzzing`]).

use bytes::Bytes;
use limosa_core::fuzzing::Target;

use crate::{Decoder, WireError, decode, encode};

/// The kept inputs are made from the golden messages, which lie in `tests/golden`. Prefixes that keys share multiply: a list of keys may have
/// [`crate::limits::KEY_LIST_BYTES_MAX`] when it is written out.
pub const TARGETS: &[Target] = &[
    Target::new("wire_message", message, Vec::new).allowed(2 << 20, 1024),
    Target::new("wire_stream", stream, Vec::new).allowed(1 << 20, 1024),
];

/// What stands behind the checksum of a message: format, envelope, columns. The header around it is made here, so that every change gets
/// past it.
fn message(behind: &[u8]) {
    check(decode(sealed(behind)));
}

/// A message of these bytes with a right header.
fn sealed(behind: &[u8]) -> Bytes {
    let length = u32::try_from(behind.len() + 4).unwrap_or(u32::MAX).to_be_bytes();
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length);
    hasher.update(behind);
    [&length[..], &hasher.finalize().to_be_bytes(), behind].concat().into()
}

fn check(result: Result<(crate::Message, crate::Context), WireError>) {
    match result {
        Ok((message, context)) => {
            let again = encode(&message, &context).expect("what was read can be sent").to_bytes();
            assert_eq!(decode(again), Ok((message, context)));
        }
        Err(error) => assert!(error.code().starts_with("wire.")),
    }
}

/// Size of the pieces that arrive (1), then bytes as they come.
fn stream(bytes: &[u8]) {
    let Some((&piece, bytes)) = bytes.split_first() else { return };
    let mut decoder = Decoder::default();
    for piece in bytes.chunks(usize::from(piece) + 1) {
        decoder.push(piece);
        loop {
            match decoder.next() {
                Ok(Some((message, context, _))) => check(Ok((message, context))),
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
    let _ = decoder.finish();
}
