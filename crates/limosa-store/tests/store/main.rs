//! The store from outside: claims of its documentation, over a disk in memory that crashes and fills up.

mod align;
mod commits;
mod common;
mod crash;
mod damage;
mod flips;
mod gates;
mod house;
mod large;
mod memory;
mod model;
mod owners;
mod pieces;
mod place;
mod reframe;
mod slow;
mod stage;
mod stream;
