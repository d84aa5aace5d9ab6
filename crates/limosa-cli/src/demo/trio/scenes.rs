//! Scenes 8 to 11: out, back, killed, returned; clients work all the time.

use std::thread;
use std::time::{Duration, Instant};

use limosa_server::http::api::Cell;

use super::client::Door;
use super::compare;
use super::load::Load;
use super::nodes::{Bytes, FRAGMENTS, Trio, method};
use super::seen::Seen;
use crate::demo::content::Content;
use crate::demo::error::DemoError;
use crate::demo::model::Changed;
use crate::demo::node::Node;
use crate::demo::play::Play;
use crate::demo::random::Random;
use crate::demo::report::Row;
use crate::demo::screen::Unit;

/// The state is a fraction of that of the scenes before: three copies of it are made.
const SHARE: u64 = 4;
/// Fewest entries.
const ENTRIES_MIN: u64 = 100;
/// Clients work so long before something happens, and behind it.
const BEFORE: Duration = Duration::from_millis(500);
const BEHIND: Duration = Duration::from_millis(700);

/// What a scene did, apart from what its clients saw.
struct Did {
    scene: u8,
    name: &'static str,
    changed: Changed,
    moved: Bytes,
    method: String,
    seconds: f64,
}

/// Performs one scene, and tells its row.
type Scene = fn(&mut Stage<'_>) -> Result<Row, DemoError>;

/// Plays those of the four that were asked for; the ones before them are played, too, without being shown.
pub(in crate::demo) fn play(play: &mut Play, shown: &mut Vec<Row>) -> Result<(), DemoError> {
    let mut stage = Stage::set(play)?;
    let scenes: [Scene; 4] = [out, back, killed, returned];
    let last = (8..=11).filter(|scene| stage.play.args.plays(*scene)).max().unwrap_or(0);
    for (scene, perform) in (8..=last).zip(scenes) {
        let row = perform(&mut stage)?;
        if stage.play.args.plays(scene) {
            stage.play.screen.line(&row.line());
            shown.push(row);
        }
    }
    stage.trio.end();
    Ok(())
}

/// Everything that the four share.
struct Stage<'p> {
    play: &'p mut Play,
    trio: Trio,
    random: Random,
    value_bytes: usize,
    /// What b had received from c before clients wrote to what c owns.
    before: Bytes,
    /// What was written while b was away.
    missed: Changed,
}

impl<'p> Stage<'p> {
    fn set(play: &'p mut Play) -> Result<Self, DemoError> {
        let mut random = play.random.fork();
        let mut content = Content::random(play.args.value_bytes, random.fork());
        let value_bytes = usize::try_from(play.args.value_bytes).expect("at most a megabyte");
        let mut trio = Trio::new(play)?;
        let entries = (play.entries / SHARE).max(ENTRIES_MIN);
        trio.found(play, &mut content, entries)?;
        trio.model.settle();
        Ok(Self { play, trio, random, value_bytes, before: Bytes::default(), missed: Changed::default() })
    }

    /// Clients at work for a moment.
    fn load(&mut self, doors: &[Door], text: &str) -> Result<Load, DemoError> {
        self.play.screen.step(text);
        let load = Load::start(doors, &self.trio.model, self.value_bytes, &mut self.random)?;
        thread::sleep(BEFORE);
        Ok(load)
    }

    /// Clients go on for a moment, then stop; what they saw, and what every copy at `nodes` holds.
    fn end(&mut self, load: Load, did: impl FnOnce(&Self, &Seen) -> Did, names: &[&str]) -> Result<Row, DemoError> {
        thread::sleep(BEHIND);
        let seen = load.finish(&mut self.trio.model)?;
        let did = did(self, &seen);
        let differing = self.differing(did.scene, names)?;
        self.trio.model.settle();
        Ok(Row {
            scene: did.scene,
            name: did.name.to_owned(),
            method: did.method,
            changed_entries: did.changed.entries,
            changed_bytes: did.changed.bytes,
            moved_bytes: did.moved.moved(),
            handshake_bytes: did.moved.handshakes,
            sent_again_bytes: 0,
            sent_again_bytes_by_cut: None,
            ratio: Row::ratio(did.moved.moved(), did.changed.bytes),
            seconds: did.seconds,
            cpu_seconds: None,
            full_copy_bytes: self.trio.model.total().bytes,
            digests_equal: differing == 0,
            client: Some(seen.figures(differing)),
        })
    }

