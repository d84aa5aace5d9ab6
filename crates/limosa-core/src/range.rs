//! Ranges of stored keys.

use bytes::Bytes;
use std::fmt;

use crate::version::Version;

/// Stored keys from `start` up to but not including `end`; no end means unbounded.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct KeyRange {
    /// First key inside. Empty: from the beginning.
    pub start: Bytes,
    /// First key behind the range.
    pub end: Option<Bytes>,
}

impl KeyRange {
    /// Every key.
    pub const ALL: Self = Self { start: Bytes::new(), end: None };

    /// `start..end`.
    pub fn new(start: impl Into<Bytes>, end: Option<Bytes>) -> Self {
        Self { start: start.into(), end }
    }

    /// Whether `key` lies inside.
    pub fn contains(&self, key: &[u8]) -> bool {
        key >= &self.start[..] && self.end.as_ref().is_none_or(|end| key < &end[..])
    }

    /// The keys below `at` and the others; `at` lies behind the start and before the end.
    ///
    /// # Panics
    /// If one of the two would be empty.
    pub fn split(&self, at: &Bytes) -> (Self, Self) {
        assert!(*at > self.start && self.contains(at), "{at:?} does not part {self:?}");
        (Self { start: self.start.clone(), end: Some(at.clone()) }, Self { start: at.clone(), end: self.end.clone() })
    }

    /// Whether no key can lie inside.
    pub fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(|end| *end <= self.start)
    }

    /// Whether all of `other` lies inside.
    pub fn covers(&self, other: &Self) -> bool {
        other.start >= self.start && end_not_after(other.end.as_ref(), self.end.as_ref())
    }

    /// What both ranges hold; `None` when nothing.
    pub fn intersect(&self, other: &Self) -> Option<Self> {
        let start = self.start.clone().max(other.start.clone());
        let end = if end_not_after(self.end.as_ref(), other.end.as_ref()) { self.end.clone() } else { other.end.clone() };
        let both = Self { start, end };
        (!both.is_empty()).then_some(both)
    }
}

/// Whether range end `a` lies at or before range end `b`, `None` being behind everything.
pub fn end_not_after(a: Option<&Bytes>, b: Option<&Bytes>) -> bool {
    match (a, b) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(a), Some(b)) => a <= b,
    }
}

impl fmt::Debug for KeyRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{:?}..", self.start)?;
        match &self.end {
            Some(end) => write!(f, "{end:?})"),
            None => write!(f, ")"),
        }
    }
}

/// Deletes every entry of `range` whose version is below `version`, and refuses such an entry later.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RangeDelete {
    /// Where.
    pub range: KeyRange,
    /// Entries below this version are gone.
    pub version: Version,
}
