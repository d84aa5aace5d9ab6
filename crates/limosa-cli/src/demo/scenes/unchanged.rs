//! Scene 2: the standby is killed and comes back; nothing changed.

use crate::demo::error::DemoError;
use crate::demo::play::Play;
use crate::demo::report::Row;

pub(super) fn play(play: &mut Play) -> Result<Row, DemoError> {
    play.screen.step("scene 2: killing the standby and starting it again");
    let before = play.part()?;
    play.return_standby()?;
    play.meet(2, "unchanged (kill -9)", before)
}
