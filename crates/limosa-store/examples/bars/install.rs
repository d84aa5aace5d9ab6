//! Bulk install of received frames: a first copy as the target's store sees it, with the journal on tmpfs so that the CPU is measured.

use std::path::Path;

use limosa_core::limits::FRAME_BYTES_BULK;
use limosa_core::{Frame, KeyRange, Version};
use limosa_store::{Durability, Extract, SealedFacts, StageStart, Store};

use crate::common::{Metrics, open, set_all};
use crate::input::{Pool, shuffled};
use crate::machine::process_cpu_seconds;

const VALUE_BYTES: usize = 1024;
const TMPFS: &str = "/dev/shm";
/// Bytes of frames between two flushes: what a standby has in flight.
const FLUSH_BYTES: usize = 6 << 20;

pub(crate) fn run(entries: u64, folder: &Path) -> Metrics {
    let (frames, sealed) = frames(entries, folder);
    let here = Path::new(TMPFS).join(format!("limosa-bars-{}", std::process::id()));
    std::fs::create_dir(&here).expect("Linux has tmpfs there");
    let target = open(&here, "target", Durability::Commit);
    let bytes: usize = frames.iter().map(|frame| frame.entries.payload_bytes()).sum();
    let cpu = process_cpu_seconds();
    install(&target, &frames, &sealed);
    let cpu = process_cpu_seconds() - cpu;
    assert_eq!(target.stats().live, entries, "everything was installed");
    drop(target);
    std::fs::remove_dir_all(&here).expect("it was made here");
    vec![("megabytes_per_core".into(), bytes as f64 / 1e6 / cpu)]
}

/// The frames of a first copy as they lie in memory when they were received, and what the source seals.
fn frames(entries: u64, folder: &Path) -> (Vec<Frame>, Vec<SealedFacts>) {
    let source = open(folder, "install-source", Durability::Interval);
    source.open_epoch(1).expect("the disk works"); // above what the target opens for itself
    set_all(&source, entries, &Pool::new(), VALUE_BYTES, shuffled(entries));
    let (cut, mut frames) = (source.cut(), Vec::new());
    for view in cut.fragments() {
        let mut rest = Some(view.facts().range);
        while let Some(range) = rest {
            let (frame, next) = view.delta(&range, Version::ZERO, Extract::Changes, FRAME_BYTES_BULK).expect("in memory");
            frames.push(frame);
            rest = next.map(|start| KeyRange { start, end: range.end.clone() });
        }
    }
    let seal = |facts: limosa_core::FragmentFacts| SealedFacts {
        id: facts.id,
        head: facts.head,
        state: facts.state,
        floor: facts.floor,
        epochs: facts.epochs,
    };
    let sealed = cut.fragments().iter().map(|view| seal(view.facts())).collect();
    drop(cut);
    drop(source);
    std::fs::remove_dir_all(folder.join("install-source")).expect("it was made here");
    (frames, sealed)
}

fn install(target: &Store, frames: &[Frame], sealed: &[SealedFacts]) {
    let starts: Vec<StageStart> =
        target.cut().fragments().iter().map(|view| StageStart::at(view.id(), view.facts().range, Version::ZERO)).collect();
    target.stage_open(1, &starts).expect("nothing is open");
    let mut unflushed = 0;
    for frame in frames {
        target.stage_apply(1, frame, &[]).expect("it fits the map and proves itself");
        unflushed += frame.entries.payload_bytes();
        if unflushed >= FLUSH_BYTES {
            target.flush().expect("tmpfs has room");
            unflushed = 0;
        }
    }
    target.stage_install(1, sealed).expect("complete and equal");
}
