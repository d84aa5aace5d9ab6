//! The front door as clients meet it: over a socket, against a keyspace in memory, and beside a real Redis.

mod client;
mod differential;
mod large;
mod roles;
mod sockets;
