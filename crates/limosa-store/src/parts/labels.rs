//! Labels that give parts their order: wide gaps, so that an insert finds room between its neighbours.

/// Distance between the labels of a fresh value: room for 32 halvings.
const STEP: u64 = 1 << 32;
/// First label of a fresh value: room for inserts at the front.
const FIRST: u64 = 1 << 60;

/// First label of what is put in front of a value that arrived before it: room for as many parts as the longest value has.
const FRONT: u64 = 1 << 56;

/// Labels in order, for parts whose number is not known yet.
#[derive(Clone, Debug)]
pub(crate) struct Ascending(u64);

impl Ascending {
    /// Those of a fresh generation.
    pub(crate) fn fresh() -> Self {
        Self(FIRST)
    }

    /// Those in front of a fresh generation.
    pub(crate) fn front() -> Self {
        Self(FRONT)
    }

    /// The next label. A value has too few parts to come near the end.
    pub(crate) fn next(&mut self) -> u64 {
        let label = self.0;
        self.0 += STEP;
        label
    }
}

/// Labels for `count` parts of a fresh generation.
pub(super) fn fresh(count: usize) -> Vec<u64> {
    (0..count as u64).map(|i| FIRST + i * STEP).collect()
}

/// `count` ascending labels strictly between the neighbours, evenly spread; `None` when they have no room.
/// No left neighbour means the front, no right one the end.
pub(crate) fn between(left: Option<u64>, right: Option<u64>, count: usize) -> Option<Vec<u64>> {
    let count = count as u64;
    let low = left.unwrap_or(0);
    let high = match right {
        Some(right) => right,
        // appended parts keep the distance of fresh ones, so that appending again and again never runs out of room
        None => low.saturating_add(STEP.checked_mul(count + 1)?),
    };
    let gap = high.checked_sub(low)? / (count + 1);
    (gap > 0).then(|| (1..=count).map(|i| low + i * gap).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_lie_strictly_between_their_neighbours() {
        for (left, right, count) in [(Some(10), Some(20), 9), (None, Some(5), 4), (Some(FIRST), None, 100), (None, None, 3)] {
            let labels = between(left, right, count).expect("there is room");
            assert_eq!(labels.len(), count);
            assert!(labels.windows(2).all(|pair| pair[0] < pair[1]));
            assert!(labels.iter().all(|&l| left.is_none_or(|left| l > left) && right.is_none_or(|right| l < right)));
        }
    }

    #[test]
    fn no_room_is_said_so() {
        assert_eq!(between(Some(10), Some(20), 10), None);
        assert_eq!(between(Some(10), Some(11), 1), None);
        assert_eq!(between(Some(u64::MAX), None, 1), None);
    }

    #[test]
    fn labels_of_the_longest_value_fit_in_front_and_behind() {
        let most = limosa_core::limits::USER_VALUE_BYTES_MAX / limosa_core::limits::PART_BYTES.0;
        assert!(FIRST.checked_add(2 * most as u64 * STEP).is_some());
        assert!(FRONT + most as u64 * STEP < FIRST);
    }
}
