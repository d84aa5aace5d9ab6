//! Durable fragments of one node: journal, checkpoint, data folder, and the store over them.
#![warn(clippy::pedantic)]
#![allow(clippy::module_name_repetitions, clippy::must_use_candidate)]

pub mod checkpoint;
pub mod disk;
pub mod error;
pub mod folder;
pub mod journal;

pub use error::StoreError;
