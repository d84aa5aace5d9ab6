//! Scene 1: an empty standby gets everything.

use limosa_node::pki::Pki;

use crate::demo::error::DemoError;
use crate::demo::pen::Pen;
use crate::demo::play::{Play, Traffic};
use crate::demo::report::Row;
use crate::demo::screen::Unit;

pub(super) fn play(play: &mut Play) -> Result<Row, DemoError> {
    play.screen.step("starting the owner");
    play.owner.start(&[])?;
    play.owner.ready()?;
    load(play)?;
    // What the load left to do is done before the clock starts: a checkpoint of everything shares disk and cores with whoever comes next.
    play.owner.control.checkpoint()?;
    let bundle = play.folder.path().join("standby.pem");
    Pki::load(&play.owner.data)?.issue(&play.standby.name.parse().expect("a valid name"))?.write(&bundle)?;
    let everything = play.model.total();
    play.screen.step("scene 1: starting the standby");
    let (bundle, owner) = (bundle.display().to_string(), play.owner.ports.peer().to_string());
    play.standby.start(&["--bundle", &bundle, "--standby-of", &owner])?;
    let row = play.measure(1, "first copy", everything, Traffic::default())?;
    play.wire_per_payload = row.ratio.unwrap_or(1.0).clamp(0.01, 2.0);
    Ok(row)
}

fn load(play: &mut Play) -> Result<(), DemoError> {
    let keys = play.content.first_keys(play.entries);
    play.screen.count("loading the owner", keys.len() as u64, Unit::Entries);
    let mut pen = Pen::new(play.owner.ports.resp(), &mut play.model)?;
    for (done, key) in keys.iter().enumerate() {
        pen.begin(play.content.first(key))?;
        if done % 256 == 0 {
            play.children.check()?;
            play.screen.at(done as u64);
        }
    }
    pen.finish()
}
