//! The causal token: for each fragment the newest version that a client has seen, as text that it may show to any node.
//!
//! ```text
//! l1:0.3.128,5.2.77        fragment.epoch.seq, in the order of fragments
//! ```
//! A node that holds every fragment at or above these versions answers nothing that is older than what the client knows.

use std::fmt::{self, Write as _};

use limosa_core::{FragmentId, Version};

use super::super::error::CommandError;

/// Most fragments of one token.
const FRAGMENTS_MAX: usize = 16_384;
const MARK: &str = "l1:";

/// Versions of fragments, by fragment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Token(Vec<(FragmentId, Version)>);

impl Token {
    /// Notes that `fragment` was seen at `version`.
    pub(crate) fn see(&mut self, fragment: FragmentId, version: Version) {
        match self.0.binary_search_by_key(&fragment, |(id, _)| *id) {
            Ok(at) => self.0[at].1 = self.0[at].1.max(version),
            Err(at) => self.0.insert(at, (fragment, version)),
        }
    }

    /// Notes everything that `other` has seen.
    pub(crate) fn see_all(&mut self, other: &Self) {
        other.0.iter().for_each(|(fragment, version)| self.see(*fragment, *version));
    }

    /// At which version `fragment` was seen.
    pub(crate) fn of(&self, fragment: FragmentId) -> Option<Version> {
        self.0.binary_search_by_key(&fragment, |(id, _)| *id).ok().map(|at| self.0[at].1)
    }

    /// What was seen, by fragment.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (FragmentId, Version)> {
        self.0.iter().copied()
    }

    /// Reads the text of one.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, CommandError> {
        let invalid = || CommandError::text("ERR invalid token: LIMOSA.TOKEN answers with valid ones");
        let text = std::str::from_utf8(bytes).ok().and_then(|text| text.strip_prefix(MARK)).ok_or_else(invalid)?;
        let mut token = Self::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let mut numbers = part.split('.');
            let mut next = || numbers.next().filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
            let fragment = next().and_then(|digits| digits.parse().ok()).ok_or_else(invalid)?;
            let epoch = next().and_then(|digits| digits.parse().ok()).ok_or_else(invalid)?;
            let seq = next().and_then(|digits| digits.parse().ok()).ok_or_else(invalid)?;
            let is_in_order = token.0.last().is_none_or(|(last, _)| last.0 < fragment);
            if numbers.next().is_some() || !is_in_order || token.0.len() == FRAGMENTS_MAX {
                return Err(invalid());
            }
            token.0.push((FragmentId(fragment), Version::new(epoch, seq)));
        }
        Ok(token)
    }
}

impl FromIterator<(FragmentId, Version)> for Token {
    fn from_iter<T: IntoIterator<Item = (FragmentId, Version)>>(versions: T) -> Self {
        let mut token = Self::default();
        versions.into_iter().for_each(|(fragment, version)| token.see(fragment, version));
        token
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MARK)?;
        for (index, (fragment, version)) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_char(',')?;
            }
            write!(f, "{}.{}.{}", fragment.0, version.epoch, version.seq)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_token_comes_back_from_its_text(seen in proptest::collection::vec((0u32..9, 0u32..3, any::<u64>()), 0..12)) {
            let token: Token = seen.iter().map(|&(f, epoch, seq)| (FragmentId(f), Version::new(epoch, seq))).collect();
            prop_assert_eq!(Token::parse(token.to_string().as_bytes()), Ok(token.clone()));
            for (f, epoch, seq) in seen {
                prop_assert!(token.of(FragmentId(f)).is_some_and(|version| version >= Version::new(epoch, seq)));
            }
        }

        #[test]
        fn hostile_text_is_refused_not_panicked_on(text in "l?1?:?[0-9.,x-]{0,20}") {
            if let Ok(token) = Token::parse(text.as_bytes()) {
                prop_assert!(Token::parse(token.to_string().as_bytes()).is_ok());
            }
        }
    }

    #[test]
    fn what_is_no_token_is_refused() {
        for text in
            ["", "l2:", "0.1.1", "l1:1.1", "l1:1.1.1.1", "l1:2.1.1,1.1.1", "l1:1.1.1,1.1.1", "l1:1.-1.1", "l1:1.1.+1", "l1:4294967296.1.1"]
        {
            assert!(Token::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert_eq!(Token::parse(b"l1:"), Ok(Token::default()));
    }
}
