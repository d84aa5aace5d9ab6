//! The checked configuration: the only thing that a server takes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use limosa_core::limits::{JOURNAL_BYTES_MAX, RING_BYTES_MAX, SETTING_BYTES_MIN};
use limosa_node::pki::NodeName;
use limosa_store::{Durability, LeaseBounds};

use super::cluster::ClusterConfig;
use super::error::ConfigError;
use super::layers::{Given, Origin, Settings};
use super::machine;
use super::parse::{self, HostPort};
use super::setting::Setting;

/// Where a node listens, and what others are told to dial.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Addresses {
    /// Redis clients; loopback.
    pub resp: SocketAddr,
    /// Other nodes.
    pub peer: SocketAddr,
    /// HTTP control and metrics.
    pub http: SocketAddr,
    /// Instead of `resp`.
    pub advertised_resp: Option<HostPort>,
    /// Instead of `peer`.
    pub advertised_peer: Option<HostPort>,
    /// Instead of `http`.
    pub advertised_http: Option<HostPort>,
}

/// A configuration whose values were checked, alone and against each other. Made by [`Settings::validate`] only.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ValidConfig {
    /// Folder that holds all state.
    pub data: PathBuf,
    /// The node's name, when it was given: a data folder or bundle with another name is refused.
    pub name: Option<NodeName>,
    /// Where it listens.
    pub addresses: Addresses,
    /// When a write is answered.
    pub durability: Durability,
    /// The owner's peer address; none: this node is an owner.
    pub standby_of: Option<HostPort>,
    /// Certificates made by another node.
    pub bundle: Option<PathBuf>,
    /// Fragments of a new folder.
    pub fragments: u16,
    /// Memory for state and caches, bytes.
    pub memory_max: u64,
    /// Memory for recent commits, bytes.
    pub ring_bytes: u64,
    /// Journal kept for standbys, bytes.
    pub tail_bytes: u64,
    /// Journal between checkpoints, bytes.
    pub checkpoint_bytes: u64,
    /// For how long, and at what cost, deletions are remembered for a standby that is away.
    pub leases: LeaseBounds,
    /// The cluster that it is a member of; none: it is an owner, or a standby of one owner.
    pub cluster: Option<ClusterConfig>,
    /// Longest orderly stop.
    pub stop_timeout: Duration,
    /// A line for each entry sent, for tests and measurements.
    pub transfer_log: Option<PathBuf>,
    /// Log level or filter.
    pub log: String,
}

/// Least memory: below it the page cache and what a few connections need leave nothing for blocks.
const MEMORY_BYTES_MIN: u64 = 16 << 20;
/// More than any machine has.
const MEMORY_BYTES_MAX: u64 = 1 << 50;

impl Settings {
    /// Checks every value, alone and against the others.
    ///
    /// # Errors
    /// The first value that does not do, with its origin and what would.
    pub fn validate(&self) -> Result<ValidConfig, ConfigError> {
        let config = ValidConfig {
            data: self.path(Setting::Data).expect("it has a default"),
            name: self.optional(Setting::Name, parse::name)?,
            addresses: self.addresses()?,
            durability: self.required(Setting::Durability, durability)?,
            standby_of: self.optional(Setting::StandbyOf, HostPort::parse)?,
            bundle: self.path(Setting::Bundle),
            fragments: self.required(Setting::Fragments, fragments)?,
            memory_max: self.optional(Setting::MemoryMax, memory_max)?.unwrap_or_else(machine::memory_max_default),
            ring_bytes: self.required(Setting::RingBytes, |text| parse::bytes(text, SETTING_BYTES_MIN, RING_BYTES_MAX))?,
            tail_bytes: self.required(Setting::TailBytes, |text| parse::bytes(text, 0, JOURNAL_BYTES_MAX))?,
            checkpoint_bytes: self.required(Setting::CheckpointBytes, |text| parse::bytes(text, SETTING_BYTES_MIN, JOURNAL_BYTES_MAX))?,
            leases: LeaseBounds {
                age_ms: self.required(Setting::LeaseTime, lease_ms)?,
                percent: self.required(Setting::LeasePercent, percent)?,
                ..LeaseBounds::default()
            },
            cluster: self.cluster()?,
            stop_timeout: self.required(Setting::StopTimeout, stop_timeout)?,
            transfer_log: self.path(Setting::TransferLog),
            log: self.given(Setting::Log).text,
        };
        self.refuse_shared_ports(&config)?;
        self.refuse_following_itself(&config)?;
        self.refuse_manifest_of_itself(&config)?;
        Ok(config)
    }

