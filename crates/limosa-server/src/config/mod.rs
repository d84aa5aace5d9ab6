//! What `limosa serve` can be told: the settings, where they come from, and the checked result.
//!
//! ```text
//! flag  >  LIMOSA_* environment  >  --config FILE.toml  >  default        [`Settings`]: text with its origin
//!                               | validate()
//!                               v
//!                         [`ValidConfig`]: typed, checked against each other; the only thing a server takes
//! ```
//!
//! One table ([`Setting`]) names every setting, so that flags, variables, file keys and help can't drift apart.

mod cluster;
mod error;
mod layers;
mod machine;
mod parse;
mod setting;
mod valid;

pub use cluster::{Ack, ClusterConfig, EtcdSettings, ManifestSetting};
pub use error::ConfigError;
pub use layers::{Given, Origin, Settings};
pub use parse::HostPort;
pub use setting::Setting;
pub use valid::{Addresses, ValidConfig};
