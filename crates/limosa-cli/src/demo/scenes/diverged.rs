//! Scene 5: the standby was promoted and written to, and its history is lost, so that only comparing by content helps.

use std::collections::HashMap;

use crate::demo::error::DemoError;
use crate::demo::fact::Fact;
use crate::demo::model::Key;
use crate::demo::play::{Play, SHORT_CHANGE};
use crate::demo::quarantine;
use crate::demo::report::Row;
use crate::demo::writer::Writer;

pub(super) fn play(play: &mut Play) -> Result<Row, DemoError> {
    play.screen.step("scene 5: promoting the standby and writing to both");
    play.standby.control.promote()?;
    play.owner.alone(&play.standby)?;
    let own = diverge(play)?;
    let before = play.part()?;
    play.screen.step("scene 5: making the standby's history useless");
    play.standby.offline(&["store", "forget-history"])?;
    play.standby.start(&[])?;
    play.standby.ready()?;
    play.standby.control.follow(play.owner.ports.peer())?;
    let row = play.meet(5, "diverged, history lost", before)?;
    let missing = quarantine::missing(&play.standby.control, &own)?;
    if missing > 0 {
        play.problems.push(format!("scene 5: {missing} of {} writes of the diverged standby are in no quarantine file", own.len()));
    }
    Ok(row)
}

/// Differences at random: of ten keys seven are overwritten at the standby, one is deleted and one created there, one changes at the owner.
/// Answers what the standby holds of its own.
fn diverge(play: &mut Play) -> Result<HashMap<Key, Fact>, DemoError> {
    let count = play.keys_in(SHORT_CHANGE).max(4);
    let tenth = (count / 10).max(1);
    let keys = play.model.pick(&mut play.random, count - tenth);
    let (deleted, rest) = keys.split_at(tenth);
    let (at_owner, overwritten) = rest.split_at(tenth);
    let mut puts: Vec<_> = overwritten.iter().map(|key| play.content.next(key)).collect();
    puts.extend((0..tenth).map(|_| play.content.create()));

    let mut writer = Writer::connect(play.standby.name, play.standby.ports.resp())?;
    let mut own = HashMap::new();
    for put in puts {
        writer.put(&put)?;
        let fact = Fact::of(&put.value, put.expiry_ms);
        play.model.differ(&put.key, Some(fact));
        own.insert(put.key, fact);
    }
    for key in deleted {
        writer.delete(key)?;
        play.model.differ(key, None);
    }
    writer.finish()?;
    play.overwrite(at_owner, "scene 5: changing the owner too")?;
    Ok(own)
}
