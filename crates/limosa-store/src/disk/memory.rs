//! A disk in memory that crashes or fails at a chosen effect. For tests and simulation.
pub use super::RealDisk as MemoryDisk;
/// What a fault does.
#[derive(Clone, Copy, Debug)]
pub enum Fault {}
/// What survives.
#[derive(Clone, Copy, Debug)]
pub enum Survivors {}
