//! The receiving end of a connection: whole messages out of a TLS stream, limits before allocation, and an end to silence.

use std::sync::Arc;

use limosa_wire::{Context, Decoder, Message};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadHalf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::error::PeerError;
use crate::transport::connection::PeerStream;
use crate::transport::timing::IDLE_TIMEOUT;
use crate::transport::{Counters, Stage, failure};

const WHAT: &str = "receiving";

/// A message as it came.
#[derive(Clone, PartialEq, Debug)]
pub struct Received {
    /// What was said.
    pub message: Message,
    /// What it belongs to.
    pub context: Context,
    /// Its bytes on the wire, below TLS' own overhead: what credits count.
    pub wire_bytes: usize,
}

/// Receives messages.
#[derive(Debug)]
pub struct Receiver<S = TcpStream> {
    stream: ReadHalf<PeerStream<S>>,
    decoder: Decoder,
    last_byte: Instant,
    counters: Arc<Counters>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Receiver<S> {
    pub(crate) fn new(stream: ReadHalf<PeerStream<S>>, counters: Arc<Counters>) -> Self {
        Self { stream, decoder: Decoder::default(), last_byte: Instant::now(), counters }
    }

    /// Refuses longer messages from here on; never more than the format's limit.
    pub fn set_message_bytes_max(&mut self, bytes: usize) {
        self.decoder.set_message_bytes_max(bytes);
    }

    /// The next message. Pings are taken note of and not handed out. Safe to drop halfway: no byte is lost, and the clock of the idle
    /// limit runs on.
    ///
    /// # Errors
    /// `Closed` after the peer's farewell between two messages; `CutOff`, `Broken`; `TimedOut` after [`IDLE_TIMEOUT`] without a byte;
    /// `Wire` for what is no message; `RefusedByPeer` when the peer did not take our certificate. The connection is of no use afterwards.
    pub async fn receive(&mut self) -> Result<Received, PeerError> {
        loop {
            match self.counters.cpu().measure(Stage::Codec, || self.decoder.next())? {
                Some((Message::Ping, ..)) => {}
                Some((message, context, wire_bytes)) => return Ok(Received { message, context, wire_bytes }),
                None => self.read().await?,
            }
        }
    }

    async fn read(&mut self) -> Result<(), PeerError> {
        let read = timeout_at(self.last_byte + IDLE_TIMEOUT, self.stream.read_buf(self.decoder.buffer())).await;
        let read = read.map_err(|_| PeerError::TimedOut { what: WHAT, waited: IDLE_TIMEOUT })?;
        if read.map_err(|error| failure::of_io(WHAT, error))? == 0 {
            return Err(self.decoder.finish().map_or(PeerError::CutOff { what: "receiving a message" }, |()| PeerError::Closed));
        }
        self.last_byte = Instant::now();
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn buffer_capacity(&mut self) -> usize {
        self.decoder.buffer().capacity()
    }
}
