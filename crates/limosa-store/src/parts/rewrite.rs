//! What must be written so that the parts of an old value become those of a new one: as few parts as possible.

use std::collections::HashMap;

use super::cut::Piece;
use super::labels;

/// A part as it is stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OldPart<'a> {
    /// Its label.
    pub(crate) label: u64,
    /// Its bytes.
    pub(crate) bytes: &'a [u8],
}

/// The choice, for the caller to carry out.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Rewrite {
    /// In the same generation.
    Edit {
        /// (label, index of the new piece) to write.
        puts: Vec<(u64, usize)>,
        /// Labels to delete.
        removes: Vec<u64>,
    },
    /// Labels had no room: all pieces in a fresh generation, under these labels.
    Fresh {
        /// One label for each piece.
        labels: Vec<u64>,
    },
}

/// Chooses how `old` becomes `new`. Pieces that stay keep their labels; a changed piece takes the label of one that goes, where
/// there is one between the same neighbours; others are labelled between their neighbours.
pub(crate) fn rewrite(old: &[OldPart<'_>], new: &[Piece<'_>]) -> Rewrite {
    edit(old, new).unwrap_or_else(|| Rewrite::Fresh { labels: labels::fresh(new.len()) })
}

fn edit(old: &[OldPart<'_>], new: &[Piece<'_>]) -> Option<Rewrite> {
    if old.is_empty() {
        return None;
    }
    let (mut puts, mut removes) = (Vec::new(), Vec::new());
    let (mut old_at, mut new_at) = (0, 0);
    for (old_next, new_next) in kept(old, new).into_iter().chain([(old.len(), new.len())]) {
        let run = Run { old, gone: old_at..old_next, fresh: new_at..new_next };
        run.label(&mut puts, &mut removes)?;
        (old_at, new_at) = (old_next + 1, new_next + 1);
    }
    Some(Rewrite::Edit { puts, removes })
}

/// The stretch between two kept parts: old parts that go and new pieces that come.
struct Run<'a> {
    old: &'a [OldPart<'a>],
    gone: std::ops::Range<usize>,
    fresh: std::ops::Range<usize>,
}

impl Run<'_> {
    fn label(self, puts: &mut Vec<(u64, usize)>, removes: &mut Vec<u64>) -> Option<()> {
        let reused = self.gone.len().min(self.fresh.len());
        let reused_labels = self.old[self.gone.start..self.gone.start + reused].iter().map(|part| part.label);
        puts.extend(reused_labels.zip(self.fresh.clone()));
        removes.extend(self.old[self.gone.start + reused..self.gone.end].iter().map(|part| part.label));
        let rest = self.fresh.start + reused..self.fresh.end;
        if rest.is_empty() {
            return Some(());
        }
        // every old label of the run is reused here, so the left neighbour is the part before the run's end
        let left = self.gone.end.checked_sub(1).map(|i| self.old[i].label);
        let right = self.old.get(self.gone.end).map(|part| part.label);
        puts.extend(labels::between(left, right, rest.len())?.into_iter().zip(rest));
        Some(())
    }
}

/// Pairs (old index, new index) of equal content, both ascending, as many as the greedy match and the longest increasing run give.
fn kept(old: &[OldPart<'_>], new: &[Piece<'_>]) -> Vec<(usize, usize)> {
    let mut places: HashMap<&[u8], std::collections::VecDeque<usize>> = HashMap::new();
    for (index, part) in old.iter().enumerate() {
        places.entry(part.bytes).or_default().push_back(index);
    }
    let matches: Vec<(usize, usize)> =
        new.iter().enumerate().filter_map(|(n, piece)| Some((places.get_mut(piece)?.pop_front()?, n))).collect();
    longest_increasing(&matches)
}

