//! The commands: one table, and their functions by topic.

mod causal;
mod client;
mod cluster;
mod cluster_text;
mod config;
mod connection;
mod counters;
mod deadline;
mod expiry;
mod info;
mod introspect;
mod keys;
mod ranges;
mod scan;
mod strings;
pub(crate) mod table;
