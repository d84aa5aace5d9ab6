//! Messages to bytes and back. The bytes are drawn in [`crate::header`], the order of messages is in `docs/contract.md`.

use bytes::{Bytes, BytesMut};
use prost::Message as _;

use limosa_core::DecodeError;
use limosa_core::limits::MESSAGE_BYTES_MAX;
use limosa_core::planted::{self, Bug};
use limosa_core::varint::{self, Reader};

use crate::error::{WireError, limit};
use crate::generated as pb;
use crate::header::{FORMAT, HEADER_BYTES, LENGTH_BYTES, checksum, message_length};
use crate::limits::{ENVELOPE_BYTES_MAX, TEXT_BYTES_MAX};
use crate::message::Message;
use crate::section::Compression;
use crate::{budget, convert};

/// What a message says beside its content.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Context {
    /// Which exchange it belongs to; 0 is the connection's own.
    pub stream: u64,
    /// Milliseconds, counted from receipt, after which the sender no longer wants an answer; `None`: it waits.
    pub deadline_ms: Option<u32>,
    /// W3C trace context of what caused it.
    pub traceparent: Option<String>,
}

/// A message's bytes in the pieces that lie ready: write them in order, with one vectored write where the transport has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Encoded {
    /// Header and envelope.
    pub head: Bytes,
    /// What follows; values that were not compressed are shared with the message. Behind very long records, the rest of them, with
    /// headers of their own.
    pub columns: Vec<Bytes>,
}

impl Encoded {
    /// All pieces in order; none is empty.
    pub fn pieces(&self) -> impl Iterator<Item = &Bytes> {
        std::iter::once(&self.head).chain(self.columns.iter().filter(|piece| !piece.is_empty()))
    }

    /// Bytes on the wire.
    #[allow(clippy::len_without_is_empty)] // a message always has a header
    pub fn len(&self) -> usize {
        self.head.len() + self.columns.iter().map(Bytes::len).sum::<usize>()
    }

    /// All bytes in one piece: a copy, for tests and files.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.len());
        self.pieces().for_each(|piece| out.extend_from_slice(piece));
        out.freeze()
    }
}

/// Encodes for a peer that has [`crate::features::ZSTD`].
///
/// # Errors
/// The message is above a limit that every peer holds it to.
pub fn encode(message: &Message, context: &Context) -> Result<Encoded, WireError> {
    encode_with(message, context, Compression::default())
}

/// Encodes with the compression that peer and link ask for.
///
/// # Errors
/// As [`encode`].
pub fn encode_with(message: &Message, context: &Context, compression: Compression) -> Result<Encoded, WireError> {
    limit("a trace context", context.traceparent.as_ref().map_or(0, String::len), TEXT_BYTES_MAX)?;
    let mut pieces = Vec::new();
    for (body, columns) in convert::parts(message, compression)? {
        pieces.push(seal(body, &columns, context)?);
        pieces.extend(columns);
    }
    let head = pieces.remove(0);
    Ok(Encoded { head, columns: pieces })
}

/// Header and envelope of one message on the wire.
fn seal(body: pb::envelope::Body, columns: &[Bytes], context: &Context) -> Result<Bytes, WireError> {
    let columns_bytes: usize = columns.iter().map(Bytes::len).sum();
    let envelope = pb::Envelope {
        stream: context.stream,
        deadline_ms: context.deadline_ms,
        traceparent: context.traceparent.clone(),
        columns_bytes: crate::section::to_u32(columns_bytes),
        body: Some(body),
    };
    let envelope_bytes = envelope.encoded_len();
    limit("an envelope", envelope_bytes, ENVELOPE_BYTES_MAX)?;
    let head_bytes = HEADER_BYTES + varint::len(envelope_bytes as u64) + envelope_bytes;
    limit("a message", head_bytes + columns_bytes, MESSAGE_BYTES_MAX)?;
    Ok(head(&envelope, envelope_bytes, head_bytes, columns))
}

