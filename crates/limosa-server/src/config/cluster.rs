//! What a member of a cluster is told: its manifest, its place, and what the cluster promises.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use limosa_manifest::etcd::{EtcdConfig, EtcdTls};
use limosa_node::driver::cluster::{Addresses, Failover, ManifestAt, MemberOptions};

use super::error::ConfigError;
use super::layers::Settings;
use super::parse::{self, HostPort};
use super::setting::Setting;
use super::valid::ValidConfig;

/// Most standbys of a fragment.
const STANDBYS_MAX: u8 = 6;
/// Most labels of a node.
const LABELS_MAX: usize = 32;
/// What needs etcd.
const ETCD: [Setting; 6] =
    [Setting::EtcdCa, Setting::EtcdCert, Setting::EtcdKey, Setting::EtcdServerName, Setting::EtcdUser, Setting::EtcdPasswordFile];
/// What needs a cluster and has no default.
const MEMBERS: [Setting; 4] = [Setting::Manifest, Setting::Zone, Setting::Labels, Setting::Ack];

/// Where the manifest is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ManifestSetting {
    /// In this node's data folder; served to the others on the peer port.
    Embedded,
    /// At the node with this peer address.
    Remote(HostPort),
    /// In etcd.
    Etcd(EtcdSettings),
}

/// How etcd is reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EtcdSettings {
    /// `http://host:port` or `https://host:port` of each server.
    pub servers: Vec<String>,
    ca: Option<PathBuf>,
    certificate: Option<(PathBuf, PathBuf)>,
    server_name: Option<String>,
    user: Option<(String, PathBuf)>,
}

/// Whose disks have a write before its answer leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ack {
    /// The owner's.
    Local,
    /// The owner's, and those of half of the standbys, rounded up.
    Standby,
    /// Those of all of them.
    All,
}

/// A membership, checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClusterConfig {
    /// The cluster's name.
    pub name: String,
    /// Where its manifest is.
    pub manifest: ManifestSetting,
    /// What fails together with this node; empty: not said.
    pub zone: String,
    /// Whatever tells nodes apart.
    pub labels: BTreeMap<String, String>,
    /// How long an owner may be silent.
    pub lease: Duration,
    /// Who replaces a lost owner.
    pub failover: Failover,
    /// Whose disks have a write before its answer leaves.
    pub ack: Ack,
    /// How long an answer waits for them.
    pub ack_timeout: Duration,
    /// Complete copies beside the owner's (n).
    pub standbys: u8,
    /// How long a move may take.
    pub move_deadline: Duration,
    /// How old what a standby shows may be.
    pub staleness_max: Duration,
}

impl ClusterConfig {
    /// Standbys that must have a write on their disk (w).
    pub fn flushed_min(&self) -> u8 {
        match self.ack {
            Ack::Local => 0,
            Ack::Standby => self.standbys.div_ceil(2),
            Ack::All => self.standbys,
        }
    }

    /// What the node takes.
    ///
    /// # Errors
    /// A file for etcd can't be read.
    pub fn member(&self, data: &Path, addresses: Addresses) -> Result<MemberOptions, ConfigError> {
        let manifest = match &self.manifest {
            ManifestSetting::Embedded => ManifestAt::Embedded { dir: data.to_owned() },
            ManifestSetting::Remote(at) => ManifestAt::Remote { address: at.to_string() },
            ManifestSetting::Etcd(etcd) => ManifestAt::Etcd(etcd.config(&self.name)?),
        };
        let mut member = MemberOptions::new(manifest, addresses);
        member.zone.clone_from(&self.zone);
        member.labels.clone_from(&self.labels);
        member.failover = self.failover;
        member.lease = self.lease;
        member.standbys = self.standbys;
        member.flushed_min = self.flushed_min();
        member.move_deadline = self.move_deadline;
        Ok(member)
    }
}

