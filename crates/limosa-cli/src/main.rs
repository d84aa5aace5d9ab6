//! The `limosa` program.
fn main() {}
