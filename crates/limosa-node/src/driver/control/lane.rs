//! One lane, from its greeting until it breaks.

use std::time::Duration;

use limosa_core::NodeName;
use limosa_wire::{Greet, Message, OwnershipMessage};
use tokio::sync::mpsc;
use tokio::time::{sleep_until, timeout};

use super::greeting::malformed;
use super::lanes::{Heard, Inner, Lanes};
use crate::error::PeerError;
use crate::transport::timing::HANDSHAKE_TIMEOUT;
use crate::transport::{Connection, Receiver, Sender};

/// Runs a lane over a connection that either end made. Returns why it ended, and whether it was one at all.
pub(super) async fn run(lanes: &Lanes, connection: Connection) -> (PeerError, bool) {
    let inner = &lanes.inner;
    let peer = connection.peer_name().clone();
    let (mut sender, mut receiver) = connection.split();
    let greet = match greet(inner, &peer, &mut sender, &mut receiver).await {
        Ok(greet) => greet,
        Err(error) => return (error, false),
    };
    let (number, queue, ended) = inner.register(&peer);
    let up = Heard::Up { from: peer.clone(), lane: number, start: greet.start };
    if inner.heard.send(up).await.is_err() {
        return (PeerError::Closed, true);
    }
    let error = tokio::select! {
        error = read(inner, &peer, number, receiver) => error,
        error = write(sender, queue) => error,
        _ = ended => PeerError::Closed, // the other end made a newer one
    };
    inner.deregister(&peer, number);
    let _ = inner.heard.send(Heard::Down { from: peer, lane: number }).await; // the node stops
    (error, true)
}

async fn greet(inner: &Inner, peer: &NodeName, sender: &mut Sender, receiver: &mut Receiver) -> Result<Greet, PeerError> {
    sender.queue(&inner.greeting.message(inner.revision()))?;
    sender.flush().await?;
    let waited = HANDSHAKE_TIMEOUT;
    let first = timeout(waited, receiver.receive()).await.map_err(|_| PeerError::TimedOut { what: "waiting for a greeting", waited })??;
    inner.greeting.check(peer, first.message)
}

async fn read(inner: &Inner, peer: &NodeName, lane: u64, mut receiver: Receiver) -> PeerError {
    loop {
        let message = match receiver.receive().await {
            Ok(received) => received.message,
            Err(error) => return error,
        };
        match message {
            // Waits while the driver is behind: the other end is held back by TCP.
            Message::Ownership(message) => {
                if inner.heard.send(Heard::Said { from: peer.clone(), lane, message }).await.is_err() {
                    return PeerError::Closed;
                }
            }
            Message::Close(_) => return PeerError::Closed,
            _ => return malformed("nothing but what concerns ownership crosses a control lane"),
        }
    }
}

async fn write(mut sender: Sender, mut queue: mpsc::Receiver<OwnershipMessage>) -> PeerError {
    loop {
        let due = sender.ping_due();
        let written = tokio::select! {
            message = queue.recv() => match message {
                Some(message) => write_all(&mut sender, message, &mut queue).await,
                None => return PeerError::Closed,
            },
            () = sleep_until(due) => sender.ping_if_due().await,
        };
        if let Err(error) = written {
            return error;
        }
    }
}

/// With one flush for everything that waits: a beat and a seal cost one packet.
async fn write_all(sender: &mut Sender, first: OwnershipMessage, queue: &mut mpsc::Receiver<OwnershipMessage>) -> Result<(), PeerError> {
    sender.queue(&Message::Ownership(first))?;
    while let Ok(next) = queue.try_recv() {
        sender.queue(&Message::Ownership(next))?;
    }
    sender.flush().await
}

/// Longest wait before a lane is dialled again: a failover needs it.
pub(super) const REDIAL_MAX: Duration = Duration::from_millis(250);
