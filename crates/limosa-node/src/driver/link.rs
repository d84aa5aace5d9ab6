//! One peer connection as two queues: a task writes what is put into one, another fills the other with what it reads.
//!
//! Reading and writing go on at the same time, so that two ends that both have much to send never wait for each other. The outbound queue
//! is bounded by the engine's credits, the inbound one by its length: a session that is slow to take messages stops its peer through TCP.

use limosa_wire::{Compression, Message};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::sleep_until;

use crate::error::PeerError;
use crate::transport::{Connection, Receiver, Sender};

/// Messages read ahead of the session.
const INBOUND_MAX: usize = 8;
/// Bytes of encoded messages that are written in one go.
const WRITE_BYTES: usize = 512 << 10;

/// The session's side of a connection.
pub(super) struct Link {
    outbound: Option<mpsc::UnboundedSender<Message>>,
    inbound: mpsc::Receiver<Result<Message, PeerError>>,
    writer: JoinHandle<Result<(), PeerError>>,
    reader: JoinHandle<()>,
}

impl Link {
    pub(super) fn new(connection: Connection) -> Self {
        let (mut sender, receiver) = connection.split();
        sender.set_compression(Compression::WhereItShrinks);
        let (outbound, outbound_rx) = mpsc::unbounded_channel();
        let (inbound_tx, inbound) = mpsc::channel(INBOUND_MAX);
        Self {
            outbound: Some(outbound),
            inbound,
            writer: tokio::spawn(write(sender, outbound_rx)),
            reader: tokio::spawn(read(receiver, inbound_tx)),
        }
    }

    /// Queues a message. One that can't be written any more is dropped: the reader then reports the broken connection.
    pub(super) fn send(&self, message: Message) {
        if let Some(outbound) = &self.outbound {
            let _ = outbound.send(message); // the writer has ended: `receive` tells why
        }
    }

    /// The next message; an error ends the connection. Safe to drop and call again.
    pub(super) async fn receive(&mut self) -> Result<Message, PeerError> {
        self.inbound.recv().await.unwrap_or(Err(PeerError::Closed))
    }

    /// Writes what is queued, then closes.
    pub(super) async fn close(mut self) {
        self.outbound = None;
        let _ = (&mut self.writer).await; // bounded by the sender's own time limits
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.writer.abort();
        self.reader.abort();
    }
}

async fn write(mut sender: Sender, mut queue: mpsc::UnboundedReceiver<Message>) -> Result<(), PeerError> {
    loop {
        let due = sender.ping_due();
        tokio::select! {
            message = queue.recv() => {
                let Some(message) = message else { break };
                sender.queue(&message)?;
                while sender.queued_bytes() < WRITE_BYTES && let Ok(message) = queue.try_recv() {
                    sender.queue(&message)?;
                }
                sender.flush().await?;
            }
            () = sleep_until(due) => sender.ping_if_due().await?,
        }
    }
    sender.close().await;
    Ok(())
}

async fn read(mut receiver: Receiver, queue: mpsc::Sender<Result<Message, PeerError>>) {
    loop {
        let received = receiver.receive().await.map(|received| received.message);
        let is_last = received.is_err();
        if queue.send(received).await.is_err() || is_last {
            return;
        }
    }
}