impl EtcdSettings {
    /// With the files that it names read.
    ///
    /// # Errors
    /// One can't be.
    pub fn config(&self, cluster: &str) -> Result<EtcdConfig, ConfigError> {
        let mut config = EtcdConfig::new(self.servers.clone(), format!("/limosa/{cluster}/"));
        if let Some(ca) = &self.ca {
            let identity = self.certificate.as_ref();
            let identity = identity.map(|(cert, key)| Ok((read(Setting::EtcdCert, cert)?, read(Setting::EtcdKey, key)?))).transpose()?;
            let server_name = self.server_name.clone();
            config.tls = Some(EtcdTls { ca_pem: read(Setting::EtcdCa, ca)?, identity_pem: identity, server_name });
        }
        if let Some((user, file)) = &self.user {
            let password = read(Setting::EtcdPasswordFile, file)?;
            config.user = Some((user.clone(), password.trim_end_matches(['\r', '\n']).to_owned()));
        }
        Ok(config)
    }
}

fn read(setting: Setting, path: &Path) -> Result<String, ConfigError> {
    let origin = super::Origin::Flag(setting);
    std::fs::read_to_string(path).map_err(|source| ConfigError::NoFile { origin, path: path.to_owned(), source })
}

impl Settings {
    /// The membership, if there is one.
    pub(super) fn cluster(&self) -> Result<Option<ClusterConfig>, ConfigError> {
        let Some(name) = self.optional(Setting::Cluster, word)? else {
            return match MEMBERS.into_iter().chain(ETCD).find(|setting| self.value(*setting).is_some()) {
                Some(stray) => Err(self.missing(stray, "only a member of a cluster has it".to_owned(), "cluster")),
                None => Ok(None),
            };
        };
        if self.value(Setting::StandbyOf).is_some() {
            let why = "in a cluster the manifest says who follows whom; leave one of them away".to_owned();
            return Err(self.conflict(Setting::Cluster, Setting::StandbyOf, why));
        }
        if self.value(Setting::Manifest).is_none() {
            return Err(self.missing(Setting::Cluster, "a member must know where the manifest is".to_owned(), "manifest"));
        }
        let config = ClusterConfig {
            name,
            manifest: self.manifest()?,
            zone: self.optional(Setting::Zone, word)?.unwrap_or_default(),
            labels: self.optional(Setting::Labels, labels)?.unwrap_or_default(),
            lease: self.required(Setting::Lease, |text| parse::time(text, Duration::from_millis(500), Duration::from_mins(5)))?,
            failover: self.required(Setting::Failover, failover)?,
            ack: Ack::Local,
            ack_timeout: self
                .required(Setting::AckTimeout, |text| parse::time(text, Duration::from_millis(100), Duration::from_mins(10)))?,
            standbys: self.required(Setting::Standbys, standbys)?,
            move_deadline: self
                .required(Setting::MoveDeadline, |text| parse::time(text, Duration::from_secs(1), Duration::from_hours(24)))?,
            staleness_max: self
                .required(Setting::StalenessMax, |text| parse::time(text, Duration::from_millis(10), Duration::from_hours(24)))?,
        };
        let default = if config.standbys == 0 { Ack::Local } else { Ack::Standby };
        let ack = self.optional(Setting::Ack, ack)?.unwrap_or(default);
        if ack != Ack::Local && config.standbys == 0 {
            let why = "there is no standby to wait for; set --standbys 1 or more, or --ack local".to_owned();
            return Err(self.conflict(Setting::Ack, Setting::Standbys, why));
        }
        Ok(Some(ClusterConfig { ack, ..config }))
    }

    fn manifest(&self) -> Result<ManifestSetting, ConfigError> {
        let manifest = self.required(Setting::Manifest, manifest)?;
        let stray = ETCD.into_iter().find(|setting| self.value(*setting).is_some());
        match (manifest, stray) {
            (ManifestSetting::Etcd(etcd), _) => self.etcd(etcd).map(ManifestSetting::Etcd),
            (_, Some(stray)) => {
                let why = "the manifest is not in etcd; leave it away, or name etcd as https://HOST:PORT".to_owned();
                Err(self.conflict(stray, Setting::Manifest, why))
            }
            (manifest, None) => Ok(manifest),
        }
    }

