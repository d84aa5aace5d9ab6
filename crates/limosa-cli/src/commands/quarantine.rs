//! `limosa quarantine`: writes of a history that lost, set aside before they were replaced.

use std::collections::BTreeSet;

use limosa_server::http::api::{Dropped, QuarantineFile, QuarantinePage, Reapplied, Reapply};
use serde_json::Value;

use crate::args::{Ask, QuarantineReapply, QuarantineShow};
use crate::client::Client;
use crate::error::{CliError, Exit};
use crate::format::{bytes, count};
use crate::output::{self, Paint, paint};

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

/// Bytes of records in one call; a key's records stay together, so one of a large value may hold more.
const CALL_BYTES: usize = 4 << 20;

/// Reads the file page by page at its node and has the records written by the owner.
pub(crate) async fn reapply(args: &QuarantineReapply) -> Result<Exit, CliError> {
    let from = Client::new(&args.ask)?;
    let mut at = args.ask.clone();
    at.node = args.to.clone().unwrap_or(at.node);
    let to = Client::new(&at)?;
    let mut missing: BTreeSet<&str> = args.keys.iter().map(String::as_str).collect();
    let (mut done, mut batch, mut batch_bytes) = (Reapplied::default(), Reapply::default(), 0);
    let mut first = 0;
    loop {
        let page: QuarantinePage = from.get(&format!("/v1/quarantine/{}?first={first}", args.name)).await?;
        first += page.records.len() as u64;
        let more = page.more && !page.records.is_empty();
        for record in page.records {
            let key = record["key"].as_str();
            if !args.all && !key.is_some_and(|key| args.keys.iter().any(|asked| asked == key)) {
                continue;
            }
            missing.remove(key.unwrap_or_default());
            if batch_bytes >= CALL_BYTES && batch.records.last().is_some_and(|last| name(last) != name(&record)) {
                give(&to, std::mem::take(&mut batch), &mut done).await?;
                batch_bytes = 0;
            }
            batch_bytes += record.to_string().len();
            batch.records.push(record);
        }
        if !more {
            break;
        }
    }
    give(&to, batch, &mut done).await?;
    if args.ask.json {
        output::json(&done)?
    } else {
        output::print(&reapplied(&done, &missing))?
    }
    Ok(if done.refused.is_empty() && missing.is_empty() { Exit::Yes } else { Exit::No })
}

/// The key of a record, as text or base64.
fn name(record: &Value) -> (Option<&str>, Option<&str>) {
    (record["key"].as_str(), record["key_base64"].as_str())
}

async fn give(to: &Client, batch: Reapply, done: &mut Reapplied) -> Result<(), CliError> {
    if batch.records.is_empty() {
        return Ok(());
    }
    let part: Reapplied = to.post_json("/v1/quarantine/reapply", &batch).await?;
    done.applied.extend(part.applied);
    done.unchanged.extend(part.unchanged);
    done.refused.extend(part.refused);
    Ok(())
}

fn reapplied(done: &Reapplied, missing: &BTreeSet<&str>) -> String {
    let (applied, unchanged) = (done.applied.len() as u64, done.unchanged.len() as u64);
    let mut text = format!("{} written again, {} were so already\n", crate::format::several(applied, "key", "keys"), count(unchanged));
    for refused in &done.refused {
        text += &paint(&format!("{}: left alone: {}\n", refused.key, refused.why), Paint::Bad);
    }
    for key in missing {
        text += &paint(&format!("{key}: not in the file\n"), Paint::Bad);
    }
    text
}

pub(crate) async fn drop_file(args: &QuarantineShow) -> Result<Exit, CliError> {
    let dropped: Dropped = Client::new(&args.ask)?.delete(&format!("/v1/quarantine/{}", args.name)).await?;
    if args.ask.json {
        output::json(&dropped)?;
    } else {
        output::print(&format!("{} with {} is gone\n", dropped.name, crate::format::several(dropped.records, "record", "records")))?;
    }
    Ok(Exit::Yes)
}
