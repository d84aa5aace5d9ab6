//! Which fragments a call, a session or a tail is about.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::fragment::FragmentId;

/// A set of fragments. All of them is the usual one, and costs nothing to ask.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Scope {
    /// Every fragment, those that splits and merges make later included.
    #[default]
    All,
    /// These.
    Only(Arc<BTreeSet<FragmentId>>),
}

impl Scope {
    /// Exactly these fragments; none is possible.
    pub fn only(fragments: impl IntoIterator<Item = FragmentId>) -> Self {
        Self::Only(Arc::new(fragments.into_iter().collect()))
    }

    /// Whether it is every fragment.
    #[inline]
    pub fn is_all(&self) -> bool {
        matches!(self, Self::All)
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Only(fragments) if fragments.is_empty())
    }

    /// Whether `fragment` is in it.
    #[inline]
    pub fn has(&self, fragment: FragmentId) -> bool {
        match self {
            Self::All => true,
            Self::Only(fragments) => fragments.contains(&fragment),
        }
    }

    /// The fragments by name, ascending; `None` when it is all of them.
    pub fn fragments(&self) -> Option<&BTreeSet<FragmentId>> {
        match self {
            Self::All => None,
            Self::Only(fragments) => Some(fragments),
        }
    }

    /// What is in both.
    #[must_use]
    pub fn intersect(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::All, one) | (one, Self::All) => one.clone(),
            (Self::Only(a), Self::Only(b)) => Self::only(a.intersection(b).copied()),
        }
    }

    /// `fragment` became others: whoever is about it is about them.
    pub fn add(&mut self, fragments: &[FragmentId]) {
        if let Self::Only(own) = self {
            Arc::make_mut(own).extend(fragments);
        }
    }

    /// Takes fragments out. Out of all of them nothing can be taken: name what there is first.
    ///
    /// # Panics
    /// If it is all of them.
    pub fn remove(&mut self, fragments: &[FragmentId]) {
        let Self::Only(own) = self else { panic!("fragments are taken out of a scope that names them") };
        let own = Arc::make_mut(own);
        for fragment in fragments {
            own.remove(fragment);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_has_everything_and_a_set_has_what_it_names() {
        let [a, b] = [FragmentId(1), FragmentId(2)];
        let mut some = Scope::only([a]);
        assert!(Scope::All.has(b) && Scope::default().is_all() && !Scope::All.is_empty());
        assert!(some.has(a) && !some.has(b) && !some.is_all());
        some.add(&[b]);
        assert!(some.has(b));
        some.remove(&[a]);
        assert!(!some.has(a) && some.has(b));
        assert!(!Scope::only([]).has(a) && Scope::only([]).is_empty());
    }

    #[test]
    fn what_is_in_both_is_in_neither_alone() {
        let [a, b, c] = [FragmentId(1), FragmentId(2), FragmentId(3)];
        let (left, right) = (Scope::only([a, b]), Scope::only([b, c]));
        assert_eq!(left.intersect(&right), Scope::only([b]));
        assert_eq!(left.intersect(&Scope::All), left);
        assert_eq!(Scope::All.intersect(&right), right);
    }
}
