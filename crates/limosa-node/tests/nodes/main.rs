//! Whole nodes in one process: real folders, real sockets on loopback, real certificates.

mod cluster;
mod common;
mod halves;
mod members;
mod reframe;
mod repair;
mod status;
