//! The certificate folder of a node: `DIR/pki`.
//!
//! | File | Holds | Mode | On |
//! |---|---|---|---|
//! | `ca.pem` | CA certificate | 0644 | every node |
//! | `ca.key` | CA private key | 0600 | the node that made the cluster |
//! | `node.pem` | the node's certificate **and** key: one file, so that one rename replaces them as a pair | 0600 | every node |
//! | `cluster.secret` | cluster id, secret, check value | 0600 | every node |
//!
//! The folder appears with all its files at once: it is written under another name and renamed.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::error::PkiError;
use crate::pki::authority::{self, Issued};
use crate::pki::bundle::Bundle;
use crate::pki::credentials::{Credentials, Facts};
use crate::pki::files;
use crate::pki::name::{ClusterId, Identity, NodeName};
use crate::pki::pem::{self, Sections};
use crate::pki::secret::{Cluster, ClusterSecret};

const AUTHORITY: &str = "ca.pem";
const AUTHORITY_KEY: &str = "ca.key";
const NODE: &str = "node.pem";
const SECRET: &str = "cluster.secret";

/// A node's certificates and its cluster's identity, as read from its data folder.
#[derive(Clone, Debug)]
pub struct Pki {
    folder: PathBuf,
    cluster: Cluster,
    credentials: Credentials,
}

impl Pki {
    /// Makes a new cluster with a development CA, and `node`'s certificate, under `dir/pki`.
    ///
    /// # Errors
    /// `Exists` when there are certificates already; `Io`; `Generate`.
    pub fn create(dir: &Path, node: &NodeName) -> Result<Self, PkiError> {
        let (now, cluster) = (SystemTime::now(), Cluster::random()?);
        let authority = authority::create(cluster.id, now)?;
        let identity = Identity { cluster: cluster.id, node: node.clone() };
        let credentials = issued(&folder_of(dir), &authority, &identity, now)?;
        let key = (AUTHORITY_KEY, pem::section(pem::PRIVATE_KEY, &authority.key), files::SECRET);
        files::create_folder(&folder_of(dir), &[shared_files(&credentials, &cluster).as_slice(), &[key]].concat())?;
        Self::load(dir)
    }

    /// Reads `dir/pki`. A certificate that has ended is still loaded: the node serves its clients and peers refuse it, which
    /// [`Credentials::valid_until`] and the metrics show.
    ///
    /// # Errors
    /// `NoBundle` when there is nothing; `Damaged`, `OtherCluster`; `Io`.
    pub fn load(dir: &Path) -> Result<Self, PkiError> {
        let folder = folder_of(dir);
        if !folder.exists() {
            return Err(PkiError::NoBundle { path: folder });
        }
        let cluster = read_cluster(&folder)?;
        let authority = read_authority(&folder)?;
        let path = folder.join(NODE);
        files::warn_if_readable_by_others(&path);
        let text = files::read(&path)?;
        let sections = Sections::parse(&path, &text)?;
        let credentials = Credentials::from_sections(&path, &authority, &sections.all(pem::CERTIFICATE), &sections)?;
        let found = credentials.identity().cluster;
        if found != cluster.id {
            return Err(PkiError::OtherCluster { path, expected: cluster.id, found });
        }
        Ok(Self { folder, cluster, credentials })
    }

    /// For a node that may found a cluster: loads, or creates where nothing is.
    ///
    /// # Errors
    /// As [`Pki::load`] and [`Pki::create`].
    pub fn load_or_create(dir: &Path, node: &NodeName) -> Result<Self, PkiError> {
        match Self::load(dir) {
            Err(PkiError::NoBundle { .. }) => Self::create(dir, node),
            loaded => loaded,
        }
    }

    /// For a node that joins a cluster: adopts the bundle when one is given, else loads.
    ///
    /// # Errors
    /// As [`Pki::adopt`] and [`Pki::load`]; `NoBundle` where there is neither.
    pub fn load_or_adopt(dir: &Path, bundle: Option<&Bundle>) -> Result<Self, PkiError> {
        match bundle {
            Some(bundle) => Self::adopt(dir, bundle),
            None => Self::load(dir),
        }
    }

