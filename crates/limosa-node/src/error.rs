//! Errors of a node's outer side: certificates and connections, sorted by whose turn it is to act.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use limosa_core::Retry;
use limosa_wire::WireError;
use thiserror::Error;

use crate::pki::{ClusterId, NodeName};

/// Certificates and cluster identity on disk.
#[derive(Debug, Error)]
pub enum PkiError {
    // The operator's turn.
    /// The folder has no certificates, and the node may not make its own.
    #[error("no certificates in {}: run `limosa cert issue --for NODE --out FILE.pem` on the owner, then start this node with `--bundle FILE.pem`", path.display())]
    NoBundle {
        /// Where they would be.
        path: PathBuf,
    },
    /// The folder already has certificates.
    #[error("{} already has certificates; they are never overwritten: use another data folder, or move that one away", path.display())]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// A file or bundle is not what it should be.
    #[error("{} can't be used: {why}; restore it, or issue it anew with `limosa cert issue --for NODE`", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A certificate belongs to another cluster than the data folder or bundle.
    #[error("{} belongs to cluster {found}, not to {expected}: use the bundle of this cluster, or another data folder", path.display())]
    OtherCluster {
        /// Which file.
        path: PathBuf,
        /// The cluster that was expected.
        expected: ClusterId,
        /// The cluster that the file names.
        found: ClusterId,
    },
    /// A bundle is for another node than the one whose folder it should go into.
    #[error("the bundle is for node {found}, this folder belongs to node {expected}: issue one with `limosa cert issue --for {expected}`")]
    OtherNode {
        /// The folder's node.
        expected: NodeName,
        /// The bundle's node.
        found: NodeName,
    },
    /// A certificate is past its end.
    #[error("the certificate of {node} in {} has expired: run `limosa cert issue --for {node}` on the owner", path.display())]
    Expired {
        /// Which file.
        path: PathBuf,
        /// Whose certificate.
        node: NodeName,
    },
    /// Only the node that made the cluster can issue certificates.
    #[error("{} has no CA key: run this command on the node that made the cluster", path.display())]
    NoAuthority {
        /// The folder.
        path: PathBuf,
    },
    /// A node name with characters or a length that are not allowed.
    #[error(transparent)]
    BadName(#[from] limosa_core::name::BadNodeName),
    /// A certificate's URI is not `limosa://<cluster>/node/<name>`.
    #[error("{uri:?} is no identity of the form limosa://<cluster>/node/<name>")]
    BadIdentity {
        /// The refused text, cut.
        uri: String,
    },
    /// The operating system refused a file operation.
    #[error("can't {what} {}: {source}", path.display())]
    Io {
        /// Which operation.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
    // Ours.
    /// Keys or certificates could not be made.
    #[error("can't make keys or certificates: {why}")]
    Generate {
        /// What the library said.
        why: String,
    },
}

impl PkiError {
    /// Stable code, as in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoBundle { .. } => "pki.no_bundle",
            Self::Exists { .. } => "pki.exists",
            Self::Damaged { .. } => "pki.damaged",
            Self::OtherCluster { .. } => "pki.other_cluster",
            Self::OtherNode { .. } => "pki.other_node",
            Self::Expired { .. } => "pki.expired",
            Self::NoAuthority { .. } => "pki.no_authority",
            Self::BadName(_) => "pki.bad_name",
            Self::BadIdentity { .. } => "pki.bad_identity",
            Self::Io { .. } => "pki.io",
            Self::Generate { .. } => "pki.generate",
        }
    }

    /// What a driver does with it.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Io { .. } => Retry::Later,
            _ => Retry::Never,
        }
    }
}

/// A connection to a peer, or to the control port over TLS.
#[derive(Debug, Error)]
pub enum PeerError {
    // The network's turn: the same call may work later.
    /// The connection could not be made.
    #[error("can't connect to {address}: {source}")]
    Connect {
        /// Where to.
        address: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The connection broke.
    #[error("the connection broke while {what}: {source}")]
    Broken {
        /// What was going on.
        what: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// The peer closed between two messages.
    #[error("the peer closed the connection")]
    Closed,
    /// The peer closed inside a message or a handshake, or without TLS's own farewell: something between may have cut it.
    #[error("the connection was cut off while {what}")]
    CutOff {
        /// What was going on.
        what: &'static str,
    },
    /// Nothing happened for too long.
    #[error("nothing from the peer for {} ms while {what}", waited.as_millis())]
    TimedOut {
        /// What was waited for.
        what: &'static str,
        /// How long.
        waited: Duration,
    },
    // The operator's turn: certificates.
    /// The peer's certificate is not of our CA.
    #[error("the peer's certificate was not issued by this cluster's CA: issue it with `limosa cert issue` on the owner of this cluster")]
    OtherAuthority,
    /// The peer's certificate is of another cluster.
    #[error("the peer's certificate names another cluster: {detail}")]
    OtherCluster {
        /// Both clusters, or why the identity can't be read.
        detail: String,
    },
    /// The peer's certificate is past its end, or not valid yet.
    #[error(
        "the peer's certificate is not valid at this time ({detail}): issue it anew with `limosa cert issue --for NODE`, and compare both clocks"
    )]
    Expired {
        /// Which end of the validity.
        detail: &'static str,
    },
    /// The peer sent no certificate.
    #[error("the peer sent no certificate: only nodes with a certificate of this cluster may connect")]
    NoCertificate,
    /// The peer's certificate can't be used for another reason.
    #[error("the peer's certificate is refused: {detail}")]
    BadCertificate {
        /// Why.
        detail: String,
    },
    /// The peer refused us.
    #[error(
        "the peer refused this node's certificate or offer (TLS alert {alert}): check that both have certificates of the same cluster that are still valid"
    )]
    RefusedByPeer {
        /// The TLS alert.
        alert: String,
    },
    // The peer's turn: what it sends is not the protocol.
    /// TLS older than 1.3, or nothing in common.
    #[error("the peer does not speak TLS 1.3 as nodes do: {detail}")]
    Incompatible {
        /// What is missing.
        detail: String,
    },
    /// What came is no TLS, damaged, or breaks TLS's rules.
    #[error("what the peer sends is not valid TLS: {detail}")]
    NotTls {
        /// What was seen.
        detail: String,
    },
    /// TLS is fine, but the other end is not a peer port of Limosa.
    #[error("the other end speaks TLS but not the peer protocol: is this the peer port of a node?")]
    NotPeerPort,
    /// What is no message of the contract, theirs or ours.
    #[error(transparent)]
    Wire(#[from] WireError),
}

impl PeerError {
    /// Stable code, as in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Connect { .. } => "peer.connect",
            Self::Broken { .. } => "peer.broken",
            Self::Closed => "peer.closed",
            Self::CutOff { .. } => "peer.cut_off",
            Self::TimedOut { .. } => "peer.timed_out",
            Self::OtherAuthority => "peer.other_authority",
            Self::OtherCluster { .. } => "peer.other_cluster",
            Self::Expired { .. } => "peer.certificate_expired",
            Self::NoCertificate => "peer.no_certificate",
            Self::BadCertificate { .. } => "peer.bad_certificate",
            Self::RefusedByPeer { .. } => "peer.refused",
            Self::Incompatible { .. } => "peer.incompatible_tls",
            Self::NotTls { .. } => "peer.not_tls",
            Self::NotPeerPort => "peer.not_peer_port",
            Self::Wire(error) => error.code(),
        }
    }

    /// What a driver does with it. Certificate errors are retried too: certificates are renewed while nodes run.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Wire(error) => error.retry(),
            _ => Retry::Later,
        }
    }
}
