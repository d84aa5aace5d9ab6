//! Histories as a true register would leave them, for tests of the checkers: clients overlap, owners change, some outcomes are unknown.

use super::operation::{Operation, Seen, What};
use crate::resp::Random;

/// Keys of one fragment.
const KEYS_A_FRAGMENT: u32 = 4;

/// One operation under way.
struct Pending {
    operation: Operation,
    is_done: bool,
}

/// The register, and who does what with it.
struct World {
    random: Random,
    clock: u64,
    values: Vec<Option<u64>>,
    /// Epoch and seq of each fragment.
    heads: Vec<(u32, u64)>,
    history: Vec<Operation>,
}

/// So many operations, each with its version, by so many clients on so many keys. The same seed makes the same history.
pub(super) fn history(seed: u64, clients: usize, keys: u32, operations: u64) -> Vec<Operation> {
    let fragments = usize::try_from(keys.div_ceil(KEYS_A_FRAGMENT)).expect("small");
    let values = vec![None; usize::try_from(keys).expect("small")];
    let mut world = World { random: Random(seed), clock: 0, values, heads: vec![(1, 0); fragments], history: Vec::new() };
    let mut pending: Vec<Option<Pending>> = (0..clients).map(|_| None).collect();
    let mut begun = 0;
    while begun < operations || pending.iter().any(Option::is_some) {
        world.clock += 1;
        let client = usize::try_from(world.random.next() % clients as u64).expect("small");
        pending[client] = match pending[client].take() {
            None if begun < operations => {
                begun += 1;
                Some(world.begin(begun, keys))
            }
            None => None,
            Some(under_way) => world.go_on(under_way),
        };
        if world.random.next().is_multiple_of(500) {
            let fragment = usize::try_from(world.random.next() % world.heads.len() as u64).expect("small");
            world.heads[fragment].0 += 1; // another owner
        }
    }
    world.history
}

impl World {
    fn begin(&mut self, number: u64, keys: u32) -> Pending {
        let key = u32::try_from(self.random.next() % u64::from(keys)).expect("below");
        let what = if self.random.next().is_multiple_of(2) { What::Write(number) } else { What::Read(None) };
        let operation = Operation { key, what, invoked: self.clock, returned: None, seen: None, node: 0, may_be_old: false };
        Pending { operation, is_done: false }
    }

    fn go_on(&mut self, mut pending: Pending) -> Option<Pending> {
        let is_write = matches!(pending.operation.what, What::Write(_));
        if self.random.next().is_multiple_of(20) {
            // Its client hears nothing more; it may have happened.
            if is_write {
                self.history.push(Operation { returned: None, seen: None, ..pending.operation });
            }
            return None;
        }
        if !pending.is_done {
            self.happen(&mut pending.operation);
            pending.is_done = true;
            return Some(pending);
        }
        pending.operation.returned = Some(self.clock);
        self.history.push(pending.operation);
        None
    }

    fn happen(&mut self, operation: &mut Operation) {
        let key = usize::try_from(operation.key).expect("small");
        let fragment = operation.key / KEYS_A_FRAGMENT;
        let head = &mut self.heads[usize::try_from(fragment).expect("small")];
        match &mut operation.what {
            What::Write(value) => {
                head.1 += 1;
                self.values[key] = Some(*value);
            }
            What::Read(found) => *found = self.values[key],
        }
        operation.seen = Some(Seen { fragment, version: *head });
        operation.node = 7000 + u16::try_from(head.0 % 3).expect("small");
    }
}
