//! Splits and merges of this node's fragments: ids for what they make, the order, and the wait until it is served.

use std::time::Duration;

use bytes::Bytes;
use limosa_core::FragmentId;
use limosa_manifest::Manifest;

use super::handle::Cluster;
use super::order::{Order, OrderError};
use super::standing::Standing;
use crate::driver::Node;

/// How long the call waits until what was made is served: it is made by then, and comes by itself.
const SERVED_WITHIN: Duration = Duration::from_secs(10);

impl Node {
    /// Parts a fragment of this member at `at`, the first key of a slot. No entry moves, and its standbys part their own copies. Requests for it
    /// wait meanwhile. Answers the ids of the parts.
    ///
    /// # Errors
    /// See [`OrderError`]; the fragment is served as before.
    pub async fn split_in_cluster(&self, fragment: FragmentId, at: Bytes) -> Result<(FragmentId, FragmentId), OrderError> {
        let cluster = self.cluster().ok_or(OrderError::Stopping)?;
        self.store().check_split(fragment, &at)?;
        let [left, right] = cluster.manifest()?.take_ids().await?;
        cluster.order(Order::Split { fragment, at, left: (left, random()?), right: (right, random()?) }).await?;
        cluster.served(&[left, right]).await;
        Ok((left, right))
    }

    /// Puts two neighbours of this member together, as [`Node::split_in_cluster`] parts one.
    ///
    /// # Errors
    /// See [`OrderError`]; both are served as before.
    pub async fn merge_in_cluster(&self, left: FragmentId, right: FragmentId) -> Result<FragmentId, OrderError> {
        let cluster = self.cluster().ok_or(OrderError::Stopping)?;
        self.store().check_merge(left, right)?;
        let [made] = cluster.manifest()?.take_ids().await?;
        cluster.order(Order::Merge { left, right, made: (made, random()?) }).await?;
        cluster.served(&[made]).await;
        Ok(made)
    }
}

impl Cluster {
    async fn served(&self, made: &[FragmentId]) {
        let mut changed = self.changed();
        let are_served = async {
            while !made.iter().all(|id| self.standing(*id) == Standing::Serve) {
                if changed.changed().await.is_err() {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(SERVED_WITHIN, are_served).await;
    }

    pub(super) fn manifest(&self) -> Result<&Manifest, OrderError> {
        self.board.manifest.get().ok_or_else(|| OrderError::Outage("it was not reached yet".to_owned()))
    }
}

fn random() -> Result<u64, OrderError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|_| OrderError::Randomness)?;
    Ok(u64::from_le_bytes(bytes))
}
