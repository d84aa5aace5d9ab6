//! Accepts HTTP connections, bounded, until it is told to stop.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use limosa_node::PeerError;
use limosa_node::transport::{Caller, ControlStream, Tls, sniff};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::connection::serve_connection;
use limosa_core::limits::HTTP_CONNECTIONS_MAX;

/// Finds out who calls, before HTTP is read: looks at the address and, where the stream begins with one, does the TLS handshake. Must end in bounded time.
pub trait Admit: Send + Sync + 'static {
    /// What HTTP is spoken over.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Who calls, and the stream to speak over.
    fn admit(&self, stream: TcpStream) -> impl Future<Output = Result<(Self::Stream, Caller), PeerError>> + Send;
}

/// Plain HTTP, or HTTPS for those who show a certificate of the cluster.
#[derive(Clone)]
pub struct Sniff(pub Tls);

impl Admit for Sniff {
    type Stream = ControlStream;

    async fn admit(&self, stream: TcpStream) -> Result<(ControlStream, Caller), PeerError> {
        sniff(stream, &self.0).await
    }
}

/// After an accept that failed (no descriptors left): long enough for some to come free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `router` on `listener` until `stop` turns true or its sender is gone; then ends connections behind the request under way.
pub async fn listen<A: Admit>(listener: TcpListener, admit: A, router: Router, mut stop: watch::Receiver<bool>) {
    let admit = Arc::new(admit);
    let room = Arc::new(Semaphore::new(HTTP_CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let place = Arc::clone(&room).acquire_owned().await.expect("the semaphore is never closed");
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) => {
                let one = serve_one(stream, Arc::clone(&admit), router.clone(), stop.clone());
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

async fn serve_one<A: Admit>(stream: TcpStream, admit: Arc<A>, router: Router, mut stop: watch::Receiver<bool>) {
    let (stream, caller) = match admit.admit(stream).await {
        Ok(admitted) => admitted,
        Err(error) => return tracing::debug!(code = error.code(), %error, "HTTP connection refused"),
    };
    let stopped = async move {
        // An error means that the sender is gone, which is a stop too.
        let _ = stop.wait_for(|stop| *stop).await;
    };
    if let Err(error) = serve_connection(stream, caller, router, stopped).await {
        tracing::debug!(%error, "HTTP connection broke");
    }
}
