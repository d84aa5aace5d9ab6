//! redb and fjall used directly for single entries, then the store under the same load and reads: figures to compare, no bars.
//!
//! They live in `bench/peers`, a workspace of its own, so that nothing of theirs is built or audited with the product.

use std::process::Command;

use super::store;
use crate::bench::Bench;
use crate::bench::samples::Samples;
use crate::process::{Scratch, output_of, run_logged};
use crate::workspace::{cargo, root};

const ENTRIES: u64 = 1_000_000;
const MANIFEST: &str = "bench/peers/Cargo.toml";

pub(super) fn run(bench: &Bench, samples: &mut Samples) -> Result<(), String> {
    let (manifest, target) = (root().join(MANIFEST), bench.folder.join("peers"));
    let mut build = cargo(&["build", "--release", "--locked", "--manifest-path"]);
    build.arg(&manifest).arg("--target-dir").arg(&target);
    run_logged(build, &bench.folder.join("build.log"))?;
    for _ in 0..bench.rounds {
        for peer in ["redb", "fjall"] {
            let folder = Scratch::new(&bench.folder)?;
            let mut command = Command::new(target.join("release/peers"));
            command.args([peer, &bench.sized(ENTRIES).to_string()]).arg(folder.path());
            store::add_all(samples, &output_of(command)?)?;
        }
    }
    store::rates(bench, samples)
}
