//! Which fragments a cluster has: what a node that joins it makes its store with.

use limosa_core::{FragmentId, KeyRange};
use limosa_manifest::ratchet::Ratchet;
use limosa_manifest::{Manifest, ManifestError};

use super::options::ManifestAt;
use crate::driver::manifest;
use crate::transport::Tls;

/// The fragments of the cluster whose manifest is `at`, in key order; none: it has none yet. Inside a runtime.
///
/// # Errors
/// The manifest does not answer, or its cells do not cover every key once.
pub async fn frames(at: &ManifestAt, tls: &Tls) -> Result<Vec<(FragmentId, KeyRange)>, ManifestError> {
    let embedded = manifest::embedded(at, 1)?;
    let store = manifest::store(at, embedded.as_ref(), tls, 1)?;
    let (cells, _) = Manifest::new(store, Ratchet::default()).cells().await?;
    let mut frames: Vec<(FragmentId, KeyRange)> = cells.into_iter().map(|held| (held.value.id(), held.value.range)).collect();
    frames.sort_by(|one, other| one.1.start.cmp(&other.1.start));
    let is_whole = frames.first().is_none_or(|(_, range)| range.start.is_empty())
        && frames.windows(2).all(|pair| pair[0].1.end.as_ref() == Some(&pair[1].1.start))
        && frames.last().is_none_or(|(_, range)| range.end.is_none());
    if is_whole {
        return Ok(frames);
    }
    let why = "they do not cover every key once: `limosa cluster init` was cut off; run it again".to_owned();
    Err(ManifestError::Config { what: "the manifest's fragments", why })
}
