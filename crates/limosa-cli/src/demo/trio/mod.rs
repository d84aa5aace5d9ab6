//! Scenes 8 to 11: three nodes with one manifest, and clients that never stop while fragments change hands.
//!
//! ```text
//! a (has the manifest)   8: a third moves b -> c, which was empty    10: kill -9 of b, the owner of everything
//! b (owns everything)    9: it moves back c -> b                     11: b returns
//! ```
//! As in the other scenes nothing that judges is taken from what is judged: clients write down what was acknowledged to them, and every
//! entry of every copy is read over RESP and compared with that.

mod client;
mod compare;
mod load;
mod nodes;
mod scenes;
mod seen;

pub(super) use load::CLIENTS;
pub(super) use scenes::play;
pub(super) use seen::ClientSeen;
