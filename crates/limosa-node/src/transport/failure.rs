//! Turns what rustls and the operating system report into the errors that people and drivers act on.

use std::io;

use rustls::{AlertDescription, CertificateError, Error};

use crate::error::PeerError;
use crate::transport::verify::NotOurs;

/// An error of reading or writing a TLS stream.
pub(crate) fn of_io(what: &'static str, error: io::Error) -> PeerError {
    if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        return of_tls(tls);
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof => PeerError::CutOff { what },
        _ => PeerError::Broken { what, source: error },
    }
}

fn of_tls(error: &Error) -> PeerError {
    match error {
        Error::InvalidCertificate(why) => of_certificate(why),
        Error::NoCertificatesPresented => PeerError::NoCertificate,
        Error::AlertReceived(alert) => of_alert(*alert),
        Error::PeerIncompatible(_) => PeerError::Incompatible { detail: error.to_string() },
        Error::NoApplicationProtocol => PeerError::NotPeerPort,
        _ => PeerError::NotTls { detail: error.to_string() },
    }
}

fn of_alert(alert: AlertDescription) -> PeerError {
    match alert {
        AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure => {
            PeerError::Incompatible { detail: format!("it answered with alert {alert:?}") }
        }
        AlertDescription::NoApplicationProtocol => PeerError::NotPeerPort,
        _ => PeerError::RefusedByPeer { alert: format!("{alert:?}") },
    }
}

fn of_certificate(why: &CertificateError) -> PeerError {
    match why {
        // A bad signature is what another CA with the same name shows: one that was made anew for the same cluster.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => PeerError::OtherAuthority,
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => PeerError::Expired { detail: "it has ended" },
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => PeerError::Expired { detail: "it has not begun" },
        CertificateError::Other(other) => match other.0.downcast_ref::<NotOurs>() {
            Some(not_ours) => PeerError::OtherCluster { detail: not_ours.to_string() },
            None => PeerError::BadCertificate { detail: why.to_string() },
        },
        _ => PeerError::BadCertificate { detail: why.to_string() },
    }
}
