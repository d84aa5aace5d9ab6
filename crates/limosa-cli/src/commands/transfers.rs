//! `limosa transfers`: what was moved, at which cost, and why so.

use limosa_server::http::api::{Direction, Kind, Outcome, Transfer};

use crate::args::Ask;
use crate::client::Client;
use crate::error::{CliError, Exit};
use crate::format::{bytes, count, seconds};
use crate::output;

pub(crate) async fn run(ask: &Ask) -> Result<Exit, CliError> {
    let transfers: Vec<Transfer> = Client::new(ask)?.get("/v1/transfers").await?;
    if ask.json {
        output::json(&transfers)?;
    } else if transfers.is_empty() {
        output::print("no transfer since the node started\n")?;
    } else {
        output::print(&table(&transfers))?;
    }
    Ok(Exit::Yes)
}

fn table(transfers: &[Transfer]) -> String {
    let mut table = output::table(["PEER", "WAY", "METHOD", "ENTRIES", "MOVED", "PLANNED", "FULL COPY", "TOOK", "OUTCOME", "WHY"]);
    for transfer in transfers {
        table.add_row([
            transfer.peer.clone(),
            match transfer.direction {
                Direction::Sent => "sent".to_owned(),
                Direction::Received => "received".to_owned(),
            },
            match transfer.kind {
                Kind::CatchUp => transfer.method.to_string(),
                Kind::Repair => transfer.kind.word().to_owned(),
            },
            count(transfer.entries),
            bytes(transfer.moved_bytes),
            bytes(transfer.planned_bytes),
            bytes(transfer.full_copy_bytes),
            seconds(transfer.seconds),
            match &transfer.outcome {
                Outcome::Installed => "installed".to_owned(),
                Outcome::Cut { code, detail } => format!("cut: {code}: {detail}"),
            },
            transfer.why.clone(),
        ]);
    }
    output::text(&table)
}