    fn addresses(&self) -> Result<Addresses, ConfigError> {
        let addresses = Addresses {
            resp: self.required(Setting::Resp, parse::listen)?,
            peer: self.required(Setting::Peer, parse::listen)?,
            http: self.required(Setting::Http, parse::listen)?,
            advertised_resp: self.optional(Setting::AdvertiseResp, HostPort::parse)?,
            advertised_peer: self.optional(Setting::AdvertisePeer, HostPort::parse)?,
            advertised_http: self.optional(Setting::AdvertiseHttp, HostPort::parse)?,
        };
        if !addresses.resp.ip().is_loopback() {
            return Err(ConfigError::PublicClientPort { origin: self.given(Setting::Resp).origin, address: addresses.resp });
        }
        self.require_advertised(Setting::Peer, addresses.peer, addresses.advertised_peer.as_ref(), "advertise-peer")?;
        self.require_advertised(Setting::Http, addresses.http, addresses.advertised_http.as_ref(), "advertise-http")?;
        Ok(addresses)
    }

    fn require_advertised(
        &self,
        listening: Setting,
        address: SocketAddr,
        advertised: Option<&HostPort>,
        flag: &'static str,
    ) -> Result<(), ConfigError> {
        if address.ip().is_unspecified() && advertised.is_none() {
            return Err(ConfigError::AdvertiseNeeded { origin: self.given(listening).origin, address, flag });
        }
        Ok(())
    }

    fn refuse_shared_ports(&self, config: &ValidConfig) -> Result<(), ConfigError> {
        let listening =
            [(Setting::Resp, config.addresses.resp), (Setting::Peer, config.addresses.peer), (Setting::Http, config.addresses.http)];
        for (i, (first, one)) in listening.iter().enumerate() {
            let taken = listening[i + 1..].iter().find(|(_, other)| one == other && one.port() != 0);
            if let Some((second, _)) = taken {
                let why = format!("both listen on {one}; give one of them another port");
                return Err(self.conflict(*first, *second, why));
            }
        }
        Ok(())
    }

    fn refuse_following_itself(&self, config: &ValidConfig) -> Result<(), ConfigError> {
        let own = config.addresses.advertised_peer.clone().unwrap_or_else(|| config.addresses.peer.into());
        if config.standby_of.as_ref() == Some(&own) {
            let why = format!("{own} is this node's own peer address; name the owner's");
            return Err(self.conflict(Setting::StandbyOf, Setting::Peer, why));
        }
        Ok(())
    }

    pub(super) fn conflict(&self, first: Setting, second: Setting, why: String) -> ConfigError {
        ConfigError::Conflict { first: self.given(first).origin, second: self.given(second).origin, why }
    }

    pub(super) fn given(&self, setting: Setting) -> Given {
        self.value(setting).unwrap_or_else(|| Given { text: String::new(), origin: Origin::Default(setting) })
    }

    pub(super) fn path(&self, setting: Setting) -> Option<PathBuf> {
        self.value(setting).map(|given| PathBuf::from(given.text))
    }

    pub(super) fn required<T>(&self, setting: Setting, parse: impl Fn(&str) -> Result<T, String>) -> Result<T, ConfigError> {
        let given = self.given(setting);
        parse(&given.text).map_err(|wanted| ConfigError::BadValue { origin: given.origin, value: given.text, wanted })
    }

    pub(super) fn optional<T>(&self, setting: Setting, parse: impl Fn(&str) -> Result<T, String>) -> Result<Option<T>, ConfigError> {
        self.value(setting).map(|_| self.required(setting, parse)).transpose()
    }
}

fn durability(text: &str) -> Result<Durability, String> {
    match text {
        "commit" => Ok(Durability::Commit),
        "interval" => Ok(Durability::Interval),
        _ => Err("a durability: `commit` (flushed before the answer) or `interval` (flushed once a second)".to_owned()),
    }
}

fn fragments(text: &str) -> Result<u16, String> {
    let count: Option<u16> = text.parse().ok();
    count.filter(|count| (1..=limosa_core::slot::SLOTS).contains(count)).ok_or_else(|| "a count of fragments, 1 to 16384".to_owned())
}

fn memory_max(text: &str) -> Result<u64, String> {
    parse::bytes(text, MEMORY_BYTES_MIN, MEMORY_BYTES_MAX)
}

fn lease_ms(text: &str) -> Result<u64, String> {
    let time = parse::time(text, Duration::from_secs(60), Duration::from_secs(30 * 86_400))?;
    Ok(u64::try_from(time.as_millis()).expect("at most 30 days"))
}

