//! The machines of three nodes over a map of cells, walked over every crash point.

mod acts;
mod disk;
mod node;
mod oracle;
mod plants;
mod reframing;
mod scenario;
mod scripts;
mod sessions;
mod walk;
mod world;
