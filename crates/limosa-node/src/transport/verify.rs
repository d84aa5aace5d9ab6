//! Whom TLS lets in: rustls verifies the chain up to the cluster's CA and its validity now; then the identity must be of this cluster.
//!
//! No host name is checked. Nodes move between addresses; what counts is the URI in the certificate, which no CA of another
//! cluster can sign for us and which is compared here.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore, SignatureScheme};

use crate::pki::crypto::provider;
use crate::pki::{ClusterId, Credentials, identity_of};

/// A certificate of our CA that is not of our cluster, or says nothing about it.
#[derive(Debug)]
pub(crate) struct NotOurs(pub(crate) String);

impl fmt::Display for NotOurs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for NotOurs {}

fn check_cluster(certificate: &CertificateDer<'_>, ours: ClusterId) -> Result<(), Error> {
    let refused = |why: String| Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(NotOurs(why)))));
    let identity = identity_of(certificate).map_err(|error| refused(error.to_string()))?;
    if identity.cluster == ours {
        return Ok(());
    }
    Err(refused(format!("{identity}, this node is of cluster {ours}")))
}

/// Checks the certificate of a node that we connect to.
#[derive(Debug)]
pub(crate) struct ServerVerifier {
    roots: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
    cluster: ClusterId,
}

impl ServerVerifier {
    pub(crate) fn new(own: &Credentials) -> Self {
        Self { roots: own.roots(), algorithms: provider().signature_verification_algorithms, cluster: own.identity().cluster }
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, intermediates, now, self.algorithms.all)?;
        check_cluster(end_entity, self.cluster)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Checks the certificate of whoever connects to us.
#[derive(Debug)]
pub(crate) struct ClientVerifier {
    chain: Arc<dyn ClientCertVerifier>,
    cluster: ClusterId,
    mandatory: bool,
}

impl ClientVerifier {
    /// `mandatory`: without a certificate there is no connection. Else whoever sends one is checked all the same.
    pub(crate) fn new(own: &Credentials, mandatory: bool) -> Self {
        let chain = WebPkiClientVerifier::builder_with_provider(own.roots(), provider());
        let chain = chain.build().expect("there is a root, and no revocation list that could be malformed");
        Self { chain, cluster: own.identity().cluster, mandatory }
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[] // nodes have one certificate each: a hint would only cost bytes
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chain.verify_client_cert(end_entity, intermediates, now)?;
        check_cluster(end_entity, self.cluster)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}
