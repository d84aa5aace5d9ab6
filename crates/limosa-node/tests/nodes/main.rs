//! Whole nodes in one process: real folders, real sockets on loopback, real certificates.

mod common;
mod repair;
mod status;
