//! From the flags to the exit code.

use super::args::DemoArgs;
use super::error::DemoError;
use super::play::Play;
use super::report::{Report, Row};
use super::{scenes, screen, trio};
use crate::error::{CliError, Exit};
use crate::format::{bytes, count};
use crate::output;

/// Scenes of an owner and its standby, and of a cluster of three.
const PAIR: std::ops::RangeInclusive<u8> = 1..=7;
const TRIO: std::ops::RangeInclusive<u8> = 8..=11;

/// Plays the scenes; the answer is no when any comparison did not agree.
pub(crate) fn run(args: &DemoArgs) -> Result<Exit, CliError> {
    let mut play = Play::prepare(args.clone())?;
    let rows = match perform(&mut play) {
        Ok(rows) => rows,
        // Whatever failed, failed because both nodes were ended.
        Err(_) if play.children.is_interrupted() => return Err(DemoError::Interrupted.into()),
        Err(error) => return Err(error.into()),
    };
    let value_bytes = match &rows.first {
        Some(first) if args.input.is_some() => first.full_copy_bytes / play.entries,
        _ => args.value_bytes,
    };
    let report = Report::new(play.entries, value_bytes, args.seed, rows.shown);
    if let Some(path) = &args.report {
        report.write(path)?;
    }
    let kept = (args.keep && rows.first.is_some()).then(|| keep(&play));
    let problems: String = play.problems.iter().map(|problem| format!("{problem}\n")).collect();
    let is_well = report.agrees() && problems.is_empty();
    drop(play);
    if args.json {
        output::json(&report)?;
        screen::note(&format!("{problems}{}", kept.unwrap_or_default()));
    } else {
        output::print(&format!("\n{}{}{}{problems}{}", report.table(), report.legend(), report.clients(), kept.unwrap_or_default()))?;
    }
    Ok(if is_well { Exit::Yes } else { Exit::No })
}

/// What was measured.
struct Rows {
    /// None where only scenes of three nodes were played.
    first: Option<Row>,
    shown: Vec<Row>,
}

fn perform(play: &mut Play) -> Result<Rows, DemoError> {
    introduce(play);
    let mut shown = Vec::new();
    let first = if PAIR.clone().any(|scene| play.args.plays(scene)) { Some(pair(play, &mut shown)?) } else { None };
    if TRIO.clone().any(|scene| play.args.plays(scene)) {
        if !play.args.keep {
            // Their memory is somebody else's from here on.
            play.standby.kill();
            play.owner.kill();
        }
        trio::play(play, &mut shown)?;
    }
    Ok(Rows { first, shown })
}

/// The scenes of an owner and its standby; answers the first one's row.
fn pair(play: &mut Play, shown: &mut Vec<Row>) -> Result<Row, DemoError> {
    let first = scenes::begin(play)?;
    if play.args.plays(1) {
        play.screen.line(&first.line());
        shown.push(first.clone());
    }
    for scene in PAIR.skip(1) {
        if play.args.plays(scene) {
            for row in scenes::play(play, scene)? {
                play.screen.line(&row.line());
                shown.push(row);
            }
        }
    }
    Ok(first)
}

/// Before anything runs: what will, and where, so that an outside counter can watch it.
fn introduce(play: &Play) {
    let values = match &play.args.input {
        Some(path) => format!("records of {}", path.display()),
        None => format!("random values of {}", bytes(play.args.value_bytes)),
    };
    let (owner, standby) = (play.owner.ports, play.standby.ports);
    play.screen.line(&format!(
        "{} entries, {values}, seed {}; folders under {}",
        count(play.entries),
        play.args.seed,
        play.folder.path().display()
    ));
    play.screen.line(&format!("owner    clients {}, peers {}, http {}", owner.resp(), owner.peer(), owner.http()));
    play.screen.line(&format!("standby  clients {}, peers {}, http {}", standby.resp(), standby.peer(), standby.http()));
    for (index, name) in (0..).zip(["a", "b", "c"]).filter(|_| TRIO.clone().any(|scene| play.args.plays(scene))) {
        let ports = play.ports.member(index);
        play.screen.line(&format!("{name}        clients {}, peers {}, http {}", ports.resp(), ports.peer(), ports.http()));
    }
    if play.args.plays(6) {
        play.screen.line(&format!("relay    {}: between the two in scene 6, to cut transfers in the middle", play.ports.relay()));
    }
}

/// Lets both nodes run on; says how to reach and to stop them.
fn keep(play: &Play) -> String {
    let (owner, standby) = (&play.owner, &play.standby);
    let ids = [owner, standby].map(|node| play.children.id(node.name).map_or_else(|| "?".to_owned(), |id| id.to_string()));
    play.children.release();
    format!(
        "\nboth nodes run on:\n  redis-cli -p {} dbsize\n  limosa status --node {}\n  limosa status --node {}\nstop them and remove what they wrote:\n  kill {} && rm -r {}\n",
        owner.ports.resp().port(),
        owner.ports.http(),
        standby.ports.http(),
        ids.join(" "),
        play.folder.path().display(),
    )
}
