//! A snapshot as a node of a cluster shows it: only the slots that it serves, not those that it follows or has given away.

use std::ops::{ControlFlow, RangeInclusive};

use limosa_core::slot::{SLOTS, slot_of};
use limosa_core::{Expiry, FragmentId, Version};

use super::super::error::KeyspaceError;
use super::super::keyspace::{Published, Visit};
use super::picture::Picture;

/// How often a random key is thrown back that this node does not serve, before the first key of a served slot does.
const RANDOM_TRIES: u64 = 64;

/// What this node serves of a snapshot.
pub(crate) struct Own<'a> {
    /// All that it holds.
    pub(crate) held: &'a dyn Published,
    /// What of it is served.
    pub(crate) picture: &'a Picture,
}

impl Published for Own<'_> {
    fn key_count(&self) -> u64 {
        self.key_count_in(0..=SLOTS - 1).unwrap_or_default()
    }

    fn key_count_in(&self, slots: RangeInclusive<u16>) -> Result<u64, KeyspaceError> {
        self.served_in(&slots).map(|own| self.held.key_count_in(own)).sum()
    }

    fn each_key(&self, slots: RangeInclusive<u16>, visit: &mut Visit<'_>) -> Result<(), KeyspaceError> {
        let mut flow = ControlFlow::Continue(());
        for own in self.served_in(&slots) {
            self.held.each_key(own, &mut |scanned| {
                flow = visit(scanned);
                flow
            })?;
            if flow.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn versions(&self) -> Vec<(FragmentId, Version)> {
        self.held.versions()
    }

    fn random_key(&self, random: u64) -> Result<Option<(Vec<u8>, Expiry)>, KeyspaceError> {
        for attempt in 0..RANDOM_TRIES {
            let Some((key, expiry)) = self.held.random_key(random.rotate_left(u32::try_from(attempt).unwrap_or(0)))? else { break };
            let slot = slot_of(&key);
            if self.picture.served().any(|own| own.contains(&slot)) {
                return Ok(Some((key, expiry)));
            }
        }
        let mut first = None;
        self.each_key(0..=SLOTS - 1, &mut |scanned| {
            first = Some((scanned.key.to_vec(), scanned.expiry));
            ControlFlow::Break(())
        })?;
        Ok(first)
    }
}

impl Own<'_> {
    fn served_in(&self, slots: &RangeInclusive<u16>) -> impl Iterator<Item = RangeInclusive<u16>> {
        let (first, last) = (*slots.start(), *slots.end());
        self.picture.served().map(move |own| first.max(*own.start())..=last.min(*own.end())).filter(|own| !own.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::keyspace::{Backend, Keyspace};
    use super::super::super::memory::Memory;
    use super::super::scripted::Script;
    use super::super::seam::Cluster;
    use super::*;

    #[test]
    fn only_served_slots_are_counted_walked_and_drawn() {
        let memory = Memory::default();
        let mut head = memory.begin(true);
        (0..500).for_each(|i| head.set(format!("key:{i}").as_bytes(), b"", Expiry::NEVER).expect("memory does not fail"));
        head.commit();
        drop(head);
        memory.flush().expect("memory does not fail");
        let (script, cut) = (Script::new(&[("one", 1), ("two", 2), ("three", 3)], 7), memory.cut());
        let mut all = 0;
        for node in 0..3 {
            let picture = script.node(node).pictures().borrow().clone().expect("a cluster");
            let own = Own { held: &cut, picture: &picture };
            let mut walked = 0;
            own.each_key(0..=SLOTS - 1, &mut |scanned| {
                assert!(picture.served().any(|slots| slots.contains(&scanned.slot)));
                walked += 1;
                ControlFlow::Continue(())
            })
            .expect("memory does not fail");
            assert_eq!(walked, own.key_count());
            for random in 0..100u64 {
                let (key, _) = own.random_key(random.wrapping_mul(0x9E37_79B9_7F4A_7C15)).expect("memory").expect("there are keys");
                assert!(picture.served().any(|slots| slots.contains(&slot_of(&key))));
            }
            all += walked;
        }
        assert_eq!(all, 500);
    }
}
