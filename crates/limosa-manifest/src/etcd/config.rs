//! Where etcd is, and how this node proves itself there.

use std::fmt;
use std::time::Duration;

use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::error::ManifestError;

/// How to reach etcd. The servers and the prefix must be said; the rest has defaults.
#[derive(Clone)]
pub struct EtcdConfig {
    /// `http://host:port` or `https://host:port` of each server.
    pub servers: Vec<String>,
    /// What the cluster's keys begin with; ends in a slash. One for each Limosa cluster.
    pub prefix: String,
    /// Certificates; needed for `https`.
    pub tls: Option<EtcdTls>,
    /// User and password, where etcd asks for them.
    pub user: Option<(String, String)>,
    /// How long a connection may take. Default: 2 s.
    pub connect_timeout: Duration,
    /// How long an answer may take. Default: 5 s.
    pub request_timeout: Duration,
}

/// Certificates as PEM text.
#[derive(Clone)]
pub struct EtcdTls {
    /// Whom to believe as etcd.
    pub ca_pem: String,
    /// This node's certificate and key, where etcd asks for them.
    pub identity_pem: Option<(String, String)>,
    /// The name in the servers' certificates, where it is not that of the address.
    pub server_name: Option<String>,
}

impl EtcdConfig {
    /// A configuration with defaults for what need not be decided.
    pub fn new(servers: Vec<String>, prefix: impl Into<String>) -> Self {
        let (connect_timeout, request_timeout) = (Duration::from_secs(2), Duration::from_secs(5));
        Self { servers, prefix: prefix.into(), tls: None, user: None, connect_timeout, request_timeout }
    }

    /// One channel over all servers, which connects when it is used.
    pub(super) fn channel(&self) -> Result<Channel, ManifestError> {
        let endpoints = self.servers.iter().map(|server| self.endpoint(server)).collect::<Result<Vec<_>, _>>()?;
        match &endpoints[..] {
            [] => Err(bad("no server is named")),
            [only] => Ok(only.connect_lazy()),
            _ => Ok(Channel::balance_list(endpoints.into_iter())),
        }
    }

    fn endpoint(&self, server: &str) -> Result<Endpoint, ManifestError> {
        let endpoint = Endpoint::from_shared(server.to_owned()).map_err(|error| bad(format!("{server:?}: {error}")))?;
        let endpoint = endpoint
            .connect_timeout(self.connect_timeout)
            .tcp_keepalive(Some(Duration::from_secs(10)))
            .http2_keep_alive_interval(Duration::from_secs(5))
            .keep_alive_timeout(Duration::from_secs(5))
            .keep_alive_while_idle(true);
        match (server.starts_with("https://"), &self.tls) {
            (false, _) => Ok(endpoint),
            (true, None) => Err(bad(format!("{server} needs certificates"))),
            (true, Some(tls)) => endpoint.tls_config(tls.client()).map_err(|error| bad(format!("certificates: {error}"))),
        }
    }
}

impl EtcdTls {
    fn client(&self) -> ClientTlsConfig {
        let mut config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&self.ca_pem));
        if let Some((certificate, key)) = &self.identity_pem {
            config = config.identity(Identity::from_pem(certificate, key));
        }
        match &self.server_name {
            Some(name) => config.domain_name(name),
            None => config,
        }
    }
}

impl fmt::Debug for EtcdConfig {
    /// Without password and key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.user.as_ref().map(|(name, _)| name);
        f.debug_struct("EtcdConfig")
            .field("servers", &self.servers)
            .field("prefix", &self.prefix)
            .field("user", &user)
            .finish_non_exhaustive()
    }
}

fn bad(why: impl Into<String>) -> ManifestError {
    ManifestError::Config { what: "etcd", why: why.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_can_t_be_used_are_named() {
        for (servers, said) in [(vec![], "no server"), (vec!["not an address"], "not an address"), (vec!["https://e:1"], "certificates")] {
            let config = EtcdConfig::new(servers.into_iter().map(str::to_owned).collect(), "/limosa/");
            let refused = config.channel().expect_err("unusable").to_string();
            assert!(refused.contains(said), "{refused}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let config = EtcdConfig { user: Some(("root".to_owned(), "secret".to_owned())), ..EtcdConfig::new(vec![], "/limosa/") };
        assert!(!format!("{config:?}").contains("secret"));
    }
}
