//! A connection between two nodes: made, authenticated, counted, and split into the end that sends and the end that receives.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ConnectionCommon, SideData};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{TlsConnector, TlsStream};

use crate::error::PeerError;
use crate::pki::{NodeName, identity_of};
use crate::transport::counting::{Counters, CountingStream};
use crate::transport::cpu::{Measured, Stage};
use crate::transport::failure;
use crate::transport::receiver::Receiver;
use crate::transport::sender::Sender;
use crate::transport::timing::{CONNECT_TIMEOUT, HANDSHAKE_TIMEOUT, READ_BUFFER_BYTES, WRITE_BUFFER_BYTES};
use crate::transport::tls::{Purpose, Tls};

const HANDSHAKE: &str = "the TLS handshake";

/// TLS over a counted stream.
type Encrypted<S> = TlsStream<CountingStream<S>>;

/// The same, with what TLS costs measured.
pub(crate) type PeerStream<S> = Measured<Encrypted<S>>;

/// An authenticated connection to a node of the same cluster.
///
/// The side that connects learns only with its first read whether the other one took its certificate: so TLS 1.3 saves a round trip.
#[derive(Debug)]
pub struct Connection<S = TcpStream> {
    stream: Encrypted<S>,
    peer: NodeName,
    counters: Arc<Counters>,
    purpose: Purpose,
}

impl Connection {
    /// Connects to the peer port at `address` (`host:port`).
    ///
    /// # Errors
    /// `Connect` and `TimedOut` for the network; the certificate errors of [`PeerError`]; `NotTls`, `NotPeerPort`, `Incompatible`.
    pub async fn connect(address: &str, tls: &Tls) -> Result<Self, PeerError> {
        Self::connect_for(Purpose::Session, address, tls).await
    }

    /// As [`Connection::connect`], for any purpose.
    pub(crate) async fn connect_for(purpose: Purpose, address: &str, tls: &Tls) -> Result<Self, PeerError> {
        let failed = |source| PeerError::Connect { address: address.to_owned(), source };
        let stream = within(CONNECT_TIMEOUT, "connecting", TcpStream::connect(address)).await?.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        Self::connect_with(stream, tls.client_of(purpose)).await
    }

    /// Takes a connection that the peer port accepted.
    ///
    /// # Errors
    /// As [`Connection::connect`], and `NoCertificate`.
    pub async fn accept(stream: TcpStream, tls: &Tls) -> Result<Self, PeerError> {
        stream.set_nodelay(true).map_err(|source| PeerError::Broken { what: "accepting", source })?;
        Self::accept_over(stream, tls).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// The client's side of the handshake, over any stream.
    ///
    /// # Errors
    /// As [`Connection::connect`].
    pub async fn connect_over(stream: S, tls: &Tls) -> Result<Self, PeerError> {
        Self::connect_with(stream, tls.client_of(Purpose::Session)).await
    }

    async fn connect_with(stream: S, client: &TlsConnector) -> Result<Self, PeerError> {
        let counted = CountingStream::new(stream, READ_BUFFER_BYTES);
        let mut stream = handshake(client.connect(no_name(), counted)).await?;
        let (counted, session) = stream.get_mut();
        settle(counted, session)?;
        Self::new(stream.into())
    }

    /// The server's side of the handshake, over any stream.
    ///
    /// # Errors
    /// As [`Connection::accept`].
    pub async fn accept_over(stream: S, tls: &Tls) -> Result<Self, PeerError> {
        let counted = CountingStream::new(stream, READ_BUFFER_BYTES);
        let mut stream = handshake(tls.peer_server().accept(counted)).await?;
        let (counted, session) = stream.get_mut();
        settle(counted, session)?;
        Self::new(stream.into())
    }

    fn new(stream: Encrypted<S>) -> Result<Self, PeerError> {
        let (counted, session) = stream.get_ref();
        let purpose = Purpose::of(session.alpn_protocol()).ok_or(PeerError::NotPeerPort)?;
        let certificate = session.peer_certificates().and_then(<[_]>::first).ok_or(PeerError::NoCertificate)?;
        let identity = identity_of(certificate).map_err(|error| PeerError::BadCertificate { detail: error.to_string() })?;
        let counters = counted.counters();
        Ok(Self { stream, peer: identity.node, counters, purpose })
    }

    /// Who is at the other end, as its certificate says.
    pub fn peer_name(&self) -> &NodeName {
        &self.peer
    }

    /// What it is for. Only a [`Purpose::Session`] speaks the peer contract from Hello on.
    pub(crate) fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// Bytes of this connection; they go on counting after the split.
    pub fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }

    /// The two directions, for two tasks.
    pub fn split(self) -> (Sender<S>, Receiver<S>) {
        let stream = Measured::new(self.stream, Stage::Tls, self.counters.clone());
        let (read, write) = tokio::io::split(stream);
        (Sender::new(write, self.counters.clone()), Receiver::new(read, self.counters))
    }

    /// The bytes without messages, for measuring what TLS alone costs.
    pub fn into_stream(self) -> impl AsyncRead + AsyncWrite + Unpin {
        self.stream
    }
}

/// rustls wants a server name; ours are neither sent nor compared: [`crate::transport::verify`] looks at the identity.
pub(crate) fn no_name() -> ServerName<'static> {
    ServerName::try_from("node.limosa.internal").expect("a valid DNS name")
}

pub(crate) async fn handshake<T>(steps: impl Future<Output = io::Result<T>>) -> Result<T, PeerError> {
    within(HANDSHAKE_TIMEOUT, HANDSHAKE, steps).await?.map_err(|error| failure::of_io(HANDSHAKE, error))
}

async fn within<T>(limit: Duration, what: &'static str, work: impl Future<Output = T>) -> Result<T, PeerError> {
    timeout(limit, work).await.map_err(|_| PeerError::TimedOut { what, waited: limit })
}

/// Ends the handshake's count, and lets TLS hold as much as one large write takes.
fn settle<S, D: SideData>(counted: &mut CountingStream<S>, session: &mut ConnectionCommon<D>) -> Result<(), PeerError> {
    session.set_buffer_limit(Some(WRITE_BUFFER_BYTES));
    let state = session.process_new_packets().map_err(|error| failure::of_io(HANDSHAKE, io::Error::other(error)))?;
    counted.end_handshake(state.plaintext_bytes_to_read() > 0);
    Ok(())
}
