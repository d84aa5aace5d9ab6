//! A node whose disk is full: a small tmpfs under its data, filled up. Others go on, and it is whole again once there is room.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{FLAGS, STANDBYS, VALUE_BYTES, calm};
use crate::cluster::nodes::{Cluster, Options, Place};
use crate::history::{Recording, Workload};
use crate::process::{Scratch, output_of};

/// Room of the small disk.
const SIZE: &str = "size=96m";
/// How long it stays full.
const TIME: Duration = Duration::from_secs(2);

/// A mounted tmpfs; unmounted when dropped.
struct Small(PathBuf);

impl Small {
    fn mount(folder: &Path) -> Result<Self, String> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", SIZE, "limosa-soak"]).arg(folder);
        output_of(mount)?;
        Ok(Self(folder.to_owned()))
    }

    /// Writes until nothing fits any more.
    fn fill(&self) -> Result<PathBuf, String> {
        let path = self.0.join("ballast");
        let mut file = File::create(&path).map_err(|error| format!("the ballast: {error}"))?;
        for bytes in [1 << 16, 1 << 8, 1] {
            let piece = vec![1; bytes];
            while file.write_all(&piece).is_ok() {}
        }
        Ok(path)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let mut umount = Command::new("umount");
        umount.arg("-l").arg(&self.0);
        let _ = output_of(umount); // it stays mounted, empty of anything that matters
    }
}

/// The third node's disk is full for a while, under a load.
pub(super) fn check(place: &Place) -> Result<(), String> {
    let folder = Scratch::new(&place.folder)?;
    let small = match Small::mount(folder.path()) {
        Ok(small) => small,
        Err(error) => {
            println!("  a full disk was not tried: this machine mounts no tmpfs for us ({})", error.lines().next().unwrap_or_default());
            return Ok(());
        }
    };
    let data = Some((2, small.0.clone()));
    let mut cluster = Cluster::start_with(place, Options { flags: FLAGS.map(str::to_owned).to_vec(), data, ..Options::default() })?;
    cluster.join()?;
    cluster.join()?;
    cluster.wait(0, "whole", |cell| calm::is_whole(cell, STANDBYS))?;
    cluster.command_soon(0, &["rebalance", "--wait"])?;
    let (clients, pause) = (8, Duration::from_millis(3));
    let workload = Workload { ports: cluster.ports(), clients, keys_a_group: 60, value_bytes: VALUE_BYTES, pause, copy_every: 10 };
    let recording = Recording::start(&workload);
    let ballast = small.fill()?;
    std::thread::sleep(TIME);
    fs::remove_file(ballast).map_err(|error| format!("the ballast: {error}"))?;
    let told = calm::end(&cluster, recording, Vec::new(), STANDBYS)?;
    println!("  a full disk at an owner: {told}");
    Ok(())
}