    /// Entries that a copy does not hold as they were acknowledged, the worst copy's count; and entries that nobody wrote.
    fn differing(&self, scene: u8, names: &[&str]) -> Result<u64, DemoError> {
        let trio = &self.trio;
        let nodes: Vec<&Node> = [&trio.a, &trio.b, &trio.c].into_iter().filter(|node| names.contains(&node.name)).collect();
        let expected = trio.model.total().entries;
        self.play.screen.count(&format!("scene {scene}: reading every entry of every copy"), nodes.len() as u64, Unit::Entries);
        let (mut owned, mut tokens) = (0, Vec::new());
        for node in &nodes {
            let (count, token) = compare::owned(node.name, node.ports.resp(), &trio.model)?;
            owned += count;
            tokens.push(token);
        }
        let model = &trio.model;
        let read = thread::scope(|scope| {
            let of = |node: &&Node| {
                let (name, address, tokens) = (node.name, node.ports.resp(), &tokens);
                scope.spawn(move || compare::differing(name, address, tokens, model))
            };
            let readers: Vec<_> = nodes.iter().map(of).collect();
            let result = |reader: thread::ScopedJoinHandle<'_, _>| reader.join().expect("a panic of the reader is a broken invariant");
            readers.into_iter().map(result).collect::<Result<Vec<u64>, DemoError>>()
        })?;
        for (node, count) in nodes.iter().zip(&read).filter(|(_, count)| **count > 0) {
            self.play.screen.line(&format!("scene {scene}: {count} entries at {} are not what was acknowledged", node.name));
        }
        if owned != expected {
            self.play.screen.line(&format!("scene {scene}: the owners have {owned} entries, {expected} were acknowledged"));
        }
        Ok(read.into_iter().max().unwrap_or(0).max(owned.abs_diff(expected)))
    }
}

fn third(cell: &Cell) -> bool {
    cell.fragment < FRAGMENTS / 3
}

fn has(cell: &Cell, name: &str) -> bool {
    cell.sync_set.iter().any(|member| member == name)
}

fn is_third(cells: &[Cell], slot: u16) -> bool {
    cells.iter().any(|cell| third(cell) && (cell.slots.first..=cell.slots.last).contains(&slot))
}

/// Scene 8: an empty node gets a third of the fragments, and copies of the others.
fn out(stage: &mut Stage<'_>) -> Result<Row, DemoError> {
    stage.play.screen.step("scene 8: starting the third node");
    let everything = stage.trio.model.total();
    let doors = stage.trio.doors("b");
    let load = stage.load(&doors, "scene 8: a third of the fragments goes to a new node, clients at work")?;
    let began = Instant::now();
    let trio = &stage.trio;
    trio.join(&trio.c, stage.play)?;
    let fragments: Vec<u32> = (0..FRAGMENTS / 3).collect();
    trio.order(&trio.b, &fragments, &trio.c)?;
    trio.until("at c, as an owner or as a copy", |cell| if third(cell) { cell.owner.as_deref() == Some("c") } else { has(cell, "c") })?;
    let (seconds, moved) = (began.elapsed().as_secs_f64(), Bytes::of(&trio.c, &[&trio.a, &trio.b])?);
    let (method, ended) = (method(&trio.c, began)?.to_string(), load.began().elapsed());
    trio.until("complete at two others", |cell| cell.sync_set.len() == 2)?;
    let did = |_: &Stage<'_>, seen: &Seen| {
        let written = seen.written(|op| op.answered <= ended);
        let changed = Changed { entries: everything.entries + written.entries, bytes: everything.bytes + written.bytes };
        Did { scene: 8, name: "scale out", changed, moved, method, seconds }
    };
    stage.end(load, did, &["a", "b", "c"])
}

