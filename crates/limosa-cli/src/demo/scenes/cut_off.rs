//! Scene 6: a transfer is cut three times in the middle (the standby killed, the owner killed, the connection reset) while writes go on.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::demo::background::Background;
use crate::demo::error::DemoError;
use crate::demo::fact::Fact;
use crate::demo::node;
use crate::demo::play::{Play, Traffic, unexpected};
use crate::demo::relay::Relay;
use crate::demo::report::Row;
use crate::demo::sent_again;
use crate::demo::wait::Seen;
use limosa_server::http::api::PeerState;

const CHANGE: f64 = 0.1;
/// Share of the transfer's bytes that pass before the first, the second and the third cut: it stands at about 20, 45 and 70 %.
const PASSED: [f64; 3] = [0.20, 0.25, 0.25];
/// Share of the keys that are written in a second meanwhile, at least and at most so many, for at most so long.
const WRITTEN: f64 = 0.001;
const WRITTEN_PER_S: (usize, usize) = (20, 500);
const WRITTEN_S: usize = 30;
/// For a transfer to come so far.
const CUT_MAX: Duration = Duration::from_secs(300);

/// The scene under way.
struct CutOff {
    relay: Relay,
    log: PathBuf,
    /// Length of the transfer log at each cut.
    cuts: Vec<u64>,
    /// Bytes that the whole transfer takes, about.
    bytes: f64,
}

pub(super) fn play(play: &mut Play) -> Result<Row, DemoError> {
    play.part()?;
    let log = play.folder.path().join("transfer.log");
    restart_owner(play, &log)?;
    let count = play.keys_in(CHANGE);
    let keys = play.model.pick(&mut play.random, count);
    play.overwrite(&keys, "scene 6: overwriting while it is away")?;
    play.owner.control.checkpoint()?; // the journal lets go of what is beyond its tail: no replay of commits, but a transfer
    #[allow(clippy::cast_precision_loss)] // bytes, about
    let bytes = play.model.changed().bytes as f64 * play.wire_per_payload;
    let relay = Relay::start(play.ports.relay(), play.owner.ports.peer())?;
    let mut scene = CutOff { relay, log, cuts: Vec::new(), bytes };

    let background = go_on_writing(play)?;
    let started = Instant::now();
    let lost = scene.three_cuts(play)?;
    scene.relay.open();
    play.screen.step("scene 6: the transfer goes on");
    play.agreement(6)?;
    for put in background.finish()? {
        play.model.put(&put.key, Fact::of(&put.value, put.expiry_ms));
    }
    let traffic = play.agreement(6)?.and(lost);
    let seconds = started.elapsed().as_secs_f64();

    let changed = play.model.changed();
    let again = sent_again::read(&scene.log, &scene.cuts)?;
    let row = play.row(6, "cut off three times", changed, traffic)?;
    // Without the relay again, which ends with this scene.
    play.part()?;
    play.return_standby()?;
    play.agreement(6)?;
    Ok(Row { seconds, sent_again_bytes: again.total, sent_again_bytes_by_cut: Some(again.after_cut), ..row })
}

/// The owner logs each entry that it sends from now on.
fn restart_owner(play: &Play, log: &std::path::Path) -> Result<(), DemoError> {
    play.owner.kill();
    play.owner.start(&["--transfer-log", &log.display().to_string()])?;
    play.owner.ready()
}

fn go_on_writing(play: &mut Play) -> Result<Background, DemoError> {
    let per_second = play.keys_in(WRITTEN).clamp(WRITTEN_PER_S.0, WRITTEN_PER_S.1);
    let keys = play.model.pick(&mut play.random, per_second * WRITTEN_S);
    let puts = keys.iter().map(|key| play.content.next(key)).collect();
    Background::start(play.owner.ports.resp(), puts, per_second as u64)
}

impl CutOff {
    /// Answers what the owner counted before it was killed.
    fn three_cuts(&mut self, play: &Play) -> Result<Traffic, DemoError> {
        let through_relay = play.ports.relay().to_string();
        self.allow(0);
        play.standby.start(&["--standby-of", &through_relay])?;
        self.until_cut(play, "killing the standby")?;
        play.standby.kill();
        self.relay.reset();
        play.owner.alone(&play.standby)?;
        self.note_cut()?;

        self.allow(1);
        play.standby.start(&["--standby-of", &through_relay])?;
        self.until_cut(play, "killing the owner")?;
        let lost = play.traffic()?;
        play.owner.kill();
        self.relay.reset();
        self.note_cut()?;

        self.allow(2);
        restart_owner(play, &self.log)?;
        self.until_cut(play, "resetting the connection")?;
        self.relay.reset();
        play.owner.alone(&play.standby)?;
        self.note_cut()?;
        Ok(lost)
    }

    fn allow(&self, cut: usize) {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a share of bytes that were counted
        self.relay.allow((PASSED[cut] * self.bytes) as u64);
    }

    fn note_cut(&mut self) -> Result<(), DemoError> {
        let length = std::fs::metadata(&self.log).map(|file| file.len());
        self.cuts.push(length.map_err(|source| DemoError::File { path: self.log.clone(), source })?);
        Ok(())
    }

    /// Until the transfer has come as far as the next cut.
    fn until_cut(&self, play: &Play, next: &str) -> Result<(), DemoError> {
        play.screen.step(&format!("scene 6: transferring until the next cut ({next})"));
        play.owner.until("in the middle of a transfer", CUT_MAX, || {
            play.standby.check()?;
            if self.relay.is_used_up() {
                return Ok(Seen::Done(()));
            }
            let status = play.owner.control.status()?;
            let Some(peer) = node::peer(&status, play.standby.name) else { return Ok(Seen::NotYet("no standby".to_owned())) };
            if peer.state == PeerState::Live && peer.acknowledged.is_some_and(|position| position >= status.head) {
                return Err(unexpected(6, "a transfer was over before it could be cut"));
            }
            Ok(Seen::NotYet(peer.state.word().to_owned()))
        })
    }
}
