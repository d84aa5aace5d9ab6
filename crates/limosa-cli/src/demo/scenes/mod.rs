//! The scenes, a file each: what happens to the two nodes, and the row that comes of it.

mod cut_off;
mod diverged;
mod first_copy;
mod large_values;
mod long_absence;
mod short_absence;
mod unchanged;

use super::error::DemoError;
use super::play::Play;
use super::report::Row;

/// Loads the state and makes the first copy, without which no other scene can be played.
pub(super) fn begin(play: &mut Play) -> Result<Row, DemoError> {
    first_copy::play(play)
}

/// Plays one of the scenes behind the first.
pub(super) fn play(play: &mut Play, scene: u8) -> Result<Vec<Row>, DemoError> {
    match scene {
        2 => Ok(vec![unchanged::play(play)?]),
        3 => Ok(vec![short_absence::play(play)?]),
        4 => Ok(vec![long_absence::play(play)?]),
        5 => Ok(vec![diverged::play(play)?]),
        6 => Ok(vec![cut_off::play(play)?]),
        7 => large_values::play(play),
        other => unreachable!("scene {other} is refused with the flags"),
    }
}
