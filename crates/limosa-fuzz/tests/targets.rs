//! No decoder panics on foreign bytes or allocates more than its input vouches for; the kept inputs are there.
//!
//! `LIMOSA_KEEP=1 cargo test -p limosa-fuzz` adds the seeds to `fuzz/corpus`, and whatever is found. `LIMOSA_FUZZ_COUNT=N` tries more inputs,
//! `LIMOSA_FUZZ_SEED=N` others.

use limosa_fuzz::bounded::{self, Found};
use limosa_fuzz::{Target, corpus, targets};

/// It counts what a thread allocates.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Inputs for each target.
const COUNT: usize = 10_000;

fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}

fn keeps() -> bool {
    std::env::var_os("LIMOSA_KEEP").is_some()
}

fn keep_seeds(target: &Target) {
    for seed in (target.seeds)() {
        corpus::keep(target, "seed", &seed).expect("the corpus can be written");
    }
}

#[test]
fn no_decoder_panics_or_allocates_more_than_its_input_vouches_for() {
    let (count, seed) = (number("LIMOSA_FUZZ_COUNT", COUNT), number("LIMOSA_FUZZ_SEED", 1) as u64);
    let mut found = Vec::new();
    for target in targets() {
        if keeps() {
            keep_seeds(target);
        }
        found.extend(bounded::check(target, seed, count).err());
    }
    let mut told = Vec::new();
    for Found { target, what, input } in &found {
        let target = targets().find(|known| known.name == *target).expect("it was run");
        if keeps() {
            corpus::keep(target, "found", input).expect("the corpus can be written");
        }
        told.push(format!("{}: {what}\n{}", target.name, input.escape_ascii()));
    }
    assert!(told.is_empty(), "{}", told.join("\n"));
}

#[test]
fn every_target_has_inputs_that_are_kept() {
    for target in targets() {
        let (kept, seeds) = (corpus::kept(target).expect("the corpus can be read").len(), (target.seeds)().len());
        assert!(kept >= seeds.max(1), "{}: {kept} inputs are kept; LIMOSA_KEEP=1 keeps new seeds", target.name);
    }
}

#[test]
fn names_are_unique_and_no_folder_of_inputs_is_of_an_unknown_target() {
    let mut names: Vec<&str> = targets().map(|target| target.name).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    let any = targets().next().expect("there are targets");
    for folder in std::fs::read_dir(corpus::folder(any).parent().expect("a folder in a folder")).expect("the corpus is there") {
        let name = folder.expect("readable").file_name().into_string().expect("names are ASCII");
        assert!(names.contains(&name.as_str()), "{name} is no target");
    }
}

/// Believes a length.
fn careless(bytes: &[u8]) {
    let Some(length) = bytes.first_chunk() else { return };
    let room = Vec::<u8>::with_capacity(u32::from_le_bytes(*length) as usize & 0xFF_FFFF);
    assert!(room.capacity() < 0x80_0000, "it is refused");
}

/// The net is not torn: what it is for is caught.
#[test]
fn a_decoder_that_believes_a_length_is_caught() {
    const CARELESS: Target = Target::new("core_commit", careless, Vec::new).allowed(1 << 10, 16);
    let found = bounded::check(&CARELESS, 1, 100).expect_err("it allocates what a length says");
    assert!(found.what.starts_with("allocates") || found.what.starts_with("panics"), "{}", found.what);
}
