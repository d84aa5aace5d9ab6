//! Who wrote which part of a fragment's history: the rows by which two histories find where they part.

use crate::planted::{self, Bug};
use crate::version::Version;

/// One opening of an epoch: an owner began to write at `first_seq`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct EpochRow {
    /// The epoch.
    pub epoch: u32,
    /// The first seq that this epoch can give: one behind the cut.
    pub first_seq: u64,
    /// Random: tells apart two owners that opened the same epoch without knowing of each other.
    pub opener: u64,
}

/// The rows of one history, epochs and first seqs ascending. Empty: nothing is known of how the state came about.
///
/// # Invariants
/// - Epochs grow strictly and first seqs never fall: checked in [`EpochTable::open`] and [`EpochTable::from_rows`].
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct EpochTable {
    rows: Vec<EpochRow>,
}

impl EpochTable {
    /// A table of rows that came from a file or a peer; `None` when they are out of order.
    pub fn from_rows(rows: Vec<EpochRow>) -> Option<Self> {
        let ascending = rows.windows(2).all(|pair| pair[0].epoch < pair[1].epoch && pair[0].first_seq <= pair[1].first_seq);
        let valid = rows.first().is_none_or(|row| row.epoch > 0 && row.first_seq > 0);
        (ascending && valid).then_some(Self { rows })
    }

    /// All rows, oldest first.
    pub fn rows(&self) -> &[EpochRow] {
        &self.rows
    }

    /// The newest epoch; 0 when there is none.
    pub fn epoch(&self) -> u32 {
        self.rows.last().map_or(0, |row| row.epoch)
    }

    /// Opens `epoch` behind `head`: the next write has seq `head.seq` + 1.
    ///
    /// # Panics
    /// If `epoch` is not above the newest one: a fence would be broken.
    pub fn open(&mut self, epoch: u32, head: Version, opener: u64) {
        assert!(epoch > self.epoch() && epoch > head.epoch, "epoch {epoch} is not above {} and {head}", self.epoch());
        let first_seq = head.seq + 1;
        assert!(self.rows.last().is_none_or(|row| row.first_seq <= first_seq), "first seqs never fall");
        self.rows.push(EpochRow { epoch, first_seq, opener });
    }

    /// Whether `other`'s rows could stand behind these: one look at where they meet, however many there are.
    pub(crate) fn is_followed_by(&self, other: &Self) -> bool {
        let (Some(last), Some(next)) = (self.rows.last(), other.rows.first()) else { return true };
        last.epoch < next.epoch && last.first_seq <= next.first_seq
    }

    /// Adds rows behind these: a replay adds thousands, one by one, and must not copy those that are there.
    pub(crate) fn extend(&mut self, other: &Self) {
        assert!(self.is_followed_by(other), "looked at by the caller");
        self.rows.extend_from_slice(&other.rows);
    }

    /// Whether `version` was, or could still be, given by this history. [`Version::ZERO`] always was.
    pub fn contains(&self, version: Version) -> bool {
        if version.is_zero() {
            return true;
        }
        if planted::has(Bug::CompareSeqOnly) {
            return self.rows.iter().any(|row| row.first_seq <= version.seq);
        }
        let Some(index) = self.rows.iter().position(|row| row.epoch == version.epoch) else { return false };
        let end = self.rows.get(index + 1).map_or(u64::MAX, |next| next.first_seq - 1);
        (self.rows[index].first_seq..=end).contains(&version.seq)
    }

    /// The newest version that a history with table `other` and head `other_head` has in common with this one and its `head`.
    /// [`Version::ZERO`] when they share nothing, or when either table is empty. A row that gave nothing before the next one began sets no
    /// histories apart: its opener was replaced before it wrote, and what it then took of the next owner follows its own row.
    pub fn common_point(&self, head: Version, other: &Self, other_head: Version) -> Version {
        self.giving().common_of(head, &other.giving(), other_head)
    }

    /// Without the rows that gave nothing before the next one began.
    pub fn giving(&self) -> Self {
        let gave = |(at, row): &(usize, &EpochRow)| self.rows.get(at + 1).is_none_or(|next| next.first_seq > row.first_seq);
        Self { rows: self.rows.iter().enumerate().filter(gave).map(|(_, row)| *row).collect() }
    }

    fn common_of(&self, head: Version, other: &Self, other_head: Version) -> Version {
        let shared = self.rows.iter().zip(&other.rows).take_while(|(a, b)| a == b).count();
        let Some(last) = shared.checked_sub(1).map(|i| self.rows[i]) else { return Version::ZERO };
        let seq = self.end_seq(shared, head).min(other.end_seq(shared, other_head));
        self.version_at(shared, seq, last)
    }

