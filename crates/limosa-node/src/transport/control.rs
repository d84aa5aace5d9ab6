//! The control port serves HTTP with and without TLS: the first byte of a connection tells which.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsStream;

use crate::error::PeerError;
use crate::pki::{NodeName, identity_of};
use crate::transport::connection::{handshake, no_name};
use crate::transport::timing::{CONNECT_TIMEOUT, HANDSHAKE_TIMEOUT};
use crate::transport::tls::Tls;

/// First byte of a TLS connection: a handshake record (RFC 8446 §5.1). No HTTP method begins with it.
const TLS_HANDSHAKE: u8 = 0x16;

/// A connection of the control port, either end of it.
#[derive(Debug)]
pub enum ControlStream {
    /// Plain HTTP.
    Plain(TcpStream),
    /// HTTPS.
    Tls(Box<TlsStream<TcpStream>>),
}

/// Who is at the other end of a control connection, as far as the connection proves it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Caller {
    /// It comes from this machine.
    pub loopback: bool,
    /// The node named in its certificate, which was checked as a peer's is.
    pub certificate: Option<NodeName>,
}

impl Caller {
    /// Whether it may call what changes something: from this machine, or with a certificate of this cluster.
    pub fn may_change(&self) -> bool {
        self.loopback || self.certificate.is_some()
    }
}

/// Takes a connection that the control port accepted: finds out whether it speaks TLS, and who it is.
///
/// # Errors
/// `Closed` and `TimedOut` when nothing comes; with TLS, the errors of a handshake. A client without a certificate is let in
/// as a caller without one; a client with a wrong one is refused.
pub async fn sniff(stream: TcpStream, tls: &Tls) -> Result<(ControlStream, Caller), PeerError> {
    const WHAT: &str = "the first byte of a request";
    let broken = |source| PeerError::Broken { what: WHAT, source };
    stream.set_nodelay(true).map_err(broken)?;
    let loopback = stream.peer_addr().map_err(broken)?.ip().to_canonical().is_loopback();
    let mut first = [0u8];
    let peeked = timeout(HANDSHAKE_TIMEOUT, stream.peek(&mut first)).await;
    match peeked.map_err(|_| PeerError::TimedOut { what: WHAT, waited: HANDSHAKE_TIMEOUT })?.map_err(broken)? {
        0 => return Err(PeerError::Closed),
        _ if first[0] != TLS_HANDSHAKE => return Ok((ControlStream::Plain(stream), Caller { loopback, certificate: None })),
        _ => {}
    }
    let stream = TlsStream::from(handshake(tls.control_server().accept(stream)).await?);
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let identity = certificate.map(|der| identity_of(der)).transpose();
    let identity = identity.map_err(|error| PeerError::BadCertificate { detail: error.to_string() })?;
    let caller = Caller { loopback, certificate: identity.map(|identity| identity.node) };
    Ok((ControlStream::Tls(Box::new(stream)), caller))
}

/// Connects to a control port at `address` (`host:port`): with TLS when there is a certificate to show, else plain.
///
/// # Errors
/// `Connect` and `TimedOut`; with TLS, the errors of a handshake.
pub async fn connect_control(address: &str, tls: Option<&Tls>) -> Result<ControlStream, PeerError> {
    let failed = |source| PeerError::Connect { address: address.to_owned(), source };
    let connected = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
    let stream = connected.map_err(|_| PeerError::TimedOut { what: "connecting", waited: CONNECT_TIMEOUT })?.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    let Some(tls) = tls else {
        return Ok(ControlStream::Plain(stream));
    };
    let stream = handshake(tls.control_client().connect(no_name(), stream)).await?;
    Ok(ControlStream::Tls(Box::new(stream.into())))
}

impl AsyncRead for ControlStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, out),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, out),
        }
    }
}

impl AsyncWrite for ControlStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
