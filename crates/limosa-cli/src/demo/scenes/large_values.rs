//! Scene 7: small edits of large values: 50 bytes overwritten in some, 50 inserted in others.

use crate::demo::content::Put;
use crate::demo::error::DemoError;
use crate::demo::pen::Pen;
use crate::demo::play::Play;
use crate::demo::random::Random;
use crate::demo::report::Row;

const VALUES: usize = 10;
const VALUE_BYTES: usize = 1_000_000;
const EDIT_BYTES: usize = 50;

pub(super) fn play(play: &mut Play) -> Result<Vec<Row>, DemoError> {
    let [mut overwritten, mut inserted] = ["overwritten", "inserted"].map(|name| values(&mut play.random, name));
    write(play, &[&overwritten[..], &inserted[..]].concat(), "scene 7: writing values of 1 MB")?;
    play.agreement(7)?;
    play.model.settle();

    let rows = [("large values, overwritten", &mut overwritten, EDIT_BYTES), ("large values, inserted", &mut inserted, 0)];
    rows.into_iter().map(|(name, values, replaced)| edit(play, name, values, replaced)).collect()
}

/// Puts 50 bytes into each value in place of `replaced` bytes, while the standby is away.
fn edit(play: &mut Play, name: &str, values: &mut [Put], replaced: usize) -> Result<Row, DemoError> {
    let before = play.part()?;
    for put in values.iter_mut() {
        let at = play.random.below(VALUE_BYTES - EDIT_BYTES);
        let mut edit = [0; EDIT_BYTES];
        play.random.fill(&mut edit);
        put.value.splice(at..at + replaced, edit);
    }
    write(play, values, "scene 7: editing while it is away")?;
    play.return_standby()?;
    play.meet(7, name, before)
}

fn values(random: &mut Random, name: &str) -> Vec<Put> {
    let value = |index: usize| {
        let mut value = vec![0; VALUE_BYTES];
        random.fill(&mut value);
        Put { key: format!("large:{name}:{index:02}").into_bytes().into(), value, expiry_ms: 0 }
    };
    (0..VALUES).map(value).collect()
}

fn write(play: &mut Play, puts: &[Put], text: &str) -> Result<(), DemoError> {
    play.screen.step(text);
    let mut pen = Pen::new(play.owner.ports.resp(), &mut play.model)?;
    puts.iter().try_for_each(|put| pen.put(put))?;
    pen.finish()
}