    /// Last seq that the first `shared` rows gave, as far as `head` reached.
    fn end_seq(&self, shared: usize, head: Version) -> u64 {
        self.rows.get(shared).map_or(head.seq, |next| (next.first_seq - 1).min(head.seq))
    }

    /// The version with `seq` among the first `shared` rows: rows that gave nothing are passed over.
    fn version_at(&self, shared: usize, seq: u64, last: EpochRow) -> Version {
        if seq >= last.first_seq {
            return Version::new(last.epoch, seq);
        }
        let row = self.rows[..shared].iter().rev().find(|row| row.first_seq <= seq);
        row.map_or(Version::ZERO, |row| Version::new(row.epoch, seq))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[(u32, u64, u64)]) -> EpochTable {
        EpochTable::from_rows(rows.iter().map(|&(epoch, first_seq, opener)| EpochRow { epoch, first_seq, opener }).collect())
            .expect("in order")
    }

    #[test]
    fn common_points() {
        let v = Version::new;
        let cases = [
            // (ours, head, theirs, head, common)
            (table(&[(1, 1, 9)]), v(1, 50), table(&[(1, 1, 9)]), v(1, 40), v(1, 40)),
            (table(&[(1, 1, 9), (2, 51, 8)]), v(2, 60), table(&[(1, 1, 9)]), v(1, 40), v(1, 40)),
            // they streamed 51..55 of epoch 1, which we lost: the cut of epoch 1 is 50
            (table(&[(1, 1, 9), (2, 51, 8)]), v(2, 60), table(&[(1, 1, 9)]), v(1, 55), v(1, 50)),
            // same epoch, other opener: part at the cut
            (table(&[(1, 1, 9), (2, 51, 8)]), v(2, 60), table(&[(1, 1, 9), (2, 41, 7)]), v(2, 70), v(1, 40)),
            // a row that gave nothing
            (table(&[(1, 1, 9), (2, 51, 8), (3, 51, 6)]), v(1, 50), table(&[(1, 1, 9), (2, 51, 8)]), v(1, 50), v(1, 50)),
            // an owner that was replaced before it wrote, and then followed its successor
            (table(&[(1, 1, 9), (2, 51, 7), (3, 51, 8)]), v(3, 60), table(&[(1, 1, 9), (3, 51, 8)]), v(3, 70), v(3, 60)),
            // what one end says gave nothing gave something at the other
            (table(&[(1, 1, 9), (2, 51, 7), (3, 51, 8)]), v(3, 60), table(&[(1, 1, 9), (2, 51, 7), (3, 56, 8)]), v(3, 70), v(1, 50)),
            (table(&[(1, 1, 9), (2, 51, 7), (3, 51, 8)]), v(3, 60), table(&[(1, 1, 9), (2, 51, 7)]), v(2, 60), v(1, 50)),
            (table(&[(1, 1, 9)]), v(1, 50), table(&[(1, 1, 5)]), v(1, 50), Version::ZERO),
            (table(&[]), v(1, 50), table(&[(1, 1, 9)]), v(1, 50), Version::ZERO),
        ];
        for (ours, head, theirs, their_head, common) in cases {
            assert_eq!(ours.common_point(head, &theirs, their_head), common, "{ours:?} {theirs:?}");
            assert_eq!(theirs.common_point(their_head, &ours, head), common, "the other way round");
            assert!(common.is_zero() || ours.contains(common) && theirs.contains(common));
        }
    }

    #[test]
    fn a_version_behind_the_cut_is_not_in_the_history() {
        let history = table(&[(1, 1, 9), (2, 51, 8)]);
        assert!(history.contains(Version::new(1, 50)));
        assert!(!history.contains(Version::new(1, 51)));
        assert!(history.contains(Version::new(2, 51)));
        assert!(!history.contains(Version::new(2, 50)));
        assert!(!history.contains(Version::new(3, 51)));
    }

    #[test]
    fn rows_out_of_order_are_refused() {
        let row = |epoch, first_seq| EpochRow { epoch, first_seq, opener: 1 };
        assert!(EpochTable::from_rows(vec![row(2, 1), row(1, 2)]).is_none());
        assert!(EpochTable::from_rows(vec![row(1, 5), row(2, 4)]).is_none());
        assert!(EpochTable::from_rows(vec![row(0, 1)]).is_none());
    }
}
