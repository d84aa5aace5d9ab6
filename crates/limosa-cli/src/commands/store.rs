//! `limosa store`: work on a data folder that no node uses.

use limosa_server::server::{Checked, Offline};
use serde::Serialize;

use crate::args::Folder;
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
}

#[derive(Serialize)]
struct RottenFragment {
    fragment: u32,
    found: String,
    expected: String,
}

pub(crate) fn check(folder: &Folder) -> Result<Exit, CliError> {
    let checked = Offline::open(&folder.data)?.check()?;
    let agree = checked.rotten.is_empty();
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
    Check {
        agree: checked.rotten.is_empty(),
        position: checked.position,
        fragments: checked.fragments,
        entries: checked.entries,
        bytes: checked.bytes,
        rotten: rotten.collect(),
    }
}

fn table(checked: &Checked) -> String {
    let entries = several(checked.entries, "entry", "entries");
    let held = format!("{entries} ({}) in {} fragments at commit {}", bytes(checked.bytes), checked.fragments, count(checked.position));
    if checked.rotten.is_empty() {
        return format!("{}: {held} add up to their digests\n", paint("sound", Paint::Good));
    }
    let mut table = output::table(["FRAGMENT", "FOUND", "EXPECTED"]);
    for rot in &checked.rotten {
        table.add_row([rot.fragment.to_string(), format!("{:032x}", rot.found.0), format!("{:032x}", rot.expected.0)]);
    }
    let advice = "empty the folder and let the node copy from its owner; an owner: promote the standby first";
    format!("{}: of {held}\n{}{advice}\n", paint("DAMAGED", Paint::Bad), output::text(&table))
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
