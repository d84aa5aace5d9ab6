//! The one choice of algorithms that certificates, peers and the control port share.

use std::sync::{Arc, LazyLock};

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, cipher_suite};

/// AES-128 first: as strong as the P-256 keys around it and cheaper than AES-256; ChaCha20 for machines without AES instructions.
static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    Arc::new(CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        ..aws_lc_rs::default_provider()
    })
});

/// Algorithms for TLS and for checking certificates. Given explicitly everywhere: there is no process-wide default to forget.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    PROVIDER.clone()
}
