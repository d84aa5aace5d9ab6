//! I11: a flipped bit is found before it is served: damage is an error that says so, and what was mended is what was there.

use std::ops::ControlFlow;

use limosa_core::{Digest, KeyRange};
use limosa_store::{Store, StoreError};

use super::Broken;
use crate::node::Node;

/// Whether an error says that a block is damaged.
pub(crate) fn is_typed_damage(error: &StoreError) -> bool {
    matches!(error, StoreError::CorruptBlock { .. })
}

/// Reads every entry again and adds it up. False while a block is known to be damaged.
pub(crate) fn all_is_sound(store: &Store, name: &str) -> Result<bool, Broken> {
    let rule = "I11 damage is found before it is served";
    for view in store.cut().fragments() {
        let (facts, keys) = (view.facts(), Node::keys());
        let mut found = Digest::ZERO;
        let scanned = view.scan(&KeyRange::ALL, |entry| {
            if let Some(live) = entry.live {
                found += keys.state(keys.content(entry.key, live), entry.version);
            }
            ControlFlow::Continue(())
        });
        match scanned {
            Err(error) if is_typed_damage(&error) => return Ok(false),
            Err(error) => return Err(Broken { rule, what: format!("{name}: {error}") }),
            Ok(_) if found == facts.state => {}
            Ok(_) => return Err(Broken { rule, what: format!("{name}: {} adds up to {found}, not {}", facts.id, facts.state) }),
        }
    }
    Ok(store.damage().is_empty())
}
