//! The development CA: makes itself, and issues node certificates.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    SanType,
};
use rustls::pki_types::CertificateDer;

use crate::error::PkiError;
use crate::pki::name::{ClusterId, Identity};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// How long a CA lives.
pub const AUTHORITY_VALIDITY: Duration = DAY.saturating_mul(3652);
/// How long a node's certificate lives, within its CA's life.
pub const NODE_VALIDITY: Duration = DAY.saturating_mul(365);
/// Certificates begin this long ago: a peer whose clock is behind takes them at once.
const BACKDATED: Duration = Duration::from_secs(3600);

/// A certificate and its private key, both DER.
pub(crate) struct Issued {
    pub(crate) certificate: Vec<u8>,
    pub(crate) key: Vec<u8>,
}

/// Makes a CA for `cluster`, valid from `now`. It may issue node certificates and no other CA.
pub(crate) fn create(cluster: ClusterId, now: SystemTime) -> Result<Issued, PkiError> {
    let mut params = params(now, now + AUTHORITY_VALIDITY)?;
    params.distinguished_name.push(DnType::CommonName, format!("Limosa cluster {cluster}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = new_key()?;
    let certificate = params.self_signed(&key).map_err(failed)?;
    Ok(Issued { certificate: certificate.der().to_vec(), key: key.serialize_der() })
}

/// Issues a certificate for `identity`, valid from `now`, with a new key.
pub(crate) fn issue(authority: &Issued, authority_ends: SystemTime, identity: &Identity, now: SystemTime) -> Result<Issued, PkiError> {
    let authority_key = KeyPair::try_from(&authority.key[..]).map_err(failed)?;
    let issuer = Issuer::from_ca_cert_der(&CertificateDer::from(&authority.certificate[..]), authority_key).map_err(failed)?;
    let mut params = params(now, (now + NODE_VALIDITY).min(authority_ends))?;
    params.distinguished_name.push(DnType::CommonName, identity.node.as_str());
    params.subject_alt_names = vec![
        SanType::URI(identity.to_string().try_into().map_err(failed)?),
        SanType::DnsName("localhost".try_into().map_err(failed)?), // for curl and Prometheus at the control port; nodes look at the URI alone
    ];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    let key = new_key()?;
    let certificate = params.signed_by(&key, &issuer).map_err(failed)?;
    Ok(Issued { certificate: certificate.der().to_vec(), key: key.serialize_der() })
}

fn params(now: SystemTime, until: SystemTime) -> Result<CertificateParams, PkiError> {
    let mut params = CertificateParams::new(Vec::new()).map_err(failed)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.not_before = (now - BACKDATED).into();
    params.not_after = until.into();
    Ok(params)
}

/// ECDSA on P-256: small, fast, and taken by every TLS client and proxy that an operator may put in between.
fn new_key() -> Result<KeyPair, PkiError> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)
}

fn failed(error: rcgen::Error) -> PkiError {
    PkiError::Generate { why: error.to_string() }
}
