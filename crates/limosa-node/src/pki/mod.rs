//! Certificates and cluster identity: made, issued, carried, stored and read.
//!
//! A cluster is an id, a secret and a CA. A node is known by one URI in its certificate, `limosa://<cluster>/node/<name>`.
//! The first node makes all of it ([`Pki::create`]); every other one gets a [`Bundle`] ([`Pki::issue`], [`Pki::adopt`]).
//!
//! # Not here
//! - Checking a peer's certificate, and swapping one's own while running: [`crate::transport`].

mod authority;
mod bundle;
mod credentials;
pub(crate) mod crypto;
mod files;
mod folder;
mod name;
mod pem;
mod secret;
#[cfg(test)]
mod tests;

pub use authority::{AUTHORITY_VALIDITY, NODE_VALIDITY};
pub use bundle::Bundle;
pub use credentials::Credentials;
pub(crate) use credentials::identity_of;
pub use folder::Pki;
pub use name::{ClusterId, Identity, NODE_NAME_BYTES_MAX, NodeName};
pub use secret::{Cluster, ClusterSecret};

#[cfg(test)]
pub(crate) mod test_support {
    //! Certificates that no command of ours would make, for tests of refusals.

    use std::path::Path;
    use std::time::SystemTime;

    use super::authority::{self, Issued};
    use super::credentials::{Credentials, Facts};
    use super::name::{ClusterId, Identity};

    /// A CA in memory.
    pub(crate) struct Authority(Issued);

    impl Authority {
        pub(crate) fn new() -> Self {
            Self::made_at(SystemTime::now())
        }

        pub(crate) fn made_at(when: SystemTime) -> Self {
            Self(authority::create(ClusterId([0; 16]), when).expect("a CA"))
        }

        /// A certificate of this CA for any cluster and time.
        pub(crate) fn credentials(&self, cluster: ClusterId, node: &str, from: SystemTime) -> Credentials {
            let identity = Identity { cluster, node: node.parse().expect("a node name") };
            let ends = Facts::read(&self.0.certificate).expect("our own certificate").not_after;
            let node = authority::issue(&self.0, ends, &identity, from).expect("a certificate");
            Credentials::check(Path::new("test"), &self.0.certificate, &[&node.certificate], &node.key).expect("a fitting pair")
        }
    }
}
