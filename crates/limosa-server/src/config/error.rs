//! Why a configuration is refused: each error names where the value came from and what to do.

use std::path::PathBuf;

use limosa_core::Retry;
use thiserror::Error;

use super::layers::Origin;

/// A configuration that a server can't start with. All of them are the operator's to mend.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The config file can't be read.
    #[error("config file {}: {source}; check the path and its permissions", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The config file is not TOML, or holds something that no setting takes.
    #[error("config file {}: {why}", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// Where and what.
        why: String,
    },
    /// A key that no setting has.
    #[error("config file {}: unknown setting `{key}`; {hint}", path.display())]
    UnknownSetting {
        /// Which file.
        path: PathBuf,
        /// The key.
        key: String,
        /// The nearest known key, or where they are listed.
        hint: String,
    },
    /// A value that its setting does not take.
    #[error("{origin}: `{value}` is not {wanted}")]
    BadValue {
        /// Where the value came from.
        origin: Origin,
        /// The value.
        value: String,
        /// What would do.
        wanted: String,
    },
    /// A client port that is open to other machines, while there are no users and no TLS on it yet.
    #[error(
        "{origin}: {address} is open to other machines, and Redis clients are not authenticated; listen on 127.0.0.1 or [::1] and reach it through a tunnel"
    )]
    PublicClientPort {
        /// Where the address came from.
        origin: Origin,
        /// The address.
        address: std::net::SocketAddr,
    },
    /// Listening everywhere does not tell others which address to dial.
    #[error("{origin}: others can't dial {address}; say what they dial with --{flag} HOST:PORT")]
    AdvertiseNeeded {
        /// Where the listening address came from.
        origin: Origin,
        /// The listening address.
        address: std::net::SocketAddr,
        /// The flag that is missing.
        flag: &'static str,
    },
    /// A setting that another one makes necessary.
    #[error("{origin}: {why}; give --{flag}")]
    Missing {
        /// The setting that asks for it.
        origin: Origin,
        /// Why.
        why: String,
        /// The flag that is missing.
        flag: &'static str,
    },
    /// A file that a setting names can't be read.
    #[error("{origin}: {}: {source}; check the path and its permissions", path.display())]
    NoFile {
        /// Where the path came from.
        origin: Origin,
        /// The path.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Two settings that can't both hold.
    #[error("{first} and {second}: {why}")]
    Conflict {
        /// One of the two.
        first: Origin,
        /// The other.
        second: Origin,
        /// Why not, and what to change.
        why: String,
    },
}

impl ConfigError {
    /// The stable code, explained in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "config.unreadable",
            Self::Malformed { .. } => "config.malformed",
            Self::UnknownSetting { .. } => "config.unknown_setting",
            Self::BadValue { .. } => "config.bad_value",
            Self::PublicClientPort { .. } => "config.public_client_port",
            Self::AdvertiseNeeded { .. } => "config.advertise_needed",
            Self::Missing { .. } => "config.missing",
            Self::NoFile { .. } => "config.no_file",
            Self::Conflict { .. } => "config.conflict",
        }
    }

    /// Always [`Retry::Never`]: somebody must change the configuration first.
    pub fn retry(&self) -> Retry {
        Retry::Never
    }
}
