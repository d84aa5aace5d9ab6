//! The bundle: one PEM file with all that another machine needs to join a cluster as one named node.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::error::PkiError;
use crate::pki::credentials::Credentials;
use crate::pki::files;
use crate::pki::name::{ClusterId, NodeName};
use crate::pki::pem::{self, Sections};
use crate::pki::secret::Cluster;

/// CA certificate, node certificate, private key and cluster secret. Whoever holds it can join as that node.
#[derive(Clone, Debug)]
pub struct Bundle {
    origin: PathBuf,
    credentials: Credentials,
    cluster: Cluster,
}

impl Bundle {
    pub(crate) fn new(origin: &Path, credentials: Credentials, cluster: Cluster) -> Result<Self, PkiError> {
        let found = credentials.identity().cluster;
        if found != cluster.id {
            return Err(PkiError::OtherCluster { path: origin.to_owned(), expected: cluster.id, found });
        }
        Ok(Self { origin: origin.to_owned(), credentials, cluster })
    }

    /// Reads a bundle from a file.
    ///
    /// # Errors
    /// `Io`, or whatever [`Bundle::parse`] finds.
    pub fn read(path: &Path) -> Result<Self, PkiError> {
        files::warn_if_readable_by_others(path);
        Self::parse(path, &files::read(path)?)
    }

    /// Reads a bundle from text; `origin` names it in errors.
    ///
    /// # Errors
    /// `Damaged` when a section is missing, cut or flipped, or when the parts don't fit together; `OtherCluster` when the secret
    /// and the certificate are of different clusters.
    pub fn parse(origin: &Path, text: &[u8]) -> Result<Self, PkiError> {
        let sections = Sections::parse(origin, text)?;
        let secret = sections.one(pem::CLUSTER_SECRET, "it has not exactly one LIMOSA CLUSTER SECRET section")?;
        let cluster = Cluster::decode(secret).ok_or_else(|| sections.damaged("its cluster secret is damaged"))?;
        let certificates = sections.all(pem::CERTIFICATE);
        let Some((authority, chain)) = certificates.split_first() else {
            return Err(sections.damaged("it has no certificates"));
        };
        let credentials = Credentials::from_sections(origin, authority, chain, &sections)?;
        Self::new(origin, credentials, cluster)
    }

    /// The bundle as text: CA certificate, node certificate, key, cluster secret.
    pub fn to_pem(&self) -> String {
        let authority = pem::section(pem::CERTIFICATE, self.credentials.authority());
        let secret = pem::section(pem::CLUSTER_SECRET, &self.cluster.encode());
        format!(
            "# Joins cluster {} as node {}. Keep it secret; give it to that node alone.\n{authority}{}{secret}",
            self.cluster.id,
            self.node(),
            self.credentials.pair_pem(),
        )
    }

    /// Writes the bundle to `path`, readable by its owner only; replaces a file that is there.
    ///
    /// # Errors
    /// `Io`.
    pub fn write(&self, path: &Path) -> Result<(), PkiError> {
        files::replace(path, &self.to_pem(), files::SECRET)
    }

    /// Which node it is for.
    pub fn node(&self) -> &NodeName {
        &self.credentials.identity().node
    }

    /// Which cluster it joins.
    pub fn cluster(&self) -> ClusterId {
        self.cluster.id
    }

    /// Its certificate, key and CA, for a client that has no data folder.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Refuses a bundle whose certificate has ended at `now`.
    pub(crate) fn still_valid(&self, now: SystemTime) -> Result<(), PkiError> {
        if now < self.credentials.valid_until() {
            return Ok(());
        }
        Err(PkiError::Expired { path: self.origin.clone(), node: self.node().clone() })
    }

    pub(crate) fn identity_of_cluster(&self) -> &Cluster {
        &self.cluster
    }
}
