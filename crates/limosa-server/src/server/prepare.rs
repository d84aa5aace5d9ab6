//! What exists before the node does: bound sockets and loaded certificates.

use std::io;
use std::net::{SocketAddr, TcpListener};

use limosa_node::pki::{Bundle, NodeName, Pki};
use limosa_node::transport::Tls;

use super::error::ServerError;
use crate::config::{Addresses, HostPort, ManifestSetting, ValidConfig};
use crate::http::Hosts;

/// The name of a node that founds a cluster without being given one.
const FOUNDER: &str = "node";

/// Sockets that accept connections already, but that nobody serves yet.
#[derive(Debug)]
pub struct Listeners {
    /// Redis clients.
    pub resp: TcpListener,
    /// Other nodes.
    pub peer: TcpListener,
    /// HTTP.
    pub http: TcpListener,
}

/// Where a node really listens (a configured port 0 is resolved), and what others are told to dial.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bound {
    /// Redis clients.
    pub resp: SocketAddr,
    /// Other nodes.
    pub peer: SocketAddr,
    /// HTTP.
    pub http: SocketAddr,
    /// For Redis clients to dial.
    pub advertised_resp: HostPort,
    /// For other nodes to dial.
    pub advertised_peer: HostPort,
    /// For operators to dial.
    pub advertised_http: HostPort,
}

/// A node that is ready to be started.
#[derive(Debug)]
pub struct Prepared {
    /// What it was told.
    pub config: ValidConfig,
    /// Its sockets.
    pub listeners: Listeners,
    /// Their addresses.
    pub bound: Bound,
    /// Its certificates and its cluster's secret.
    pub pki: Pki,
}

impl Prepared {
    /// Binds every socket and loads, adopts or makes certificates.
    ///
    /// # Errors
    /// A port is taken; the folder is of another node or cluster; a standby has no certificates.
    pub fn prepare(config: ValidConfig) -> Result<Self, ServerError> {
        // Sockets first: a second start with the same flags ends here, and has touched no file of the running node.
        let listeners = Listeners::bind(&config.addresses)?;
        let bound = listeners.bound(&config.addresses).map_err(|source| ServerError::Resources { source })?;
        let pki = certificates(&config)?;
        Ok(Self { config, listeners, bound, pki })
    }

    /// TLS as this node speaks it.
    pub fn tls(&self) -> Tls {
        Tls::new(self.pki.credentials())
    }

    /// The names under which HTTP requests may address it.
    pub fn hosts(&self) -> Hosts {
        Hosts::new([self.bound.advertised_http.host.clone()])
    }
}

impl Listeners {
    fn bind(addresses: &Addresses) -> Result<Self, ServerError> {
        let bind = |flag, address: SocketAddr| {
            let bound = TcpListener::bind(address).and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
            bound.map_err(|source| ServerError::Listen { flag, address, source })
        };
        Ok(Self { resp: bind("resp", addresses.resp)?, peer: bind("peer", addresses.peer)?, http: bind("http", addresses.http)? })
    }

    fn bound(&self, configured: &Addresses) -> io::Result<Bound> {
        let (resp, peer, http) = (self.resp.local_addr()?, self.peer.local_addr()?, self.http.local_addr()?);
        let told = |advertised: &Option<HostPort>, own: SocketAddr| advertised.clone().unwrap_or_else(|| own.into());
        Ok(Bound {
            resp,
            peer,
            http,
            advertised_resp: told(&configured.advertised_resp, resp),
            advertised_peer: told(&configured.advertised_peer, peer),
            advertised_http: told(&configured.advertised_http, http),
        })
    }
}

