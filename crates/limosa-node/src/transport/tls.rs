//! TLS as nodes speak it: version 1.3 only, both ends with certificates, nothing resumed.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::client::{ResolvesClientCert, Resumption};
use rustls::server::NoServerSessionStorage;
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::error::PkiError;
use crate::pki::crypto::provider;
use crate::pki::{Credentials, Identity};
use crate::transport::live_pair::LivePair;
use crate::transport::verify::{ClientVerifier, ServerVerifier};

/// Application protocol of the peer port: a browser or `curl` that lands there is told so by TLS itself.
pub(crate) const PEER_PROTOCOL: &[u8] = b"limosa";
/// Application protocol of the peer port for nodes that reach the manifest through the one that holds it.
pub(crate) const MANIFEST_PROTOCOL: &[u8] = b"limosa-manifest";
/// Application protocol of the peer port for what nodes say about ownership, beside the transfers that may keep a connection busy.
pub(crate) const LANE_PROTOCOL: &[u8] = b"limosa-control";
/// Application protocol of the control port.
const CONTROL_PROTOCOL: &[u8] = b"http/1.1";

/// What a connection to a peer port is for, as its handshake says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    /// A session that moves state, or an older program.
    Session,
    /// A control lane.
    Lane,
    /// The manifest that the other end holds.
    Manifest,
}

impl Purpose {
    pub(crate) fn of(protocol: Option<&[u8]>) -> Option<Self> {
        match protocol {
            Some(PEER_PROTOCOL) => Some(Self::Session),
            Some(LANE_PROTOCOL) => Some(Self::Lane),
            Some(MANIFEST_PROTOCOL) => Some(Self::Manifest),
            _ => None,
        }
    }
}

/// The TLS side of one node, or of a client that holds a node's certificate. Clones share everything.
#[derive(Clone)]
pub struct Tls {
    identity: Identity,
    pair: Arc<LivePair>,
    peer_server: TlsAcceptor,
    peer_client: TlsConnector,
    manifest_client: TlsConnector,
    lane_client: TlsConnector,
    control_server: TlsAcceptor,
    control_client: TlsConnector,
}

impl Tls {
    /// Speaks as the holder of `credentials`, with the nodes of its cluster.
    pub fn new(credentials: &Credentials) -> Self {
        Self::trusting(credentials, Arc::new(LivePair::new(credentials.clone())))
    }

    fn trusting(own: &Credentials, pair: Arc<LivePair>) -> Self {
        Self {
            identity: own.identity().clone(),
            peer_server: server(own, &pair, &[PEER_PROTOCOL, LANE_PROTOCOL, MANIFEST_PROTOCOL], true),
            peer_client: client(own, pair.clone(), PEER_PROTOCOL),
            manifest_client: client(own, pair.clone(), MANIFEST_PROTOCOL),
            lane_client: client(own, pair.clone(), LANE_PROTOCOL),
            control_server: server(own, &pair, &[CONTROL_PROTOCOL], false),
            control_client: client(own, pair.clone(), CONTROL_PROTOCOL),
            pair,
        }
    }

    /// Uses a renewed certificate and key from the next handshake on.
    ///
    /// # Errors
    /// `OtherCluster`, `OtherNode`, or `Damaged` when the CA is another one: those need a restart, since standing connections trust the old.
    pub fn reload(&self, renewed: &Credentials) -> Result<(), PkiError> {
        let path = || Path::new("the renewed certificate").to_owned();
        let (own, new) = (&self.identity, renewed.identity());
        if own.cluster != new.cluster {
            return Err(PkiError::OtherCluster { path: path(), expected: own.cluster, found: new.cluster });
        }
        if own.node != new.node {
            return Err(PkiError::OtherNode { expected: own.node.clone(), found: new.node.clone() });
        }
        if self.pair.current().authority() != renewed.authority() {
            return Err(PkiError::Damaged { path: path(), why: "it is of another CA than the one in use" });
        }
        self.pair.swap(renewed.clone());
        Ok(())
    }

    /// Who we are to others.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// When the certificate in use ends.
    pub fn valid_until(&self) -> SystemTime {
        self.pair.current().valid_until()
    }

    pub(crate) fn peer_server(&self) -> &TlsAcceptor {
        &self.peer_server
    }

    pub(crate) fn client_of(&self, purpose: Purpose) -> &TlsConnector {
        match purpose {
            Purpose::Session => &self.peer_client,
            Purpose::Lane => &self.lane_client,
            Purpose::Manifest => &self.manifest_client,
        }
    }

    pub(crate) fn control_server(&self) -> &TlsAcceptor {
        &self.control_server
    }

    pub(crate) fn control_client(&self) -> &TlsConnector {
        &self.control_client
    }
}

fn server(own: &Credentials, pair: &Arc<LivePair>, protocols: &[&[u8]], mandatory: bool) -> TlsAcceptor {
    let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13]);
    let builder = builder.expect("the provider has suites of TLS 1.3");
    let mut config = builder.with_client_cert_verifier(Arc::new(ClientVerifier::new(own, mandatory))).with_cert_resolver(pair.clone());
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    // No resumption: every connection proves its certificate anew, and no ticket's bytes follow the handshake.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    TlsAcceptor::from(Arc::new(config))
}

fn client(own: &Credentials, shown: Arc<dyn ResolvesClientCert>, protocol: &[u8]) -> TlsConnector {
    let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13]);
    let builder = builder.expect("the provider has suites of TLS 1.3");
    // "Dangerous" is rustls' word for any verifier but its own; ours verifies with rustls' machinery, then more.
    let verified = builder.dangerous().with_custom_certificate_verifier(Arc::new(ServerVerifier::new(own)));
    let mut config = verified.with_client_cert_resolver(shown);
    config.alpn_protocols = vec![protocol.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_sni = false; // one identity per port, and it is no host name
    TlsConnector::from(Arc::new(config))
}

/// Ends that no node of ours would be, for tests of refusals.
#[cfg(test)]
impl Tls {
    /// Trusts as `trust` does and shows another certificate.
    pub(crate) fn showing(trust: &Credentials, shown: &Credentials) -> Self {
        Self::trusting(trust, Arc::new(LivePair::new(shown.clone())))
    }

    /// As a client, shows no certificate.
    pub(crate) fn without_certificate(mut self) -> Self {
        #[derive(Debug)]
        struct Nothing;
        impl ResolvesClientCert for Nothing {
            fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<rustls::sign::CertifiedKey>> {
                None
            }
            fn has_certs(&self) -> bool {
                false
            }
        }
        let own = self.pair.current();
        self.peer_client = client(&own, Arc::new(Nothing), PEER_PROTOCOL);
        self.control_client = client(&own, Arc::new(Nothing), CONTROL_PROTOCOL);
        self
    }
}
