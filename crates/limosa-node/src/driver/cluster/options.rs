//! What a member of a cluster must be told beyond what any node is told.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use limosa_manifest::etcd::EtcdConfig;

/// Where the manifest is kept.
#[derive(Clone, Debug)]
pub enum ManifestAt {
    /// In a file of this node's own, which it also serves to the others on its peer port: for one machine.
    Embedded {
        /// The folder of the file `manifest.redb`.
        dir: PathBuf,
    },
    /// At the node with this peer address, which holds the embedded one.
    Remote {
        /// Host and port.
        address: String,
    },
    /// In etcd.
    Etcd(EtcdConfig),
}

/// Where others reach this node, `host:port` each.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Addresses {
    /// The peer port.
    pub peer: String,
    /// The client port.
    pub resp: String,
    /// The control port.
    pub http: String,
}

/// Who decides that an owner is lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Failover {
    /// A member of the sync set, when the owner was silent for a lease.
    #[default]
    Auto,
    /// An operator.
    Manual,
}

/// What a member is told. The manifest and the addresses must be said; the rest has defaults.
#[derive(Clone, Debug)]
pub struct MemberOptions {
    /// Where the manifest is.
    pub manifest: ManifestAt,
    /// Where others reach this node.
    pub addresses: Addresses,
    /// A standby never shares its owner's zone where another zone exists. Empty: not said.
    pub zone: String,
    /// Whatever operators want to tell nodes apart by.
    pub labels: BTreeMap<String, String>,
    /// Whether an owner that fell silent is replaced without an operator. Default: [`Failover::Auto`].
    pub failover: Failover,
    /// How long an owner may be silent before it counts as lost. Default: 3 s.
    pub lease: Duration,
    /// Standbys that each fragment is to have (n). Default: 1.
    pub standbys: u8,
    /// How many of them must have a write on their disk before it is acknowledged (w). Default: 1.
    pub flushed_min: u8,
    /// How long a move may take before anybody may end it. Default: 10 min.
    pub move_deadline: Duration,
}

impl MemberOptions {
    /// Options with defaults for what need not be decided.
    pub fn new(manifest: ManifestAt, addresses: Addresses) -> Self {
        Self {
            manifest,
            addresses,
            zone: String::new(),
            labels: BTreeMap::new(),
            failover: Failover::default(),
            lease: Duration::from_secs(3),
            standbys: 1,
            flushed_min: 1,
            move_deadline: Duration::from_mins(10),
        }
    }
}