/// The longest run of pairs whose old indices ascend (patience sorting); new indices ascend already.
fn longest_increasing(matches: &[(usize, usize)]) -> Vec<(usize, usize)> {
    let mut tails: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(matches.len());
    for (at, &(old, _)) in matches.iter().enumerate() {
        let length = tails.partition_point(|&tail| matches[tail].0 < old);
        before.push(length.checked_sub(1).map(|i| tails[i]));
        if length == tails.len() {
            tails.push(at);
        } else {
            tails[length] = at;
        }
    }
    let mut run = Vec::with_capacity(tails.len());
    let mut at = tails.last().copied();
    while let Some(index) = at {
        run.push(matches[index]);
        at = before[index];
    }
    run.reverse();
    run
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::parts::cut;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Deterministic noise (splitmix64): data that no chunker likes better than other data.
    pub(crate) fn random_bytes(seed: u64, len: usize) -> Vec<u8> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB)
        };
        (0..len.div_ceil(8)).flat_map(|_| next().to_le_bytes()).take(len).collect()
    }

    type Stored = BTreeMap<u64, Vec<u8>>;

    fn apply(stored: &Stored, new: &[Piece<'_>]) -> (Stored, usize) {
        let old: Vec<_> = stored.iter().map(|(&label, bytes)| OldPart { label, bytes }).collect();
        match rewrite(&old, new) {
            Rewrite::Fresh { labels } => (labels.into_iter().zip(new).map(|(l, p)| (l, p.to_vec())).collect(), new.len()),
            Rewrite::Edit { puts, removes } => {
                let mut after = stored.clone();
                for label in &removes {
                    assert!(after.remove(label).is_some(), "only what is there is removed");
                }
                for &(label, piece) in &puts {
                    after.insert(label, new[piece].to_vec());
                }
                (after, puts.len() + removes.len())
            }
        }
    }

    fn joined(stored: &Stored) -> Vec<u8> {
        stored.values().flatten().copied().collect()
    }

    #[test]
    fn fifty_bytes_overwritten_or_inserted_rewrite_two_or_three_parts() {
        let value = random_bytes(1, 1 << 20);
        let (stored, _) = apply(&Stored::new(), &cut(&value));
        assert_eq!(joined(&stored), value);
        for at in [0, 1, 300_000, 700_123, value.len() - 50] {
            let mut over = value.clone();
            over[at..at + 50].copy_from_slice(&random_bytes(9, 50));
            let (after, changed) = apply(&stored, &cut(&over));
            assert_eq!(joined(&after), over);
            assert!(changed <= 4, "overwrite at {at}: {changed}");
            let mut inserted = value.clone();
            inserted.splice(at..at, random_bytes(10, 50));
            let (after, changed) = apply(&stored, &cut(&inserted));
            assert_eq!(joined(&after), inserted);
            assert!(changed <= 4, "insert at {at}: {changed}");
        }
    }

    #[test]
    fn inserting_at_the_same_place_again_and_again_never_loses_order() {
        let mut value = random_bytes(2, 100_000);
        let (mut stored, _) = apply(&Stored::new(), &cut(&value));
        for i in 0..300 {
            value.splice(50_000..50_000, random_bytes(100 + i, 3_000));
            stored = apply(&stored, &cut(&value)).0;
            assert_eq!(joined(&stored), value, "insert {i}");
        }
    }

    proptest! {
        #[test]
        fn any_sequence_of_pieces_becomes_any_other(old in proptest::collection::vec(0u8..6, 0..20), new in proptest::collection::vec(0u8..6, 1..20)) {
            let piece = |b: &u8| vec![*b; 1 + usize::from(*b)];
            let old: Vec<_> = old.iter().map(piece).collect();
            let new: Vec<_> = new.iter().map(piece).collect();
            let stored: Stored = old.into_iter().enumerate().map(|(i, p)| (i as u64 * 3, p)).collect();
            let pieces: Vec<&[u8]> = new.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(joined(&apply(&stored, &pieces).0), new.concat());
        }
    }
}
