//! `limosa moves` and `limosa cancel`: what goes where, how far it is, and giving it up.

use limosa_server::http::api::{Cancelled, Move, MoveState};

use crate::args::Ask;
use crate::args::cluster::Cancel;
use crate::client::Client;
use crate::error::{CliError, Exit};
use crate::format::{bytes, percent, seconds, several};
use crate::output::{self, Paint, paint};

pub(crate) async fn list(ask: &Ask) -> Result<Exit, CliError> {
    let moves: Vec<Move> = Client::new(ask)?.get("/v1/moves").await?;
    if ask.json {
        output::json(&moves)?;
    } else if moves.is_empty() {
        output::print("nothing moves\n")?;
    } else {
        output::print(&table(&moves))?;
    }
    Ok(Exit::Yes)
}

pub(crate) async fn cancel(args: &Cancel) -> Result<Exit, CliError> {
    let cancelled: Cancelled = Client::new(&args.ask)?.delete(&format!("/v1/moves/{}", args.id)).await?;
    if args.ask.json {
        output::json(&cancelled)?;
    } else {
        output::print(&format!("{} given up; the sources serve on\n", several(cancelled.moves.len() as u64, "move", "moves")))?;
    }
    Ok(Exit::Yes)
}

/// One row for each move, and a line below for what blocks or ended it.
pub(crate) fn table(moves: &[Move]) -> String {
    let mut table = output::table(["MOVE", "FRAGMENT", "SLOTS", "FROM", "TO", "PHASE", "DONE", "RATE", "LEFT", "PAUSE"]);
    for one in moves {
        let phase = match &one.state {
            MoveState::Running => one.phase.word(),
            MoveState::Committed => "committed",
            MoveState::Aborted { .. } => "aborted",
        };
        let done = percent(one.bytes_done, one.bytes_total);
        table.add_row([
            one.id.clone(),
            format!("f{}", one.fragment),
            one.slots.to_string(),
            one.from.clone(),
            one.to.clone(),
            phase.to_owned(),
            format!("{} of {} ({done} %)", bytes(one.bytes_done.min(one.bytes_total)), bytes(one.bytes_total)),
            format!("{}/s", bytes(one.rate_bytes_per_s.max(0.0) as u64)),
            one.eta_s.map_or_else(|| "-".to_owned(), seconds),
            one.pause_ms.map_or_else(|| "-".to_owned(), |pause| format!("{pause:.1} ms")),
        ]);
    }
    output::text(&table) + &moves.iter().filter_map(remark).collect::<String>()
}

fn remark(one: &Move) -> Option<String> {
    let why = match (&one.state, &one.blocked_because) {
        (MoveState::Aborted { why }, _) => format!("f{}: aborted: {why}\n", one.fragment),
        (MoveState::Running, Some(why)) => format!("f{}: blocked because {why}\n", one.fragment),
        _ => return None,
    };
    Some(paint(&why, Paint::Bad))
}
