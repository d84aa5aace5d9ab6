//! The cluster secret: 32 bytes from which each space's keys are derived; never printed.

use std::fmt;

use crate::error::PkiError;
use crate::pki::name::ClusterId;

/// Secret bytes that all nodes of a cluster share.
#[derive(Clone, PartialEq, Eq)]
pub struct ClusterSecret([u8; 32]);

impl ClusterSecret {
    /// The bytes, for deriving keys.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for ClusterSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterSecret(…)") // errors and logs print values that contain this
    }
}

/// What makes a cluster: its name and its secret. Stored and carried together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cluster {
    /// Its name, public.
    pub id: ClusterId,
    /// Its secret.
    pub secret: ClusterSecret,
}

const CHECK_BYTES: usize = 4;
const ENCODED_BYTES: usize = 16 + 32 + CHECK_BYTES;

impl Cluster {
    /// A new cluster, from the operating system's randomness.
    pub(crate) fn random() -> Result<Self, PkiError> {
        let (mut id, mut secret) = ([0u8; 16], [0u8; 32]);
        getrandom::fill(&mut id)
            .and_then(|()| getrandom::fill(&mut secret))
            .map_err(|error| PkiError::Generate { why: error.to_string() })?;
        Ok(Self { id: ClusterId(id), secret: ClusterSecret(secret) })
    }

    /// One of these, whatever they are.
    pub(crate) fn fixed(id: [u8; 16], secret: [u8; 32]) -> Self {
        Self { id: ClusterId(id), secret: ClusterSecret(secret) }
    }

    /// Id, secret and a check value, as stored in the PEM section.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = [&self.id.0[..], &self.secret.0[..]].concat();
        let check = check_value(&bytes);
        bytes.extend_from_slice(&check);
        bytes
    }

    /// The inverse of [`Cluster::encode`]; `None` when the length or the check value is wrong.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != ENCODED_BYTES {
            return None;
        }
        let (body, check) = bytes.split_at(ENCODED_BYTES - CHECK_BYTES);
        if check_value(body) != check {
            return None;
        }
        let (id, secret) = body.split_at(16);
        Some(Self { id: ClusterId(id.try_into().ok()?), secret: ClusterSecret(secret.try_into().ok()?) })
    }
}

/// Finds damage. A prefix of a one-way hash rather than a CRC: a check value beside a secret must not be linear in it.
fn check_value(body: &[u8]) -> [u8; CHECK_BYTES] {
    let mut hasher = blake3::Hasher::new_derive_key("limosa 2026-11 cluster secret check");
    hasher.update(body);
    let hash = hasher.finalize();
    std::array::from_fn(|index| hash.as_bytes()[index])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_of_a_stored_secret_is_found() {
        let cluster = Cluster::random().expect("randomness");
        let bytes = cluster.encode();
        assert_eq!(Cluster::decode(&bytes), Some(cluster));
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Cluster::decode(&damaged), None, "bit {bit}");
        }
        assert_eq!(Cluster::decode(&bytes[1..]), None);
    }

    #[test]
    fn printing_a_cluster_does_not_print_its_secret() {
        let cluster = Cluster { id: ClusterId([1; 16]), secret: ClusterSecret([0xee; 32]) };
        let shown = format!("{cluster:?}").to_lowercase();
        assert!(!shown.contains("ee") && !shown.contains("238"), "{shown}");
    }
}
