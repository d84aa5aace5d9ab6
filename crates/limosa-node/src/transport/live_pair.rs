//! The certificate and key in use: swapped as a pair while connections come and go.

use std::sync::{Arc, RwLock};

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::pki::Credentials;

/// What the next handshake shows. Connections that stand keep what they were made with.
#[derive(Debug)]
pub(crate) struct LivePair(RwLock<Credentials>);

impl LivePair {
    pub(crate) fn new(credentials: Credentials) -> Self {
        Self(RwLock::new(credentials))
    }

    pub(crate) fn current(&self) -> Credentials {
        self.0.read().expect(NEVER_POISONED).clone()
    }

    pub(crate) fn swap(&self, credentials: Credentials) {
        *self.0.write().expect(NEVER_POISONED) = credentials;
    }

    fn pair(&self) -> Arc<CertifiedKey> {
        self.0.read().expect(NEVER_POISONED).pair()
    }
}

const NEVER_POISONED: &str = "nothing that can panic runs under this lock";

impl ResolvesServerCert for LivePair {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.pair())
    }
}

impl ResolvesClientCert for LivePair {
    fn resolve(&self, _root_hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.pair())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
