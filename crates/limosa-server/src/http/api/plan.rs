//! What a transfer would do, or is doing, and why.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a range is brought up to date, cheapest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Digests are equal.
    Nothing,
    /// The exact recent commits.
    Tail,
    /// The latest value of each key changed since a common version.
    Delta,
    /// Compare by content, then send what differs.
    Reconcile,
    /// Everything, into an empty range.
    Copy,
}

impl Method {
    /// Every method, cheapest first.
    pub const ALL: [Self; 5] = [Self::Nothing, Self::Tail, Self::Delta, Self::Reconcile, Self::Copy];

    /// The word that plans, reports and metrics use.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Tail => "tail",
            Self::Delta => "delta",
            Self::Reconcile => "reconcile",
            Self::Copy => "copy",
        }
    }

    /// The method whose word is `word`.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.word() == word)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// A method that was not chosen.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Alternative {
    /// Which.
    pub method: Method,
    /// What it would move, both directions; none when it can't be used.
    pub bytes: Option<u64>,
    /// Why not, in one sentence.
    pub why_not: String,
}

/// How one fragment is brought up to date.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PlanItem {
    /// Which fragment.
    pub fragment: u32,
    /// How.
    pub method: Method,
    /// Estimated entries to send.
    pub entries: u64,
    /// Estimated bytes to move, both directions.
    pub bytes: u64,
    /// Why this method, in one sentence.
    pub reason: String,
    /// The others.
    pub alternatives: Vec<Alternative>,
}

/// The newest plan made for one standby.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// The standby.
    pub peer: String,
    /// The session that it was made for: random, hexadecimal.
    pub session: Option<String>,
    /// Fragments that need something; empty when nothing does.
    pub items: Vec<PlanItem>,
}

impl Plan {
    /// Estimated bytes of all items.
    pub fn bytes(&self) -> u64 {
        self.items.iter().map(|item| item.bytes).sum()
    }

    /// Estimated entries of all items.
    pub fn entries(&self) -> u64 {
        self.items.iter().map(|item| item.entries).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_has_one_word_everywhere() {
        for method in Method::ALL {
            assert_eq!(serde_json::to_value(method).expect("a string"), method.word());
            assert_eq!(Method::from_word(method.word()), Some(method));
        }
    }
}