fn percent(text: &str) -> Result<u8, String> {
    text.parse().ok().filter(|percent| (1..=100).contains(percent)).ok_or_else(|| "a number of per cent, 1 to 100".to_owned())
}

fn stop_timeout(text: &str) -> Result<Duration, String> {
    parse::time(text, Duration::from_millis(100), Duration::from_secs(3600))
}

#[cfg(test)]
mod tests {
    use super::*;
    use limosa_core::limits::RING_BYTES;

    fn validate(flags: &[(Setting, &str)]) -> Result<ValidConfig, ConfigError> {
        Settings::from_flags(flags.iter().map(|(setting, text)| (*setting, (*text).to_owned()))).validate()
    }

    #[test]
    fn no_settings_at_all_give_a_loopback_owner() {
        let config = validate(&[]).expect("the defaults are valid");
        assert_eq!(config.data, PathBuf::from("./limosa-data"));
        assert_eq!(config.addresses.resp.to_string(), "127.0.0.1:7600");
        assert_eq!(config.addresses.peer.to_string(), "127.0.0.1:7601");
        assert_eq!(config.addresses.http.to_string(), "127.0.0.1:7602");
        assert_eq!((config.durability, config.fragments), (Durability::Commit, 64));
        assert_eq!(config.ring_bytes, RING_BYTES as u64);
        assert_eq!(config.stop_timeout, Duration::from_secs(25));
        assert_eq!((config.standby_of, config.name, config.bundle, config.cluster), (None, None, None, None));
    }

    #[test]
    fn a_bad_value_is_refused_with_its_flag_and_what_would_do() {
        for (setting, value, wanted) in [
            (Setting::Durability, "sometimes", "`commit`"),
            (Setting::Fragments, "0", "1 to 16384"),
            (Setting::Fragments, "16385", "1 to 16384"),
            (Setting::Resp, "7600", "127.0.0.1:7600"),
            (Setting::Peer, "somewhere:1", "127.0.0.1:7600"),
            (Setting::StandbyOf, "owner", "host and port"),
            (Setting::AdvertisePeer, "a:0", "host and port"),
            (Setting::RingBytes, "many", "64MiB"),
            (Setting::TailBytes, "1EiB", "64MiB"),
            (Setting::CheckpointBytes, "1", "64MiB"),
            (Setting::StopTimeout, "0s", "25s"),
            (Setting::Name, "Node One", "node name"),
        ] {
            let error = validate(&[(setting, value)]).expect_err(value);
            assert_eq!(error.code(), "config.bad_value");
            let text = error.to_string();
            assert!(text.starts_with(&format!("--{}: `{value}` is not", setting.word())) && text.contains(wanted), "{text}");
        }
    }

    #[test]
    fn a_client_port_that_other_machines_reach_is_refused() {
        for address in ["0.0.0.0:7600", "192.0.2.1:7600", "[::]:7600"] {
            let error = validate(&[(Setting::Resp, address)]).expect_err(address);
            assert_eq!(error.code(), "config.public_client_port");
            assert!(error.to_string().starts_with("--resp: "), "{error}");
        }
        assert!(validate(&[(Setting::Resp, "[::1]:7600")]).is_ok());
        assert!(validate(&[(Setting::Resp, "localhost:7600")]).is_ok());
    }

    #[test]
    fn listening_everywhere_needs_an_address_that_others_dial() {
        let error = validate(&[(Setting::Peer, "0.0.0.0:7601")]).expect_err("nobody can dial 0.0.0.0");
        assert_eq!(error.code(), "config.advertise_needed");
        assert!(error.to_string().contains("--advertise-peer"), "{error}");
        assert!(validate(&[(Setting::Peer, "0.0.0.0:7601"), (Setting::AdvertisePeer, "db1:7601")]).is_ok());
    }

    #[test]
    fn settings_that_contradict_each_other_are_refused() {
        let error = validate(&[(Setting::Resp, "127.0.0.1:7601")]).expect_err("two doors on one port");
        assert_eq!(error.code(), "config.conflict");
        assert!(error.to_string().starts_with("--resp and the default of --peer: "), "{error}");
        let error = validate(&[(Setting::StandbyOf, "127.0.0.1:7601")]).expect_err("its own peer port");
        assert_eq!(error.code(), "config.conflict");
        let chosen_by_the_system = [(Setting::Resp, "127.0.0.1:0"), (Setting::Peer, "127.0.0.1:0"), (Setting::Http, "127.0.0.1:0")];
        assert!(validate(&chosen_by_the_system).is_ok());
    }
}
