//! The front door as clients meet it: over a socket, against a keyspace in memory, and beside a real Redis.

mod acks;
mod client;
mod cluster;
mod cutover;
mod differential;
mod large;
mod roles;
mod sockets;
