//! What entries are filed under, below the cluster's prefix.

use std::fmt;

use limosa_core::{FragmentId, NodeName};

/// One entry's place.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Key {
    /// The decision cell of a fragment: who owns it.
    Fragment(FragmentId),
    /// A node: its addresses, zone and incarnation.
    Node(NodeName),
    /// That a node was there lately: bound to a lease, a hint and nothing more.
    Alive(NodeName),
    /// The ids that fragments were given: none is given twice.
    Ids,
    /// Where the entries were taken from, if not begun here.
    Origin,
    /// That this store's entries decide no more: they are elsewhere.
    Moved,
}

impl Key {
    /// Below it lie all fragments.
    pub const FRAGMENTS: &'static str = "fragment/";
    /// Below it lie all nodes.
    pub const NODES: &'static str = "node/";
    /// Below it lie the signs of life.
    pub const ALIVE: &'static str = "alive/";

    /// The counter of ids.
    pub const IDS: &'static str = "ids";
    /// Where the entries come from.
    pub const ORIGIN: &'static str = "origin";
    /// That they went.
    pub const MOVED: &'static str = "moved";

    /// The key that `text` is; `None` for what no key looks like.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            Self::IDS => return Some(Self::Ids),
            Self::ORIGIN => return Some(Self::Origin),
            Self::MOVED => return Some(Self::Moved),
            _ => {}
        }
        if let Some(id) = text.strip_prefix(Self::FRAGMENTS) {
            let is_canonical = id.len() == 8 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            return is_canonical.then(|| u32::from_str_radix(id, 16).ok().map(|id| Self::Fragment(FragmentId(id))))?;
        }
        if let Some(name) = text.strip_prefix(Self::NODES) {
            return name.parse().ok().map(Self::Node);
        }
        text.strip_prefix(Self::ALIVE)?.parse().ok().map(Self::Alive)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fragment(id) => write!(f, "{}{:08x}", Self::FRAGMENTS, id.0), // fixed width: text order is number order
            Self::Node(name) => write!(f, "{}{name}", Self::NODES),
            Self::Alive(name) => write!(f, "{}{name}", Self::ALIVE),
            Self::Ids => f.write_str(Self::IDS),
            Self::Origin => f.write_str(Self::ORIGIN),
            Self::Moved => f.write_str(Self::MOVED),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_text_and_nothing_else_is_one() {
        let name = || "n1".parse::<NodeName>().expect("a good name");
        for key in [
            Key::Fragment(FragmentId(7)),
            Key::Fragment(FragmentId(u32::MAX)),
            Key::Node(name()),
            Key::Alive(name()),
            Key::Ids,
            Key::Origin,
            Key::Moved,
        ] {
            assert_eq!(Key::parse(&key.to_string()), Some(key));
        }
        for text in
            ["", "fragment/", "fragment/7", "fragment/0000000G", "fragment/0000000A", "fragment/+0000007", "node/", "node/A", "x/n1"]
        {
            assert_eq!(Key::parse(text), None, "{text}");
        }
    }
}