/// A standby, and a member whose manifest another node has, join a cluster, so they need a bundle once; others may found one.
fn certificates(config: &ValidConfig) -> Result<Pki, ServerError> {
    let bundle = config.bundle.as_deref().map(Bundle::read).transpose()?;
    let founder = || config.name.clone().unwrap_or_else(|| FOUNDER.parse().expect("a valid name"));
    if let Some(bundle) = &bundle {
        // Before the bundle is stored: a folder once adopted keeps its name.
        refuse_other_name(config, bundle.node())?;
    }
    let others = config.cluster.as_ref().is_some_and(|cluster| matches!(cluster.manifest, ManifestSetting::Remote(_)));
    let pki = if bundle.is_some() || config.standby_of.is_some() || others {
        Pki::load_or_adopt(&config.data, bundle.as_ref())?
    } else {
        Pki::load_or_create(&config.data, &founder())?
    };
    refuse_other_name(config, pki.node())?;
    Ok(pki)
}

fn refuse_other_name(config: &ValidConfig, found: &NodeName) -> Result<(), ServerError> {
    match &config.name {
        Some(asked) if asked != found => {
            Err(ServerError::OtherName { path: config.data.clone(), asked: asked.clone(), found: found.clone() })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Setting, Settings};

    fn config(dir: &std::path::Path, more: &[(Setting, &str)]) -> ValidConfig {
        let any = |setting| (setting, "127.0.0.1:0".to_owned());
        let flags = [(Setting::Data, dir.display().to_string()), any(Setting::Resp), any(Setting::Peer), any(Setting::Http)];
        let more = more.iter().map(|(setting, text)| (*setting, (*text).to_owned()));
        Settings::from_flags(flags.into_iter().chain(more)).validate().expect("valid settings")
    }

    #[test]
    fn an_owner_founds_a_cluster_and_a_standby_joins_it_with_a_bundle() {
        let dir = tempfile::tempdir().expect("a folder");
        let (owner_dir, standby_dir) = (dir.path().join("a"), dir.path().join("b"));
        let owner = Prepared::prepare(config(&owner_dir, &[(Setting::Name, "a")])).expect("a new node");
        assert_eq!(owner.pki.node().as_str(), "a");
        assert_ne!(owner.bound.resp.port(), 0);
        assert_eq!(owner.bound.advertised_peer.port, owner.bound.peer.port());

        let peer = owner.bound.advertised_peer.to_string();
        let alone = Prepared::prepare(config(&standby_dir, &[(Setting::StandbyOf, &peer)])).expect_err("no certificates");
        assert_eq!(alone.code(), "pki.no_bundle");
        let bundle = dir.path().join("b.pem");
        owner.pki.issue(&"b".parse().expect("a name")).expect("it has the key").write(&bundle).expect("room");
        let joining = [(Setting::StandbyOf, peer.as_str()), (Setting::Bundle, bundle.to_str().expect("a plain path"))];
        let wrong = Prepared::prepare(config(&standby_dir, &[joining[0], joining[1], (Setting::Name, "c")])).expect_err("another name");
        assert_eq!(wrong.code(), "server.other_name");
        assert!(!standby_dir.exists(), "a refused start leaves nothing behind");
        let standby = Prepared::prepare(config(&standby_dir, &joining)).expect("it joins");
        assert_eq!((standby.pki.node().as_str(), standby.pki.cluster()), ("b", owner.pki.cluster()));
        drop(standby);
        assert!(Prepared::prepare(config(&standby_dir, &joining[..1])).is_ok(), "the bundle is needed once");
    }

    #[test]
    fn a_folder_of_another_node_and_a_taken_port_are_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let first = Prepared::prepare(config(dir.path(), &[])).expect("a new node");
        assert_eq!(first.pki.node().as_str(), "node");
        let error = Prepared::prepare(config(dir.path(), &[(Setting::Name, "b")])).expect_err("it is called node");
        assert_eq!(error.code(), "server.other_name");
        let taken = first.bound.http.to_string();
        let error = Prepared::prepare(config(dir.path(), &[(Setting::Http, &taken)])).expect_err("the port is taken");
        assert_eq!(error.code(), "server.listen");
        assert!(error.to_string().starts_with(&format!("--http {taken}: ")), "{error}");
    }
}
