//! Names every setting of `limosa serve`, once: flag, environment variable, file key, default and help come from this table.

/// One thing that `limosa serve` can be told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Setting {
    /// Folder that holds all state.
    Data,
    /// The node's name.
    Name,
    /// Address of the Redis protocol.
    Resp,
    /// Address for other nodes.
    Peer,
    /// Address of HTTP control and metrics.
    Http,
    /// What others dial for RESP.
    AdvertiseResp,
    /// What other nodes dial.
    AdvertisePeer,
    /// What others dial for HTTP.
    AdvertiseHttp,
    /// When a write is answered.
    Durability,
    /// The owner's peer address.
    StandbyOf,
    /// Certificates made by another node.
    Bundle,
    /// Fragments of a new folder.
    Fragments,
    /// Memory in all.
    MemoryMax,
    /// Memory of recent commits.
    RingBytes,
    /// Journal kept behind the checkpoint.
    TailBytes,
    /// Journal written between checkpoints.
    CheckpointBytes,
    /// How long deletions are remembered for a standby that is away.
    LeaseTime,
    /// What remembering them may cost.
    LeasePercent,
    /// Name of the cluster.
    Cluster,
    /// Where the manifest is.
    Manifest,
    /// Whom to believe as etcd.
    EtcdCa,
    /// What this node shows etcd.
    EtcdCert,
    /// The key of that.
    EtcdKey,
    /// The name in etcd's certificates.
    EtcdServerName,
    /// User at etcd.
    EtcdUser,
    /// That user's password.
    EtcdPasswordFile,
    /// What fails together with this node.
    Zone,
    /// Whatever tells nodes apart.
    Labels,
    /// How long an owner may be silent.
    Lease,
    /// Who replaces a lost owner.
    Failover,
    /// Whose disks have a write before its answer.
    Ack,
    /// How long an answer waits for them.
    AckTimeout,
    /// Complete copies beside the owner's.
    Standbys,
    /// How long a move may take.
    MoveDeadline,
    /// How old what a standby shows may be.
    StalenessMax,
    /// Longest orderly stop.
    StopTimeout,
    /// A line for each entry sent.
    TransferLog,
    /// What is logged.
    Log,
}

/// A row of the table.
struct Row {
    word: &'static str,
    value: &'static str,
    default: Option<&'static str>,
    help: &'static str,
}

impl Setting {
    /// Every setting, in the order in which help shows them.
    pub const ALL: [Self; 38] = [
        Self::Data,
        Self::Name,
        Self::Resp,
        Self::Peer,
        Self::Http,
        Self::AdvertiseResp,
        Self::AdvertisePeer,
        Self::AdvertiseHttp,
        Self::Durability,
        Self::StandbyOf,
        Self::Bundle,
        Self::Fragments,
        Self::MemoryMax,
        Self::RingBytes,
        Self::TailBytes,
        Self::CheckpointBytes,
        Self::LeaseTime,
        Self::LeasePercent,
        Self::Cluster,
        Self::Manifest,
        Self::EtcdCa,
        Self::EtcdCert,
        Self::EtcdKey,
        Self::EtcdServerName,
        Self::EtcdUser,
        Self::EtcdPasswordFile,
        Self::Zone,
        Self::Labels,
        Self::Lease,
        Self::Failover,
        Self::Ack,
        Self::AckTimeout,
        Self::Standbys,
        Self::MoveDeadline,
        Self::StalenessMax,
        Self::StopTimeout,
        Self::TransferLog,
        Self::Log,
    ];

