//! Runs a target on its kept inputs and on a bounded number of others, and holds it to what it may allocate.
//!
//! What a run *allocated in all* is counted, by thread, as jemalloc does it: more than it ever held, so the bound is on the safe side, it also
//! bounds the work, and other threads of the test do not blur it. Allocations of C code (zstd's contexts, of a fixed size) are not in it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tikv_jemalloc_ctl::thread::{ThreadLocal, allocatedp};

use crate::mutate::Mutator;
use crate::{Target, corpus};

/// What went wrong, with the input, so that it can be kept.
#[derive(Debug)]
pub struct Found {
    /// The target.
    pub target: &'static str,
    /// What happened.
    pub what: String,
    /// On which bytes.
    pub input: Vec<u8>,
}

/// Runs `target` on everything that is kept for it, and on `count` inputs that are made of that with `seed`.
///
/// # Errors
/// The first input on which it panics or allocates more than it may.
///
/// # Panics
/// If jemalloc is not the program's allocator, or nothing is kept for the target.
pub fn check(target: &Target, seed: u64, count: usize) -> Result<(), Found> {
    let counted = allocatedp::read().expect("jemalloc counts what a thread allocates");
    let mut inputs = corpus::kept(target).expect("the corpus can be read");
    assert!(!inputs.is_empty(), "nothing is kept for {}", target.name);
    inputs.extend((target.seeds)().into_iter().map(|seed| ("seed".to_owned(), seed))); // as today's writers make them
    inputs.iter().try_for_each(|(_, input)| one(target, input, counted))?;
    let mut mutator = Mutator::new(seed);
    (0..count).try_for_each(|_| one(target, &mutator.make(&inputs), counted))
}

fn one(target: &Target, input: &[u8], counted: ThreadLocal<u64>) -> Result<(), Found> {
    let before = counted.get();
    let outcome = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    let allocated = counted.get() - before;
    let may = target.bytes_base + target.bytes_per_byte * input.len() as u64;
    let what = match outcome {
        Err(panic) => format!("panics: {}", words(panic.as_ref())),
        Ok(()) if allocated > may => format!("allocates {allocated} bytes for {}, and may {may}", input.len()),
        Ok(()) => return Ok(()),
    };
    Err(Found { target: target.name, what, input: input.to_vec() })
}

fn words(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word")
}
