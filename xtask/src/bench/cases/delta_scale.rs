//! What extracting a delta costs in a state of ten times the size.
#![allow(clippy::cast_precision_loss)] // counts as ratios

use std::process::Command;

use serde::Deserialize;

use crate::bench::Bench;
use crate::bench::samples::Samples;
use crate::process::output_of;

const SMALL: u64 = 1_000_000;
const LARGE: u64 = 10_000_000;
const CHANGES: u64 = 1_000;

/// What the example prints.
#[derive(Deserialize)]
struct Cost {
    cpu_seconds: f64,
    entries_read: u64,
}

pub(super) fn run(bench: &Bench, samples: &mut Samples) -> Result<(), String> {
    bench.build(&["-p", "limosa-store", "--example", "delta_scale"])?;
    for _ in 0..bench.rounds {
        let (small, large) = (measure(bench, SMALL)?, measure(bench, LARGE)?);
        samples.add("cpu_milliseconds_1m", small.cpu_seconds * 1e3);
        samples.add("entries_read_1m", small.entries_read as f64);
        samples.add("cpu_10m_per_1m", large.cpu_seconds / small.cpu_seconds);
        samples.add("entries_read_10m_per_1m", large.entries_read as f64 / small.entries_read as f64);
    }
    Ok(())
}

fn measure(bench: &Bench, entries: u64) -> Result<Cost, String> {
    let mut command = Command::new(bench.metadata.example("delta_scale"));
    // fewer changes in a quick run too: else they touch every block of the small state, and the ratio says nothing
    command.args([bench.sized(entries).to_string(), bench.sized(CHANGES).to_string()]);
    let text = output_of(command)?;
    serde_json::from_str(&text).map_err(|error| format!("delta_scale: {error} in {text}"))
}