    fn etcd(&self, mut etcd: EtcdSettings) -> Result<EtcdSettings, ConfigError> {
        let is_tls = etcd.servers.iter().any(|server| server.starts_with("https://"));
        etcd.ca = self.path(Setting::EtcdCa);
        if is_tls && etcd.ca.is_none() {
            return Err(self.missing(Setting::Manifest, "https needs certificates by which etcd is believed".to_owned(), "etcd-ca"));
        }
        let tls = [Setting::EtcdCa, Setting::EtcdCert, Setting::EtcdServerName];
        if let (false, Some(stray)) = (is_tls, tls.into_iter().find(|setting| self.value(*setting).is_some())) {
            let why = "etcd is named by http, without TLS; name it as https://HOST:PORT".to_owned();
            return Err(self.conflict(stray, Setting::Manifest, why));
        }
        etcd.certificate = self.both(Setting::EtcdCert, Setting::EtcdKey, "etcd-cert", "etcd-key")?.map(|(c, k)| (c.into(), k.into()));
        etcd.server_name = self.value(Setting::EtcdServerName).map(|given| given.text);
        etcd.user = self.both(Setting::EtcdUser, Setting::EtcdPasswordFile, "etcd-user", "etcd-password-file")?.map(|(u, p)| (u, p.into()));
        Ok(etcd)
    }

    /// Two settings of which neither stands alone.
    fn both(
        &self,
        one: Setting,
        other: Setting,
        one_flag: &'static str,
        other_flag: &'static str,
    ) -> Result<Option<(String, String)>, ConfigError> {
        match (self.value(one), self.value(other)) {
            (Some(one), Some(other)) => Ok(Some((one.text, other.text))),
            (None, None) => Ok(None),
            (Some(_), None) => Err(self.missing(one, "it does not stand alone".to_owned(), other_flag)),
            (None, Some(_)) => Err(self.missing(other, "it does not stand alone".to_owned(), one_flag)),
        }
    }

    pub(super) fn refuse_manifest_of_itself(&self, config: &ValidConfig) -> Result<(), ConfigError> {
        let own = config.addresses.advertised_peer.clone().unwrap_or_else(|| config.addresses.peer.into());
        match &config.cluster {
            Some(ClusterConfig { manifest: ManifestSetting::Remote(at), .. }) if *at == own => {
                let why = format!("{own} is this node's own peer address; say `embedded` if it is to hold the manifest");
                Err(self.conflict(Setting::Manifest, Setting::Peer, why))
            }
            _ => Ok(()),
        }
    }

    fn missing(&self, asks: Setting, why: String, flag: &'static str) -> ConfigError {
        ConfigError::Missing { origin: self.given(asks).origin, why, flag }
    }
}

/// Letters, digits, `-`, `_` and `.`: what stands in keys and certificates without quoting.
fn word(text: &str) -> Result<String, String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let is_word = (1..=64).contains(&text.len()) && text.bytes().all(plain);
    if is_word { Ok(text.to_owned()) } else { Err("a word of 1 to 64 letters, digits, `-`, `_` and `.`".to_owned()) }
}

fn labels(text: &str) -> Result<BTreeMap<String, String>, String> {
    let wanted = || format!("up to {LABELS_MAX} labels such as disk=fast,rack=7, each name once");
    let mut labels = BTreeMap::new();
    for label in text.split(',') {
        let (name, value) = label.trim().split_once('=').ok_or_else(wanted)?;
        if labels.insert(word(name).map_err(|_| wanted())?, word(value).map_err(|_| wanted())?).is_some() {
            return Err(wanted());
        }
    }
    if labels.len() <= LABELS_MAX { Ok(labels) } else { Err(wanted()) }
}

fn failover(text: &str) -> Result<Failover, String> {
    match text {
        "auto" => Ok(Failover::Auto),
        "manual" => Ok(Failover::Manual),
        _ => Err("`auto` (a complete standby takes over by itself) or `manual` (`limosa failover`)".to_owned()),
    }
}

fn ack(text: &str) -> Result<Ack, String> {
    match text {
        "local" => Ok(Ack::Local),
        "standby" => Ok(Ack::Standby),
        "all" => Ok(Ack::All),
        _ => Err("an ack level: `local`, `standby` or `all`".to_owned()),
    }
}

