//! The items of one node, with what searches and walks look at in arrays of its own: an item is read only when it is the one.

use std::ops::Deref;

use limosa_core::Version;

use super::Labelled;
use super::starts::Starts;
use crate::summary::Summary;

/// Items in key order. Reading goes through the slice; what changes an item's label goes through the methods.
#[derive(Clone)]
pub(super) struct Run<T> {
    starts: Starts,
    /// Each item's newest version, packed.
    versions: Vec<u64>,
    items: Vec<T>,
}

impl<T> Deref for Run<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.items
    }
}

impl<T: Labelled> Run<T> {
    pub(super) fn new(items: Vec<T>) -> Self {
        let versions = items.iter().map(|item| pack(item.summary().max_version())).collect();
        Self { starts: Starts::new(&items), versions, items }
    }

    /// The last item that starts at or before `key`.
    pub(super) fn position(&self, key: &[u8]) -> Option<usize> {
        self.starts.count(&self.items, key, true).checked_sub(1)
    }

    /// How many items start before `key`.
    pub(super) fn count_before(&self, key: &[u8]) -> usize {
        self.starts.count(&self.items, key, false)
    }

    /// Whether item `i` may hold something newer than `since`.
    pub(super) fn is_newer(&self, i: usize, since: Version) -> bool {
        let (own, since_packed) = (self.versions[i], pack(since));
        own > since_packed || (own == since_packed && self.items[i].summary().max_version() > since)
    }

    /// The sum of all items.
    pub(super) fn sum(&self) -> Summary {
        self.items.iter().fold(Summary::EMPTY, |mut sum, item| {
            sum.add(item.summary());
            sum
        })
    }

    /// Changes item `i`, which keeps its first key, and brings `sum` over all items up to date.
    pub(super) fn change<R>(&mut self, i: usize, sum: &mut Summary, f: impl FnOnce(&mut T) -> R) -> R {
        let old = *self.items[i].summary();
        let result = f(&mut self.items[i]);
        let new = self.items[i].summary();
        self.versions[i] = pack(new.max_version());
        if i == 0 {
            sum.set_first_live(new.first_live());
        }
        if sum.exchange(&old, new) {
            sum.min_expiry = self.sum().min_expiry;
        }
        result
    }

    /// Changes item `i`, whose first key may become another one between its neighbours'.
    pub(super) fn relabel(&mut self, i: usize, f: impl FnOnce(&mut T)) {
        let old = self.items[i].first_key().clone();
        f(&mut self.items[i]);
        self.versions[i] = pack(self.items[i].summary().max_version());
        if old != *self.items[i].first_key() {
            self.starts = Starts::new(&self.items);
        }
    }

    /// Puts `item` in the place of item `i`, which has the same first key.
    pub(super) fn replace(&mut self, i: usize, item: T) {
        debug_assert_eq!(self.items[i].first_key(), item.first_key());
        self.versions[i] = pack(item.summary().max_version());
        self.items[i] = item;
    }

    /// Puts `item` in front of item `i`.
    pub(super) fn insert(&mut self, i: usize, item: T) {
        if self.items.len() == self.items.capacity() {
            self.items.reserve_exact(4);
            self.versions.reserve_exact(4);
        }
        self.versions.insert(i, pack(item.summary().max_version()));
        self.items.insert(i, item);
        self.starts.insert(i, &self.items);
    }

    /// Takes item `i` out.
    pub(super) fn remove(&mut self, i: usize) {
        self.starts.remove(i);
        self.versions.remove(i);
        self.items.remove(i);
    }

    /// For changes that leave first keys and summaries as they are.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.items.iter_mut()
    }

    pub(super) fn into_items(self) -> Vec<T> {
        self.items
    }
}

/// Sixteen bits of the epoch, 48 of the seq. Order is kept; epochs that do not fit are all equal, and so are seqs: then summaries tell.
fn pack(version: Version) -> u64 {
    const SEQ_BITS: u32 = 48;
    match u16::try_from(version.epoch) {
        Ok(epoch) if epoch < u16::MAX => u64::from(epoch) << SEQ_BITS | version.seq.min((1 << SEQ_BITS) - 1),
        _ => u64::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_never_turns_the_order_of_versions_around() {
        let numbers = [0, 1, 0xFFFE, 0xFFFF, 0x1_0000, (1 << 48) - 1, 1 << 48, u64::MAX];
        let epochs = numbers.into_iter().filter_map(|n| u32::try_from(n).ok());
        let mut versions: Vec<Version> = epochs.flat_map(|epoch| numbers.map(|seq| Version::new(epoch, seq))).collect();
        versions.sort();
        assert!(versions.windows(2).all(|pair| pack(pair[0]) <= pack(pair[1])));
    }
}
