//! A cluster on this machine as tasks want it: nodes on loopback ports, proxies between them, real clients, and what those clients waited.

pub(crate) mod client;
pub(crate) mod connection;
pub(crate) mod etcd;
pub(crate) mod load;
pub(crate) mod nodes;
pub(crate) mod proxy;
pub(crate) mod waits;