fn head(envelope: &pb::Envelope, envelope_bytes: usize, head_bytes: usize, columns: &[Bytes]) -> Bytes {
    let behind_length = head_bytes - LENGTH_BYTES + columns.iter().map(Bytes::len).sum::<usize>();
    let length_field = crate::section::to_u32(behind_length).to_be_bytes();
    let mut head = Vec::with_capacity(head_bytes);
    head.extend_from_slice(&length_field);
    head.extend_from_slice(&[0; 4]);
    head.push(FORMAT);
    varint::put(&mut head, envelope_bytes as u64);
    envelope.encode(&mut head).expect("a vector takes everything");
    assert_eq!(head.len(), head_bytes, "the envelope has the length that it said");
    let behind_checksum = HEADER_BYTES - 1;
    let check = checksum(length_field, std::iter::once(&head[behind_checksum..]).chain(columns.iter().map(|piece| &piece[..])));
    head[LENGTH_BYTES..behind_checksum].copy_from_slice(&check);
    head.into()
}

/// Decodes one whole message, length field included. Values that are not compressed are slices of `message`.
///
/// # Errors
/// See [`WireError`]. Nothing is allocated for what a message declares before the declaration was checked.
/// Records so long that they were cut are several messages: [`crate::Decoder`] joins them, this refuses all but the last.
pub fn decode(message: Bytes) -> Result<(Message, Context), WireError> {
    match decode_piece(message)? {
        (message, context, false) => Ok((message, context)),
        _ => Err(WireError::invalid("live.more", "a piece of records that were cut")),
    }
}

/// As [`decode`]; also whether the message is a piece that goes on in the next.
#[allow(clippy::needless_pass_by_value)] // the message is used up: its columns live on as slices of it
pub(crate) fn decode_piece(message: Bytes) -> Result<(Message, Context, bool), WireError> {
    let behind_format = verify(&message)?;
    let mut reader = Reader::new(behind_format);
    let envelope_bytes = reader.varint("envelope.length")?;
    let envelope_bytes = usize::try_from(envelope_bytes).unwrap_or(usize::MAX);
    limit("an envelope", envelope_bytes, ENVELOPE_BYTES_MAX)?;
    let envelope = reader.take("envelope", envelope_bytes)?;
    budget::check(envelope)?;
    let columns = message.slice(message.len() - reader.rest().len()..);
    let envelope =
        pb::Envelope::decode(message.slice_ref(envelope)).map_err(|_| WireError::invalid("envelope", "no protobuf of limosa.v1"))?;
    open(envelope, columns)
}

/// Checks length, checksum and format; what lies behind the format.
fn verify(message: &[u8]) -> Result<&[u8], WireError> {
    let cut = WireError::Damaged { why: "it ends early" };
    let mut reader = Reader::new(message);
    let length_field = reader.array("length").map_err(|_: DecodeError| cut.clone())?;
    if message_length(length_field)? != message.len() {
        return Err(cut);
    }
    let check: [u8; 4] = reader.array("checksum").map_err(|_: DecodeError| cut.clone())?;
    if check != checksum(length_field, [reader.rest()]) && !planted::has(Bug::TakeDamagedMessage) {
        return Err(WireError::Damaged { why: "its checksum does not match" });
    }
    let format = reader.u8("format")?;
    if format != FORMAT {
        return Err(WireError::UnknownFormat { format });
    }
    Ok(reader.rest())
}

fn open(envelope: pb::Envelope, columns: Bytes) -> Result<(Message, Context, bool), WireError> {
    if envelope.columns_bytes as usize != columns.len() {
        return Err(WireError::invalid("envelope.columns_bytes", "not the bytes that follow"));
    }
    limit("a trace context", envelope.traceparent.as_ref().map_or(0, String::len), TEXT_BYTES_MAX)?;
    let context = Context { stream: envelope.stream, deadline_ms: envelope.deadline_ms, traceparent: envelope.traceparent };
    let body = envelope.body.ok_or(WireError::UnknownMessage)?;
    let goes_on = convert::goes_on(&body);
    Ok((convert::message(body, columns)?, context, goes_on))
}
