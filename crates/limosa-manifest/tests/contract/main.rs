//! The contract of a manifest's store, run against each store, and what is particular to etcd.

mod embedded;
mod etcd;
mod server;
mod suite;
