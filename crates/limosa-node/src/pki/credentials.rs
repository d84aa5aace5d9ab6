//! What a node shows to others: its certificate and key, the CA that both ends trust, and the checks that they fit together.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::RootCertStore;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::error::PkiError;
use crate::pki::crypto::provider;
use crate::pki::name::{Identity, URI_SCHEME};
use crate::pki::pem::{self, Sections};

/// A node's certificate and key with the CA of its cluster. Checked when made: the key fits, the CA issued it, the identity is readable.
#[derive(Clone)]
pub struct Credentials {
    identity: Identity,
    valid_until: SystemTime,
    authority: CertificateDer<'static>,
    pair: Arc<CertifiedKey>,
    key_der: Vec<u8>,
}

impl Credentials {
    /// Checks and keeps the three parts; `origin` is where they were read, for errors. The chain holds the node's own certificate first.
    pub(crate) fn check(origin: &Path, authority: &[u8], chain: &[&[u8]], key: &[u8]) -> Result<Self, PkiError> {
        let damaged = |why| PkiError::Damaged { path: origin.to_owned(), why };
        let leaf = *chain.first().ok_or_else(|| damaged("it has no certificate"))?;
        let (leaf_facts, authority_facts) = (Facts::read(leaf), Facts::read(authority));
        let leaf_facts = leaf_facts.ok_or_else(|| damaged("its certificate can't be read"))?;
        let authority_facts = authority_facts.ok_or_else(|| damaged("the CA certificate can't be read"))?;
        let identity = identity_of(leaf)?;
        if !signed_by_itself(authority) {
            return Err(damaged("the CA certificate is damaged, or not a root: its signature is not its own"));
        }

        let chain: Vec<_> = chain.iter().map(|der| CertificateDer::from(der.to_vec())).collect();
        let authority = CertificateDer::from(authority.to_vec());
        // Whether the certificate is valid *now* is asked at every handshake; here, whether it ever can be.
        let when = leaf_facts.not_before.max(authority_facts.not_before);
        issued_by(&authority, &chain, when).map_err(|_| damaged("its certificate was not issued by the CA beside it"))?;

        let key_der = key.to_vec();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key_der.clone()));
        let pair = CertifiedKey::from_der(chain, key, &provider());
        let pair = pair.map_err(|_| damaged("its private key can't be read or does not fit its certificate"))?;
        let valid_until = leaf_facts.not_after.min(authority_facts.not_after);
        Ok(Self { identity, valid_until, authority, pair: Arc::new(pair), key_der })
    }

    /// Reads certificate and key from the sections of a file; the CA is given.
    pub(crate) fn from_sections(origin: &Path, authority: &[u8], chain: &[&[u8]], sections: &Sections<'_>) -> Result<Self, PkiError> {
        let key = sections.one(pem::PRIVATE_KEY, "it has not exactly one private key in PKCS #8")?;
        Self::check(origin, authority, chain, key)
    }

    /// Who the certificate says its holder is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// When certificate or CA ends, whichever is first.
    pub fn valid_until(&self) -> SystemTime {
        self.valid_until
    }

    /// The CA certificate, DER.
    pub(crate) fn authority(&self) -> &CertificateDer<'static> {
        &self.authority
    }

    /// The CA as the only root.
    pub(crate) fn roots(&self) -> Arc<RootCertStore> {
        Arc::new(roots_of(&self.authority).expect("this CA verified our own certificate when it was read"))
    }

    /// Certificate and key, as TLS wants them.
    pub(crate) fn pair(&self) -> Arc<CertifiedKey> {
        self.pair.clone()
    }

    /// Node certificate and key as one text, so that one rename replaces both.
    pub(crate) fn pair_pem(&self) -> String {
        let mut text: String = self.pair.cert.iter().map(|der| pem::section(pem::CERTIFICATE, der)).collect();
        text.push_str(&pem::section(pem::PRIVATE_KEY, &self.key_der));
        text
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({}, …)", self.identity) // never the key
    }
}

/// The identity in a certificate; exactly one URI of our scheme is allowed, so that no two readers pick different ones.
pub(crate) fn identity_of(certificate: &[u8]) -> Result<Identity, PkiError> {
    let unreadable = |why: &str| PkiError::BadIdentity { uri: why.to_owned() };
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| unreadable("(not a certificate)"))?;
    let names = parsed.subject_alternative_name().map_err(|_| unreadable("(ambiguous names)"))?;
    let names = names.map_or(&[][..], |extension| &extension.value.general_names);
    let uris = names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) if uri.starts_with(URI_SCHEME) => Some(*uri),
        _ => None,
    });
    match uris.collect::<Vec<_>>()[..] {
        [only] => only.parse(),
        [] => Err(unreadable("(none)")),
        _ => Err(unreadable("(more than one)")),
    }
}

/// Checks with rustls' own machinery that `authority` issued the chain and that all of it is valid at `when`.
fn issued_by(authority: &CertificateDer<'static>, chain: &[CertificateDer<'static>], when: SystemTime) -> Result<(), rustls::Error> {
    let since_epoch = when.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (leaf, rest) = chain.split_first().ok_or(rustls::Error::NoCertificatesPresented)?;
    let roots = roots_of(authority)?;
    let algorithms = provider().signature_verification_algorithms.all;
    let leaf = ParsedCertificate::try_from(leaf)?;
    verify_server_cert_signed_by_trust_anchor(&leaf, &roots, rest, UnixTime::since_unix_epoch(since_epoch), algorithms)
}

fn roots_of(authority: &CertificateDer<'static>) -> Result<RootCertStore, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone())?;
    Ok(roots)
}

/// A root is trusted for lying where it lies; nothing else would notice a flipped bit in it.
fn signed_by_itself(certificate: &[u8]) -> bool {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
        return false;
    };
    let (key, signed) = (&parsed.subject_pki.subject_public_key.data, parsed.tbs_certificate.as_ref());
    let algorithms = provider().signature_verification_algorithms.all;
    algorithms.iter().any(|algorithm| algorithm.verify_signature(key, signed, &parsed.signature_value.data).is_ok())
}

/// The validity of a certificate.
pub(crate) struct Facts {
    pub(crate) not_before: SystemTime,
    pub(crate) not_after: SystemTime,
}

impl Facts {
    pub(crate) fn read(certificate: &[u8]) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let time = |seconds: i64| SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        let validity = parsed.validity();
        Some(Self { not_before: time(validity.not_before.timestamp()), not_after: time(validity.not_after.timestamp()) })
    }
}
