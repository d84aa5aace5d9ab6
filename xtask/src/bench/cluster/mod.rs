//! A cluster as a case wants it: nodes on loopback ports, a load of real clients, and what those clients waited.

pub(super) mod client;
pub(super) mod load;
pub(super) mod nodes;
pub(super) mod waits;
