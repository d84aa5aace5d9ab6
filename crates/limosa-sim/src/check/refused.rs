//! I4, I5: what a standby holds and what its owner believes it to hold are one thing: nothing is refused as unequal without a cause.

use limosa_wire::{Refusal, Refuse};

use super::Broken;

/// A standby found that what came does not add up. `is_excused`: somebody had tampered with its stage.
pub(crate) fn with_a_cause(refuse: &Refuse, is_excused: bool) -> Result<(), Broken> {
    if is_excused || refuse.why != Refusal::Mismatch {
        return Ok(());
    }
    let what = format!("{}: {}", refuse.fragment, refuse.detail);
    Err(Broken { rule: "I5 digests are equal wherever nobody tampered with them", what })
}
