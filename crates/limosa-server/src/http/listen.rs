//! Accepts HTTP connections, bounded, until it is told to stop.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::caller::Caller;
use super::connection::serve_connection;
use super::limits::{ADMIT_TIME_MAX, CONNECTIONS_MAX};

/// Finds out who calls, before HTTP is read: looks at the address and, where the stream begins with one, does the TLS handshake.
pub trait Admit: Send + Sync + 'static {
    /// What HTTP is spoken over.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Who calls, and the stream to speak over.
    fn admit(&self, stream: TcpStream, from: SocketAddr) -> impl Future<Output = io::Result<(Self::Stream, Caller)>> + Send;
}

/// Plain HTTP only: callers are known by their address.
#[derive(Clone, Copy, Debug)]
pub struct Plain;

impl Admit for Plain {
    type Stream = TcpStream;

    async fn admit(&self, stream: TcpStream, from: SocketAddr) -> io::Result<(TcpStream, Caller)> {
        Ok((stream, Caller::at(from.ip())))
    }
}

/// After an accept that failed (no descriptors left): long enough for some to come free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `router` on `listener` until `stop` turns true or its sender is gone; then ends connections behind the request under way.
pub async fn listen<A: Admit>(listener: TcpListener, admit: A, router: Router, mut stop: watch::Receiver<bool>) {
    let admit = Arc::new(admit);
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let place = Arc::clone(&room).acquire_owned().await.expect("the semaphore is never closed");
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, from)) => {
                let one = serve_one(stream, from, Arc::clone(&admit), router.clone(), stop.clone());
                connections.spawn(async move {
                    one.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "no HTTP connection could be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    while connections.join_next().await.is_some() {}
}

async fn serve_one<A: Admit>(stream: TcpStream, from: SocketAddr, admit: Arc<A>, router: Router, mut stop: watch::Receiver<bool>) {
    let admitted = tokio::time::timeout(ADMIT_TIME_MAX, admit.admit(stream, from)).await;
    let (stream, caller) = match admitted {
        Ok(Ok(admitted)) => admitted,
        Ok(Err(error)) => return tracing::debug!(%from, %error, "HTTP connection refused"),
        Err(_) => return tracing::debug!(%from, "HTTP connection took too long to begin"),
    };
    let stopped = async move {
        // An error means that the sender is gone, which is a stop too.
        let _ = stop.wait_for(|stop| *stop).await;
    };
    if let Err(error) = serve_connection(stream, caller, router, stopped).await {
        tracing::debug!(%from, %error, "HTTP connection broke");
    }
}
