//! Changes of what the manifest knows of nodes: that one is to be emptied, that one is gone.

use limosa_core::NodeName;

use super::handle::Cluster;
use super::order::OrderError;

impl Cluster {
    /// Says in the manifest whether a node is to be emptied: nothing is placed on it then.
    ///
    /// # Errors
    /// The manifest is away, or does not know the node.
    pub async fn set_leaving(&self, node: &NodeName, leaving: bool) -> Result<(), OrderError> {
        let manifest = self.manifest()?;
        let known = manifest.nodes().await?.into_iter().find(|held| held.value.name == *node);
        let mut entry = known.ok_or_else(|| OrderError::NoSuchNode(node.clone()))?.value;
        if entry.leaving != leaving {
            entry.leaving = leaving;
            manifest.register(&entry).await?;
        }
        Ok(())
    }

    /// Takes a node out of the manifest. A node that runs registers again: stop it first.
    ///
    /// # Errors
    /// The manifest is away.
    pub async fn forget(&self, node: &NodeName) -> Result<(), OrderError> {
        Ok(self.manifest()?.forget(node).await?)
    }
}
