//! What the store may hold in memory, and how it stays within that: which blocks go, which are spilled, when a checkpoint is wanted.
//!
//! ```text
//! loads, writes, frames ──> Ledger counts ──> Choice (pure) ──> Relief drops clean blocks │ spills those that no checkpoint has
//! ```
//! Whoever brings blocks into memory gives relief behind it, outside every lock but short holds of the state's: readers that load, the
//! group commit that publishes, the stage that takes frames. So memory is bounded by what one of them brings at a time, writers are slowed
//! by exactly the work that their growth costs, and nobody waits for a thread that has fallen behind.
//!
//! | Question | Module |
//! |---|---|
//! | How much is too much, and what is to be done? | `budget` |
//! | Who can still see a block's last checkpointed version? | `covers` |
//! | Who does it? | `relief` |
//! | What is loaded before commits are applied? | `preload` |
//! | Where do blocks go that no checkpoint has? | `spill` |
//!
//! # Not here
//! - How hot a block is: `limosa_tree::memory`.

mod budget;
mod covers;
mod preload;
mod relief;
mod spill;

pub use budget::MemoryUse;
pub(crate) use covers::Covers;
pub(crate) use relief::Relief;