fn standbys(text: &str) -> Result<u8, String> {
    text.parse().ok().filter(|count| *count <= STANDBYS_MAX).ok_or_else(|| format!("a count of standbys, 0 to {STANDBYS_MAX}"))
}

fn manifest(text: &str) -> Result<ManifestSetting, String> {
    let wanted =
        || "a place for the manifest: `embedded`, HOST:PORT of the node that has it, or http(s)://HOST:PORT[,...] of etcd".to_owned();
    if text == "embedded" {
        return Ok(ManifestSetting::Embedded);
    }
    if !text.contains("://") {
        return HostPort::parse(text).map(ManifestSetting::Remote).map_err(|_| wanted());
    }
    let servers: Vec<String> = text.split(',').map(|server| server.trim().trim_end_matches('/').to_owned()).collect();
    let scheme = if text.starts_with("https://") { "https://" } else { "http://" };
    let all_good = servers.iter().all(|server| server.strip_prefix(scheme).is_some_and(|at| HostPort::parse(at).is_ok()));
    let etcd = EtcdSettings { servers, ca: None, certificate: None, server_name: None, user: None };
    if all_good { Ok(ManifestSetting::Etcd(etcd)) } else { Err(wanted()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn validate(flags: &[(Setting, &str)]) -> Result<ValidConfig, ConfigError> {
        Settings::from_flags(flags.iter().map(|(setting, text)| (*setting, (*text).to_owned()))).validate()
    }

    fn member(more: &[(Setting, &str)]) -> Result<ClusterConfig, ConfigError> {
        let base = [(Setting::Cluster, "orders"), (Setting::Manifest, "embedded")];
        let flags: Vec<_> =
            base.into_iter().filter(|(base, _)| more.iter().all(|(more, _)| more != base)).chain(more.iter().copied()).collect();
        validate(&flags).map(|config| config.cluster.expect("a member"))
    }

    #[test]
    fn a_member_needs_a_name_and_a_manifest_and_the_rest_has_safe_defaults() {
        let config = member(&[]).expect("enough");
        assert_eq!(
            (config.manifest.clone(), config.ack, config.standbys, config.flushed_min()),
            (ManifestSetting::Embedded, Ack::Standby, 2, 1)
        );
        assert_eq!((config.lease, config.failover), (Duration::from_secs(3), Failover::Auto));
        assert_eq!((config.ack_timeout, config.staleness_max), (Duration::from_secs(5), Duration::from_secs(2)));
        assert_eq!((config.zone.as_str(), config.labels.len()), ("", 0));
        assert_eq!(member(&[(Setting::Standbys, "0")]).expect("alone").ack, Ack::Local);
        assert_eq!(member(&[(Setting::Standbys, "3")]).expect("four nodes").flushed_min(), 2);
        assert_eq!(member(&[(Setting::Standbys, "3"), (Setting::Ack, "all")]).expect("four nodes").flushed_min(), 3);
        assert_eq!(member(&[(Setting::Ack, "local")]).expect("a choice").flushed_min(), 0);
        let labels = member(&[(Setting::Labels, "disk=fast, rack=7")]).expect("two").labels;
        assert_eq!(labels.into_iter().collect::<Vec<_>>(), [("disk".into(), "fast".into()), ("rack".into(), "7".into())]);
    }

    #[test]
    fn the_manifest_is_in_the_folder_at_a_node_or_in_etcd() {
        let at = |text| member(&[(Setting::Manifest, text)]).map(|config| config.manifest);
        assert_eq!(
            at("db1.example.org:7601").expect("a node"),
            ManifestSetting::Remote(HostPort::parse("db1.example.org:7601").expect("good"))
        );
        let ManifestSetting::Etcd(etcd) = at("http://e1:2379,http://e2:2379/").expect("etcd") else { panic!("etcd was named") };
        assert_eq!(etcd.servers, ["http://e1:2379", "http://e2:2379"]);
        let config = etcd.config("orders").expect("no file is named");
        assert!(config.prefix == "/limosa/orders/" && config.tls.is_none() && config.user.is_none());
    }

    #[test]
    fn values_that_do_not_do_are_refused_with_what_would() {
        for (setting, value, wanted) in [
            (Setting::Cluster, "a b", "1 to 64 letters"),
            (Setting::Cluster, "../x", "1 to 64 letters"),
            (Setting::Manifest, "somewhere", "`embedded`"),
            (Setting::Manifest, "ftp://e:1", "`embedded`"),
            (Setting::Manifest, "http://e1:2379,https://e2:2379", "`embedded`"),
            (Setting::Manifest, "https://e1", "`embedded`"),
            (Setting::Zone, "", "1 to 64"),
            (Setting::Labels, "disk", "disk=fast"),
            (Setting::Labels, "a=1,a=2", "each name once"),
            (Setting::Lease, "100ms", "500ms"),
            (Setting::Failover, "never", "`manual`"),
            (Setting::Ack, "most", "`standby`"),
            (Setting::AckTimeout, "1h", "100ms"),
            (Setting::Standbys, "7", "0 to 6"),
            (Setting::Standbys, "-1", "0 to 6"),
            (Setting::MoveDeadline, "0s", "1s"),
            (Setting::StalenessMax, "soon", "10ms"),
        ] {
            let error = member(&[(setting, value)]).expect_err(value);
            let text = error.to_string();
            assert_eq!(error.code(), "config.bad_value", "{text}");
            assert!(text.starts_with(&format!("--{}: `{value}` is not", setting.word())) && text.contains(wanted), "{text}");
        }
    }

    #[test]
    fn settings_that_need_or_exclude_each_other_say_so() {
        for (flags, code, part) in [
            (&[(Setting::Cluster, "orders")][..], "config.missing", "give --manifest"),
            (&[(Setting::Manifest, "embedded")], "config.missing", "give --cluster"),
            (&[(Setting::Zone, "east")], "config.missing", "give --cluster"),
            (&[(Setting::EtcdUser, "u")], "config.missing", "give --cluster"),
        ] {
            let error = validate(flags).expect_err(part);
            assert!(error.code() == code && error.to_string().contains(part), "{error}");
        }
        for (more, code, part) in [
            (&[(Setting::StandbyOf, "db1:7601")][..], "config.conflict", "--cluster and --standby-of"),
            (&[(Setting::Ack, "standby"), (Setting::Standbys, "0")], "config.conflict", "--ack and --standbys"),
            (&[(Setting::Manifest, "127.0.0.1:7601")], "config.conflict", "say `embedded`"),
            (&[(Setting::EtcdUser, "u")], "config.conflict", "not in etcd"),
            (&[(Setting::Manifest, "https://e:2379")], "config.missing", "give --etcd-ca"),
            (&[(Setting::Manifest, "http://e:2379"), (Setting::EtcdCa, "ca.pem")], "config.conflict", "without TLS"),
            (&[(Setting::Manifest, "http://e:2379"), (Setting::EtcdUser, "u")], "config.missing", "give --etcd-password-file"),
            (
                &[(Setting::Manifest, "https://e:2379"), (Setting::EtcdCa, "c"), (Setting::EtcdKey, "k")],
                "config.missing",
                "give --etcd-cert",
            ),
        ] {
            let error = member(more).expect_err(part);
            assert!(error.code() == code && error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn files_for_etcd_are_read_and_a_missing_one_is_named() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("password");
        std::fs::write(&file, "secret\n").expect("room");
        let path = file.to_str().expect("a plain path");
        let flags = |path| [(Setting::Manifest, "http://e:2379"), (Setting::EtcdUser, "u"), (Setting::EtcdPasswordFile, path)];
        let etcd = |path| match member(&flags(path)).expect("valid").manifest {
            ManifestSetting::Etcd(etcd) => etcd.config("orders"),
            other => panic!("{other:?}"),
        };
        assert_eq!(etcd(path).expect("readable").user, Some(("u".to_owned(), "secret".to_owned())));
        let error = etcd("/nowhere/password").expect_err("no such file");
        assert!(error.code() == "config.no_file" && error.to_string().contains("--etcd-password-file: /nowhere/password"), "{error}");
    }
}
