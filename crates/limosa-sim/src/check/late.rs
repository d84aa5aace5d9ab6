//! I4: a frame that comes twice, late or out of order leaves the same state, or is refused in a typed way.

use limosa_core::Frame;
use limosa_store::{StageError, Store, StoreError};

use super::Broken;

/// A frame of an earlier session reaches the stage of another one. What readers see does not change; the answer says whether it was taken.
pub(crate) fn a_late_frame_changes_nothing_that_is_shown(standby: &Store, frame: &Frame) -> Result<Result<bool, StoreError>, Broken> {
    let shown = |store: &Store| store.facts().into_iter().map(|facts| (facts.id, facts.head, facts.state)).collect::<Vec<_>>();
    let before = shown(standby);
    let Some(stage) = standby.stages().pop() else { return Ok(Ok(false)) };
    let taken = match standby.stage_apply(stage.session, frame, &[]) {
        Ok(_) => Ok(true),
        Err(StageError::Store(error)) => Err(error),
        Err(_) => Ok(false),
    };
    if shown(standby) == before {
        return Ok(taken);
    }
    Err(Broken { rule: "I4 a late frame changes nothing that is shown", what: format!("{} {:?}", frame.fragment, frame.range) })
}
