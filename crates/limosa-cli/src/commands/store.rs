//! `limosa store`: work on a data folder that no node uses.

use std::ops::ControlFlow;

use limosa_core::FragmentId;
use limosa_server::server::{BLOCK_BYTES, Checked, Filter, FolderStats, Offline};
use serde::Serialize;

use crate::args::{DumpArgs, Folder};
use crate::error::{CliError, Exit};
use crate::format::{bytes, count, several};
use crate::output::{self, Paint, paint};

#[derive(Serialize)]
struct Check {
    agree: bool,
    position: u64,
    fragments: u64,
    entries: u64,
    bytes: u64,
    rotten: Vec<RottenFragment>,
    damaged: Vec<DamagedRange>,
}

#[derive(Serialize)]
struct DamagedRange {
    fragment: u32,
    first_key: String,
    entries: u64,
    why: String,
}

#[derive(Serialize)]
struct RottenFragment {
    fragment: u32,
    found: String,
    expected: String,
}

pub(crate) fn check(folder: &Folder) -> Result<Exit, CliError> {
    let checked = Offline::open(&folder.data)?.check()?;
    let agree = checked.rotten.is_empty() && checked.damaged.is_empty();
    if folder.json {
        output::json(&json(&checked))?
    } else {
        output::print(&table(&checked))?
    }
    Ok(if agree { Exit::Yes } else { Exit::No })
}

fn json(checked: &Checked) -> Check {
    let rotten = checked.rotten.iter().map(|rot| RottenFragment {
        fragment: rot.fragment.0,
        found: format!("{:032x}", rot.found.0),
        expected: format!("{:032x}", rot.expected.0),
    });
    let damaged = checked.damaged.iter().map(|block| DamagedRange {
        fragment: block.fragment.0,
        first_key: hex(&block.range.start),
        entries: block.live,
        why: block.why.clone(),
    });
    Check {
        agree: checked.rotten.is_empty() && checked.damaged.is_empty(),
        position: checked.position,
        fragments: checked.fragments,
        entries: checked.entries,
        bytes: checked.bytes,
        rotten: rotten.collect(),
        damaged: damaged.collect(),
    }
}

fn table(checked: &Checked) -> String {
    let entries = several(checked.entries, "entry", "entries");
    let held = format!("{entries} ({}) in {} fragments at commit {}", bytes(checked.bytes), checked.fragments, count(checked.position));
    if checked.rotten.is_empty() && checked.damaged.is_empty() {
        return format!("{}: {held} add up to their digests\n", paint("sound", Paint::Good));
    }
    let mut table = output::table(["FRAGMENT", "FOUND", "EXPECTED"]);
    for rot in &checked.rotten {
        table.add_row([rot.fragment.to_string(), format!("{:032x}", rot.found.0), format!("{:032x}", rot.expected.0)]);
    }
    let mut blocks = output::table(["FRAGMENT", "BLOCK FROM", "ENTRIES", "WHAT"]);
    for block in &checked.damaged {
        blocks.add_row([block.fragment.to_string(), hex(&block.range.start), count(block.live), block.why.clone()]);
    }
    if checked.rotten.is_empty() {
        let advice = "start the node beside a peer that has the same entries: it fetches these blocks from it by itself";
        return format!("{}: of {held}\n{}{advice}\n", paint("DAMAGED", Paint::Bad), output::text(&blocks));
    }
    let advice = "empty the folder and let the node copy from its owner; an owner: promote the standby first";
    format!("{}: of {held}\n{}{advice}\n", paint("DAMAGED", Paint::Bad), output::text(&table))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn stats(folder: &Folder) -> Result<Exit, CliError> {
    let stats = Offline::open(&folder.data)?.stats(&folder.data)?;
    if folder.json {
        output::json(&stats)?
    } else {
        output::print(&figures(&stats))?
    }
    Ok(Exit::Yes)
}

fn figures(stats: &FolderStats) -> String {
    let mut table = output::table(["WHAT", "HOW MUCH"]);
    let mut row = |what: &str, how_much: String| _ = table.add_row([what.to_owned(), how_much]);
    row("commits", count(stats.position));
    row("newest epoch", stats.epoch.to_string());
    row("fragments", count(stats.fragments));
    row("epoch rows", count(stats.epoch_rows));
    row("keys", count(stats.keys));
    row("entries", count(stats.entries));
    row("keys and values", bytes(stats.live_bytes));
    row("remembered deletions", count(stats.tombstones));
    row("remembered range deletions", count(stats.range_deletes));
    row("leases of standbys", count(stats.leases));
    row("checkpoint", bytes(stats.checkpoint_bytes));
    row("checkpoint for each live byte", stats.space_amplification.map_or_else(|| "-".to_owned(), |factor| format!("{factor:.2}")));
    row("journal", bytes(stats.journal_bytes));
    row("blocks", count(stats.blocks));
    for (class, blocks) in stats.blocks_by_size.iter().enumerate() {
        let name = BLOCK_BYTES.get(class).map_or_else(|| "  larger".to_owned(), |bound| format!("  below {}", bytes(*bound)));
        row(&name, count(*blocks));
    }
    output::text(&table)
}

pub(crate) fn dump(args: &DumpArgs) -> Result<Exit, CliError> {
    let filter = Filter {
        fragment: args.fragment.map(FragmentId),
        from_key: args.from_key.clone().map(String::into_bytes),
        to_key: args.to_key.clone().map(String::into_bytes),
        limit: args.limit,
        tombstones: args.tombstones,
    };
    let mut failed = None;
    Offline::open(&args.folder.data)?.dump(&filter, |line| match output::print(line) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            failed = Some(error);
            ControlFlow::Break(())
        }
    })?;
    failed.map_or(Ok(Exit::Yes), Err)
}

#[derive(Serialize)]
struct Forgotten {
    epoch_rows: u64,
}

pub(crate) fn forget_history(folder: &Folder) -> Result<Exit, CliError> {
    let epoch_rows = Offline::open(&folder.data)?.forget_history()?;
    if folder.json {
        output::json(&Forgotten { epoch_rows })?;
    } else {
        let rows = several(epoch_rows, "epoch row", "epoch rows");
        output::print(&format!("{rows} in {} are unknown to every other node now\n", folder.data.display()))?;
    }
    Ok(Exit::Yes)
}
