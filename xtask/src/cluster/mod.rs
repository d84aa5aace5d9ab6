//! A cluster on this machine as tasks want it: nodes on loopback ports, real clients, and what those clients waited.

pub(crate) mod client;
pub(crate) mod load;
pub(crate) mod nodes;
pub(crate) mod waits;
