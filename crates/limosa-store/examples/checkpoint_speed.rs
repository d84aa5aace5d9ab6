//! Measures the checkpoint: how fast blocks go into redb, come back, and how much memory and file that takes.
//!
//! `cargo run --release -p limosa-store --example checkpoint_speed -- [GIGABYTES] [FOLDER]`
#![allow(clippy::print_stdout, reason = "its output is what it is for")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use limosa_core::FragmentId;
use limosa_store::checkpoint::{Checkpoint, CheckpointOptions};
use limosa_store::disk::RealDisk;
use limosa_store::journal::{Chain, Owner, Point, Position};

const OWNER: Owner = Owner { cluster: [1; 16], incarnation: 1 };
const FRAGMENTS: u64 = 64;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let gigabytes: f64 = args.next().map_or(Ok(1.0), |text| text.parse())?;
    let folder = args.next().map_or_else(std::env::temp_dir, PathBuf::from);
    println!("block      write MB/s  rewrite MB/s  file MB  read blocks/s  start: summaries/s  peak memory MB");
    for block_bytes in [10 << 10, (16 << 10) - 64, 16 << 10, (64 << 10) - 64, 64 << 10] {
        let own = folder.join("checkpoint-speed");
        let _ = std::fs::remove_dir_all(&own);
        std::fs::create_dir(&own)?;
        measure(&own.join("checkpoint.redb"), block_bytes, (gigabytes * 1e9) as u64 / block_bytes as u64)?;
        std::fs::remove_dir_all(&own)?;
    }
    Ok(())
}

fn measure(path: &Path, block_bytes: usize, blocks: u64) -> Result<(), Box<dyn Error>> {
    let checkpoint = Checkpoint::open(Arc::new(RealDisk), path, OWNER, CheckpointOptions::default())?;
    let megabytes = blocks as f64 * block_bytes as f64 / 1e6;
    let started = Instant::now();
    write(&checkpoint, block_bytes, blocks, 1, 1)?;
    let write_rate = megabytes / started.elapsed().as_secs_f64();
    let started = Instant::now();
    write(&checkpoint, block_bytes, blocks, 10, 2)?; // every tenth block, as a checkpoint after scattered writes does
    let rewrite_rate = megabytes / 10.0 / started.elapsed().as_secs_f64();
    let file = checkpoint.file_bytes()? as f64 / 1e6;

    let started = Instant::now();
    let reads = blocks.min(20_000);
    for i in 0..reads {
        let i = i.wrapping_mul(0x9E37_79B9_7F4A_7C15) % blocks;
        assert_eq!(checkpoint.load_block(fragment(i), &i.to_be_bytes())?.whole.len(), block_bytes);
    }
    let read_rate = reads as f64 / started.elapsed().as_secs_f64();
    drop(checkpoint);

    let started = Instant::now();
    let checkpoint = Checkpoint::open(Arc::new(RealDisk), path, OWNER, CheckpointOptions::default())?;
    let view = checkpoint.view()?;
    let mut summaries = 0u64;
    for id in 0..FRAGMENTS {
        for row in view.blocks(FragmentId(u32::try_from(id)?))? {
            row?;
            summaries += 1;
        }
    }
    assert_eq!(summaries, blocks);
    let start_rate = summaries as f64 / started.elapsed().as_secs_f64();
    let peak = peak_memory_mb();
    println!("{block_bytes:6} B {write_rate:12.0} {rewrite_rate:13.0} {file:8.0} {read_rate:14.0} {start_rate:19.0} {peak:15.0}");
    Ok(())
}

/// Blocks lie in ranges: fragment by fragment in key order, as a checkpoint writes them.
fn fragment(i: u64) -> FragmentId {
    FragmentId(u32::try_from(i % FRAGMENTS).expect("below 64"))
}

fn write(checkpoint: &Checkpoint, block_bytes: usize, blocks: u64, step: usize, position: u64) -> Result<(), Box<dyn Error>> {
    let mut writer = checkpoint.begin()?;
    let mut block = vec![0; block_bytes];
    for id in 0..FRAGMENTS {
        for i in (id..blocks).step_by(FRAGMENTS as usize).step_by(step) {
            block[..8].copy_from_slice(&i.to_le_bytes());
            writer.put_block(fragment(i), &i.to_be_bytes(), &[7; 93], &block)?;
        }
    }
    writer.commit(Point { position: Position(position), chain: Chain([0; 16]) })?;
    Ok(())
}

/// Peak resident memory of this process so far (Linux), 0 elsewhere.
fn peak_memory_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse::<f64>().ok()).map_or(0.0, |kilobytes| kilobytes / 1024.0)
}
