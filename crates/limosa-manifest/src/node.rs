//! What the manifest knows of a node.

use std::collections::BTreeMap;

use limosa_core::NodeName;
use limosa_core::cell::text;
use serde::{Deserialize, Serialize};

/// A node of the cluster: where it is reached, and what must not be placed beside it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NodeEntry {
    /// Its name.
    #[serde(with = "text::name")]
    pub name: NodeName,
    /// Made with its data folder: a node that lost its disk is another one, and is never believed to hold what the first one held.
    #[serde(with = "text::id")]
    pub incarnation: u64,
    /// Where peers reach it, `host:port`.
    pub peer: String,
    /// Where clients reach it, `host:port`.
    pub resp: String,
    /// Where its control is reached, `host:port`.
    pub http: String,
    /// A standby never shares its owner's zone where another zone exists. Empty: not said.
    #[serde(default)]
    pub zone: String,
    /// Whatever operators want to tell nodes apart by.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// It is to be emptied: nothing is placed on it any more.
    #[serde(default)]
    pub leaving: bool,
}
