//! What the demo's scenes move, and how long they take.
#![allow(clippy::cast_precision_loss)] // byte counts as ratios

use super::demo::{self, Report, Scene};
use crate::bench::Bench;
use crate::bench::samples::Samples;

const ENTRIES: u64 = 1_000_000;
/// What scene 4 may take beside twice its bytes at scene 1's rate.
const ALLOWANCE_SECONDS: f64 = 0.15;

pub(super) fn kilobyte(bench: &Bench, samples: &mut Samples) -> Result<(), String> {
    rounds(bench, samples, 1024, "1,2,4,5,6,7")
}

pub(super) fn hundred_bytes(bench: &Bench, samples: &mut Samples) -> Result<(), String> {
    rounds(bench, samples, 100, "1,2,4,5")
}

fn rounds(bench: &Bench, samples: &mut Samples, value_bytes: u64, scenes: &str) -> Result<(), String> {
    demo::build(bench)?;
    for _ in 0..bench.rounds {
        let report = demo::run(bench, bench.sized(ENTRIES), value_bytes, scenes)?;
        add_round(&report, samples)?;
    }
    Ok(())
}

fn add_round(report: &Report, samples: &mut Samples) -> Result<(), String> {
    let (first, long) = (report.scene(1)?, report.scene(4)?);
    samples.add("scene1_megabytes_per_second", first.rate() / 1e6);
    samples.add("scene2_moved_bytes", report.scene(2)?.moved_bytes as f64);
    samples.add("scene4_moved_per_changed", long.moved_bytes as f64 / long.changed_bytes as f64);
    let allowed = 2.0 * long.moved_bytes as f64 / first.rate() + ALLOWANCE_SECONDS;
    samples.add("scene4_time_per_allowed", long.seconds / allowed);
    let diverged = report.scene(5)?;
    samples.add("scene5_differences", diverged.changed_entries as f64);
    samples.add("scene5_bytes_per_difference", beyond_the_changes(diverged));
    if let Ok(cut) = report.scene(6) {
        samples.add("scene6_sent_again_bytes", cut.sent_again_bytes_max() as f64);
    }
    for (word, metric) in [("overwr", "scene7_overwrite_moved_bytes"), ("insert", "scene7_insert_moved_bytes")] {
        if let Some(bytes) = large_values(report, word) {
            samples.add(metric, bytes as f64);
        }
    }
    Ok(())
}

/// Bytes for each difference beyond 1.05 times what changed.
fn beyond_the_changes(scene: &Scene) -> f64 {
    (scene.moved_bytes as f64 - 1.05 * scene.changed_bytes as f64) / scene.changed_entries.max(1) as f64
}

/// Scene 7 may be one row for both edits: then each bar is held against the whole.
fn large_values(report: &Report, word: &str) -> Option<u64> {
    let row = report.rows(7).find(|row| row.is_about(word)).or_else(|| report.rows(7).next())?;
    Some(row.moved_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(scene7: &str) -> Report {
        let row = |scene: u32, more: &str| {
            format!(
                r#"{{"scene": {scene}, "changed_entries": 10, "changed_bytes": 1000, "moved_bytes": 2000, "seconds": 0.5,
                     "digests_equal": true, "ratio": null {more}}}"#
            )
        };
        let rows = [
            row(1, ""),
            row(2, ""),
            row(4, ""),
            row(5, ""),
            row(6, r#", "sent_again_bytes": 13, "sent_again_bytes_by_cut": [1, 9, 3]"#),
            scene7.to_owned(),
        ]
        .join(",");
        serde_json::from_str(&format!(r#"{{"version": 1, "scenes": [{rows}]}}"#)).expect("a report")
    }

    const ONE_ROW: &str =
        r#"{"scene": 7, "changed_entries": 20, "changed_bytes": 1000, "moved_bytes": 70, "seconds": 1, "digests_equal": true}"#;

    #[test]
    fn a_round_gives_each_bar_its_value() {
        let mut samples = Samples::default();
        add_round(&report(ONE_ROW), &mut samples).expect("complete");
        let one = |metric: &str| samples.of(metric)[0];
        assert!((one("scene4_moved_per_changed") - 2.0).abs() < 1e-9);
        assert!((one("scene4_time_per_allowed") - 0.5 / 1.15).abs() < 1e-9);
        assert!((one("scene5_bytes_per_difference") - 95.0).abs() < 1e-9);
        assert!((one("scene6_sent_again_bytes") - 9.0).abs() < 1e-9);
        assert!((one("scene7_overwrite_moved_bytes") - 70.0).abs() < 1e-9);
        assert!((one("scene7_insert_moved_bytes") - 70.0).abs() < 1e-9);
    }

    #[test]
    fn rows_of_their_own_for_both_edits_are_told_apart_by_name() {
        let named = |name: &str, bytes: u32| {
            ONE_ROW.replace("\"scene\": 7", &format!("\"scene\": 7, \"name\": \"{name}\"")).replace("70", &bytes.to_string())
        };
        let report = report(&[named("large values, overwritten", 1), named("large values, inserted", 2)].join(","));
        assert_eq!((large_values(&report, "overwr"), large_values(&report, "insert")), (Some(1), Some(2)));
    }
}
