//! What the store does in one process, without a server: each case runs one measurement of the example `bars`, whose metrics it takes over.

use std::collections::BTreeMap;
use std::process::Command;

use crate::bench::Bench;
use crate::bench::samples::Samples;
use crate::process::{Scratch, output_of};

const EXAMPLE: &[&str] = &["-p", "limosa-store", "--example", "bars"];

pub(super) fn rates(bench: &Bench, samples: &mut Samples) -> Result<(), String> {
    measure(bench, samples, "rates", 1_000_000)
}

pub(super) fn install(bench: &Bench, samples: &mut Samples) -> Result<(), String> {
    measure(bench, samples, "install", 1_000_000)
}

pub(super) fn commit(bench: &Bench, samples: &mut Samples) -> Result<(), String> {
    measure(bench, samples, "commit", 1_000_000)
}

pub(super) fn memory(bench: &Bench, samples: &mut Samples) -> Result<(), String> {
    measure(bench, samples, "memory", 2_000_000)
}

/// One round: the example measures several itself, which is cheaper than loading its entries again.
pub(super) fn delta(bench: &Bench, samples: &mut Samples) -> Result<(), String> {
    bench.build(EXAMPLE)?;
    measure_once(bench, samples, "delta", 10_000_000)
}

pub(super) fn write_amp(bench: &Bench, samples: &mut Samples) -> Result<(), String> {
    measure(bench, samples, "write-amp", 1_000_000)
}

pub(super) fn write_amp_paged(bench: &Bench, samples: &mut Samples) -> Result<(), String> {
    measure(bench, samples, "write-amp-paged", 1_000_000)
}

pub(super) fn start(bench: &Bench, samples: &mut Samples) -> Result<(), String> {
    measure(bench, samples, "start", 10_000_000)
}

/// Runs measurement `name` of the example with `entries`, a process for each round: what one leaves in memory must not serve the next.
fn measure(bench: &Bench, samples: &mut Samples, name: &str, entries: u64) -> Result<(), String> {
    bench.build(EXAMPLE)?;
    (0..bench.rounds).try_for_each(|_| measure_once(bench, samples, name, entries))
}

fn measure_once(bench: &Bench, samples: &mut Samples, name: &str, entries: u64) -> Result<(), String> {
    let folder = Scratch::new(&bench.folder)?;
    let mut command = Command::new(bench.metadata.example("bars"));
    command.args([name, &bench.sized(entries).to_string()]).arg(folder.path());
    add_all(samples, &output_of(command)?)
}

/// Takes over metrics printed as one line of JSON.
pub(super) fn add_all(samples: &mut Samples, text: &str) -> Result<(), String> {
    let metrics: BTreeMap<String, f64> = serde_json::from_str(text).map_err(|error| format!("{error} in {text}"))?;
    metrics.into_iter().for_each(|(metric, value)| samples.add(metric, value));
    Ok(())
}
