//! Who a node is: its cluster, and the URI that carries it and the node's name in a certificate.

use std::fmt;
use std::str::FromStr;

use crate::error::PkiError;

pub use limosa_core::name::{NODE_NAME_BYTES_MAX, NodeName};

/// Names a cluster; random, made once with its certificates.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClusterId(pub [u8; 16]);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for ClusterId {
    type Err = PkiError;

    fn from_str(text: &str) -> Result<Self, PkiError> {
        let bad = || PkiError::BadIdentity { uri: text.chars().take(64).collect() };
        let digit = |byte: u8| char::from(byte).to_digit(16).filter(|_| !byte.is_ascii_uppercase());
        let digits = text.as_bytes();
        if digits.len() != 32 {
            return Err(bad());
        }
        let mut id = [0u8; 16];
        for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
            let (high, low) = digit(pair[0]).zip(digit(pair[1])).ok_or_else(bad)?;
            *byte = u8::try_from(high << 4 | low).expect("two hex digits fit a byte");
        }
        Ok(Self(id))
    }
}

/// What a certificate says about its holder: `limosa://<cluster>/node/<name>`, its only URI of that scheme.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// Which cluster the holder belongs to.
    pub cluster: ClusterId,
    /// The holder's name in it.
    pub node: NodeName,
}

/// Scheme of the URI that carries an identity.
pub(crate) const URI_SCHEME: &str = "limosa://";

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{URI_SCHEME}{}/node/{}", self.cluster, self.node)
    }
}

impl FromStr for Identity {
    type Err = PkiError;

    fn from_str(uri: &str) -> Result<Self, PkiError> {
        let parts = uri.strip_prefix(URI_SCHEME).and_then(|rest| rest.split_once("/node/"));
        let (cluster, node) = parts.ok_or_else(|| PkiError::BadIdentity { uri: uri.chars().take(160).collect() })?;
        Ok(Self { cluster: cluster.parse()?, node: node.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_survives_its_uri_and_others_are_refused() {
        let identity = Identity { cluster: ClusterId([0xa5; 16]), node: "n1".parse().expect("a good name") };
        assert_eq!(identity.to_string().parse::<Identity>().expect("our own form"), identity);
        let hex = "a5".repeat(16);
        for bad in [
            "https://example.org/node/n1".to_owned(),
            format!("limosa://{hex}/client/n1"),
            format!("limosa://{hex}/node/"),
            format!("limosa://{hex}/node/N"),
            format!("limosa://{}/node/n1", hex.to_uppercase()),
            format!("limosa://{}/node/n1", &hex[1..]),
            format!("limosa://{}/node/n1", "ä".repeat(16)),
        ] {
            assert!(bad.parse::<Identity>().is_err(), "{bad}");
        }
    }
}
