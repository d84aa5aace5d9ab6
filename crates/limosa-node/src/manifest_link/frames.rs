//! Messages on the link: four bytes of length, then protobuf.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use prost::Message;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// Longest message, bytes: a page, and one entry too many.
const FRAME_BYTES_MAX: usize = 2 << 20;
/// What a length is believed for, before anything came.
const VOUCHED_BYTES: usize = 64 << 10;
/// Entries that one message carries, bytes.
pub(super) const PAGE_BYTES: usize = 512 << 10;
/// A link without a byte for this long is broken. The client asks more often than that.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(6);
/// How often the client asks whether anybody is there.
pub(super) const PING_EVERY: Duration = Duration::from_secs(2);

/// The next message. Not safe to drop halfway: a task of its own reads.
pub(super) async fn read<M: Message + Default>(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<M> {
    let silent = || io::Error::new(io::ErrorKind::TimedOut, "nothing came for too long");
    let length = timeout(SILENCE_MAX, stream.read_u32()).await.map_err(|_| silent())??;
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > FRAME_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a message of {length} bytes")));
    }
    let bytes = timeout(SILENCE_MAX, read_body(stream, length)).await.map_err(|_| silent())??;
    M::decode(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// The next `length` bytes. What came vouches for the rest: a length alone makes nobody allocate a whole message.
async fn read_body(stream: &mut (impl AsyncRead + Unpin), length: usize) -> io::Result<Bytes> {
    let mut bytes = BytesMut::new();
    while bytes.len() < length {
        let room = (length - bytes.len()).min((bytes.len() * 8).max(VOUCHED_BYTES));
        bytes.reserve(room);
        let mut rest = stream.take((length - bytes.len()) as u64);
        if rest.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(bytes.freeze())
}

/// Writes a message out, whole.
pub(super) async fn write(stream: &mut (impl AsyncWrite + Unpin), message: &impl Message) -> io::Result<()> {
    let body = message.encode_to_vec();
    if body.len() > FRAME_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a message of {} bytes", body.len())));
    }
    let length = u32::try_from(body.len()).expect("checked above");
    let whole = [&length.to_be_bytes()[..], &body].concat();
    let written = async {
        stream.write_all(&whole).await?;
        stream.flush().await
    };
    timeout(SILENCE_MAX, written).await.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the other end takes nothing"))?
}

/// Whether a message fits.
pub(super) fn fits(message: &impl Message) -> bool {
    message.encoded_len() <= FRAME_BYTES_MAX
}

const _: () = assert!(PAGE_BYTES + limosa_manifest::entry::ENTRY_BYTES_MAX + (64 << 10) < FRAME_BYTES_MAX);
const _: () = assert!(PING_EVERY.as_secs() * 3 <= SILENCE_MAX.as_secs());
