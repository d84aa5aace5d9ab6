//! Runs `limosa demo` and reads its report.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use serde::Deserialize;

use crate::bench::Bench;
use crate::bench::samples::Samples;
use crate::process::run_logged;

/// The report of one run, as far as cases need it.
#[derive(Deserialize)]
pub(super) struct Report {
    scenes: Vec<Scene>,
}

/// One row of the report.
#[derive(Deserialize)]
pub(super) struct Scene {
    scene: u32,
    #[serde(default)]
    name: String,
    pub(super) changed_entries: u64,
    pub(super) changed_bytes: u64,
    pub(super) moved_bytes: u64,
    pub(super) seconds: f64,
    /// In all, over every cut.
    #[serde(default)]
    sent_again_bytes: u64,
    /// After each cut, where there were some.
    #[serde(default)]
    sent_again_bytes_by_cut: Vec<u64>,
    digests_equal: bool,
    /// By end, then by stage.
    #[serde(default)]
    pub(super) cpu_seconds: BTreeMap<String, BTreeMap<String, f64>>,
}

impl Report {
    /// All rows of a scene.
    pub(super) fn rows(&self, scene: u32) -> impl Iterator<Item = &Scene> {
        self.scenes.iter().filter(move |row| row.scene == scene)
    }

    /// The first row of a scene.
    pub(super) fn scene(&self, scene: u32) -> Result<&Scene, String> {
        self.rows(scene).next().ok_or_else(|| format!("the report has no scene {scene}"))
    }
}

impl Scene {
    /// Whether the row's name has this word in it.
    pub(super) fn is_about(&self, word: &str) -> bool {
        self.name.to_lowercase().contains(word)
    }

    /// Bytes sent again after the worst cut.
    pub(super) fn sent_again_bytes_max(&self) -> u64 {
        self.sent_again_bytes_by_cut.iter().copied().max().unwrap_or(self.sent_again_bytes)
    }

    /// Moved bytes a second.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn rate(&self) -> f64 {
        self.moved_bytes as f64 / self.seconds
    }
}

/// Builds the program, then measures round by round; the round is the seed.
pub(super) fn rounds(
    bench: &Bench,
    samples: &mut Samples,
    measure: impl Fn(&Bench, &mut Samples, u64) -> Result<(), String>,
) -> Result<(), String> {
    build(bench)?;
    (0..bench.rounds as u64).try_for_each(|round| measure(bench, samples, round))
}

/// Builds the program, once for a case.
pub(super) fn build(bench: &Bench) -> Result<(), String> {
    bench.build(&["--workspace", "--bins"])
}

/// One run of some scenes. A run that left unequal ends is no measurement.
pub(super) fn run(bench: &Bench, entries: u64, value_bytes: u64, scenes: &str) -> Result<Report, String> {
    let path = bench.folder.join("demo.json");
    let _ = fs::remove_file(&path); // an old report must not speak for this run
    let mut command = Command::new(bench.metadata.program("limosa"));
    command.args(["demo", "--entries", &entries.to_string(), "--value-bytes", &value_bytes.to_string(), "--scenes", scenes]);
    command.arg("--report").arg(&path).current_dir(&bench.folder);
    run_logged(command, &bench.folder.join("demo.log"))?;
    let text = fs::read_to_string(&path).map_err(|error| format!("no report at {}: {error}", path.display()))?;
    let report: Report = serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    match report.scenes.iter().find(|row| !row.digests_equal) {
        Some(row) => Err(format!("scene {} left unequal ends", row.scene)),
        None => Ok(report),
    }
}
