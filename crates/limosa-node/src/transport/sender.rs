//! The sending end of a connection: queues messages as the pieces that they lie in, and writes many with one call.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use limosa_wire::{Compression, Context, Message, encode_with};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, WriteHalf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::error::PeerError;
use crate::transport::connection::PeerStream;
use crate::transport::timing::{CLOSE_TIMEOUT, PING_EVERY, SEND_QUEUE_BYTES, WRITE_TIMEOUT};
use crate::transport::{Counters, Stage, failure};

const WHAT: &str = "sending";
/// Pieces given to one write; a frame has three or four.
const PIECES_PER_WRITE: usize = 16;

/// Sends messages. Nothing is on its way before [`Sender::flush`], or a queue of [`SEND_QUEUE_BYTES`].
#[derive(Debug)]
pub struct Sender<S = TcpStream> {
    stream: WriteHalf<PeerStream<S>>,
    queue: VecDeque<Bytes>,
    queued_bytes: usize,
    compression: Compression,
    last_sent: Instant,
    counters: Arc<Counters>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Sender<S> {
    pub(crate) fn new(stream: WriteHalf<PeerStream<S>>, counters: Arc<Counters>) -> Self {
        // Until Hello has shown that the peer reads it, nothing is compressed.
        Self { stream, queue: VecDeque::new(), queued_bytes: 0, compression: Compression::Never, last_sent: Instant::now(), counters }
    }

    /// Whether messages are compressed from here on: what the peer's features and the link allow.
    pub fn set_compression(&mut self, compression: Compression) {
        self.compression = compression;
    }

    /// Queues a message without sending it; its bytes on the wire. The caller bounds the queue, by credits or by flushing.
    ///
    /// # Errors
    /// `Wire` when the message is above a limit that the peer holds it to.
    pub fn queue(&mut self, message: &Message) -> Result<usize, PeerError> {
        self.queue_with(message, &Context::default())
    }

    /// As [`Sender::queue`], with what the message belongs to.
    ///
    /// # Errors
    /// As [`Sender::queue`].
    pub fn queue_with(&mut self, message: &Message, context: &Context) -> Result<usize, PeerError> {
        let encoded = self.counters.cpu().measure(Stage::Codec, || encode_with(message, context, self.compression))?;
        let bytes = encoded.len();
        self.queued_bytes += bytes;
        self.queue.extend(encoded.pieces().cloned());
        Ok(bytes)
    }

    /// Queues a message, and sends when enough is queued; its bytes on the wire.
    ///
    /// # Errors
    /// As [`Sender::queue`] and [`Sender::flush`].
    pub async fn send(&mut self, message: &Message) -> Result<usize, PeerError> {
        let bytes = self.queue(message)?;
        if self.queued_bytes >= SEND_QUEUE_BYTES {
            self.flush().await?;
        }
        Ok(bytes)
    }

    /// Sends everything queued. Safe to drop halfway: what was written is off the queue, a later call goes on behind it.
    ///
    /// # Errors
    /// `TimedOut` when the peer takes nothing; `Broken`, `CutOff`, `RefusedByPeer`. The connection is of no use afterwards.
    pub async fn flush(&mut self) -> Result<(), PeerError> {
        while !self.queue.is_empty() {
            let mut parts = [IoSlice::new(&[]); PIECES_PER_WRITE];
            let mut count = 0;
            for (part, piece) in parts.iter_mut().zip(&self.queue) {
                *part = IoSlice::new(piece);
                count += 1;
            }
            let write = timeout(WRITE_TIMEOUT, self.stream.write_vectored(&parts[..count])).await;
            let written = write.map_err(|_| timed_out())?.map_err(|error| failure::of_io(WHAT, error))?;
            if written == 0 {
                return Err(PeerError::CutOff { what: WHAT });
            }
            self.advance(written);
            self.last_sent = Instant::now();
        }
        timeout(WRITE_TIMEOUT, self.stream.flush()).await.map_err(|_| timed_out())?.map_err(|error| failure::of_io(WHAT, error))
    }

    /// Bytes queued and not yet given to TLS.
    pub fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// When a ping is due, unless something is sent before.
    pub fn ping_due(&self) -> Instant {
        self.last_sent + PING_EVERY
    }

    /// Sends a ping when one is due; else nothing.
    ///
    /// # Errors
    /// As [`Sender::flush`].
    pub async fn ping_if_due(&mut self) -> Result<(), PeerError> {
        if self.queue.is_empty() && Instant::now() >= self.ping_due() {
            self.queue(&Message::Ping)?;
        }
        self.flush().await
    }

    /// Sends what is queued and TLS's farewell, which tells the peer that nothing was cut off. Bounded by [`CLOSE_TIMEOUT`].
    pub async fn close(mut self) {
        let farewell = async {
            if self.flush().await.is_ok() {
                let _ = self.stream.shutdown().await; // the connection ends either way
            }
        };
        let _ = timeout(CLOSE_TIMEOUT, farewell).await; // a peer that takes nothing does not hold us
    }

    fn advance(&mut self, written: usize) {
        self.queued_bytes -= written;
        let mut left = written;
        while left > 0 {
            let front = self.queue.front_mut().expect("no more is written than was queued");
            let count = left.min(front.len());
            front.advance(count);
            left -= count;
            if front.is_empty() {
                self.queue.pop_front();
            }
        }
    }
}

fn timed_out() -> PeerError {
    PeerError::TimedOut { what: WHAT, waited: WRITE_TIMEOUT }
}
