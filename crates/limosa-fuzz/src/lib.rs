//! Every decoder that takes foreign bytes, with inputs to start from: run on stable as bounded tests, and by cargo-fuzz without an end.
//!
//! | Question | Where |
//! |---|---|
//! | What is decoded, and what must hold? | the module `fuzzing` of each crate, as [`Target`]s |
//! | Which inputs are kept? | `fuzz/corpus/NAME`, one file each |
//! | How are others made of them? | [`mutate`] |
//! | Does it panic, or allocate too much? | [`bounded`] |
//!
//! # Not here
//! - What a whole session does with hostile messages: the tests of `limosa-engine` and `limosa-node`.

pub mod bounded;
pub mod corpus;
pub mod mutate;

pub use limosa_core::fuzzing::Target;

/// Every target.
pub fn targets() -> impl Iterator<Item = &'static Target> {
    let all = [
        limosa_core::fuzzing::TARGETS,
        limosa_wire::fuzzing::TARGETS,
        limosa_tree::fuzzing::TARGETS,
        limosa_store::fuzzing::TARGETS,
        limosa_manifest::fuzzing::TARGETS,
        limosa_node::fuzzing::TARGETS,
        limosa_server::fuzzing::TARGETS,
    ];
    all.into_iter().flatten()
}

/// Runs one target on one input: what a cargo-fuzz target does.
///
/// # Panics
/// If there is no target of this name, or the target finds something.
pub fn run(name: &str, bytes: &[u8]) {
    let target = targets().find(|target| target.name == name).unwrap_or_else(|| panic!("no target is called {name}"));
    (target.run)(bytes);
}