    /// The setting whose file key is `word`.
    pub fn from_key(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|setting| setting.key() == word)
    }

    /// The flag without its dashes: `stop-timeout`.
    pub fn word(self) -> &'static str {
        self.row().word
    }

    /// The key in a config file: `stop_timeout`.
    pub fn key(self) -> String {
        self.row().word.replace('-', "_")
    }

    /// The environment variable: `LIMOSA_STOP_TIMEOUT`.
    pub fn variable(self) -> String {
        format!("LIMOSA_{}", self.key().to_uppercase())
    }

    /// What its value is called in help: `DIR`.
    pub fn value_name(self) -> &'static str {
        self.row().value
    }

    /// The value that holds when nobody gives one.
    pub fn default(self) -> Option<&'static str> {
        self.row().default
    }

    /// One sentence for `--help`.
    pub fn help(self) -> &'static str {
        self.row().help
    }

    /// True for what only tests and measurements need: accepted, but not shown.
    pub fn hidden(self) -> bool {
        self == Self::TransferLog
    }

    fn row(self) -> Row {
        let row = |word, value, default, help| Row { word, value, default, help };
        match self {
            Self::Data => row("data", "DIR", Some("./limosa-data"), "Folder that holds all state; made when it is missing"),
            Self::Name => row("name", "NAME", None, "Name of this node; by default that of the data folder or bundle, else `node`"),
            Self::Resp => row("resp", "ADDR", Some("127.0.0.1:7600"), "Where Redis clients connect; loopback only"),
            Self::Peer => row("peer", "ADDR", Some("127.0.0.1:7601"), "Where other nodes connect; always TLS with client certificates"),
            Self::Http => row("http", "ADDR", Some("127.0.0.1:7602"), "Where HTTP control and metrics are served"),
            Self::AdvertiseResp => row("advertise-resp", "HOST:PORT", None, "What clients are told to dial, when it is not --resp"),
            Self::AdvertisePeer => row("advertise-peer", "HOST:PORT", None, "What other nodes are told to dial, when it is not --peer"),
            Self::AdvertiseHttp => row("advertise-http", "HOST:PORT", None, "What operators are told to dial, when it is not --http"),
            Self::Durability => {
                row("durability", "WHEN", Some("commit"), "`commit`: flushed to disk before the answer; `interval`: flushed once a second")
            }
            Self::StandbyOf => row("standby-of", "ADDR", None, "Peer address of the owner that this node keeps a copy of"),
            Self::Bundle => row("bundle", "FILE", None, "Certificates that `limosa cert issue` made for this node; needed once"),
            Self::Fragments => row("fragments", "N", Some("64"), "Fragments of a new data folder, 1 to 16384"),
            Self::MemoryMax => {
                row("memory-max", "SIZE", None, "Memory for state and caches; by default 60% of what the machine or its cgroup gives")
            }
            Self::RingBytes => row("ring-bytes", "SIZE", Some("4MiB"), "Memory for recent commits that a standby may still need"),
            Self::TailBytes => row("tail-bytes", "SIZE", Some("64MiB"), "Journal kept on disk for a standby that was away"),
            Self::CheckpointBytes => row("checkpoint-bytes", "SIZE", Some("256MiB"), "Journal written between two checkpoints"),
            Self::LeaseTime => row("lease-time", "TIME", Some("1440m"), "How long deletions are remembered for a standby that is away"),
            Self::LeasePercent => row(
                "lease-percent",
                "N",
                Some("10"),
                "Share of the live bytes that remembered deletions may take, 1 to 100 per cent; 64 MiB are free",
            ),
            Self::StopTimeout => row("stop-timeout", "TIME", Some("25s"), "Longest orderly stop after SIGTERM"),
            Self::TransferLog => row("transfer-log", "FILE", None, "Write a line for each entry sent to a standby"),
            Self::Log => row("log", "LEVEL", Some("info"), "error, warn, info, debug, trace, or a filter such as `info,limosa_node=debug`"),
            _ => self.member_row(),
        }
    }

    /// What only a member of a cluster is told.
    fn member_row(self) -> Row {
        let row = |word, value, default, help| Row { word, value, default, help };
        match self {
            Self::Cluster => {
                row("cluster", "NAME", None, "Name of the cluster that this node is a member of; its manifest says who owns what")
            }
            Self::Manifest => row(
                "manifest",
                "WHERE",
                None,
                "Where the cluster's manifest is: `embedded` (in this node's data folder, served to the others), HOST:PORT (peer address of the node that has it), or http(s)://HOST:PORT[,...] (etcd)",
            ),
            Self::EtcdCa => row("etcd-ca", "FILE", None, "Certificates by which etcd is believed; needed for https"),
            Self::EtcdCert => row("etcd-cert", "FILE", None, "Certificate that this node shows etcd"),
            Self::EtcdKey => row("etcd-key", "FILE", None, "Key of --etcd-cert"),
            Self::EtcdServerName => {
                row("etcd-server-name", "NAME", None, "Name in etcd's certificates, where it is not that of the address")
            }
            Self::EtcdUser => row("etcd-user", "NAME", None, "User at etcd, where it asks for one"),
            Self::EtcdPasswordFile => row("etcd-password-file", "FILE", None, "File with that user's password"),
            Self::Zone => {
                row("zone", "ZONE", None, "Where this node stands: a standby never shares its owner's zone where another one exists")
            }
            Self::Labels => row("labels", "NAME=VALUE,..", None, "Whatever tells nodes apart"),
            Self::Lease => row("lease", "TIME", Some("3s"), "How long an owner may be silent before it counts as lost, 500ms to 5m"),
            Self::Failover => row(
                "failover",
                "WHO",
                Some("auto"),
                "Who replaces a lost owner: `auto` (a complete standby, by itself) or `manual` (`limosa failover`)",
            ),
            Self::Ack => row(
                "ack",
                "LEVEL",
                None,
                "Whose disks have a write before its answer leaves: `local`, `standby` (half of the standbys, the default where there are some) or `all`",
            ),
            Self::AckTimeout => row("ack-timeout", "TIME", Some("5s"), "How long an answer waits for standbys before it fails"),
            Self::Standbys => row(
                "standbys",
                "N",
                Some("2"),
                "Complete copies that each fragment is to have beside its owner's, as far as there are nodes, 0 to 6",
            ),
            Self::MoveDeadline => row("move-deadline", "TIME", Some("10m"), "How long a move may take before anybody may end it"),
            Self::StalenessMax => {
                row("staleness-max", "TIME", Some("2s"), "How old what a standby shows may be; beyond it reads are sent to the owner")
            }
            _ => unreachable!("{self:?} has its row among those of every node"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_setting_has_a_word_of_its_own_and_can_be_found_by_it() {
        let words: BTreeSet<_> = Setting::ALL.iter().map(|setting| setting.word()).collect();
        assert_eq!(words.len(), Setting::ALL.len());
        for setting in Setting::ALL {
            assert_eq!(Setting::from_key(&setting.key()), Some(setting));
        }
    }

    #[test]
    fn no_setting_takes_the_variable_that_tells_clients_which_node_to_ask() {
        assert!(Setting::ALL.iter().all(|setting| setting.variable() != "LIMOSA_NODE"));
    }
}
