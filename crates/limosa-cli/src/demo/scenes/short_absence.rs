//! Scene 3: a few keys change while the standby is away; the exact commits are still at hand.

use crate::demo::error::DemoError;
use crate::demo::play::{Play, SHORT_CHANGE};
use crate::demo::report::Row;

pub(super) fn play(play: &mut Play) -> Result<Row, DemoError> {
    let before = play.part()?;
    let count = play.keys_in(SHORT_CHANGE);
    let keys = play.model.pick(&mut play.random, count);
    play.overwrite(&keys, "scene 3: overwriting while it is away")?;
    play.return_standby()?;
    play.meet(3, "short absence", before)
}
