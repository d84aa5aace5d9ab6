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
    pub const ALL: [Self; 21] = [
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
