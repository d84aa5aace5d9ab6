//! Scene 4: so much changes while the standby is away that the commits are gone from ring and journal; deletes and re-creations among it.

use std::collections::HashMap;

use crate::demo::content::Put;
use crate::demo::error::DemoError;
use crate::demo::fact::Fact;
use crate::demo::input::Records;
use crate::demo::model::Key;
use crate::demo::pen::{Change, Pen};
use crate::demo::play::Play;
use crate::demo::report::Row;

/// Commits are written until they are so many times what ring and journal tail hold together.
const OVERFLOW: u64 = 3;
/// One of so many changes each is a delete, a re-creation, a new key, another expiry.
const RARE: usize = 25;

pub(super) fn play(play: &mut Play) -> Result<Row, DemoError> {
    let before = play.part()?;
    let changes = match play.later.take() {
        Some(later) => difference(play, later),
        None => synthetic(play),
    };
    overflow(play, &changes)?;
    play.screen.step("scene 4: changing while it is away");
    let mut pen = Pen::new(play.owner.ports.resp(), &mut play.model)?;
    changes.iter().try_for_each(|change| pen.write(change))?;
    pen.finish()?;
    // The checkpoint releases what the journal's tail does not keep.
    play.owner.control.checkpoint()?;
    play.return_standby()?;
    play.meet(4, "long absence", before)
}

/// Overwrites the keys that are to change, again and again.
fn overflow(play: &mut Play, changes: &[Change]) -> Result<(), DemoError> {
    let keys: Vec<Key> = changes.iter().filter_map(overwritten).filter(|key| play.model.get(key).is_some()).cloned().collect();
    let pass_bytes: u64 = keys.iter().filter_map(|key| Some(key.len() as u64 + play.model.get(key)?.value_bytes)).sum();
    if pass_bytes == 0 {
        return Ok(()); // a later release without a changed record
    }
    for _ in 0..(OVERFLOW * 2 * play.kept_bytes).div_ceil(pass_bytes) {
        play.overwrite(&keys, "scene 4: overflowing ring and journal")?;
    }
    Ok(())
}

fn overwritten(change: &Change) -> Option<&Key> {
    match change {
        Change::Put(put) => Some(&put.key),
        Change::Delete(_) | Change::Expire(..) => None,
    }
}

fn synthetic(play: &mut Play) -> Vec<Change> {
    let count = play.keys_in(play.args.change);
    let rare = (count / RARE).max(1);
    let keys = play.model.pick(&mut play.random, count.saturating_sub(rare).max(4));
    let (deleted, rest) = keys.split_at(rare.min(keys.len() / 4));
    let (created_again, rest) = rest.split_at(deleted.len());
    let (expiring, overwritten) = rest.split_at(deleted.len());
    let mut changes: Vec<Change> = deleted.iter().chain(created_again).cloned().map(Change::Delete).collect();
    changes.extend(expiring.iter().map(|key| Change::Expire(key.clone(), play.content.expiry())));
    changes.extend(created_again.iter().chain(overwritten).map(|key| Change::Put(play.content.next(key))));
    changes.extend((0..rare).map(|_| Change::Put(play.content.create())));
    changes
}

/// What turns the state into the records of a later release.
fn difference(play: &Play, later: Records) -> Vec<Change> {
    let wanted: HashMap<Key, Box<[u8]>> = later.into_iter().collect();
    let gone = play.model.live().map(|(key, _)| key).filter(|key| !wanted.contains_key(*key));
    let mut changes: Vec<Change> = gone.cloned().map(Change::Delete).collect();
    for (key, value) in wanted {
        let now = play.model.get(&key).map(|fact| fact.expiring(0));
        if now != Some(Fact::of(&value, 0)) {
            changes.push(Change::Put(Put { key, value: value.into_vec(), expiry_ms: 0 }));
        }
    }
    changes
}
