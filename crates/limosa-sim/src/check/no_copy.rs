//! I12: no full copy where any common state exists.

use limosa_store::Store;
use limosa_wire::{Message, Method};

use super::Broken;

/// A plan copies no fragment of which the standby holds something.
pub(crate) fn without_a_needless_copy(message: &Message, standby: &Store) -> Result<(), Broken> {
    let Message::Plan(plan) = message else { return Ok(()) };
    let mut copied = plan.items.iter().filter(|item| item.method == Method::Copy).peekable();
    if copied.peek().is_none() {
        return Ok(());
    }
    let facts = standby.facts();
    let needless = |id| facts.iter().find(|fact| fact.id == id && fact.live > 0 && !fact.head.is_zero());
    match copied.find_map(|item| needless(item.fragment)) {
        None => Ok(()),
        Some(fact) => {
            let what = format!("{} with {} entries at {}", fact.id, fact.live, fact.head);
            Err(Broken { rule: "I12 no full copy where anything is in common", what })
        }
    }
}