    /// Makes the bundle with which `node` joins this cluster.
    ///
    /// # Errors
    /// `NoAuthority` on a node without the CA's key; `Damaged`; `Io`; `Generate`.
    pub fn issue(&self, node: &NodeName) -> Result<Bundle, PkiError> {
        let path = self.folder.join(AUTHORITY_KEY);
        if !path.exists() {
            return Err(PkiError::NoAuthority { path: self.folder.clone() });
        }
        files::warn_if_readable_by_others(&path);
        let text = files::read(&path)?;
        let key = Sections::parse(&path, &text)?.one(pem::PRIVATE_KEY, "it has not exactly one private key in PKCS #8")?.to_vec();
        let authority = Issued { certificate: self.credentials.authority().to_vec(), key };
        let identity = Identity { cluster: self.cluster.id, node: node.clone() };
        let credentials = issued(&path, &authority, &identity, SystemTime::now())?;
        Bundle::new(&self.folder, credentials, self.cluster.clone())
    }

    /// Stores a bundle under `dir/pki`: the first time the whole folder, later the renewed certificate of the same node.
    ///
    /// # Errors
    /// `Expired`; `OtherCluster` and `OtherNode` when the folder belongs to somebody else; `Damaged` when the bundle's CA is not the
    /// folder's; `Io`.
    pub fn adopt(dir: &Path, bundle: &Bundle) -> Result<Self, PkiError> {
        bundle.still_valid(SystemTime::now())?;
        let folder = folder_of(dir);
        let (cluster, credentials) = (bundle.identity_of_cluster(), bundle.credentials());
        if !folder.exists() {
            files::create_folder(&folder, &shared_files(credentials, cluster))?;
            return Self::load(dir);
        }
        let own = Self::load(dir)?;
        if own.cluster != *cluster {
            return Err(PkiError::OtherCluster { path: folder, expected: own.cluster.id, found: cluster.id });
        }
        if own.node() != bundle.node() {
            return Err(PkiError::OtherNode { expected: own.node().clone(), found: bundle.node().clone() });
        }
        if own.credentials.authority() != credentials.authority() {
            return Err(PkiError::Damaged { path: folder, why: "the bundle's CA is not the one in this folder" });
        }
        files::replace(&folder.join(NODE), &credentials.pair_pem(), files::SECRET)?;
        Self::load(dir)
    }

    /// This node's name.
    pub fn node(&self) -> &NodeName {
        &self.credentials.identity().node
    }

    /// This node's cluster.
    pub fn cluster(&self) -> ClusterId {
        self.cluster.id
    }

    /// The cluster's secret, from which each space's keys are derived.
    pub fn cluster_secret(&self) -> &ClusterSecret {
        &self.cluster.secret
    }

    /// Certificate, key and CA.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }
}

fn folder_of(dir: &Path) -> PathBuf {
    dir.join("pki")
}

fn issued(origin: &Path, authority: &Issued, identity: &Identity, now: SystemTime) -> Result<Credentials, PkiError> {
    let ends = Facts::read(&authority.certificate).map_or(now, |facts| facts.not_after);
    let node = authority::issue(authority, ends, identity, now)?;
    Credentials::check(origin, &authority.certificate, &[&node.certificate], &node.key)
}

fn shared_files(credentials: &Credentials, cluster: &Cluster) -> [(&'static str, String, u32); 3] {
    [
        (AUTHORITY, pem::section(pem::CERTIFICATE, credentials.authority()), files::PUBLIC),
        (NODE, credentials.pair_pem(), files::SECRET),
        (SECRET, pem::section(pem::CLUSTER_SECRET, &cluster.encode()), files::SECRET),
    ]
}

fn read_cluster(folder: &Path) -> Result<Cluster, PkiError> {
    let path = folder.join(SECRET);
    files::warn_if_readable_by_others(&path);
    let text = files::read(&path)?;
    let sections = Sections::parse(&path, &text)?;
    let secret = sections.one(pem::CLUSTER_SECRET, "it has not exactly one LIMOSA CLUSTER SECRET section")?;
    Cluster::decode(secret).ok_or_else(|| sections.damaged("the cluster secret is damaged"))
}

fn read_authority(folder: &Path) -> Result<Vec<u8>, PkiError> {
    let path = folder.join(AUTHORITY);
    let text = files::read(&path)?;
    Ok(Sections::parse(&path, &text)?.one(pem::CERTIFICATE, "it has not exactly one CA certificate")?.to_vec())
}