/// Scene 9: the third goes back. Its former owner has followed, and lacks what is on its way.
fn back(stage: &mut Stage<'_>) -> Result<Row, DemoError> {
    let cells = stage.trio.cells()?;
    stage.before = Bytes::of(&stage.trio.b, &[&stage.trio.c])?;
    let doors = stage.trio.doors("b");
    let load = stage.load(&doors, "scene 9: the third goes back, clients at work")?;
    let began = Instant::now();
    let trio = &stage.trio;
    let fragments: Vec<u32> = (0..FRAGMENTS / 3).collect();
    trio.order(&trio.c, &fragments, &trio.b)?;
    trio.until("at b", |cell| cell.owner.as_deref() == Some("b"))?;
    let (seconds, ended) = (began.elapsed().as_secs_f64(), load.began().elapsed());
    // Only what came: on the same sockets the commits of the other two thirds go the other way.
    let received = Bytes { sent: 0, ..Bytes::of(&trio.b, &[&trio.c])?.since(stage.before) };
    let method = method(&trio.b, began)?.to_string();
    trio.until("complete at two others", |cell| cell.sync_set.len() == 2)?;
    let did = |_: &Stage<'_>, seen: &Seen| {
        let changed = seen.written(|op| op.answered <= ended && is_third(&cells, op.slot));
        Did { scene: 9, name: "move back", changed, moved: received, method, seconds }
    };
    stage.end(load, did, &["a", "b", "c"])
}

/// Scene 10: the owner of everything is killed; complete copies are promoted.
fn killed(stage: &mut Stage<'_>) -> Result<Row, DemoError> {
    let doors = stage.trio.doors("b");
    let load = stage.load(&doors, "scene 10: kill -9 of the owner of everything, clients at work")?;
    let trio = &stage.trio;
    let before = Bytes::of(&trio.a, &[&trio.c])?;
    let (began, from) = (Instant::now(), load.began().elapsed());
    trio.b.kill();
    trio.until("owned by a or c", |cell| matches!(cell.owner.as_deref(), Some("a" | "c")) && cell.fenced_by.is_none())?;
    let seconds = began.elapsed().as_secs_f64();
    let did = |stage: &Stage<'_>, seen: &Seen| {
        let changed = seen.written(|op| op.answered > from);
        let moved = Bytes::of(&stage.trio.a, &[&stage.trio.c]).unwrap_or(before).since(before);
        Did { scene: 10, name: "kill -9 of the owner", changed, moved, method: "promotion".to_owned(), seconds }
    };
    let row = stage.end(load, did, &["a", "c"])?;
    stage.missed = Changed { entries: row.changed_entries, bytes: row.changed_bytes };
    Ok(row)
}

/// Scene 11: it returns, with an old copy and a tail that nobody waited for.
fn returned(stage: &mut Stage<'_>) -> Result<Row, DemoError> {
    let doors = stage.trio.doors("a");
    let load = stage.load(&doors, "scene 11: the killed node returns, clients at work")?;
    let began = Instant::now();
    let trio = &stage.trio;
    trio.b.start(&["--manifest", &trio.a.ports.peer().to_string()])?;
    trio.until("complete at b again", |cell| has(cell, "b"))?;
    let (seconds, ended) = (began.elapsed().as_secs_f64(), load.began().elapsed());
    let moved = Bytes::of(&trio.b, &[&trio.a, &trio.c])?;
    let method = method(&trio.b, began)?.to_string();
    let missed = stage.missed;
    let did = |_: &Stage<'_>, seen: &Seen| {
        let written = seen.written(|op| op.answered <= ended);
        let changed = Changed { entries: missed.entries + written.entries, bytes: missed.bytes + written.bytes };
        Did { scene: 11, name: "the killed node returns", changed, moved, method, seconds }
    };
    stage.end(load, did, &["a", "b", "c"])
}
