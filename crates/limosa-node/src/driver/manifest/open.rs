//! Where the manifest is, as a store to call.

use std::sync::Arc;

use limosa_manifest::embedded::EmbeddedStore;
use limosa_manifest::etcd::EtcdStore;
use limosa_manifest::{ManifestError, ManifestStore};

use crate::driver::cluster::ManifestAt;
use crate::manifest_link::RemoteStore;
use crate::transport::Tls;

/// The file's name in its folder.
pub(in crate::driver) const FILE: &str = "manifest.redb";

/// The embedded manifest, where this node holds it. Blocks on the disk. `number` names a new one; random.
pub(in crate::driver) fn embedded(at: &ManifestAt, number: u64) -> Result<Option<EmbeddedStore>, ManifestError> {
    let ManifestAt::Embedded { dir } = at else { return Ok(None) };
    let unusable = |error: std::io::Error| ManifestError::Config { what: "embedded manifest", why: format!("{}: {error}", dir.display()) };
    std::fs::create_dir_all(dir).map_err(unusable)?;
    EmbeddedStore::open(&dir.join(FILE), number.max(1)).map(Some)
}

/// The manifest. Inside a runtime; connects when it is first called.
pub(in crate::driver) fn store(
    at: &ManifestAt,
    embedded: Option<&EmbeddedStore>,
    tls: &Tls,
    seed: u64,
) -> Result<Arc<dyn ManifestStore>, ManifestError> {
    Ok(match (at, embedded) {
        (ManifestAt::Embedded { .. }, Some(held)) => Arc::new(held.clone()),
        (ManifestAt::Embedded { .. }, None) => unreachable!("it is opened before the node runs"),
        (ManifestAt::Remote { address }, _) => Arc::new(RemoteStore::new(address.clone(), tls.clone(), seed)),
        (ManifestAt::Etcd(config), _) => Arc::new(EtcdStore::new(config.clone())?),
    })
}
