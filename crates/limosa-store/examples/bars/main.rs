//! What the store does in one process, measured for the bars of `bench/bars.toml`: `cargo xtask bench` runs it.
//!
//! `cargo run --release -p limosa-store --example bars -- NAME ENTRIES FOLDER` prints one line of JSON: metrics by name. A further
//! measurement is a module with a `run`, and a row in [`MEASUREMENTS`].
#![allow(clippy::print_stdout, clippy::unwrap_used)] // a terminal program that may stop at anything unexpected
#![allow(clippy::cast_precision_loss)] // counts as rates

mod commit;
mod common;
mod counting;
mod delta;
mod input;
mod install;
mod machine;
mod memory;
mod rates;
mod start;
mod write_amp;

use std::path::Path;

use common::Metrics;

/// The program's own: what it takes and gives back is part of what is measured.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Measures `ENTRIES` entries with files in `FOLDER`.
type Measure = fn(u64, &Path) -> Metrics;

/// By name.
const MEASUREMENTS: &[(&str, Measure)] = &[
    ("rates", rates::run),
    ("install", install::run),
    ("commit", commit::run),
    ("memory", memory::run),
    ("delta", delta::run),
    ("write-amp", write_amp::run),
    ("write-amp-paged", write_amp::run_paged),
    ("start", start::run),
    ("start-child", start::child),
];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [name, entries, folder] = &args[..] else { panic!("arguments: NAME ENTRIES FOLDER") };
    let (_, run) = MEASUREMENTS.iter().find(|(known, _)| known == name).expect("a known name");
    let metrics = run(entries.parse().expect("ENTRIES is a number"), Path::new(folder));
    let fields: Vec<String> = metrics.iter().map(|(name, value)| format!(r#""{name}":{value}"#)).collect();
    println!("{{{}}}", fields.join(","));
}
