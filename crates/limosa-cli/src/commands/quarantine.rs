//! `limosa quarantine`: writes of a history that lost, set aside before they were replaced.

use limosa_server::http::api::{QuarantineFile, QuarantinePage};

use crate::args::{Ask, QuarantineShow};
use crate::client::Client;
use crate::error::{CliError, Exit};
use crate::format::{bytes, count};
use crate::output;

pub(crate) async fn list(ask: &Ask) -> Result<Exit, CliError> {
    let files: Vec<QuarantineFile> = Client::new(ask)?.get("/v1/quarantine").await?;
    if ask.json {
        output::json(&files)?;
    } else if files.is_empty() {
        output::print("nothing was set aside\n")?;
    } else {
        let mut table = output::table(["FILE", "RECORDS", "BYTES", "WHY"]);
        for file in files {
            table.add_row([file.name, count(file.records), bytes(file.bytes), file.why]);
        }
        output::print(&output::text(&table))?;
    }
    Ok(Exit::Yes)
}

/// Prints page by page, so that memory does not grow with the file. The lines are JSON already: `--json` changes nothing.
pub(crate) async fn show(args: &QuarantineShow) -> Result<Exit, CliError> {
    let client = Client::new(&args.ask)?;
    let mut first = 0;
    loop {
        let page: QuarantinePage = client.get(&format!("/v1/quarantine/{}?first={first}", args.name)).await?;
        let lines: String = page.records.iter().map(|record| format!("{record}\n")).collect();
        output::print(&lines)?;
        if !page.more || page.records.is_empty() {
            return Ok(Exit::Yes);
        }
        first += page.records.len() as u64;
    }
}
