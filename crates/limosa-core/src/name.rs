//! What a node is called.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Longest node name, bytes.
pub const NODE_NAME_BYTES_MAX: usize = 64;

/// A node's name: 1 to 64 of `a-z 0-9 - _ .`, the first a letter or digit, so that it is neither a hidden file nor a flag.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(String);

/// Text that is no node name.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{name:?} is no node name: 1 to 64 of a-z 0-9 - _ . and first a letter or digit")]
pub struct BadNodeName {
    /// The refused text, cut to 64 characters.
    pub name: String,
}

impl NodeName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NodeName {
    type Err = BadNodeName;

    fn from_str(text: &str) -> Result<Self, BadNodeName> {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
        let starts_well = text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
        if starts_well && text.len() <= NODE_NAME_BYTES_MAX && text.bytes().all(allowed) {
            return Ok(Self(text.to_owned()));
        }
        Err(BadNodeName { name: text.chars().take(NODE_NAME_BYTES_MAX).collect() })
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_limited_to_what_paths_and_uris_carry_unescaped() {
        for good in ["a", "node-1", "rack_2.host-3", &"x".repeat(64)] {
            assert!(good.parse::<NodeName>().is_ok(), "{good}");
        }
        for bad in ["", "A", "a b", "../up", ".hidden", "-flag", "ä", "a/b", &"x".repeat(65)] {
            assert!(bad.parse::<NodeName>().is_err(), "{bad}");
        }
    }
}
