//! The main job with real processes: `limosa demo` at a small size, and whether its report says what its exit code says.

use std::fs;
use std::process::Command;

use serde::Deserialize;

use super::Context;
use crate::process::run_logged;

#[derive(Deserialize)]
struct Report {
    entries: u64,
    scenes: Vec<Scene>,
}

#[derive(Deserialize)]
struct Scene {
    scene: u32,
    digests_equal: bool,
    client: Option<Client>,
}

#[derive(Deserialize)]
struct Client {
    requests: u64,
    lost_writes: u64,
}

const SCENES: std::ops::RangeInclusive<u32> = 1..=7;

pub(super) fn small(context: &Context) -> Result<(), String> {
    let report = run(context, "demo", &["--entries", "20000", "--value-bytes", "200", "--scenes", "1,2,3,4,5,6,7"])?;
    if report.entries != 20_000 {
        return Err(format!("the report says {} entries", report.entries));
    }
    Ok(())
}

pub(super) fn default_size(context: &Context) -> Result<(), String> {
    run(context, "demo-default", &[]).map(|_| ())
}

fn run(context: &Context, name: &str, args: &[&str]) -> Result<Report, String> {
    let path = context.folder.join(format!("{name}.json"));
    let _ = fs::remove_file(&path); // an old report must not speak for this run
    let mut command = Command::new(context.metadata.program("limosa"));
    command.arg("demo").args(args).arg("--report").arg(&path).current_dir(&context.folder);
    run_logged(command, &context.folder.join(format!("{name}.log")))?;
    let text = fs::read_to_string(&path).map_err(|error| format!("no report at {}: {error}", path.display()))?;
    let report: Report = serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    for scene in SCENES {
        if !report.scenes.iter().any(|found| found.scene == scene) {
            return Err(format!("scene {scene} is not in the report {}", path.display()));
        }
    }
    for scene in &report.scenes {
        match &scene.client {
            Some(client) if client.lost_writes > 0 => {
                return Err(format!("scene {} lost {} acknowledged writes, and the demo did not say so", scene.scene, client.lost_writes));
            }
            Some(client) if client.requests == 0 => return Err(format!("no client was answered in scene {}", scene.scene)),
            None if scene.scene >= 8 => return Err(format!("scene {} does not tell what clients saw", scene.scene)),
            _ => {}
        }
    }
    match report.scenes.iter().find(|scene| !scene.digests_equal) {
        Some(scene) => Err(format!("scene {} left unequal ends, and the demo did not say so", scene.scene)),
        None => Ok(report),
    }
}
